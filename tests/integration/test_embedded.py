"""`embedded://`: one server for all who open a directory, gone with its owner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import textwrap
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from quorate.core.errors import StoreUnavailable
from quorate.core.lifecycle import Tasks
from quorate.wire.address import Address
from quorate.wire.embedded import EmbeddedServer, open_embedded

WITHIN_S = 10.0
REWRITING = "aof_rewrite_in_progress"
ONCE = Retry(NoBackoff(), 0)


class Opener:
    """Another process that holds an embedded server open."""

    PROGRAM = textwrap.dedent("""
        import asyncio, os, sys
        from quorate.wire.embedded import open_embedded

        async def main():
            server = await open_embedded(sys.argv[1])
            loop = asyncio.get_running_loop()
            print(server.address.url, flush=True)
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                print((await server.resolve()).url, flush=True)
            await server.close()

        asyncio.run(main())
    """)

    def __init__(self, url: str) -> None:
        self.opens = url
        self.process: Process
        self.url = ""

    async def start(self) -> Opener:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", self.PROGRAM, self.opens, stdin=PIPE, stdout=PIPE
        )
        self.url = await self._line()
        return self

    async def resolve(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return await self._line()

    async def end(self) -> None:
        """Let it end by itself."""
        if self.process.returncode is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            await self.process.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def _line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            return (await self.process.stdout.readline()).decode().strip()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a directory" / "of its own"


@pytest.fixture
async def other(directory: Path) -> AsyncIterator[Opener]:
    """The process that opened the directory first: the owner."""
    opener = await Opener(f"embedded://{directory}").start()
    yield opener
    await opener.end()


@pytest.fixture
async def mine(directory: Path) -> AsyncIterator[EmbeddedServer]:
    server = await open_embedded(f"embedded://{directory}")
    yield server
    await server.close()


def client_of(server: EmbeddedServer | str) -> redis.Redis:
    url = server if isinstance(server, str) else server.address.url
    return redis.Redis.from_url(url, socket_timeout=2, protocol=2)


def pid_of(server: EmbeddedServer | str) -> int:
    with client_of(server) as client:
        return int(client.info("server")["process_id"])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def in_a_forked_child(work: Callable[[], None]) -> None:
    """Do it there, and wait until that child has ended."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


