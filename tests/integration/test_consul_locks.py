"""Locks on a real Consul: what they cost in calls, and what Consul may do to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.consul_server import ConsulServer
from tests.http_proxy import HttpProxy

from quorate.backend import Backend
from quorate.core.errors import LockLostError, LockNotGranted, StoreRefused
from quorate.lease.events import SessionLost
from quorate.lease.lease import LeaseTerms
from quorate.locks.consul_line import LEFT
from quorate.locks.events import LockLost
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType
from quorate.testing.heard import Heard
from quorate.wire.consul import WATCHES_AT_ONCE
from quorate.wire.redis import WireLimits

LONG = LeaseTerms(ttl_s=30.0, renew_every_s=10.0, retry_every_s=1.0)
SHORT = LeaseTerms(ttl_s=1.5, renew_every_s=0.5, retry_every_s=0.1)
NO_PASSING = LockConfig(passing_s=0.0)


class Process:
    """A backend with a session of its own, over a proxy of its own."""

    def __init__(self, proxy: HttpProxy, backend: Backend, heard: Heard) -> None:
        self.proxy = proxy
        self.backend = backend
        self.heard = heard
        self.locks = LockManager.over(
            backend.server, backend.session, NO_PASSING, heard.emit
        )

    @property
    def session_id(self) -> str:
        """Consul's id of the session."""
        (member,) = self.backend.session.memberships()
        return str(self.backend.server.roster.id_of(member.name))

    def calls(self) -> int:
        """Requests so far, without blocking queries and renewals."""
        idle = ("/v1/session", "/v1/agent")
        return sum(
            "index=" not in seen.path and not seen.path.startswith(idle)
            for seen in self.proxy.seen
        )


NewProcess = Callable[..., Awaitable[Process]]


@pytest.fixture
async def process(
    private_consul: ConsulServer, namespace: str
) -> AsyncIterator[NewProcess]:
    open_: list[Process] = []

    async def new(terms: LeaseTerms = LONG) -> Process:
        proxy, heard = HttpProxy(private_consul.port), Heard()
        await proxy.start()
        backend = Backend(
            f"consul://127.0.0.1:{proxy.port}",
            namespace=namespace,
            terms=terms,
            limits=WireLimits(timeout_s=1.0, connect_timeout_s=0.5),
            emit=heard.emit,
        )
        await backend.start()
        process = Process(proxy, backend, heard)
        await process.locks.start()
        open_.append(process)
        async with process.locks.acquire_lock("warm-up"):
            pass
        return process

    yield new
    for one in open_:
        one.proxy.is_down = False
        await one.locks.stop()
        await one.backend.stop()
        await one.proxy.stop()


@pytest.fixture
async def ann(process: NewProcess) -> Process:
    return await process()


@pytest.fixture
async def bob(process: NewProcess) -> Process:
    return await process()


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.005)


async def in_line(process: Process, name: str, waiting: int) -> None:
    async def it_is() -> bool:
        return len((await process.locks.explain(name)).waiters) == waiting

    await until(it_is)


class Turn:
    """A task that takes a lock, notes when, and leaves when told."""

    def __init__(self, process: Process, name: str = "a", **wish: object) -> None:
        self.inside, self.leave = asyncio.Event(), asyncio.Event()
        self.token = 0
        self.task = asyncio.ensure_future(self._take(process, name, wish))

    async def _take(self, process: Process, name: str, wish: dict) -> None:
        async with process.locks.acquire_lock(name, **wish) as grant:
            self.token = grant.token
            self.inside.set()
            await self.leave.wait()

    async def comes(self, within_s: float = 5.0) -> float:
        """Wait until inside; the moment."""
        await asyncio.wait_for(self.inside.wait(), within_s)
        return time.monotonic()

    async def goes(self) -> None:
        self.leave.set()
        await self.task


async def test_a_free_lock_is_one_call_to_take_and_one_to_give_back(ann):
    before = ann.calls()

    async with ann.locks.acquire_lock("a"):
        taken = ann.calls() - before
    given_back = ann.calls() - before - taken

    assert (taken, given_back) == (1, 1)


