"""All that a process needs of one Consul agent: `consul://`.

Three sets of connections: for calls, for blocking queries, which would keep calls
waiting, and for the keeper's thread. Consul runs no scripts: what must happen at once
is one transaction, and whoever waits watches a key.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.clock import Clock, SystemClock
from quorate.core.errors import MissingCapability, StoreRefused, StoreUnavailable
from quorate.core.events import Emit, silent
from quorate.core.lifecycle import Tasks, to_the_end

from .address import Address
from .consul_calls import Client, ConsulCalls
from .consul_place import read_consul_url
from .consul_sessions import ConsulSessions, Roster, SessionWatch
from .keys import Keyspace
from .redis import WireLimits, WireOpened

OLDEST = (1, 8)
CALLS_AT_ONCE = 16
WATCHES_AT_ONCE = 32
"""Of the 200 connections that Consul takes from one machine unless told otherwise."""


class ConsulWire:
    """The connections of this process to one agent. `await start()` before use."""

    scheme = "consul"

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "quorate",
        limits: WireLimits | None = None,
        emit: Emit = silent,
        clock: Clock | None = None,
    ) -> None:
        self.url = url
        self._place = read_consul_url(url)
        self.namespace = Keyspace(namespace).namespace
        self.limits = limits or WireLimits()
        self.emit = emit
        self.clock = clock or SystemClock()
        self.roster = Roster()
        self.tasks = Tasks(emit, self.clock)
        self._calls: ConsulCalls | None = None
        self._watches: ConsulCalls | None = None
        self._gone: list[Callable[[str], None]] = []

    @property
    def root(self) -> str:
        """The folder of all keys of this namespace; it serves as the one tag."""
        return self._place.root(self.namespace)

    @property
    def address(self) -> Address:
        """Where the agent is."""
        return Address(url=self.url, kind="consul", shared=self.url)

    @property
    def calls(self) -> ConsulCalls:
        """The connections for requests that are answered at once."""
        return _opened(self._calls)

    @property
    def watches(self) -> ConsulCalls:
        """The connections for blocking queries."""
        return _opened(self._watches)

    async def start(self) -> None:
        """Connect, and check that there is a Consul, with a leader, that is fit."""
        self._calls = ConsulCalls(self._client(CALLS_AT_ONCE, self.limits))
        self._watches = ConsulCalls(self._client(WATCHES_AT_ONCE + 1, self.limits))
        try:
            await self._look()
        except BaseException:
            await to_the_end(self.stop(), "stop wire")
            raise
        watch = SessionWatch(self._watches, self.roster, self._session_gone, self.clock)
        self.roster.entered = self.tasks.employ(watch).wake

    async def stop(self) -> None:
        """Close every connection. Twice is harmless."""
        self.roster.entered = lambda: None
        await self.tasks.close()
        calls, watches = self._calls, self._watches
        self._calls = self._watches = None
        for open_ in (calls, watches):
            if open_ is not None:
                await open_.close()

    def sessions(self) -> ConsulSessions:
        """The sessions, over the process's own connections."""
        return ConsulSessions(self.calls, self.roster, self.namespace, self.clock)

    def new_sessions(self, within_s: float | None = None) -> ConsulSessions:
        """The same sessions over connections of their own, for the keeper's thread.

        Call it in the event loop that will use it.
        """
        limits = self.limits if within_s is None else self.limits.at_most(within_s)
        calls = ConsulCalls(self._client(2, limits))
        return ConsulSessions(calls, self.roster, self.namespace, self.clock)

    def on_session_gone(self, told: Callable[[str], None]) -> None:
        """Call `told` with the name of a session that Consul has ended."""
        self._gone.append(told)

    def _session_gone(self, name: str) -> None:
        for told in self._gone:
            told(name)

    def _client(self, connections: int, limits: WireLimits) -> Client:
        try:
            from .consul_http import ConsulClient, HttpLimits
        except ImportError as error:
            raise MissingCapability(
                "consul:// cannot be used here.",
                f"{error.name} is not installed.",
                "Install it: pip install 'quorate[consul]'",
            ) from error
        return ConsulClient(
            self._place,
            HttpLimits(limits.timeout_s, limits.connect_timeout_s, connections),
        )

    async def _look(self) -> None:
        """Refuse what would fail later: no leader, or a Consul that is too old."""
        _, leader = await self.calls.look("/v1/status/leader")
        if not leader:
            raise StoreUnavailable(
                f"{self.address.shown} has no leader.",
                "Its servers have not elected one, so nothing can be written.",
            )
        try:
            _, said = await self.calls.look("/v1/agent/self")
            version = self._version_in(said)
        except StoreRefused as error:
            if error.code != "403":
                raise
            version = ""  # the token may not ask; what it may do is seen when needed
        if version and _numbers(version) < OLDEST:
            raise MissingCapability(
                f"{self.address.shown} runs Consul {version}.",
                f"Consul {'.'.join(map(str, OLDEST))} or later is needed.",
                "Upgrade it.",
            )
        self.emit(
            WireOpened(server=self.address.shown, software="consul", version=version)
        )

    def _version_in(self, said: object) -> str:
        match said:
            case {"Config": {"Version": str(version)}}:
                return version
            case _:
                raise StoreRefused(
                    f"{self.address.shown} is not a Consul.",
                    "404 It does not know the questions that Consul answers.",
                    "Does the URL name the agent's HTTP port, usually 8500?",
                )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _opened(calls: ConsulCalls | None) -> ConsulCalls:
    if calls is None:
        raise MissingCapability("The wire is not open.", fix="Call start() first.")
    return calls
