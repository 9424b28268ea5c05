"""A registry on a server, with sessions beside it that can be let die."""

from __future__ import annotations

from tests.anywhere import cut_inbox, flush

from quorate.core.events import Emit
from quorate.registry.redis import RedisRegistry
from quorate.wire.keys import sessions_key
from quorate.wire.redis import Wire
from quorate.wire.sessions import RedisSessions

TTL_MS = 60_000


class Place:
    """A registry, and the sessions beside it."""

    def __init__(self, wire: Wire, emit: Emit) -> None:
        self.wire = wire
        self.registry = RedisRegistry(wire, emit)
        self.sessions = RedisSessions(wire.calls)
        self.tag = self.registry.tag

    async def session(self, name: str, ttl_ms: int = TTL_MS) -> str:
        assert await self.sessions.join(self.tag, name, ttl_ms)
        return name

    async def let_die(self, name: str) -> None:
        """The session was not renewed for so long that it has just ended."""
        seconds, micros = await self.wire.calls.command("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        await self.wire.calls.command("ZADD", sessions_key(self.tag), now_ms, name)

    def cut_inbox(self) -> None:
        """The subscription connection breaks."""
        cut_inbox(self.wire)

    async def flush(self) -> None:
        await flush(self.wire)

    async def listed(self, service: str = "orders") -> list[str]:
        snapshot = await self.registry.snapshot(service)
        return [info.id for info in snapshot.instances]

    async def indexed(self) -> set[str]:
        reply = await self.wire.calls.command("SMEMBERS", self.registry.index_key)
        return {name.decode() for name in reply}
