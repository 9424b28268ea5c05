"""So many at once: permits of a semaphore, some or one at a time.

    exports = locks.semaphore("exports", permits=5)
    async with exports.acquire(weight=2):
        ...

Served in the order of asking, and nobody overtakes who waits for many. Permits hang on
the session: those of a dead process are free within its ttl. A token of a semaphore is
no fence, because several holders are right at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from quorate.core.errors import InvalidInput, MissingCapability
from quorate.core.names import check_name

from .lock import Desk, LockBlock
from .model import SEMAPHORE, Explanation, LockConfig, LockType, OnLoss
from .store import LockStore, PermitStore
from .wish import checked_wish

MOST_PERMITS = 1_000_000_000


class Semaphore:
    """At most `permits` in use at once, wherever their holders run.

    Each asks with the limit it was made with, until `set_permits` sets one for all.
    """

    def __init__(
        self,
        name: str,
        permits: int,
        *,
        store: LockStore,
        config: LockConfig,
        desk: Callable[[], Desk],
    ) -> None:
        if not isinstance(store, PermitStore):
            raise MissingCapability(
                "There are no semaphores here.",
                "This backend's locks do not offer them.",
                "Use one lock for each permit.",
            )
        self.name = check_name(name, "semaphore")
        self.permits = _checked(permits, "permits", MOST_PERMITS)
        self._store = store
        self._locks: LockStore = store
        self._config = config
        self._desk = desk

    def acquire(
        self,
        weight: int = 1,
        *,
        wait_s: float | None = None,
        timeout_s: float | None = None,
        label: str = "",
        on_loss: OnLoss = "cancel",
        priority: int = 0,
    ) -> LockBlock:
        """`weight` permits for the length of an `async with` block.

        Everything else is as with `LockManager.acquire_lock`, except that a task that
        holds some and asks again wants more. Raises `InvalidInput` for a weight that is
        more than the semaphore has.
        """
        _checked(weight, "weight", self.permits)
        wish = checked_wish(
            self._config, self.name, LockType.SHARED, wait_s=wait_s, label=label,
            timeout_s=timeout_s, on_loss=on_loss, priority=priority,
        )  # fmt: skip
        wish = dataclasses.replace(
            wish, name=SEMAPHORE + self.name, weight=weight, permits=self.permits,
            template="(semaphore)",
        )  # fmt: skip
        return LockBlock(self._desk(), wish)

    async def set_permits(self, permits: int) -> int:
        """From now on there are so many for everybody, until it is set again.

        Who waits is let in if there are enough now; who holds keeps what it has. Who
        waits for more than there are waits on, and so do those behind it.
        Returns how many are in use. One request.
        """
        self.permits = _checked(permits, "permits", MOST_PERMITS)
        return await self._store.set_permits(SEMAPHORE + self.name, permits)

    async def explain(self) -> Explanation:
        """Who holds permits, since when, and who waits. One request."""
        return await self._locks.explain(SEMAPHORE + self.name)


def _checked(value: object, what: str, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise InvalidInput(
        f"{what} = {value!r} cannot be used.", fix=f"Give a number from 1 to {most}."
    )
