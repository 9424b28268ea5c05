"""Stands between a client and an HTTP server: counts requests, and loses some.

It reads whole requests and whole answers, so a fault strikes between the two: an answer
is lost after the server has done what was asked, or a request is kept back while its
client gives up, and delivered late.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

CRLF = b"\r\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came by."""

    method: str
    path: str
    body: bytes


class HttpProxy:
    """Listens on a free port of 127.0.0.1. `lose` and `strand` are for what comes next.

    `cut` is set by hand; a request that fits several faults suffers the first.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._lost: list[str] = []
        self._cut_paths: list[str] = []
        self._silent_paths: list[str] = []
        self._stranded: list[bytes] = []
        self.seen: list[Seen] = []
        self.lost_total = 0
        self.is_down = False

    @property
    def port(self) -> int:
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self.cut()

    def count(self, method: str, path: str) -> int:
        """How many requests of this kind came by; a path is told by its beginning."""
        return sum(s.method == method and s.path.startswith(path) for s in self.seen)

    def lose(self, path: str, times: int = 1) -> None:
        """The answers to the next requests to `path` never arrive."""
        self._lost += [path] * times

    def strand(self, path: str, *, cut: bool) -> None:
        """The next request to `path` gets stuck; its client is cut off, or waits."""
        self._cut_paths.append(path) if cut else self._silent_paths.append(path)

    async def deliver(self) -> None:
        """Let what got stuck arrive now; nobody hears the answers."""
        stranded, self._stranded = self._stranded, []
        for request in stranded:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            writer.write(request)
            await _read_message(reader)
            writer.close()

    def cut(self) -> None:
        """Break every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if self.is_down:
                raise ConnectionRefusedError
            up_reader, up_writer = await asyncio.open_connection(
                "127.0.0.1", self._upstream
            )
        except ConnectionRefusedError:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            while request := await _read_message(reader):
                seen = _seen(request)
                self.seen.append(seen)
                if _take(self._cut_paths, seen.path):
                    self._stranded.append(request)
                    return
                if _take(self._silent_paths, seen.path):
                    self._stranded.append(request)
                    await reader.read()
                    return
                up_writer.write(request)
                answer = await _read_message(up_reader)
                if _take(self._lost, seen.path) or self.is_down:
                    self.lost_total += 1
                    return
                writer.write(answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            up_writer.transport.abort()


def _take(paths: list[str], path: str) -> bool:
    for wanted in paths:
        if path.startswith(wanted):
            paths.remove(wanted)
            return True
    return False


def _seen(request: bytes) -> Seen:
    head, _, body = request.partition(CRLF * 2)
    method, path, _ = head.split(CRLF, 1)[0].decode().split(" ")
    return Seen(method, path, body)


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer, whole; empty at the end of the stream."""
    try:
        head = await reader.readuntil(CRLF * 2)
    except asyncio.IncompleteReadError:
        return b""
    fields = dict(
        line.lower().split(b":", 1) for line in head.split(CRLF)[1:] if b":" in line
    )
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return head + await _read_chunks(reader)
    size = int(fields.get(b"content-length", b"0"))
    return head + await reader.readexactly(size)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    size = -1
    while size != 0:
        line = await reader.readuntil(CRLF)
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
    return body
