"""One connection through the fault proxy, from when it opens until somebody ends it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from typing import TypeAlias

from quorate.core.clock import Chance
from quorate.core.lifecycle import Tasks

from .frames import Frames
from .proxy_flow import Flow
from .toxics import Direction, LoseReply, ResetPeer, Swallow, Toxic

Side: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

COMMAND_BYTES = 4_096
FLUSH_WITHIN_S = 1.0
_RST_ON_CLOSE = struct.pack("ii", 1, 0)


class ProxyLink:
    """A connection from a client to the upstream, until one of them ends it."""

    def __init__(
        self, client: Side, server: Side, *, chance: Chance, losses: Losses | None
    ) -> None:
        self._flows: dict[Direction, Flow] = {
            "up": Flow(client[0], server[1]),
            "down": Flow(server[0], client[1]),
        }
        self._chance = chance
        self._losses = losses
        self._commands: deque[bytes] = deque()
        self._over = asyncio.Event()
        self._is_reset = False
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def passed(self, direction: Direction) -> int:
        """Bytes delivered in this direction."""
        return self._flows[direction].passed

    def afflict(self, toxic: Toxic) -> None:
        """Let `toxic` act here, if the draw says so."""
        if toxic.share < 1.0 and self._chance.random() >= toxic.share:
            return
        self._flows[toxic.direction].toxics.append(toxic)
        loop = asyncio.get_running_loop()
        if isinstance(toxic, ResetPeer):
            self._timers[id(toxic)] = loop.call_later(toxic.after_s, self.reset)
        elif isinstance(toxic, Swallow) and toxic.after_s:
            self._timers[id(toxic)] = loop.call_later(toxic.after_s, self._over.set)

    def relieve(self, toxic: Toxic) -> None:
        """End `toxic` here. With data lost, the connection cannot go on."""
        flow = self._flows[toxic.direction]
        if not any(one is toxic for one in flow.toxics):
            return
        flow.toxics = [one for one in flow.toxics if one is not toxic]
        flow.limits.pop(id(toxic), None)
        if timer := self._timers.pop(id(toxic), None):
            timer.cancel()
        if flow.has_lost and isinstance(toxic, (Swallow, LoseReply)):
            self.reset()

    def reset(self) -> None:
        """End it with an RST on both sides."""
        self._is_reset = True
        for flow in self._flows.values():
            peer = flow.writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._over.set()

    async def run(self) -> None:
        """Pass data on until the connection is over."""
        tasks = Tasks()
        try:
            for direction, flow in self._flows.items():
                tasks.spawn(self._read(flow), f"proxy reads {direction}")
                tasks.spawn(self._pass_on(direction), f"proxy passes {direction}")
            await self._over.wait()
            if not self._is_reset:
                await self._flush()
        finally:
            for timer in self._timers.values():
                timer.cancel()
            await tasks.close()
            for flow in self._flows.values():
                flow.writer.transport.abort()

    async def _flush(self) -> None:
        """What was let through arrives, if its reader wants it."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(FLUSH_WITHIN_S):
                for flow in self._flows.values():
                    flow.writer.close()
                for flow in self._flows.values():
                    await flow.writer.wait_closed()

    async def _read(self, flow: Flow) -> None:
        try:
            await flow.read()
        except OSError:
            self.reset()

    async def _pass_on(self, direction: Direction) -> None:
        flow, frames = self._flows[direction], Frames()
        try:
            while data := await flow.next(self._chance):
                stroke = None
                if self._losses is not None:
                    data, stroke = self._tell_apart(direction, frames.feed(data))
                await flow.deliver(flow.within_limit(data))
                if stroke is not None:
                    flow.has_lost, flow.is_silent = True, stroke.swallow
                if flow.is_spent or (stroke is not None and not stroke.swallow):
                    self._over.set()
                    return
            await flow.finish()
        except OSError:
            self.reset()
        flow.is_done = True
        if all(other.is_done for other in self._flows.values()):
            self._over.set()

    def _tell_apart(
        self, direction: Direction, frames: list[bytes]
    ) -> tuple[bytes, LoseReply | None]:
        """Remember the commands going up; of the replies, those before a lost one."""
        if direction == "up":
            self._commands.extend(frame[:COMMAND_BYTES] for frame in frames)
            return b"".join(frames), None
        through: list[bytes] = []
        for frame in frames:
            command = self._commands.popleft() if self._commands else b""
            stroke = self._lost(command)
            if stroke is not None:
                return b"".join(through), stroke
            through.append(frame)
        return b"".join(through), None

    def _lost(self, command: bytes) -> LoseReply | None:
        """The toxic by which the reply to `command` gets lost, if one does."""
        if self._losses is None:
            return None
        return self._losses.struck_by(self._flows["down"].toxics, command)


class Losses:
    """Which replies get lost, counted over all connections of a proxy."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._seen: dict[int, int] = {}
        self.lost = 0

    def struck_by(self, toxics: list[Toxic], command: bytes) -> LoseReply | None:
        """The toxic that loses the reply to `command`, if one does."""
        for toxic in toxics:
            if isinstance(toxic, LoseReply) and toxic.of in command:
                seen = self._seen[id(toxic)] = self._seen.get(id(toxic), 0) + 1
                if seen == toxic.nth or self._chance.random() < toxic.chance:
                    self.lost += 1
                    return toxic
        return None
