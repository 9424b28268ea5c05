"""A private PostgreSQL: a cluster of its own on loopback, gone with the run.

PostgreSQL refuses to run as root, so it then runs as the system's `postgres` or as
`nobody`, in a directory that is theirs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.kept import Kept
from tests.ports import free_port
from tests.servers import MissingServer

PLACES = Path("/usr/lib/postgresql")


def postgres_programs() -> Path:
    """The folder with `postgres` and `initdb`. Raises `MissingServer`."""
    newest_first = sorted(
        PLACES.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    on_path = shutil.which("initdb")
    beside = [Path(on_path).resolve().parent] if on_path else []
    for folder in (*newest_first, *beside):
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise MissingServer(
        "PostgreSQL is not on this machine. `make servers` finds or installs it; or "
        "set QUORATE_TEST_POSTGRES_URL to a database that may be written to."
    )


def somebody_else() -> str:
    """Who runs it: "" is who runs the tests, if that is not root."""
    if os.geteuid() != 0:
        return ""
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


class PostgresServer(Kept):
    """One PostgreSQL server with one database, whose owner needs no password."""

    name = "postgres"

    def __init__(self, directory: Path) -> None:
        self._programs = postgres_programs()
        self._user = somebody_else()
        super().__init__(directory)
        self._data: Path | None = None

    @property
    def url(self) -> str:
        return f"postgresql://quorate@127.0.0.1:{self.port}/postgres"

    @property
    def removed_at_the_end(self) -> str:
        return str(self._data.parent) if self._data else ""

    def command(self) -> list[str]:
        self.port = self.port or free_port()
        if self._data is None:
            self._data = self._new_cluster()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "20",
        }
        given = [
            word for key, value in options.items() for word in ("-c", f"{key}={value}")
        ]
        return [
            *self._as_user(),
            str(self._programs / "postgres"),
            "-D",
            str(self._data),
            *given,
        ]

    def answers(self) -> bool:
        """It says whether it takes TLS: the quickest answer that it gives."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
                return probe.recv(1) in (b"N", b"S") and self._takes_queries()
        except OSError:
            return False

    def stop(self) -> None:
        super().stop()
        if self._data is not None:
            shutil.rmtree(self._data.parent, ignore_errors=True)

    def _takes_queries(self) -> bool:
        done = subprocess.run(
            [self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def _new_cluster(self) -> Path:
        """In /tmp, because a folder of the tests is closed to other users."""
        folder = Path(tempfile.mkdtemp(prefix="quorate-postgres-"))
        if self._user:
            shutil.chown(folder, self._user)
        command = [
            *(*self._as_user(), str(self._programs / "initdb"), "--auth=trust"),
            *("--username=quorate", "--encoding=UTF8", "--locale=C", "--no-sync"),
            *("--pgdata", str(folder / "data")),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", check=False
        )
        if done.returncode:
            shutil.rmtree(folder)
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        return folder / "data"

    def _as_user(self) -> list[str]:
        if not self._user:
            return []
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise MissingServer(
                "PostgreSQL does not run as root, and there is no setpriv to run it as "
                f"{self._user}. Run the tests as somebody else."
            )
        return [
            setpriv,
            f"--reuid={self._user}",
            "--regid",
            self._group(),
            "--clear-groups",
        ]

    def _group(self) -> str:
        return str(pwd.getpwnam(self._user).pw_gid)
