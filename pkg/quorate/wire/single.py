"""A site of one server: given by its address, started for us, or in this process."""

from __future__ import annotations

from quorate.core.clock import Clock
from quorate.core.errors import StoreError
from quorate.core.events import Emit

from .address import Address, OpenServer
from .calls import Calls
from .facts import OLDEST, ServerFacts, check_alone, check_fit, read_facts
from .inbox import Inbox
from .limits import WireLimits
from .link import Dialer
from .ports import Caller


class GivenServer:
    """A server that somebody else runs, at a fixed address."""

    def __init__(self, address: Address) -> None:
        self.address = address

    async def resolve(self) -> Address:
        return self.address

    async def close(self) -> None:
        return None


class SingleSite:
    """Satisfies `wire.ports.Site`."""

    def __init__(
        self, server: OpenServer, limits: WireLimits, emit: Emit, clock: Clock
    ) -> None:
        self._server = server
        self._limits = limits
        self._emit = emit
        self._clock = clock

    @property
    def address(self) -> Address:
        return self._server.address

    def calls(self, limits: WireLimits, *, elsewhere: bool = False) -> Calls:
        """In another event loop it follows a server of our own that was started again,
        but leaves the starting to the process's own loop.
        """
        return Calls(
            self.dialer(limits, elsewhere=elsewhere),
            timeout_s=limits.timeout_s,
            dialect="bare" if self.address.kind == "memory" else "whole",
        )

    def inbox(self, calls: Caller) -> Inbox:
        return Inbox(
            self.dialer(self._limits),
            timeout_s=self._limits.timeout_s,
            emit=self._emit,
            clock=self._clock,
        )

    def dialer(self, limits: WireLimits, *, elsewhere: bool = False) -> Dialer:
        ours = self.address.kind != "redis"
        return Dialer(
            lambda: self.address,
            connect_timeout_s=limits.connect_timeout_s,
            resolve=self._server.resolve if ours and not elsewhere else None,
        )

    async def look(self, calls: Caller) -> ServerFacts:
        if self.address.kind == "memory":
            return ServerFacts("memory", OLDEST["redis"], "memory", "noeviction")
        facts = await ask_facts(calls)
        check_fit(facts, self.address.shown, self._emit)
        check_alone(facts, self.address.shown)
        return facts

    async def follow(self) -> None:
        return None

    async def close(self) -> None:
        await self._server.close()


async def ask_facts(calls: Caller) -> ServerFacts:
    """INFO, and what matters in it."""
    text = await calls.command("INFO")
    return read_facts(text.decode(errors="replace"))


async def look_at(url: str, limits: WireLimits, emit: Emit) -> ServerFacts | None:
    """The facts of a further server, checked; None while it cannot be reached."""
    address = Address(url, "redis", url)
    calls = Calls(
        Dialer(lambda: address, connect_timeout_s=limits.connect_timeout_s),
        timeout_s=limits.timeout_s,
    )
    try:
        facts = await ask_facts(calls)
    except StoreError:
        return None
    finally:
        await calls.close()
    check_fit(facts, address.shown, emit)
    return facts
