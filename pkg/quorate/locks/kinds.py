"""What a lock manager offers besides locks: the kinds that stand on them."""

from __future__ import annotations

from .desk import LockDesk
from .model import LockConfig
from .semaphore import Semaphore
from .store import LockStore


class Kinds:
    """Semaphores and the like, from the same store and on the same session."""

    config: LockConfig
    _store: LockStore
    _desk: LockDesk | None = None

    def semaphore(self, name: str, permits: int) -> Semaphore:
        """`permits` to be shared by all processes. Raises `InvalidInput`."""
        return Semaphore(
            name, permits, store=self._store, config=self.config, desk=self._open_desk
        )

    def _open_desk(self) -> LockDesk:
        if self._desk is None:
            raise RuntimeError("the lock manager is not open: call start() first")
        return self._desk
