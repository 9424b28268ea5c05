"""What a lock manager offers besides locks: the kinds that stand on them."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.clock import Chance
from quorate.core.errors import InvalidInput, MissingCapability
from quorate.lease.session import Session

from .desk import LockDesk
from .election import Booth, Election
from .meeting import Barrier, Latch, Venue
from .model import LockConfig, LockType, OnLoss
from .semaphore import Semaphore
from .store import LockStore, MeetingStore
from .together import LockAllBlock
from .wish import checked_wish

MOST_AT_ONCE = 1000


class Kinds:
    """Semaphores, elections and the like, on the store and session of the locks."""

    config: LockConfig
    _store: LockStore
    _session: Session
    _chance: Chance
    _meetings: MeetingStore | None
    _desk: LockDesk | None = None

    def lock_all(
        self,
        names: Sequence[str],
        lock_type: LockType = LockType.EXCLUSIVE,
        *,
        wait_s: float | None = None,
        timeout_s: float | None = None,
        label: str = "",
        on_loss: OnLoss = "cancel",
        owner: str = "",
    ) -> LockAllBlock:
        """All these locks for the length of an `async with` block, or none of them.

        Gives the grants in the order of `names`. Whoever takes several locks only like
        this never waits in a circle. One request if all are free and near each other.
        The rest is as with `acquire_lock`; `wait_s` is the wait for all.
        """
        if isinstance(names, str) or not 1 <= len(names) <= MOST_AT_ONCE:
            raise InvalidInput(
                "These locks cannot be taken together.",
                fix=f"Give a list of 1 to {MOST_AT_ONCE} names.",
            )
        wishes = [
            checked_wish(
                self.config, name, lock_type, wait_s=wait_s, timeout_s=timeout_s,
                label=label, on_loss=on_loss, owner=owner,
            )
            for name in names
        ]  # fmt: skip
        return LockAllBlock(self._open_desk(), wishes)

    def semaphore(self, name: str, permits: int) -> Semaphore:
        """`permits` to be shared by all processes. Raises `InvalidInput`."""
        return Semaphore(
            name, permits, store=self._store, config=self.config, desk=self._open_desk
        )

    def election(self, name: str, candidate: str = "") -> Election:
        """The office `name`; `candidate` is this process's, by default its session."""
        booth = Booth(
            self._store, self._meet(), self.config, self._open_desk, self._look_s
        )
        return Election(name, candidate or self._session.id, booth)

    def latch(self, name: str, count: int) -> Latch:
        """A door that opens once, when `count` participants have counted down."""
        return Latch(name, count, self._venue())

    def barrier(self, name: str, parties: int) -> Barrier:
        """A place where `parties` participants wait for each other, again and again."""
        return Barrier(name, parties, self._venue())

    def _venue(self) -> Venue:
        return Venue(self._meet(), self._session.id, self._look_s)

    def _look_s(self) -> float:
        """After so long one looks without news, in case that some were lost."""
        return self._session.terms.ttl_s * (0.75 + 0.25 * self._chance.random())

    def _meet(self) -> MeetingStore:
        if self._meetings is None:
            raise MissingCapability(
                "There are no elections, latches and barriers here.",
                "This backend's locks do not offer them.",
                "Use a plain lock.",
            )
        return self._meetings

    def _open_desk(self) -> LockDesk:
        if self._desk is None:
            raise RuntimeError("the lock manager is not open: call start() first")
        return self._desk
