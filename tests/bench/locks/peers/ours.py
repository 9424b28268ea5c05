"""Quorate's locks, and the floors under them on the same connections."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from tests.bench.locks.peers.port import Options

from quorate.backend import Backend
from quorate.locks.lock import LockBlock
from quorate.locks.manager import LockManager
from quorate.locks.model import LockType
from quorate.wire.scripts import Script

_ONE = "return 1"
_SHA = hashlib.sha1(_ONE.encode(), usedforsecurity=False).hexdigest()
ONE = Script("bench/one", _ONE, _SHA, _ONE, _SHA, idempotent=False)


class Peer:
    reentrant = LockType.REENTRANT

    async def open(self, url: str, options: Options) -> None:
        self.backend = Backend(url, namespace="bench")
        await self.backend.start()
        self.locks = LockManager.over(self.backend.wire, self.backend.session)
        self.backend.sweeper.add(self.locks.sweeper_room())
        await self.locks.start()

    async def acquire(self, name: str) -> LockBlock:
        block = self.locks.acquire_lock(name)
        await block.__aenter__()
        return block

    async def release(self, held: LockBlock) -> None:
        await held.__aexit__(None, None, None)

    async def close(self) -> None:
        await self.locks.stop()
        await self.backend.stop()

    async def enter_again(self, name: str) -> None:
        """Enter and leave what the running task holds already."""
        async with self.locks.acquire_lock(name, LockType.REENTRANT):
            pass

    @property
    def requests(self) -> int:
        """Commands sent on the connection for calls."""
        return self.backend.wire.calls.stats().requests

    async def bare(self) -> object:
        return await self.backend.wire.calls.call(ONE, (), ())

    async def publish(self, channel: str, body: str) -> object:
        return await self.backend.wire.calls.command("PUBLISH", channel, body)

    async def subscribe(self, channel: str, hear: Callable[[bytes], None]) -> None:
        await self.backend.wire.inbox.subscribe(channel, hear)
