"""What the rooms use of a wire, whatever stands behind its URL.

A server that runs, one of our own, a master that Sentinels watch over, or a Cluster:
`Caller` and `Listener` are what all of them offer, a `Site` is how each is connected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .address import Address
from .facts import ServerFacts
from .inbox import Hear, Resync
from .limits import WireLimits
from .link import Reply
from .orders import CallStats
from .scripts import Script


class Caller(Protocol):
    """Scripts and commands; see `Calls` for what each call may end with."""

    @property
    def is_connected(self) -> bool: ...

    def stats(self) -> CallStats: ...

    async def call(
        self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Reply:
        """Run `script`. All of `keys`, and what it derives from them, have one tag."""
        ...

    async def command(self, *words: str | bytes | int | float) -> Reply:
        """Send one plain command. Its first word with a hash tag is its key."""
        ...

    async def close(self) -> None: ...


class Listener(Protocol):
    """Messages in, by channel; see `Inbox`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def on_resync(self, resync: Resync) -> Callable[[], None]: ...

    async def subscribe(self, channel: str, hear: Hear) -> None: ...

    def unsubscribe(self, channel: str, hear: Hear) -> None: ...


class Site(Protocol):
    """What stands behind a URL, opened once a wire."""

    @property
    def address(self) -> Address:
        """Where it is, or last was. May be read from any thread."""
        ...

    def calls(self, limits: WireLimits, *, elsewhere: bool = False) -> Caller:
        """A further connection for calls; `elsewhere` is in another event loop."""
        ...

    def inbox(self, calls: Caller) -> Listener:
        """The connection for messages, beside that for `calls`."""
        ...

    async def look(self, calls: Caller) -> ServerFacts:
        """What the servers say of themselves. Raises if they are not fit for use."""
        ...

    async def follow(self) -> None:
        """From now on lead the connections of this loop to where the data is."""
        ...

    async def close(self) -> None:
        """Let go, after the connections are closed."""
        ...
