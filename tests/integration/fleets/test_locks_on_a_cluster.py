"""Locks while the slot of their stripe moves, and while its master is replaced."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AsyncExitStack

import pytest
import redis
from redis.crc import key_slot
from tests.fleets import Cluster, StartCluster
from tests.servers import KINDS, Kind

import quorate.wire.cluster_calls as cluster_calls
from quorate.core.errors import QuorateError
from quorate.locks import LockManager, get_lock_manager
from quorate.wire.keys import Keyspace
from quorate.wire.slots import slot_of

pytestmark = pytest.mark.fleet

NAMESPACE = "shop"
LINGER_S = 0.1
KEYS = Keyspace(NAMESPACE, 64)
STRIPE = KEYS.lock_tag("user:1")
NAMES = [
    name for name in (f"user:{n}" for n in range(2000)) if KEYS.lock_tag(name) == STRIPE
][:4]


class Tally:
    """What happened outside of the locks: who was inside, with which token."""

    def __init__(self) -> None:
        self.inside: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.tokens: dict[str, list[int]] = {name: [] for name in NAMES}
        self.doubles = 0
        self.failures: list[BaseException] = []
        self.entered_at: list[float] = []
        self.over = False

    @property
    def longest_gap_s(self) -> float:
        return max(b - a for a, b in itertools.pairwise(self.entered_at))

    async def work(self, locks: LockManager, name: str) -> None:
        while not self.over:
            try:
                async with locks.acquire_lock(name, wait_s=20) as grant:
                    self.doubles += self.inside[name] > 0
                    self.inside[name] += 1
                    self.tokens[name].append(grant.token)
                    self.entered_at.append(time.monotonic())
                    await asyncio.sleep(0.001)
                    self.inside[name] -= 1
            except QuorateError as error:
                self.failures.append(error)
                return

    async def grows(self, entries: int = 100) -> None:
        wanted = len(self.entered_at) + entries
        async with asyncio.timeout(20):
            while len(self.entered_at) < wanted and not self.failures:
                await asyncio.sleep(0.005)


async def locks_while_a_stripe_moves(cluster: Cluster, moves: int = 6) -> Tally:
    """Three processes' worth of managers work; the stripe's slot goes to and fro."""
    tally, slot = Tally(), key_slot(STRIPE.encode())
    async with AsyncExitStack() as stack:
        managers = [
            await stack.enter_async_context(
                await get_lock_manager(cluster.url, namespace=NAMESPACE)
            )
            for _ in range(3)
        ]
        tasks = [
            asyncio.create_task(tally.work(manager, name))
            for manager in managers
            for name in NAMES
            for _ in range(2)
        ]
        try:
            await tally.grows()
            for _ in range(moves):
                owner = cluster.owner(slot)
                others = [master for master in cluster.masters if master is not owner]
                await cluster.move(slot, others[0], LINGER_S)
                await tally.grows()
            tally.over = True
            async with asyncio.timeout(30):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        held = await managers[0].ls()
        assert held == []
    return tally


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stripe_moves_and_no_lock_is_lost_or_held_twice(
    kind: Kind, start_cluster: StartCluster
) -> None:
    tally = await locks_while_a_stripe_moves(start_cluster(kind))

    entries, gap_s = len(tally.entered_at), tally.longest_gap_s
    print(f"{kind}: {entries} entries, longest gap {gap_s:.3f} s")
    assert tally.failures == []
    assert tally.doubles == 0
    assert all(tokens == sorted(set(tokens)) for tokens in tally.tokens.values())
    assert gap_s <= 1.0


async def test_without_the_guard_a_moving_stripe_breaks_locks(
    start_cluster: StartCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: scripts run on whichever half of the keys is there."""
    monkeypatch.setattr(cluster_calls, "place_of", lambda key: (slot_of(key), key))

    with pytest.raises((AssertionError, TimeoutError, redis.ResponseError)) as seen:
        tally = await locks_while_a_stripe_moves(start_cluster())
        assert (tally.failures, tally.doubles) == ([], 0)
    print(f"seen red: {seen.value!r}"[:300])
