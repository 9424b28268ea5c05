"""What the child program asks of a library of queues. One file beside this for each.

A task has one argument, the payload; its handler calls the counter and does nothing
else. A library may have `enqueue_many` too. Without asyncio it has `put` instead of
`enqueue`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Options = Mapping[str, float]
Payload = dict[str, Any]

PAYLOAD: Payload = {
    "at": 0.0, "user": "u-123456", "kind": "welcome", "number": 17, "ratio": 0.25,
    "is_new": True, "tags": ["a", "b"], "note": "hello there",
}  # fmt: skip
"""About 110 bytes of JSON, eight keys."""


class Peer(Protocol):
    """A queue as a user of the library would have it: its defaults, unless told."""

    async def open(self, url: str, options: Options) -> None: ...

    async def enqueue(self, payload: Payload) -> object: ...

    async def work(self) -> None:
        """Begin to work on tasks in this process; returns when it has begun."""
        ...

    async def close(self) -> None: ...


class Bulk(Protocol):
    """It can enqueue many with one call."""

    async def enqueue_many(self, payloads: list[Payload]) -> object: ...


class Blocking(Protocol):
    """A library without asyncio."""

    def put(self, payload: Payload) -> object: ...
