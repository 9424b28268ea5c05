"""Stories of locks on a real Consul with real processes, judged by the checker.

The invariant is that of Redis: no two processes that may trust one lock, tokens that
grow from grant to grant, no write of an old grant after one of a newer. The bounds are
those that Consul allows: a check that fails ends a session at once.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.consul_server import ConsulServer
from tests.http_proxy import HttpProxy
from tests.integration.test_lock_faults import (
    TERMS,
    Fleet,
    comes_inside,
    monotonic_ns,
    seconds,
    show,
    writes,
)

from quorate.locks.consul_line import LEFT

NEXT_WITHIN_S = TERMS.ttl_s + 0.5


@pytest.fixture
async def fleet(
    private_consul: ConsulServer, namespace: str, tmp_path: Path
) -> AsyncIterator[Fleet]:
    folder = tmp_path / "fleet"
    folder.mkdir()
    fleet = Fleet(private_consul.url, namespace, folder)
    yield fleet
    await fleet.stop()


async def test_processes_share_a_lock_and_nobody_sees_two_owners(
    fleet, private_consul, namespace
):
    children = await fleet.start("ann", "bob", "cid", locks=("a", "b"), hold_s=0.005)
    for child in children:
        child.order("work", 3)

    await seconds(3.0)
    rested = await fleet.rests()

    history = fleet.judge()
    assert all(not told["errors"] for told in rested.values()), rested
    assert {op.proc for op in history.of("release")} == {"ann", "bob", "cid"}
    assert len(history.of("acquire")) > 300
    await nothing_left(private_consul, namespace)


async def test_a_killed_holder_is_followed_within_the_life_of_its_session(
    fleet, capsys
):
    ann, bob = await fleet.start("ann", "bob")
    old = await comes_inside(ann)
    bob.order("hold", "a")
    await seconds(0.1)

    killed_ns = fleet.ends(ann, signal.SIGKILL)
    new = await bob.tells("inside")

    took_s = float(new["at"]) - killed_ns / 1e9
    show(
        capsys, f"Consul, ttl {TERMS.ttl_s:g} s: kill -9 to next grant: {took_s:.2f} s"
    )
    assert took_s <= NEXT_WITHIN_S
    assert int(new["token"]) > int(old["token"])
    fleet.judge()


async def test_dead_waiters_delay_nobody(fleet, capsys):
    ann, *dead, bob = await fleet.start("ann", "x", "y", "bob")
    await comes_inside(ann)
    for waiter in (*dead, bob):
        waiter.order("hold", "a")
        await seconds(0.1)

    for waiter in dead:
        fleet.ends(waiter, signal.SIGKILL)
    await seconds(NEXT_WITHIN_S)
    began = time.monotonic()
    ann.order("leave")
    took_s = float((await bob.tells("inside"))["at"]) - began

    show(capsys, f"Consul: handover past two dead waiters: {took_s * 1000:.1f} ms")
    assert took_s <= 0.5
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
    show(capsys, f"Consul: SIGSTOP to next grant: {took_s:.2f} s")
    assert took_s <= NEXT_WITHIN_S
    fleet.judge()


async def test_a_holder_whose_loop_stands_still_too_long_loses_the_lock(fleet, capsys):
    ann, bob = await fleet.start("ann", "bob")
    await comes_inside(ann)
    bob.order("hold", "a")
    ann.order("stall", TERMS.max_stall_s * 0.8)
    assert (await ann.tells("stalled"))["held"] is True

    began = time.monotonic()
    ann.order("stall", TERMS.max_stall_s + NEXT_WITHIN_S + 1.0)
    fleet.ended_ns["ann"] = monotonic_ns()
    new = await bob.tells("inside")
    await writes(bob, accepted=True)

    assert (await ann.tells("stalled"))["held"] is False
    await writes(ann, accepted=False)
    ann.order("leave")
    assert (await ann.tells("outside"))["lost"] is True
    took_s = float(new["at"]) - began
    show(capsys, f"Consul: stalled loop to next grant: {took_s:.2f} s")
    assert took_s <= TERMS.max_stall_s + NEXT_WITHIN_S
    fleet.judge()


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


async def test_lost_answers_neither_grant_twice_nor_leave_anything(
    fleet, private_consul, namespace
):
    """Connections break meanwhile, too."""
    proxy = HttpProxy(private_consul.port)
    await proxy.start()
    try:
        children = await fleet.start("ann", url=f"consul://127.0.0.1:{proxy.port}")
        children += await fleet.start("bob")
        for child in children:
            child.order("work", 3)
        for _ in range(10):
            proxy.lose("/v1/txn", times=2)
            await seconds(0.2)
            proxy.cut()
        await seconds(0.5)
        rested = await fleet.rests()
    finally:
        await proxy.stop()

    fleet.judge()
    assert proxy.lost_total >= 10
    assert min(int(told["done"]) for told in rested.values()) > 20, rested
    await nothing_left(private_consul, namespace)


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
    await seconds(1.5)
    bob.order("rest")
    rested = await bob.tells("rests", 30.0)
    await fleet.rests()

    history = fleet.judge()
    assert int(rested["done"]) > 5
    assert rested["errors"].keys() <= {"LockLostError"}, rested
    assert {op.proc for op in history.of("release")} >= {"bob", "cid"}


async def test_a_consul_that_dies_and_comes_back_with_its_data_grants_no_old_tokens(
    start_consul, namespace, tmp_path
):
    server = start_consul(durable=True)
    fleet = Fleet(server.url, namespace, tmp_path)
    try:
        for child in await fleet.start("ann", "bob"):
            child.order("work", 2)
        await seconds(0.7)
        await server.restart()
        await seconds(3.0)
        rested = await fleet.rests()
    finally:
        await fleet.stop()

    history = fleet.judge()
    tokens = [op.result for op in history.of("acquire") if op.is_known]
    assert len(tokens) == len(set(tokens))
    assert min(int(told["done"]) for told in rested.values()) > 20, rested


async def nothing_left(server: ConsulServer, namespace: str) -> None:
    """No claim; only what keeps out late copies of asks whose answers were lost."""
    async with asyncio.timeout(5):
        while any(claim["Flags"] != LEFT for claim in claims(server, namespace)):
            await asyncio.sleep(0.05)


def claims(server: ConsulServer, namespace: str) -> list[dict[str, object]]:
    found = server.ask(f"/v1/kv/{namespace}/locks/?recurse")
    return found if isinstance(found, list) else []