async def test_entering_again_is_no_call(ann):
    async with ann.locks.acquire_lock("a", LockType.REENTRANT):
        before = ann.calls()
        async with ann.locks.acquire_lock("a", LockType.REENTRANT):
            pass
        assert ann.calls() == before


async def test_a_handover_is_one_call_to_give_and_one_look_and_wakes_nobody_else(
    ann, bob, process
):
    cid = await process()
    first = Turn(ann)
    await first.comes()
    second = Turn(bob)
    await in_line(ann, "a", 1)
    third = Turn(cid)
    await in_line(ann, "a", 2)
    before = [one.calls() for one in (ann, bob, cid)]

    await first.goes()
    await second.comes()

    cost = [one.calls() - was for one, was in zip((ann, bob, cid), before, strict=True)]
    assert cost == [1, 1, 0]
    await second.goes()
    await third.goes()


async def test_who_waits_asks_for_nothing_but_its_watch(ann, bob):
    first = Turn(ann)
    await first.comes()
    second = Turn(bob)
    await in_line(ann, "a", 1)
    before, watched = bob.calls(), len(bob.proxy.seen)

    over = asyncio.Event()
    asyncio.get_running_loop().call_later(2.0, over.set)
    await over.wait()

    assert bob.calls() == before
    assert len(bob.proxy.seen) - watched <= 2
    await first.goes()
    await second.goes()


async def test_ten_thousand_locks_are_renewed_by_two_calls(process):
    ann = await process(LeaseTerms(ttl_s=6.0, renew_every_s=2.0, retry_every_s=0.5))
    store, session = ann.locks._store, ann.session_id
    claims = [
        {
            "KV": {
                "Verb": "lock",
                "Key": f"{store._wire.root}/locks/{n}/x",
                "Session": session,
            }
        }
        for n in range(10_000)
    ]
    for at in range(0, len(claims), 60):
        await ann.backend.server.calls.put("/v1/txn", claims[at : at + 60])
    before = len(ann.proxy.seen)

    over = asyncio.Event()
    asyncio.get_running_loop().call_later(5.0, over.set)
    await over.wait()

    asked = [seen.path.split("?")[0] for seen in ann.proxy.seen[before:]]
    renewals = [path for path in asked if "pass" in path or "renew" in path]
    assert len(renewals) <= 2 * 3
    assert len(asked) <= len(renewals) + 1


async def test_the_loss_of_the_session_is_seen_as_soon_as_consul_tells(
    ann, bob, private_consul, capsys
):
    mine, next_ = Turn(ann), Turn(bob)
    await mine.comes()
    ended = ann.session_id

    private_consul.ask(f"/v1/session/destroy/{ended}", method="PUT")
    began = time.monotonic()

    with pytest.raises(LockLostError):
        await asyncio.wait_for(mine.task, 1.0)
    stopped_s = time.monotonic() - began
    granted_s = await next_.comes() - began
    with capsys.disabled():
        print(f"\n  Consul: session ended → block stopped {stopped_s * 1000:.0f} ms, "
              f"next inside {granted_s * 1000:.0f} ms", end="")  # fmt: skip
    await ann.heard(SessionLost)
    await ann.heard(LockLost, lock="a", token=mine.token)
    await next_.goes()


async def test_a_lost_session_is_replaced_by_itself_under_a_new_name(
    ann, private_consul
):
    (before,) = ann.backend.session.memberships()
    private_consul.ask(f"/v1/session/destroy/{ann.session_id}", method="PUT")
    await ann.heard(SessionLost, session=before.name)

    async with ann.locks.acquire_lock("a"):
        (after,) = ann.backend.session.memberships()

    assert after.name != before.name
    (service,) = [
        service
        for service in private_consul.ask("/v1/agent/services").values()
        if service["ID"] == after.name
    ]
    assert service["Service"] == "quorate-session"


