"""An HTTP server of a few lines that answers what it is told to, or does not."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back. `hang` is silence, `cut` a broken connection after asking."""

    status: int = 200
    body: bytes = b""
    index: str = ""
    hang: bool = False
    cut: bool = False
    size: int | None = None


class ScriptedHttp:
    """Gives its replies in their order, and then 200 with nothing."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.heads: list[str] = []
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> ScriptedHttp:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    @property
    def port(self) -> int:
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    def answers(
        self, status: int = 200, body: bytes | str = b"", **how: object
    ) -> None:
        """The next reply."""
        raw = body.encode() if isinstance(body, str) else body
        self.replies.append(Reply(status, raw, **how))  # type: ignore[arg-type]

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                fields = dict(
                    line.lower().split(": ", 1)
                    for line in head.splitlines()
                    if ": " in line
                )
                await reader.readexactly(int(fields.get("content-length", 0)))
                reply = self.replies.popleft() if self.replies else Reply()
                if reply.hang:
                    await reader.read()
                if reply.hang or reply.cut:
                    return
                writer.write(_written(reply))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


def _written(reply: Reply) -> bytes:
    size = len(reply.body) if reply.size is None else reply.size
    head = f"HTTP/1.1 {reply.status} x\r\nContent-Length: {size}\r\n"
    if reply.index:
        head += f"X-Consul-Index: {reply.index}\r\n"
    return f"{head}\r\n".encode() + reply.body
