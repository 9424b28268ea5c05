"""The port of a shared store: transactions in one row, one revision each.

A revision is given in the order of commits, without gaps. Whoever has read up to a
cursor may ask for what came after it, and gets all of it once, or is told that it
cannot be had and a whole snapshot is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .model import Commit, Contents, Cursor, Draft


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after a cursor: in order, without a gap and without a repeat.

    `gap` says why it cannot be told (another epoch, trimmed, a lost transaction); then
    only a snapshot helps. `more` means that there are further ones.
    """

    commits: tuple[Commit, ...] = ()
    epoch: str = ""
    gap: str = ""
    more: bool = False


class ConfigStore(Protocol):
    """Where shared configuration is kept.

    Raises `StoreUnavailable` when the server cannot be reached, `OutcomeUnknown` when a
    commit may or may not have happened.
    """

    async def snapshot(self) -> Contents:
        """Everything, as of one revision."""
        ...

    async def changes(self, after: Cursor) -> Changes:
        """The transactions after `after`."""
        ...

    async def commit(self, draft: Draft) -> int:
        """Let all of `draft` happen, and return its revision.

        Raises `ConfigConflict` if an expected revision is not there any more,
        `StaleTokenError` if a later grant has written under the fence's name,
        `SessionLostError` if this process's session is over, `InvalidPayload` if it is
        too large. The same id again returns the same revision.
        """
        ...

    async def history(self, key: str, limit: int) -> tuple[Commit, ...]:
        """The last transactions that wrote at, below or around `key`, newest first.

        An empty `key` means all of them.
        """
        ...

    async def hear(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` when something may be new. Returns its undoing.

        Only a hint: it may be missed or come for nothing.
        """
        ...

    async def close(self) -> None:
        """Give back what the store opened for itself."""
        ...
