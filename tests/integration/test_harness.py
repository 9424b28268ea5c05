"""The fault harness bites: whole runs against a real server, with a bug and without.

Each story runs twice. With its planted bug the checker must find the run invalid; with
the bug mended, under the same faults, valid.
"""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.servers import Server

from quorate.core.clock import Chance
from quorate.core.lifecycle import Tasks
from quorate.testing.checker import judge
from quorate.testing.failpoints import VARIABLE
from quorate.testing.hands import Pausing, Poisoning
from quorate.testing.history import Operation, Recorder, read_history
from quorate.testing.models import Mutex
from quorate.testing.nemesis import Nemesis, NemesisOptions, plan
from quorate.testing.proxy import FaultProxy
from quorate.testing.total_queue import tally
from quorate.testing.toxics import LoseReply

TTL_MS = 40
WORK_MS = 60
"""Some holders work longer than their hold lasts."""

ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return redis.call('INCR', KEYS[1] .. ':token')
end
return false
"""
RELEASE_MINE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
RELEASE_ANY = "return redis.call('DEL', KEYS[1])"


@pytest.fixture
async def proxy(private_server: Server) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(private_server.url, seed=3, redis=True)
    await proxy.start()
    yield proxy
    await proxy.stop()


def client_through(proxy: FaultProxy) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        proxy.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0), protocol=2
    )


async def test_a_lost_reply_leaves_the_client_not_knowing(
    proxy: FaultProxy, private_server: Server
) -> None:
    async with client_through(proxy) as client, AsyncExitStack() as faults:
        await client.ping()
        await faults.enter_async_context(proxy.poisoned(LoseReply(of=b"INCR", nth=1)))

        with pytest.raises(redis.ConnectionError):
            await client.incr("done")

    assert private_server.admin.get("done") == b"1"


class Contender:
    """Takes the lock again and again, and writes down what came of it."""

    def __init__(
        self, client: redis.asyncio.Redis, recorder: Recorder, release: str
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._release = release
        self._chance = Chance(recorder.proc)

    async def contend(self, turns: int) -> None:
        for turn in range(turns):
            owner = f"{self._recorder.proc}-{turn}"
            try:
                await self._hold(owner)
            except (redis.RedisError, TimeoutError):
                await asyncio.sleep(0.01)

    async def _hold(self, owner: str) -> None:
        args = {"owner": owner}
        while True:
            with self._recorder.operation("acquire", args) as acquire:
                token = await self._client.eval(ACQUIRE, 1, "lock", owner, TTL_MS)
                if token is None:
                    acquire.fail("taken")
                else:
                    acquire.ok(token)
            if token is not None:
                break
            await asyncio.sleep(0.002)
        await asyncio.sleep(self._chance.uniform(0, WORK_MS / 1000))
        with self._recorder.operation("release", args) as release:
            mine = await self._client.eval(self._release, 1, "lock", owner)
            release.ok(bool(mine))


def with_expiries(operations: tuple[Operation, ...]) -> list[Operation]:
    """A hold may end by itself from when its ttl can first be over."""
    expiries = [
        Operation("expire", op.args, None, op.called_ns + TTL_MS * 1_000_000, None)
        for op in operations
        if op.f == "acquire"
    ]
    return [*operations, *expiries]


@pytest.mark.parametrize(
    ("release", "ruling"),
    [(RELEASE_ANY, "invalid"), (RELEASE_MINE, "valid")],
    ids=["planted", "mended"],
)
async def test_a_lock_that_anybody_may_release_is_found_out(
    proxy: FaultProxy,
    private_server: Server,
    tmp_path: Path,
    release: str,
    ruling: str,
) -> None:
    options = NemesisOptions(
        duration_s=0.8,
        calm_s=0.1,
        every_s=0.2,
        shortest_s=0.02,
        longest_s=0.1,
        faults={"pause": ("server",), "lose": ("link",)},
    )
    schedule = plan(11, options)
    schedule.save(tmp_path)
    hands = {
        "pause": Pausing({"server": private_server}),
        "lose": Poisoning({"link": proxy}, lambda _: LoseReply(of=b"EVAL", nth=1)),
    }
    tasks = Tasks()
    async with AsyncExitStack() as clients:
        for number in range(5):
            client = await clients.enter_async_context(client_through(proxy))
            recorder = Recorder(tmp_path, f"c{number}")
            clients.callback(recorder.close)
            contender = Contender(client, recorder, release)
            tasks.spawn(contender.contend(6), f"contender {number}")

        await Nemesis(schedule, hands).run()
        assert await tasks.drain(10)

    history = read_history(tmp_path)
    verdict = judge(with_expiries(history.operations), Mutex())
    assert len(history.of("acquire")) >= 20
    assert verdict.ruling == ruling, f"{verdict}\n{schedule.text()}"


WORKER = textwrap.dedent("""
    import asyncio, os, pathlib, sys
    import redis.asyncio
    from quorate.core.failpoint import failpoint
    from quorate.testing.failpoints import arm_from
    from quorate.testing.history import Recorder

    async def main(url, directory, safe):
        arm_from(os.environ)
        recorder = Recorder(pathlib.Path(directory))
        client = redis.asyncio.Redis.from_url(url, protocol=2)
        mine = f"taken:{os.getpid()}"
        while True:
            if safe:
                task = await client.lmove("tasks", mine)
            else:
                task = await client.rpop("tasks")
            if task is None:
                break
            await failpoint("worker.after_take")
            with recorder.operation("complete", {"id": task.decode()}) as complete:
                complete.ok()
            if safe:
                await client.lrem(mine, 1, task)
        await client.aclose()

    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] == "safe"))
""")


async def run_worker(server: Server, directory: Path, how: str, *, dies: bool) -> None:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, server.url, str(directory), how),
        env={**os.environ, VARIABLE: "worker.after_take=kill@4" if dies else ""},
    )
    async with asyncio.timeout(20):
        await worker.wait()
    assert (worker.returncode == 0) != dies
    for taken in cast("list[bytes]", server.admin.keys("taken:*")):
        while server.admin.lmove(taken, "tasks"):
            pass


@pytest.mark.parametrize(
    ("how", "ruling"),
    [("pop", "invalid"), ("safe", "valid")],
    ids=["planted", "mended"],
)
async def test_a_queue_that_pops_before_it_runs_is_found_out(
    private_server: Server, tmp_path: Path, how: str, ruling: str
) -> None:
    producer = Recorder(tmp_path, "producer")
    for number in range(20):
        with producer.operation("enqueue", {"id": f"t{number}"}) as enqueue:
            private_server.admin.lpush("tasks", f"t{number}")
            enqueue.ok()
    producer.close()

    for dies in (True, True, False):
        await run_worker(private_server, tmp_path, how, dies=dies)

    count = tally(read_history(tmp_path).operations)
    assert count.verdict(most_duplicates=2).ruling == ruling, count
    assert len(count.lost) == (2 if how == "pop" else 0)
