"""Where a server is, once it is known to run.

`embedded://` and `memory://` name servers that have to be started first. Whoever opens
one gets an `OpenServer`: the plain address behind it, a way to ask again after the
connection was lost, and a way to let go of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

Kind: TypeAlias = Literal[
    "memory", "embedded", "redis", "sentinel", "cluster", "consul", "rabbit"
]
Lack: TypeAlias = Literal[
    "replicas", "failover", "cluster", "persistence", "server checks"
]
"""What a server may be without. "server checks": INFO and CONFIG are not answered."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server that can be connected to now.

    `url` is a plain `redis://` URL and may hold a password, so it is never shown;
    `shown` may be. `shared` is what another process on this machine opens to reach
    the same server. `lacks` is what must not be asked of it.
    """

    url: str = field(repr=False)
    kind: Kind
    shared: str = field(repr=False)
    lacks: frozenset[Lack] = frozenset()

    @property
    def shown(self) -> str:
        """The URL without its password, for logs and errors."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class OpenServer(Protocol):
    """A server that this process holds open."""

    @property
    def address(self) -> Address:
        """Where it was when last asked. May be read from any thread."""
        ...

    async def resolve(self) -> Address:
        """Where it is now: call this when a connection to it was lost.

        Starts the server again if its owner is gone. Raises `StoreUnavailable`.
        """
        ...

    async def close(self) -> None:
        """Let go of it. The last one in its owner's process ends it."""
        ...
