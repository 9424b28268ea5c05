"""The directory of an embedded server: who may start it, and where it is.

A file lock says that a server runs here; its guard and the server itself hold it, so it
is free only when both are gone and nobody ever starts a second server on the same data.
The address file says where the server is. All files can be read by their owner alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path

from quorate.core.errors import InvalidUrl, MissingCapability

try:
    import fcntl
except ImportError:  # Windows has neither this nor the server.
    fcntl = None  # type: ignore[assignment]

LOG_LINES = 8
LONGEST_LOG_READ = 16_384


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What the address file says."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


class Directory:
    """The files of one embedded server."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "valkey.conf"
        self.log = path / "valkey.log"
        self._lock = path / "owner.lock"
        self._address = path / "address.json"
        self._data = path / "data"

    def prepare(self) -> None:
        """Make it if need be. Raises `InvalidUrl` if it cannot be used."""
        if fcntl is None:
            raise MissingCapability(
                "embedded:// cannot be opened on this system.",
                "It has no POSIX file locks.",
                "Run a Redis server and use redis://.",
            )
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._data.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def exists(self) -> bool:
        return self._data.is_dir()

    def try_lock(self) -> int | None:
        """A file descriptor that holds the lock, or None while a server runs here."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            held = os.open(self._lock, flags, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return None
        except BaseException:
            os.close(held)
            raise
        return held

    def read_address(self) -> Whereabouts | None:
        """What the address file says; None if there is none to be trusted.

        A file that others can read, or that another user has written, could lead us
        to somebody else's server: it is not trusted.
        """
        try:
            opened = os.open(self._address, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(opened, "rb") as file:
            facts = os.fstat(opened)
            if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
                return None
            with contextlib.suppress(ValueError, TypeError, KeyError):
                value = json.loads(file.read(4096))
                port, password = value["port"], value["password"]
                if 0 < int(port) < 65536 and str(password).isalnum():
                    return Whereabouts(int(port), str(password))
        return None

    def write_address(self, whereabouts: Whereabouts) -> None:
        """Tell the others, all at once or not at all."""
        write_private(self._address, json.dumps(asdict(whereabouts)).encode())

    def forget_address(self) -> None:
        """Take back what the last server said: it is gone."""
        self._address.unlink(missing_ok=True)

    def write_config(self, whereabouts: Whereabouts) -> None:
        """What the server is to be like, with its password: in a file, not in `ps`."""
        write_private(self.config, _config(self._data, whereabouts).encode())

    def last_words(self, whereabouts: Whereabouts) -> str:
        """The last lines that the server logged, without its password."""
        try:
            with self.log.open("rb") as file:
                file.seek(-min(self.log.stat().st_size, LONGEST_LOG_READ), os.SEEK_END)
                text = file.read().decode(errors="replace")
        except OSError as error:
            return f"its log cannot be read: {error}"
        lines = text.replace(whereabouts.password, "***").strip().splitlines()
        return "\n  ".join(lines[-LOG_LINES:]) or "it logged nothing"


def fresh_whereabouts(before: Whereabouts | None) -> Whereabouts:
    """Where to start a server: the old port and password, so that clients find it."""
    if before is not None and _is_free(before.port):
        return before
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    password = before.password if before is not None else secrets.token_hex(32)
    return Whereabouts(port, password)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _quoted(path: Path) -> str:
    """A path as Valkey's configuration files want it."""
    plain = range(0x20, 0x7F)
    return "".join(
        f"\\x{byte:02x}" if byte not in plain or byte in b'"\\' else chr(byte)
        for byte in os.fsencode(path)
    )


def _config(data: Path, whereabouts: Whereabouts) -> str:
    return f"""\
bind 127.0.0.1
port {whereabouts.port}
protected-mode yes
requirepass {whereabouts.password}
dir "{_quoted(data)}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
logfile ""
"""


def _unusable(path: Path, error: OSError) -> InvalidUrl:
    return InvalidUrl(
        f"embedded://{path} cannot be used as the server's directory.",
        error.strerror or str(error),
        "Name a directory that this user may create or write to.",
    )
