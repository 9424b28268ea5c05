"""A make-believe Redis inside this process, for unit tests.

`memory://name` is fakeredis' TCP server on loopback: whoever opens the same name in
this process reaches the same data, and the last one to close it ends it. It has no
replicas, failover, cluster, persistence, INFO or CONFIG, and says so in `lacks`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
from typing import TYPE_CHECKING
from urllib.parse import unquote

from quorate.core.errors import MissingCapability
from quorate.core.lifecycle import to_the_end
from quorate.core.names import check_name

from .address import Address, Lack

if TYPE_CHECKING:
    from .fake_server import FakeTcpServer

LACKS: frozenset[Lack] = frozenset(
    ("replicas", "failover", "cluster", "persistence", "server checks")
)


class _Running:
    """One server with the number of its openers."""

    def __init__(self) -> None:
        self.server = _fake_server()
        self.openers = 0
        self._thread = threading.Thread(
            target=self.server.serve, name="memory server", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        self.server.end()
        self._thread.join()


_gate = threading.Lock()
_running: dict[tuple[int, str], _Running] = {}
"""By process and name: after a fork the threads are gone, and with them the server."""


class MemoryServer:
    """A hold on the server of one name."""

    def __init__(self, name: str) -> None:
        self._key = (os.getpid(), name)
        with _gate:
            running = _running.get(self._key)
            if running is None:
                running = _running[self._key] = _Running()
            running.openers += 1
        self._closed = False
        url = f"redis://127.0.0.1:{running.server.port}/0"
        self.address = Address(url, "memory", url, LACKS)

    async def resolve(self) -> Address:
        """The same address: it cannot move."""
        return self.address

    async def close(self) -> None:
        """Let go; the last holder ends the server, and its data is gone. Idempotent."""
        if self._closed or os.getpid() != self._key[0]:
            return
        self._closed = True
        with _gate:
            running = _running[self._key]
            running.openers -= 1
            if running.openers:
                return
            del _running[self._key]
        await to_the_end(asyncio.to_thread(running.end), "end memory server")


async def open_memory(url: str = "memory://") -> MemoryServer:
    """Hold the server that `url` names open, starting it if nobody has.

    Raises `InvalidName`, and `MissingCapability` when the extra `memory` is missing.
    """
    name = name_in(url)
    # Importing fakeredis takes half a second, which is not for the event loop.
    await to_the_end(asyncio.to_thread(_fake_server_module), "import fakeredis")
    return MemoryServer(name)


def name_in(url: str) -> str:
    """The name that a `memory://` URL gives; none is a name too."""
    name = unquote(url.removeprefix("memory://")).rstrip("/")
    return check_name(name, "memory server") if name else ""


def _fake_server() -> FakeTcpServer:
    _fake_server_module()
    from .fake_server import FakeTcpServer

    return FakeTcpServer()


def _fake_server_module() -> None:
    try:
        importlib.import_module("lupa")
        importlib.import_module("quorate.wire.fake_server")
    except ImportError as error:
        raise MissingCapability(
            "memory:// cannot be opened: fakeredis with Lua is not installed.",
            str(error),
            "Install it: pip install 'quorate[memory]'.",
        ) from error
