"""What is held by several at once: permits of a semaphore, readers beside a writer.

Models for the checker, like those of `models`. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from .history import Operation

S = TypeVar("S")

Permits = frozenset[tuple[str, int]]
"""Who holds how many."""


class Semaphore:
    """So many permits, which owners hold some at a time.

        acquire {"owner": o, "weight": n}   → anything
        release {"owner": o}                → True, or False if o held none
        expire  {"owner": o}                → the server ended the hold

    An owner is one hold. As with a `Mutex`, write an `expire` with an open outcome for
    each hold that may have ended by itself.
    """

    def __init__(self, permits: int) -> None:
        self._permits = permits
        self.initial: Permits = frozenset()

    def step(self, state: Permits, operation: Operation) -> Sequence[Permits]:
        owner = operation.args["owner"]
        mine = {hold for hold in state if hold[0] == owner}
        if operation.f == "acquire":
            weight = int(operation.args["weight"])
            in_use = sum(held for _, held in state)
            if mine or in_use + weight > self._permits:
                return ()
            return (state | {(owner, weight)},)
        return _ended(operation, state, state - mine, is_held=bool(mine))


class Sharing(NamedTuple):
    """Who writes, who reads, and the highest token granted for certain."""

    writer: str | None = None
    readers: frozenset[str] = frozenset()
    token: int = 0


class ReadersWriter:
    """A lock held by one writer or by any number of readers.

        acquire {"owner": o, "shared": is_reader}   → the token
        release {"owner": o}                        → True, or False if o did not hold
        expire  {"owner": o}                        → the server ended the hold

    A writer's token is above all before it; a reader's is not below the last writer's.
    """

    initial = Sharing()

    def step(self, state: Sharing, operation: Operation) -> Sequence[Sharing]:
        owner = operation.args["owner"]
        if operation.f == "acquire":
            return self._acquire(state, operation, owner)
        after = Sharing(
            None if state.writer == owner else state.writer,
            state.readers - {owner},
            state.token,
        )
        is_held = state.writer == owner or owner in state.readers
        return _ended(operation, state, after, is_held=is_held)

    def is_over(self, state: Sharing, operation: Operation) -> bool:
        """Tokens never go back: who needs a lower one is too late."""
        if not operation.is_known or operation.f != "acquire":
            return False
        least = state.token if operation.args["shared"] else state.token + 1
        return int(operation.result) < least

    def _acquire(
        self, state: Sharing, operation: Operation, owner: str
    ) -> Sequence[Sharing]:
        shared = bool(operation.args["shared"])
        if state.writer is not None or owner in state.readers:
            return ()
        if not shared and state.readers:
            return ()
        token = state.token
        if operation.is_known:
            token = int(operation.result)
            if token < state.token or (token == state.token and not shared):
                return ()
        if shared:
            return (Sharing(None, state.readers | {owner}, token),)
        return (Sharing(owner, frozenset(), token),)


def _ended(operation: Operation, state: S, after: S, *, is_held: bool) -> Sequence[S]:
    """What `release` and `expire` may lead to."""
    if operation.f not in ("release", "expire"):
        raise ValueError(f"a shared hold does not know {operation.f!r}")
    if operation.is_known and operation.result is False:
        return () if is_held else (state,)
    return (after,) if is_held else ()
