"""Asks a suspect itself whether it is still there.

The registry has lost sight of an instance; a connection that it accepts, or refuses,
says more than any rule. A probe that cannot tell says so, and one that was itself held
up is not believed when it says "nobody".
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from enum import Enum

from quorate.core.clock import Clock
from quorate.core.events import Emit
from quorate.core.lifecycle import Tasks

from .events import ProbeFailed
from .model import ServiceInfo

Probe = Callable[[ServiceInfo], Awaitable[bool | None]]
"""True: somebody is there. False: nobody is. None: it could not be found out."""


class Finding(Enum):
    """What a probe has found out."""

    THERE = "there"
    NOBODY = "nobody"
    UNSURE = "unsure"


Told = Callable[[Finding], Awaitable[None]]

AT_ONCE = 32
LONGEST_S = 30.0
HELD_UP = 1.5
"""A probe that took so many times its limit was kept from looking in time."""

_NOBODY = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ETIMEDOUT,
}


_FINDINGS = {True: Finding.THERE, False: Finding.NOBODY, None: Finding.UNSURE}


class TcpProbe:
    """Whether something accepts a connection at the instance's endpoint."""

    def __init__(self, clock: Clock, timeout_s: float = 1.0) -> None:
        self._clock = clock
        self._timeout_s = timeout_s

    async def __call__(self, info: ServiceInfo) -> bool | None:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                address = info.address
                _, writer = await asyncio.open_connection(address.host, address.port)
        except TimeoutError:
            took_s = self._clock.monotonic() - began
            return None if took_s > self._timeout_s * HELD_UP else False
        except OSError as error:
            return False if error.errno in _NOBODY else None
        writer.transport.abort()
        return True


class Prober:
    """Runs probes in the background, so many at once and each with a limit."""

    def __init__(self, probe: Probe, emit: Emit, clock: Clock) -> None:
        self._probe = probe
        self._emit = emit
        self._tasks = Tasks(emit, clock)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._probes = 0

    @property
    def probes(self) -> int:
        """How many probes were made."""
        return self._probes

    def ask(self, info: ServiceInfo, told: Told) -> None:
        """Probe `info` soon and await `told` with what was found."""
        self._tasks.spawn(self._ask(info, told), f"probe of {info.name} {info.id}")

    async def close(self) -> None:
        """Stop all probes."""
        await self._tasks.close()

    async def _ask(self, info: ServiceInfo, told: Told) -> None:
        async with self._places:
            self._probes += 1
            found = Finding.UNSURE
            try:
                async with asyncio.timeout(LONGEST_S):
                    found = _FINDINGS[await self._probe(info)]
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
                self._emit(ProbeFailed(service=info.name, instance=info.id, why=why))
        await told(found)