async def test_a_check_that_turns_critical_ends_session_and_lock_at_once(
    ann, bob, private_consul, capsys
):
    mine, next_ = Turn(ann), Turn(bob)
    await mine.comes()
    (member,) = ann.backend.session.memberships()

    began = time.monotonic()
    private_consul.ask(f"/v1/agent/check/fail/{member.name}:lease", method="PUT")

    took_s = await next_.comes() - began
    with capsys.disabled():
        print(
            f"\n  Consul: check critical → next inside {took_s * 1000:.0f} ms", end=""
        )
    assert took_s <= 1.0
    with pytest.raises(LockLostError):
        await mine.task
    await next_.goes()


async def test_tokens_grow_when_keys_are_removed_and_made_again(
    ann, bob, private_consul, namespace
):
    tokens = []
    for process in (ann, bob) * 3:
        async with process.locks.acquire_lock("a") as grant:
            tokens.append(grant.token)
        private_consul.ask(f"/v1/kv/{namespace}?recurse", method="DELETE")

    assert tokens == sorted(set(tokens))


async def test_a_hold_that_an_operator_removes_is_noticed_when_it_is_given_back(
    ann, bob, private_consul, namespace
):
    mine, next_ = Turn(ann), Turn(bob)
    await mine.comes()
    await in_line(ann, "a", 1)

    (key,) = [
        key
        for key in private_consul.keys(f"{namespace}/locks/a/")
        if ann.backend.session.id in key
    ]
    private_consul.ask(f"/v1/kv/{key}", method="DELETE")
    await next_.comes()

    assert next_.token > mine.token
    with pytest.raises(LockLostError):
        await mine.goes()
    await next_.goes()


async def test_a_place_in_line_that_an_operator_removes_is_taken_again(
    ann, bob, private_consul, namespace
):
    mine = Turn(ann)
    await mine.comes()
    waiting = Turn(bob)
    await in_line(ann, "a", 1)

    (key,) = [
        key
        for key in private_consul.keys(f"{namespace}/locks/a/")
        if bob.backend.session.id in key
    ]
    private_consul.ask(f"/v1/kv/{key}", method="DELETE")
    await mine.goes()

    await waiting.comes(within_s=LONG.ttl_s)
    await waiting.goes()


async def test_what_others_put_into_the_folder_of_a_lock_is_no_claim(
    ann, private_consul, namespace
):
    for key, value in (("note", "hello"), ("flags?flags=1", {"owner": "me"})):
        path = f"/v1/kv/{namespace}/locks/a/{key}"
        private_consul.ask(path, method="PUT", body=value)

    async with ann.locks.acquire_lock("a", wait_s=0):
        assert len((await ann.locks.explain("a")).holders) == 1
    assert await ann.locks.ls() == []


async def test_a_lost_answer_takes_the_lock_once_and_gives_it_back_whole(
    ann, private_consul, namespace
):
    ann.proxy.lose("/v1/txn")

    async with ann.locks.acquire_lock("a", wait_s=0) as grant:
        (holder,) = (await ann.locks.explain("a")).holders
        assert holder.token == grant.token

    assert await ann.locks.ls() == []
    (kept,) = private_consul.ask(f"/v1/kv/{namespace}/locks/a/?recurse")
    assert kept["Flags"] == LEFT


async def test_an_ask_that_gets_stuck_on_its_way_claims_nothing_when_it_arrives(
    ann, bob
):
    """Its sender was told nothing, sent it again, and has long left."""
    ann.proxy.strand("/v1/txn", cut=True)
    async with ann.locks.acquire_lock("a"):
        pass

    await ann.proxy.deliver()

    async with bob.locks.acquire_lock("a", wait_s=0):
        pass
    assert await ann.locks.ls() == []


async def test_a_cancelled_ask_that_gets_stuck_leaves_nothing_when_it_arrives(ann, bob):
    ann.proxy.strand("/v1/txn", cut=False)
    asking = asyncio.ensure_future(ann.locks.acquire_lock("a").__aenter__())
    sent = len(ann.proxy.seen)

    async def it_is_stuck() -> bool:
        return len(ann.proxy.seen) > sent

    await until(it_is_stuck)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await ann.locks._returns.settle(2.0)

    await ann.proxy.deliver()

    async with bob.locks.acquire_lock("a", wait_s=0):
        pass
    assert await ann.locks.ls() == []