async def until(holds: Callable[[], bool], within_s: float) -> float:
    """Wait until it holds; returns the seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s, "it never came true"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def test_two_processes_share_one_server(
    other: Opener, mine: EmbeddedServer
) -> None:
    with client_of(other.url) as theirs, client_of(mine) as ours:
        theirs.set("greeting", "hello")

        assert ours.get("greeting") == b"hello"
    assert other.url == mine.address.url
    assert mine.address.kind == "embedded"


async def test_many_openers_at_once_start_one_server(directory: Path) -> None:
    url = f"embedded://{directory}"

    here = [open_embedded(url) for _ in range(3)]
    elsewhere = [Opener(url).start() for _ in range(2)]
    servers, openers = await asyncio.gather(
        asyncio.gather(*here), asyncio.gather(*elsewhere)
    )

    urls = {server.address.url for server in servers} | {one.url for one in openers}
    assert len(urls) == 1
    for server in servers:
        await server.close()
    for opener in openers:
        await opener.end()


async def test_the_password_is_needed_and_shown_nowhere(
    mine: EmbeddedServer, directory: Path
) -> None:
    whereabouts = json.loads((directory / "address.json").read_text())
    server = pid_of(mine)

    with (
        pytest.raises(redis.AuthenticationError),
        redis.Redis(port=whereabouts["port"], protocol=2, retry=ONCE) as nobody,
    ):
        nobody.set("a", "b")

    password = whereabouts["password"].encode()
    assert len(password) == 64
    for pid in (server, parent_of(server)):
        assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert password not in Path(f"/proc/{pid}/environ").read_bytes()
    assert password.decode() not in repr(mine.address) + mine.address.shown
    assert password not in (directory / "valkey.log").read_bytes()


async def test_all_files_are_for_their_owner_alone(
    mine: EmbeddedServer, directory: Path
) -> None:
    with client_of(mine) as client:
        client.set("a", "b")
        client.bgrewriteaof()
        await until(lambda: not client.info("persistence")[REWRITING], WITHIN_S)

    modes = {
        str(path.relative_to(directory)): stat.S_IMODE(path.stat().st_mode)
        for path in (directory, *directory.rglob("*"))
    }
    assert len(modes) > 8
    assert not {name: oct(mode) for name, mode in modes.items() if mode & 0o077}


async def test_the_server_listens_on_loopback_only(mine: EmbeddedServer) -> None:
    port = int(mine.address.shown.rsplit(":", 1)[1].split("/")[0])
    listening = {
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    }

    assert listening == {f"0100007F:{port:04X}"}


async def test_the_server_dies_with_its_owner_and_the_next_opener_goes_on(
    other: Opener, mine: EmbeddedServer
) -> None:
    before = pid_of(mine)
    with client_of(mine) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 2000)

    await other.kill()

    assert await until(lambda: not is_running(before), 2.0) < 2.0
    address = await mine.resolve()
    with client_of(address.url) as client:
        assert client.get("kept") == b"yes"
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {
            "maxmemory-policy": "noeviction"
        }
    assert pid_of(mine) != before
    assert address.url == other.url, "clients that know the old address find it again"


async def test_an_opener_in_another_process_takes_over_too(
    directory: Path, other: Opener
) -> None:
    third = await Opener(f"embedded://{directory}").start()
    with client_of(other.url) as client:
        client.set("kept", "yes")

    await other.end()

    with client_of(await third.resolve()) as client:
        assert client.get("kept") == b"yes"
    await third.end()


async def test_a_later_opener_finds_the_data_of_an_earlier_one(
    directory: Path,
) -> None:
    for number in range(3):
        server = await open_embedded(f"embedded://{directory}")
        with client_of(server) as client:
            assert client.incr("opened") == number + 1
        await server.close()


async def test_a_server_that_was_killed_is_started_again_by_its_owner(
    mine: EmbeddedServer,
) -> None:
    with client_of(mine) as client:
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 2000)
    pid = pid_of(mine)
    address = mine.address

    os.kill(pid, signal.SIGKILL)

    assert await mine.resolve() == address
    with client_of(mine) as client:
        assert client.get("kept") == b"yes"


async def test_the_server_does_not_survive_its_guard(mine: EmbeddedServer) -> None:
    pid = pid_of(mine)

    os.kill(parent_of(pid), signal.SIGKILL)

    await until(lambda: not is_running(pid), 2.0)
    await mine.resolve()
    assert pid_of(mine) != pid


async def test_the_server_stays_while_its_process_holds_it_open(
    mine: EmbeddedServer, directory: Path
) -> None:
    second = await open_embedded(f"embedded://{directory}")
    pid = pid_of(mine)

    await mine.close()
    await mine.close()

    assert pid_of(second) == pid
    await second.close()
    assert not is_running(pid)


async def test_without_a_directory_it_is_private_and_leaves_nothing() -> None:
    first, second = await open_embedded(), await open_embedded("embedded://")
    stranger = await Opener("embedded://").start()
    place = Path(first.address.shared.removeprefix("embedded://"))

    assert first.address == second.address
    assert stranger.url != first.address.url
    assert place.is_dir()
    for server in (first, second):
        await server.close()
    assert not place.exists()
    await stranger.end()


async def test_the_temporary_directory_goes_with_an_owner_that_was_killed() -> None:
    stranger = await Opener("embedded://").start()
    with client_of(stranger.url) as client:
        place = Path(client.config_get("dir")["dir"]).parent

    await stranger.kill()

    await until(lambda: not place.exists(), 3.0)


async def test_who_comes_to_a_removed_directory_is_told() -> None:
    owner = await Opener("embedded://").start()
    with client_of(owner.url) as client:
        place = Path(client.config_get("dir")["dir"]).parent
    guest = await open_embedded(f"embedded://{place}")
    await owner.end()

    with pytest.raises(StoreUnavailable, match="is gone"):
        await guest.resolve()

    await guest.close()


async def test_an_address_file_of_long_ago_leads_nobody_astray(directory: Path) -> None:
    directory.mkdir(parents=True)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        stale = directory / "address.json"
        stale.write_text(json.dumps({"port": port, "password": "old"}))
        stale.chmod(0o600)

        server = await open_embedded(f"embedded://{directory}")

        assert f":{port}/" not in server.address.url
        with client_of(server) as client:
            assert client.ping()
        await server.close()


async def test_a_server_that_cannot_start_says_why(
    mine: EmbeddedServer, directory: Path
) -> None:
    with client_of(mine) as client:
        client.set("a", "b")
    await mine.close()
    for path in (directory / "data" / "appendonlydir").glob("*.manifest"):
        path.write_text("not a manifest\n")

    with pytest.raises(StoreUnavailable, match="did not come up") as caught:
        await open_embedded(f"embedded://{directory}")

    assert "manifest" in str(caught.value)


async def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(
    other: Opener, mine: EmbeddedServer
) -> None:
    pid = pid_of(mine)
    os.kill(pid, signal.SIGSTOP)

    with pytest.raises(StoreUnavailable, match=r"did not answer in 0\.2 s"):
        await mine.resolve(within_s=0.2)

    os.kill(pid, signal.SIGCONT)
    assert (await mine.resolve()).url == other.url


async def test_a_forked_child_ends_nothing_of_its_parent_s() -> None:
    server = await open_embedded()

    in_a_forked_child(lambda: asyncio.run(server.close()))

    assert Path(server.address.shared.removeprefix("embedded://"), "data").exists()
    with client_of(server) as client:
        assert client.ping()
    await server.close()


async def test_a_cancelled_opening_leaves_nothing_behind(directory: Path) -> None:
    tasks = Tasks()
    opening = tasks.spawn(open_embedded(f"embedded://{directory}"), "open")
    await until(lambda: (directory / "valkey.conf").exists(), 2.0)

    await tasks.close()

    assert opening.cancelled()
    server = await open_embedded(f"embedded://{directory}")
    await server.close()


async def test_opening_does_not_hold_up_the_event_loop(directory: Path) -> None:
    loop = asyncio.get_running_loop()
    longest, last, done = 0.0, loop.time(), False

    def beat() -> None:
        nonlocal longest, last
        now = loop.time()
        longest, last = max(longest, now - last), now
        if not done:
            loop.call_later(0.001, beat)

    beat()
    server = await open_embedded(f"embedded://{directory}")
    done = True

    assert longest < 0.1, f"{longest:.3f} s"
    await server.close()


async def test_an_address_tells_what_its_server_lacks(mine: EmbeddedServer) -> None:
    address: Address = mine.address

    assert address.lacks == {"replicas", "failover", "cluster"}
    again = await open_embedded(address.shared)
    assert again.address == address
    await again.close()
