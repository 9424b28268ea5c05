"""What the child program asks of a library of locks. One file beside this for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

Options = Mapping[str, float]


class Peer(Protocol):
    """Locks as a user of the library would take them: its defaults, unless told."""

    async def open(self, url: str, options: Options) -> None: ...

    async def acquire(self, name: str) -> object:
        """Wait for the lock; what comes back is to be handed to `release`."""
        ...

    async def release(self, held: object) -> None: ...

    async def close(self) -> None: ...


class Floor(Protocol):
    """The least that a request and a message can cost through one client."""

    async def bare(self) -> object:
        """EVALSHA of `return 1`."""
        ...

    async def publish(self, channel: str, body: str) -> object: ...

    async def subscribe(self, channel: str, hear: Callable[[bytes], None]) -> None: ...


class Blocking(Protocol):
    """A library without asyncio: it is given threads where others have tasks."""

    def take(self, name: str) -> object: ...

    def give(self, held: object) -> None: ...
