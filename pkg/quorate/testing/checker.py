"""Could one person, doing one thing at a time, have seen this history?

Judges linearizability: there must be a moment for each operation, between its call and
its return, such that the model allows them all in that order. An operation whose
outcome is open may have happened at any time since its call, or never.

Just-in-time linearization (Lowe, "Testing for Linearizability", 2016): operations are
placed only when one returns, and only the set of possible (state, operations placed
early) is kept. Memory depends on how much runs at once, not on the length.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

from .history import Operation
from .verdict import Verdict, together

S = TypeVar("S", bound=Hashable)
Placed: TypeAlias = frozenset[int]

MOST_CONFIGURATIONS = 200_000
_SHOWN = 3


class Model(Protocol[S]):
    """What the thing under test is meant to be, one step at a time.

    A model may know besides which operations have missed their time, so that the
    checker does not follow every dead end: `is_over(state, operation)` is True only if
    the operation, whose outcome is known, can never be allowed from this state on.
    """

    @property
    def initial(self) -> S: ...

    def step(self, state: S, operation: Operation) -> Sequence[S]:
        """The states that `operation` may lead to; none if it is not allowed here."""
        ...


def judge(
    operations: Sequence[Operation],
    model: Model[S],
    *,
    most: int = MOST_CONFIGURATIONS,
) -> Verdict:
    """Whether `operations` are linearizable by `model`.

    Operations that certainly did not happen must not be among them (`read_history` sets
    them apart). Unknown after `most` configurations at one return.
    """
    configurations: set[tuple[S, Placed]] = {(model.initial, frozenset())}
    open_: dict[int, Operation] = {}
    for returns, index in _moments(operations):
        operation = operations[index]
        if not returns:
            open_[index] = operation
            continue
        after = _after_return(configurations, open_, index, model, most)
        if after is None:
            why = f"more than {most} possibilities at {_shown(operation)}"
            return Verdict("unknown", len(operations), why, operation)
        if not after:
            states = sorted({repr(state) for state, _ in configurations})[:_SHOWN]
            why = f"{_shown(operation)} cannot be explained; before it: " + " or ".join(
                states
            )
            return Verdict("invalid", len(operations), why, operation)
        del open_[index]
        configurations = after
    return Verdict("valid", len(operations))


def judge_each(
    parts: Mapping[str, Sequence[Operation]],
    model: Model[S],
    *,
    most: int = MOST_CONFIGURATIONS,
) -> Verdict:
    """Judge parts that do not touch each other, such as the locks of different names.

    Linearizability is local: the whole is linearizable if and only if each part is.
    """
    return together(judge(part, model, most=most) for part in parts.values())


def _moments(operations: Sequence[Operation]) -> list[tuple[bool, int]]:
    """Calls and returns in time's order; at the same time, calls come first."""
    moments: list[tuple[int, bool, int]] = []
    for index, operation in enumerate(operations):
        moments.append((operation.called_ns, False, index))
        if operation.returned_ns is not None:
            moments.append((operation.returned_ns, True, index))
    return [(returns, index) for _, returns, index in sorted(moments)]


def _after_return(
    configurations: set[tuple[S, Placed]],
    open_: Mapping[int, Operation],
    returned: int,
    model: Model[S],
    most: int,
) -> set[tuple[S, Placed]] | None:
    """The configurations in which `returned` has been placed; None if too many."""
    seen = set(configurations)
    stack = list(configurations)
    after: set[tuple[S, Placed]] = set()
    wanted, is_over = open_[returned], getattr(model, "is_over", None)
    while stack:
        state, placed = stack.pop()
        if returned in placed:
            after.add((state, placed - {returned}))
            continue
        if is_over is not None and is_over(state, wanted):
            continue
        if tuple(model.step(state, wanted)) == (state,):
            # It changes nothing, so all that might come before may as well come after.
            after.add((state, placed))
            continue
        for configuration in _one_more(state, placed, open_, model):
            if configuration not in seen:
                seen.add(configuration)
                stack.append(configuration)
        if len(seen) > most:
            return None
    return after


def _one_more(
    state: S, placed: Placed, open_: Mapping[int, Operation], model: Model[S]
) -> Iterator[tuple[S, Placed]]:
    """What may come of each open operation that can be the next, if not a dead end."""
    is_over: Callable[[S, Operation], bool] | None = getattr(model, "is_over", None)
    for index, operation in open_.items():
        if index in placed:
            continue
        for following in model.step(state, operation):
            now = placed | {index}
            if is_over is None or not any(
                is_over(following, other)
                for at, other in open_.items()
                if at not in now and other.returned_ns is not None
            ):
                yield following, now


def _shown(operation: Operation) -> str:
    return f"{operation.f}({operation.args}) → {operation.result} of {operation.proc}"
