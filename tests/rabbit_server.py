"""A private RabbitMQ: one node on loopback with name, cookie and epmd of its own.

The node is the Erlang machine itself, not the script around it, so that to kill it is
to kill it. It starts in a few seconds: one is shared by a run, and tests that harm it
leave it running again.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

from tests.kept import Kept
from tests.ports import free_port
from tests.servers import MissingServer

PLACES = Path("/usr/lib/rabbitmq/lib")
READY_WITHIN_S = 50.0


def rabbit_programs() -> Path:
    """The folder with `rabbitmq-server` and `rabbitmqctl`. Raises `MissingServer`."""
    found = [path.parent for path in PLACES.glob("rabbitmq_server-*/sbin/rabbitmqctl")]
    on_path = shutil.which("rabbitmq-server")
    if on_path and "/usr/sbin" not in on_path:
        found.append(Path(on_path).resolve().parent)
    if not found or shutil.which("epmd") is None:
        raise MissingServer(
            "RabbitMQ is not on this machine. `make servers` finds or installs it; or "
            "set QUORATE_TEST_RABBITMQ_URL to a broker that may be written to."
        )
    return max(found, key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])


class PortMapper(Kept):
    """The epmd of one node."""

    name = "epmd"

    def command(self) -> list[str]:
        self.port = self.port or free_port()
        program = str(shutil.which("epmd"))
        return [program, "-address", "127.0.0.1", "-port", str(self.port)]

    def answers(self) -> bool:
        return listens(self.port)


class RabbitServer(Kept):
    """One node. Its data outlives `kill` and `restart`."""

    name = "rabbitmq"
    ready_within_s = READY_WITHIN_S

    def __init__(self, directory: Path, options: str = "") -> None:
        """`options` are for Erlang, such as `-rabbit consumer_timeout 5000`."""
        self._programs = rabbit_programs()
        super().__init__(directory)
        self._mapper = PortMapper(directory / "epmd")
        self._options = options
        self._node = f"q{uuid.uuid4().hex[:10]}@localhost"
        self._environment: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._mapper.start()
        super().start()

    async def restart(self) -> None:
        """End it kindly, and start it again on the same port and data.

        Killed, a single node may forget queues that it has only just made.
        """
        await asyncio.to_thread(super().stop)
        await super().restart()

    def stop(self) -> None:
        super().stop()
        self._mapper.stop()

    def command(self) -> list[str]:
        if not self._environment:
            self._environment = self._surroundings()
        words = [f"{name}={value}" for name, value in self._environment.items()]
        env = str(shutil.which("env"))
        return [env, "-i", *words, str(self._programs / "rabbitmq-server")]

    def answers(self) -> bool:
        """It greets who speaks AMQP: the last thing that it learns when it starts."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.settimeout(1)
                probe.sendall(b"AMQP\x00\x00\x09\x01")
                return probe.recv(1) == b"\x01"
        except OSError:
            return False

    def control(self, *words: str, within_s: float = 90.0) -> str:
        """What `rabbitmqctl` says. It needs seconds, and far more under load."""
        done = subprocess.run(
            [self._programs / "rabbitmqctl", "--quiet", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=True,
        )
        return done.stdout

    def _surroundings(self) -> dict[str, str]:
        self.port = free_port()
        home = self.directory
        settings = home / "rabbitmq.conf"
        settings.write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "loopback_users = none\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
            "raft.wal_max_size_bytes = 16777216\n"
            "vm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 10MB\n"
        )
        (home / "enabled_plugins").write_text("[].\n")
        options = f"-kernel inet_dist_use_interface {{127,0,0,1}} {self._options}"
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none.conf"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_PID_FILE": str(home / "node.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-noinput +S 2:2 {options}",
        }


def listens(port: int) -> bool:
    """Does somebody listen there?"""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