async def test_a_waiter_whose_watch_breaks_is_served(ann, bob):
    mine = Turn(ann)
    await mine.comes()
    waiting = Turn(bob)
    await in_line(ann, "a", 1)

    bob.proxy.is_down = True
    bob.proxy.cut()
    await mine.goes()
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, over.set)
    await over.wait()
    assert not waiting.inside.is_set()
    bob.proxy.is_down = False

    await waiting.comes(within_s=2.0)
    await waiting.goes()


async def test_more_waits_than_watches_are_served_a_little_later(ann, bob):
    many = WATCHES_AT_ONCE + 10
    held = [Turn(ann, f"lock {n}") for n in range(many)]
    for turn in held:
        await turn.comes()
    waiting = [Turn(bob, f"lock {n}") for n in range(many)]
    await in_line(ann, f"lock {many - 1}", 1)

    for turn in held:
        await turn.goes()

    for turn in waiting:
        await turn.comes(within_s=3.0)
    for turn in waiting:
        await turn.goes()


async def test_who_only_tries_costs_two_calls_when_it_is_taken(ann, bob):
    mine = Turn(ann)
    await mine.comes()
    before = bob.calls()

    with pytest.raises(LockNotGranted):
        async with bob.locks.acquire_lock("a", wait_s=0):
            pass

    assert bob.calls() - before == 2
    assert (await ann.locks.explain("a")).waiters == ()
    await mine.goes()


async def test_locks_survive_a_restart_of_a_consul_that_keeps_its_data(
    start_consul, namespace
):
    server = start_consul(durable=True)
    terms = LeaseTerms(ttl_s=12.0, renew_every_s=1.0, retry_every_s=0.2)
    async with Backend(server.url, namespace=namespace, terms=terms) as backend:
        locks = LockManager.over(backend.server, backend.session)
        await locks.start()
        async with locks.acquire_lock("a") as grant:
            await server.restart()

            async def it_is_renewed() -> bool:
                return grant.valid_for() > 10.5

            await until(it_is_renewed, within_s=10.0)
            grant.check()
            assert len((await locks.explain("a")).holders) == 1
        assert await locks.ls() == []
        await locks.stop()


async def test_a_consul_that_loses_its_data_ends_the_lock_and_takes_new_ones(
    process, private_consul
):
    ann = await process(SHORT)
    mine = Turn(ann)
    await mine.comes()

    await private_consul.restart()

    with pytest.raises(LockLostError):
        await asyncio.wait_for(mine.task, SHORT.ttl_s + 1.0)

    async def it_is_granted() -> bool:
        try:
            async with ann.locks.acquire_lock("a", wait_s=1.0):
                return True
        except (LockNotGranted, StoreRefused):
            return False

    await until(it_is_granted)


async def test_explain_names_holders_and_waiters_in_their_order(ann, bob):
    mine = Turn(ann, label="the nightly report")
    await mine.comes()
    waiting = Turn(bob, lock_type=LockType.SHARED, label="a look")
    await in_line(ann, "a", 1)
    before = ann.calls()

    told = await ann.locks.explain("a")

    assert ann.calls() - before == 1
    (holder,), (waiter,) = told.holders, told.waiters
    assert (holder.label, holder.token) == ("the nightly report", mine.token)
    assert holder.session == ann.backend.session.memberships()[0].name
    assert 0.0 <= holder.held_s < 5.0
    assert holder.ends_in_s is None
    assert (waiter.label, waiter.lock_type) == ("a look", LockType.SHARED)
    assert told.token == mine.token + 31
    await mine.goes()
    await waiting.goes()


async def test_a_free_lock_leaves_nothing_behind(ann, private_consul, namespace):
    async with ann.locks.acquire_lock("a"):
        assert len(private_consul.keys(f"{namespace}/locks/")) == 1

    assert private_consul.keys(f"{namespace}/locks/") == []
