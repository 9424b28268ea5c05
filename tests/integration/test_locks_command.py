"""`quorate locks`, as an operator and as a shell script use it, over a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import LockLostError
from quorate.locks.manager import LockManager

MAIN = "from quorate.cli.main import main; main()"


class Shell:
    """Runs `quorate` in processes of their own."""

    def __init__(self, url: str) -> None:
        self.environment = os.environ | {"QUORATE_URL": url}
        self._started: list[asyncio.subprocess.Process] = []

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MAIN, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )
        self._started.append(process)
        return process

    async def does(self, *words: str) -> tuple[int, str, str]:
        """The exit code, and what was said."""
        process = await self.start(*words)
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def stop(self) -> None:
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def quorate(private_server: Server) -> AsyncIterator[Shell]:
    shell = Shell(private_server.url)
    yield shell
    await shell.stop()


@pytest.fixture
async def locks(private_server: Server) -> AsyncIterator[LockManager]:
    async with Backend(private_server.url) as backend:
        manager = LockManager.over(backend.wire, backend.session)
        await manager.start()
        yield manager
        await manager.stop()


async def held(locks: LockManager, name: str) -> int:
    """Wait until somebody holds the lock; its token."""
    async with asyncio.timeout(20):
        while not (found := await locks.explain(name)).holders:
            await asyncio.sleep(0.02)
    return found.holders[0].token


async def test_a_command_runs_under_its_lock_and_learns_its_token(quorate, locks):
    script = "echo $QUORATE_LOCK $QUORATE_FENCE; exit 7"

    code, out, err = await quorate.does(
        "locks", "run", "nightly", "--", "sh", "-c", script
    )

    assert code == 7, err
    name, token = out.split()
    assert name == "nightly"
    assert (await locks.explain("nightly")).token >= int(token)
    assert (await locks.explain("nightly")).is_free


async def test_what_runs_under_a_lock_writes_with_its_token(quorate, locks):
    itself = (sys.executable, "-c", MAIN)
    async with locks.acquire_lock("boss") as grant:
        late = {"QUORATE_LOCK": "boss", "QUORATE_FENCE": str(grant.token)}

    code, _, err = await quorate.does(
        *("locks", "run", "boss", "--", *itself, "config", "set", "limits.rate", "5")
    )
    assert code == 0, err
    quorate.environment |= late
    code, _, err = await quorate.does("config", "set", "limits.rate", "9")

    assert code == 1
    assert "A later holder has written" in err


async def test_a_second_command_is_refused_while_the_first_runs(
    quorate, locks, tmp_path: Path
):
    done = tmp_path / "done"
    script = f"until [ -e {done} ]; do sleep 0.05; done"
    first = await quorate.start("locks", "run", "nightly", "--", "sh", "-c", script)
    await held(locks, "nightly")

    code, out, err = await quorate.does(
        "locks", "run", "nightly", "--wait", "0", "--", "echo", "ran"
    )

    assert code == 1
    assert "ran" not in out
    assert "was not granted" in err
    done.touch()
    assert await first.wait() == 0


async def test_a_command_whose_lock_is_taken_away_is_ended(
    quorate, locks, tmp_path: Path
):
    pid, told = tmp_path / "pid", tmp_path / "told"
    script = (
        f"trap 'touch {told}; exit 0' TERM; echo $$ > {pid}; "
        "while :; do sleep 0.05; done"
    )
    running = await quorate.start("locks", "run", "nightly", "--", "sh", "-c", script)
    token = await held(locks, "nightly")
    async with asyncio.timeout(10):
        while not pid.exists() or not pid.read_text().strip():
            await asyncio.sleep(0.02)

    code, out, _ = await quorate.does(
        "--json", "locks", "release", "nightly", "--token", str(token)
    )

    assert code == 0
    assert json.loads(out)["released"] is True
    async with asyncio.timeout(10):
        _, err = await running.communicate()
    assert running.returncode == 1
    assert b"was lost" in err
    assert told.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_a_command_that_does_not_listen_is_ended_after_the_grace(quorate, locks):
    script = "trap '' TERM; while :; do sleep 0.05; done"
    running = await quorate.start(
        "locks", "run", "nightly", "--grace", "0.2", "--", "sh", "-c", script
    )
    token = await held(locks, "nightly")

    assert await locks.release("nightly", token)

    async with asyncio.timeout(10):
        assert await running.wait() == 1


async def test_a_signal_reaches_the_command(quorate, locks, tmp_path: Path):
    ready = tmp_path / "ready"
    script = f"trap 'exit 9' TERM; touch {ready}; while :; do sleep 0.05; done"
    running = await quorate.start("locks", "run", "nightly", "--", "sh", "-c", script)
    async with asyncio.timeout(20):
        while not ready.exists():
            await asyncio.sleep(0.02)

    running.send_signal(signal.SIGTERM)

    async with asyncio.timeout(10):
        assert await running.wait() == 9
    assert (await locks.explain("nightly")).is_free


async def test_no_such_command_is_said_and_the_lock_is_free(quorate, locks):
    code, _, err = await quorate.does("locks", "run", "nightly", "--", "no-such-thing")

    assert code == 1
    assert "cannot be run" in err
    assert (await locks.explain("nightly")).is_free


async def test_the_chain_of_waits_is_shown(quorate, locks):
    async with (
        locks.acquire_lock("a", owner="ann", label="the report"),
        locks.acquire_lock("b", owner="bob"),
    ):
        waits = [
            asyncio.ensure_future(stay(locks, "a", owner="bob")),
            asyncio.ensure_future(stay(locks, "b", owner="cid")),
        ]
        await in_line(locks, "a", "b")

        _, out, err = await quorate.does("locks", "why", "cid")
        _, shown, _ = await quorate.does("--json", "locks", "why", "cid")
        _, none, _ = await quorate.does("locks", "why", "dan")

    assert "waits for 'b'" in out, err
    assert "the report" in out
    steps = json.loads(shown)["steps"]
    assert [(step["depth"], step["waits_for"]) for step in steps] == [
        (0, "b"),
        (1, "a"),
    ]
    assert "dan waits for nothing." in none
    await asyncio.gather(*waits)


async def test_what_most_wait_for_is_on_top_and_changes_are_told(quorate, locks):
    async with locks.acquire_lock("quiet"), locks.acquire_lock("busy"):
        waiting = asyncio.ensure_future(stay(locks, "busy", owner="other"))
        await in_line(locks, "busy")

        _, top, _ = await quorate.does("--json", "locks", "top", "--once")
        _, told, _ = await quorate.does(
            "--json", "locks", "watch", "busy", "--every", "0.1", "--for", "0.3"
        )

    assert [row["lock"] for row in json.loads(top)] == ["busy", "quiet"]
    assert json.loads(told)["waiting"] == 1
    await waiting


async def test_a_lock_that_nobody_holds_so_cannot_be_released(quorate, locks):
    async with locks.acquire_lock("a") as grant:
        wrong = str(grant.token - 1)
        code, _, err = await quorate.does("locks", "release", "a", "--token", wrong)

        grant.check()
    assert code == 1
    assert "Nobody holds a with the token" in err


async def test_a_block_whose_lock_is_taken_away_is_stopped(locks):
    with pytest.raises(LockLostError):
        async with locks.acquire_lock("a") as grant:
            assert await locks.release("a", grant.token)
            await asyncio.Event().wait()


async def stay(locks: LockManager, name: str, **terms) -> None:
    async with locks.acquire_lock(name, **terms):
        pass


async def in_line(locks: LockManager, *names: str) -> None:
    async with asyncio.timeout(5):
        for name in names:
            while not (await locks.explain(name)).waiters:
                await asyncio.sleep(0.01)
