"""`quorate locks` where the locks are on Consul, and the rest on Redis or nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from tests.integration.test_locks_command import Shell, held, in_line, stay

from quorate.locks.door import get_lock_manager
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig


@pytest.fixture
async def locks(
    consul_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LockManager]:
    monkeypatch.setenv("QUORATE_NAMESPACE", namespace)
    async with await get_lock_manager(
        consul_url, LockConfig(), namespace=namespace
    ) as manager:
        yield manager


@pytest.fixture
async def nowhere(locks) -> AsyncIterator[Shell]:
    """Told of a server that nobody needs for locks elsewhere."""
    shell = Shell("redis://127.0.0.1:1")
    yield shell
    await shell.stop()


@pytest.fixture
async def alone(locks, consul_url: str) -> AsyncIterator[Shell]:
    shell = Shell(consul_url)
    yield shell
    await shell.stop()


async def test_locks_beside_the_rest_are_seen_and_explained(nowhere, locks, consul_url):
    async with (
        locks.acquire_lock("a", owner="ann", label="the report") as grant,
        locks.acquire_lock("b", owner="bob"),
    ):
        waits = [
            asyncio.ensure_future(stay(locks, "a", owner="bob")),
            asyncio.ensure_future(stay(locks, "b", owner="cid")),
        ]
        await in_line(locks, "a", "b")

        _, explained, err = await nowhere.does(
            "--json", "--locks", consul_url, "locks", "explain", "a"
        )
        nowhere.environment |= {"QUORATE_LOCKS_URL": consul_url}
        _, why, _ = await nowhere.does("--json", "locks", "why", "cid")

    rows = json.loads(explained)
    assert [(row["owner"], row["token"]) for row in rows] == [
        ("ann", grant.token),
        ("bob", ""),
    ], err
    assert [step["waits_for"] for step in json.loads(why)["steps"]] == ["b", "a"]
    await asyncio.gather(*waits)


async def test_a_command_runs_under_a_lock_on_consul(alone, locks):
    script = "echo $QUORATE_LOCK $QUORATE_FENCE; exec sleep 60"
    running = await alone.start("locks", "run", "nightly", "--", "sh", "-c", script)
    token = await held(locks, "nightly")

    code, _, err = await alone.does("locks", "release", "nightly", "--token", "1")

    assert code == 1
    assert "cannot take a lock away" in err
    running.terminate()
    out, _ = await running.communicate()
    assert out.split() == [b"nightly", str(token).encode()]
    assert (await locks.explain("nightly")).is_free
