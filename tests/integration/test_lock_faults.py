"""Stories of locks with real processes and servers, judged by the checker.

In each the invariant is the same: no two processes that may trust one lock, tokens that
grow from grant to grant, and no write of an old grant after one of a newer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.servers import Server, StartServer

from quorate.lease.lease import LeaseTerms
from quorate.testing.checker import judge_each
from quorate.testing.history import History, Operation, monotonic_ns, read_history
from quorate.testing.models import FencedRegister, Mutex
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import LoseReply

TERMS = LeaseTerms(ttl_s=1.5, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=1.0)
NEXT_WITHIN_S = TERMS.ttl_s + 1.5
PROGRAM = Path(__file__).with_name("lock_process.py")


class Child:
    """A process that takes locks."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process
        self._told: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._ear = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._told.put_nowait(json.loads(line))

    def order(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")

    async def tells(self, event: str, within_s: float = 10.0) -> dict[str, object]:
        """The next event of this name; the others before it are passed over."""
        async with asyncio.timeout(within_s):
            while (told := await self._told.get())["event"] != event:
                pass
        return told

    def hangs_up(self) -> None:
        """It is to end, kindly."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def signal(self, number: signal.Signals) -> int:
        """Send the signal. Returns the moment before, in ns."""
        at = monotonic_ns()
        self._process.send_signal(number)
        return at

    async def ends(self) -> None:
        self._ear.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Fleet:
    """Processes over one server, and what became of them."""

    def __init__(self, url: str, namespace: str, directory: Path) -> None:
        self.url = url
        self.namespace = namespace
        self.directory = directory
        self.children: list[Child] = []
        self.ended_ns: dict[str, int] = {}

    async def start(
        self, *names: str, url: str = "", locks: tuple[str, ...] = ("a",),
        hold_s: float = 0.01,
    ) -> list[Child]:  # fmt: skip
        started = [
            await self._spawn(name, url or self.url, locks, hold_s) for name in names
        ]
        for child in started:
            await child.tells("ready")
        return started

    async def _spawn(
        self, name: str, url: str, locks: tuple[str, ...], hold_s: float
    ) -> Child:
        order = {
            "url": url,
            "namespace": self.namespace,
            "directory": str(self.directory),
            "proc": name,
            "names": locks,
            "hold_s": hold_s,
            "terms": {
                "ttl_s": TERMS.ttl_s,
                "renew_every_s": TERMS.renew_every_s,
                "retry_every_s": TERMS.retry_every_s,
                "max_stall_s": TERMS.max_stall_s,
            },
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), json.dumps(order)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": ""},
        )
        child = Child(name, process)
        self.children.append(child)
        return child

    def ends(self, child: Child, number: signal.Signals) -> int:
        """Kill or stop it: from now on it does nothing under its locks."""
        self.ended_ns[child.name] = at = child.signal(number)
        return at

    async def rests(self) -> dict[str, dict[str, object]]:
        """Let all that live finish what they do; what each says of itself."""
        alive = [child for child in self.children if child.name not in self.ended_ns]
        for child in alive:
            child.order("rest")
        return {child.name: await child.tells("rests", 30.0) for child in alive}

    async def stop(self) -> None:
        for child in self.children:
            await child.ends()

    def judge(self, *, mutex: bool = True) -> History:
        """Fail unless the history is that of a lock; returns it."""
        history = read_history(self.directory / "history")
        if mutex:
            verdict = judge_each(by_name(holds(history, self.ended_ns)), Mutex())
            assert verdict.is_valid, f"{verdict}"
        writes = judge_each(by_name(history.of("write")), FencedRegister())
        assert writes.is_valid, f"{writes}"
        return history


def by_name(operations: list[Operation]) -> dict[str, list[Operation]]:
    parts: dict[str, list[Operation]] = {}
    for operation in operations:
        parts.setdefault(operation.args["name"], []).append(operation)
    return parts


def holds(history: History, ended_ns: dict[str, int]) -> list[Operation]:
    """What was held as its holder saw it: each hold with its end, or one that may be.

    An attempt that never came inside held nothing. Whoever was killed or stopped held
    at most until then, whatever it did later.
    """
    ends = {op.args["owner"]: op for op in history.of("release", "expire")}
    operations: list[Operation] = []
    for op in history.of("acquire"):
        if not op.is_known:
            continue
        operations.append(op)
        end = ends.get(op.args["owner"])
        stopped_ns = ended_ns.get(op.proc, 0)
        if end is None or op.called_ns < stopped_ns < end.called_ns:
            at_ns = max(op.called_ns, stopped_ns)
            operations.append(
                replace(op, f="expire", result=None, called_ns=at_ns, returned_ns=None)
            )
        if end is not None:
            operations.append(end)
    return operations


@pytest.fixture
async def fleet(
    private_server: Server, namespace: str, tmp_path: Path
) -> AsyncIterator[Fleet]:
    fleet = Fleet(private_server.url, namespace, tmp_path)
    yield fleet
    await fleet.stop()


async def test_processes_share_a_lock_and_nobody_sees_two_owners(
    fleet, private_server, capsys
):
    """The server forgets its scripts and breaks subscriptions meanwhile."""
    children = await fleet.start("ann", "bob", "cid", locks=("a", "b"), hold_s=0.005)
    for child in children:
        child.order("work", 3)

    for _ in range(8):
        await seconds(0.25)
        private_server.admin.script_flush()
        private_server.admin.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")
    rested = await fleet.rests()

    history = fleet.judge()
    waits_s = [
        (op.returned_ns - op.called_ns) / 1e9
        for op in history.of("acquire")
        if op.returned_ns is not None
    ]
    show(capsys, f"longest of {len(waits_s)} waits, subscriptions broken: "
                 f"{max(waits_s):.2f} s")  # fmt: skip
    assert all(not told["errors"] for told in rested.values()), rested
    assert {op.proc for op in history.of("release")} == {"ann", "bob", "cid"}
    assert len(waits_s) > 100
    assert max(waits_s) <= 1.5


async def test_the_dead_delay_nobody_beyond_the_life_of_a_session(fleet, capsys):
    ann, *dead, bob = await fleet.start("ann", "x", "y", "bob")
    await comes_inside(ann)
    for waiter in (*dead, bob):
        waiter.order("hold", "a")
        await seconds(0.1)

    for waiter in dead:
        fleet.ends(waiter, signal.SIGKILL)
    await seconds(TERMS.ttl_s)
    began = time.monotonic()
    ann.order("leave")
    past_the_dead_s = float((await bob.tells("inside"))["at"]) - began
    ann.order("hold", "a")
    await seconds(0.1)
    killed_ns = fleet.ends(bob, signal.SIGKILL)
    after_kill_s = float((await ann.tells("inside"))["at"]) - killed_ns / 1e9

    show(capsys, f"handover past two dead waiters: {past_the_dead_s * 1000:.1f} ms")
    show(capsys, f"kill -9 to next grant: {after_kill_s:.2f} s")
    assert past_the_dead_s <= 0.5
    assert after_kill_s <= NEXT_WITHIN_S
    fleet.judge()


async def test_a_stopped_holder_finds_its_lock_gone_when_it_goes_on(fleet, capsys):
    ann, bob = await fleet.start("ann", "bob")
    old = await comes_inside(ann)
    bob.order("hold", "a")
    await seconds(0.1)

    stopped_ns = fleet.ends(ann, signal.SIGSTOP)
    new = await bob.tells("inside")
    took_s = float(new["at"]) - stopped_ns / 1e9
    await writes(bob, accepted=True)
    ann.order("check")
    ann.signal(signal.SIGCONT)

    assert (await ann.tells("checked"))["held"] is False
    await writes(ann, accepted=False)
    ann.order("leave")
    assert (await ann.tells("outside"))["lost"] is True
    assert int(new["token"]) > int(old["token"])
    show(capsys, f"SIGSTOP to next grant: {took_s:.2f} s")
    assert took_s <= NEXT_WITHIN_S
    fleet.judge()


async def test_a_holder_whose_loop_stands_still_too_long_loses_the_lock(fleet, capsys):
    ann, bob = await fleet.start("ann", "bob")
    await comes_inside(ann)
    bob.order("hold", "a")
    ann.order("stall", TERMS.max_stall_s * 0.8)
    assert (await ann.tells("stalled"))["held"] is True

    began = time.monotonic()
    ann.order("stall", TERMS.max_stall_s + NEXT_WITHIN_S + 0.5)
    fleet.ended_ns["ann"] = monotonic_ns()
    new = await bob.tells("inside")
    await writes(bob, accepted=True)

    assert (await ann.tells("stalled"))["held"] is False
    await writes(ann, accepted=False)
    ann.order("leave")
    assert (await ann.tells("outside"))["lost"] is True
    took_s = float(new["at"]) - began
    show(capsys, f"stalled loop to next grant: {took_s:.2f} s")
    assert took_s <= TERMS.max_stall_s + NEXT_WITHIN_S
    fleet.judge()


@pytest.mark.parametrize("persistence", ["none", "always"])
async def test_a_server_that_dies_and_comes_back_grants_no_old_tokens(
    start_server: StartServer, namespace, tmp_path, persistence
):
    """Without persistence two may believe it for a moment; the resource does not."""
    server = start_server("valkey", persistence=persistence)
    fleet = Fleet(server.url, namespace, tmp_path)
    try:
        for child in await fleet.start("ann", "bob"):
            child.order("work", 3)
        for _ in range(2):
            await seconds(0.7)
            await server.restart()
        await seconds(1.5)
        rested = await fleet.rests()
    finally:
        await fleet.stop()

    history = fleet.judge(mutex=persistence == "always")
    tokens = [op.result for op in history.of("acquire") if op.is_known]
    assert len(tokens) == len(set(tokens))
    assert min(int(told["done"]) for told in rested.values()) > 20, rested


async def test_lost_answers_neither_grant_twice_nor_leave_anything(
    fleet, private_server
):
    proxy = FaultProxy(private_server.url, seed=1, redis=True)
    await proxy.start()
    try:
        children = await fleet.start("ann", url=proxy.url)
        children += await fleet.start("bob")
        await proxy.add(LoseReply(of=b"EVALSHA", chance=0.05))
        for child in children:
            child.order("work", 3)
        await seconds(3.0)
        await proxy.clear()
        await seconds(0.5)
        rested = await fleet.rests()
    finally:
        await proxy.stop()

    fleet.judge()
    assert proxy.stats().replies_lost >= 5
    assert min(int(told["done"]) for told in rested.values()) > 20, rested
    await nothing_left(private_server, fleet.namespace)


async def test_a_process_that_ends_kindly_serves_the_next_at_once(fleet):
    ann, bob = await fleet.start("ann", "bob", hold_s=600.0)
    ann.order("work", 1)
    await seconds(0.3)
    bob.order("hold", "a")
    await seconds(0.3)

    began = time.monotonic()
    ann.hangs_up()
    took_s = float((await bob.tells("inside"))["at"]) - began

    assert took_s <= 0.5
    fleet.judge()


async def test_with_one_killed_and_one_stopped_nobody_sees_two_owners(fleet):
    """The stopped one goes on when its locks are somebody else's."""
    ann, bob, cid = await fleet.start("ann", "bob", "cid", hold_s=0.05)
    for child in (ann, bob, cid):
        child.order("work", 2)

    await seconds(1.0)
    fleet.ends(ann, signal.SIGKILL)
    fleet.ends(bob, signal.SIGSTOP)
    await seconds(NEXT_WITHIN_S)
    bob.signal(signal.SIGCONT)
    await seconds(1.0)
    bob.order("rest")
    rested = await bob.tells("rests")
    await fleet.rests()

    history = fleet.judge()
    assert int(rested["done"]) > 5
    assert rested["errors"].keys() <= {"LockLostError"}, rested
    assert {op.proc for op in history.of("release")} >= {"bob", "cid"}


async def comes_inside(child: Child) -> dict[str, object]:
    child.order("hold", "a")
    return await child.tells("inside")


async def writes(child: Child, *, accepted: bool) -> None:
    """It writes with its token, and the resource takes that or not."""
    child.order("write")
    assert (await child.tells("written"))["accepted"] is accepted


async def seconds(number: float) -> None:
    """Let the story go on for so long; what happens in it is waited for elsewhere."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(number, over.set)
    await over.wait()


def show(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """A figure that was measured, for who runs this alone."""
    with capsys.disabled():
        print(f"\n  {line}", end="")


async def nothing_left(server: Server, namespace: str) -> None:
    """No holder, no waiter, no claim: only last tokens and the refused echoes."""
    room = f"{{{namespace}}}:l:"
    async with asyncio.timeout(5):
        while claimed(server, room):
            await asyncio.sleep(0.05)


def claimed(server: Server, room: str) -> list[str]:
    keys = {key.decode() for key in server.admin.keys(f"{room}*")}
    return [
        key
        for key in keys
        if key.startswith(tuple(f"{room}{kind}" for kind in "qrwi"))
        or (key.startswith(f"{room}h:") and server.admin.hexists(key, "m"))
    ]
