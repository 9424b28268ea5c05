"""Stories of the registry with real processes and servers, and short sessions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import StartServer
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import NobodyHome
from quorate.lease.lease import LeaseTerms
from quorate.registry.events import (
    DiscoveryRecovered,
    DiscoveryStale,
    InstanceGone,
    InstanceSuspected,
)
from quorate.registry.manager import RegistryConfig, ServiceRegistry
from quorate.registry.model import AdminState, ServiceInfo, Snapshot
from quorate.registry.ports import AdminChange, Word
from quorate.registry.redis import RedisRegistry
from quorate.testing.heard import Heard
from quorate.verdict.model import HealthState, HealthStatus
from quorate.wire.inbox import InboxLost

TERMS = LeaseTerms(ttl_s=1.5, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=5.0)
SETTLED_S = TERMS.ttl_s + 1.5
PROGRAM = Path(__file__).with_name("registry_process.py")
SERVICE = "orders"


class Instance:
    """A process that has registered itself."""

    def __init__(self, ident: str, process: asyncio.subprocess.Process) -> None:
        self.id = ident
        self.process = process
        self.session = ""

    async def hears(self, event: str, within_s: float = 10.0) -> dict[str, object]:
        """The next event of this name that the process tells."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            async for line in self.process.stdout:
                told = json.loads(line)
                if told["event"] == "session.joined":
                    self.session = told["session"]
                if told["event"] == event:
                    return dict(told)
        raise AssertionError(f"{self.id} ended without {event}")

    def signal(self, number: signal.Signals) -> float:
        """Send the signal. Returns the moment before."""
        at = time.monotonic()
        self.process.send_signal(number)
        return at


class Fleet:
    """Instances as processes, and watchers in this one."""

    def __init__(self, server: Server, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.instances: list[Instance] = []
        self._open: list[Callable[[], object]] = []

    async def start(self, *idents: str, grace_s: float = 0.0) -> list[Instance]:
        started = [await self._spawn(ident, grace_s) for ident in idents]
        for instance in started:
            await instance.hears("instance.registered")
        return started

    async def watcher(
        self, heard: Heard, config: RegistryConfig | None = None
    ) -> ServiceRegistry:
        backend = Backend(
            self.server.url, namespace=self.namespace, terms=TERMS, emit=heard.emit
        )
        await backend.start()
        registry = ServiceRegistry(backend, config)
        await registry.start()
        self._open += [backend.stop, registry.stop]
        return registry

    async def stop(self) -> None:
        for instance in self.instances:
            with contextlib.suppress(ProcessLookupError):
                instance.process.kill()
            await instance.process.wait()
        for close in reversed(self._open):
            await close()  # type: ignore[misc]

    async def _spawn(self, ident: str, grace_s: float) -> Instance:
        order = {
            "url": self.server.url,
            "namespace": self.namespace,
            "service": SERVICE,
            "id": ident,
            "grace_s": grace_s,
            "terms": {
                "ttl_s": TERMS.ttl_s,
                "renew_every_s": TERMS.renew_every_s,
                "retry_every_s": TERMS.retry_every_s,
                "max_stall_s": TERMS.max_stall_s,
            },
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            json.dumps(order),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        instance = Instance(ident, process)
        self.instances.append(instance)
        return instance


@pytest.fixture
async def fleet(private_server: Server, namespace: str) -> AsyncIterator[Fleet]:
    fleet = Fleet(private_server, namespace)
    yield fleet
    await fleet.stop()


def has(*idents: str) -> Callable[[Snapshot], bool]:
    return lambda snapshot: {i.id for i in snapshot.instances} == set(idents)


def all_trusted(*idents: str) -> Callable[[Snapshot], bool]:
    return lambda snapshot: (
        has(*idents)(snapshot) and not any(i.suspect for i in snapshot.instances)
    )


async def test_a_killed_instance_is_gone_everywhere_within_its_ttl_and_a_bit(
    fleet: Fleet, record_property: Callable[[str, object], None]
) -> None:
    ears = [Heard() for _ in range(3)]
    watchers = [await fleet.watcher(heard) for heard in ears]
    victim, *_ = await fleet.start("a", "b", "c", "d")
    for watcher in watchers:
        await watcher.wait_for(SERVICE, has("a", "b", "c", "d"))

    killed_at = victim.signal(signal.SIGKILL)
    gone_after_s = []
    for watcher in watchers:
        await watcher.wait_for(SERVICE, has("b", "c", "d"), within_s=SETTLED_S)
        gone_after_s.append(time.monotonic() - killed_at)

    record_property("gone_after_s", gone_after_s)
    longest_silence_s = TERMS.renew_every_s + 0.1
    assert TERMS.ttl_s - longest_silence_s <= min(gone_after_s)
    assert max(gone_after_s) <= SETTLED_S
    for heard in ears:
        assert [e.instance for e in heard.all(InstanceGone)] == ["a"]
        assert heard.all(InstanceSuspected) == []


async def test_a_paused_instance_comes_back_under_a_new_name_and_its_old_one_is_dead(
    fleet: Fleet, heard: Heard
) -> None:
    watcher = await fleet.watcher(heard)
    paused, *_ = await fleet.start("a", "b", "c")
    before = (await watcher.wait_for(SERVICE, has("a", "b", "c"))).by_id["a"]

    paused.signal(signal.SIGSTOP)
    await watcher.wait_for(SERVICE, has("b", "c"), within_s=SETTLED_S)
    paused.signal(signal.SIGCONT)
    back = await watcher.wait_for(SERVICE, has("a", "b", "c"), within_s=3.0)

    after, old = back.by_id["a"], before.session
    store = watcher.registrar._writer
    change = AdminChange(AdminState.DRAINING)
    refused = [
        await store.deregister(old, SERVICE, "a"),
        await store.register(old, replace(before, version="2"), before.incarnation),
        await store.set_health(old, SERVICE, "a", HealthStatus(HealthState.UNHEALTHY)),
        await store.set_admin(old, SERVICE, "a", change),
    ]
    assert after.session != old
    assert after.incarnation == before.incarnation
    assert [receipt.word for receipt in refused] == [Word.DEAD] * 4
    assert (await watcher.snapshot(SERVICE)).by_id["a"] == after


async def test_an_old_process_that_wakes_up_does_not_touch_its_successor(
    fleet: Fleet, heard: Heard
) -> None:
    watcher = await fleet.watcher(heard)
    [old] = await fleet.start("a")
    first = (await watcher.wait_for(SERVICE, has("a"))).by_id["a"]
    old.signal(signal.SIGSTOP)
    await watcher.wait_for(SERVICE, has(), within_s=SETTLED_S)
    await fleet.start("a")
    second = (await watcher.wait_for(SERVICE, has("a"))).by_id["a"]

    old.signal(signal.SIGCONT)
    told = await old.hears("instance.superseded")
    old.signal(signal.SIGTERM)
    await old.process.wait()

    assert told["instance"] == "a"
    assert second.incarnation > first.incarnation
    assert (await watcher.snapshot(SERVICE)).by_id["a"].session == second.session


async def test_many_killed_at_once_are_probed_and_go(
    fleet: Fleet, heard: Heard
) -> None:
    watcher = await fleet.watcher(heard)
    first, second, *_ = await fleet.start("a", "b", "c", "d")
    await watcher.wait_for(SERVICE, has("a", "b", "c", "d"))

    killed_at = first.signal(signal.SIGKILL)
    second.signal(signal.SIGKILL)
    await watcher.wait_for(SERVICE, all_trusted("c", "d"), within_s=TERMS.ttl_s + 3)

    assert time.monotonic() - killed_at <= TERMS.ttl_s + 3
    assert heard.count(InstanceSuspected) >= 1


async def test_many_that_lose_touch_but_answer_stay_and_recover(
    fleet: Fleet, heard: Heard
) -> None:
    watcher = await fleet.watcher(heard)
    instances = await fleet.start("a", "b", "c", "d")
    await watcher.wait_for(SERVICE, has("a", "b", "c", "d"))

    for instance in instances[:2]:
        instance.signal(signal.SIGSTOP)  # The kernel still accepts for it.
    await heard(InstanceSuspected, instance="a", within_s=SETTLED_S)
    await heard(InstanceSuspected, instance="b", within_s=SETTLED_S)
    suspected = await watcher.snapshot(SERVICE)
    for instance in instances[:2]:
        instance.signal(signal.SIGCONT)
    await watcher.wait_for(SERVICE, all_trusted("a", "b", "c", "d"), within_s=3.0)

    assert has("a", "b", "c", "d")(suspected)
    assert suspected.by_id["a"].state is HealthState.UNKNOWN
    assert heard.all(InstanceGone) == []


@pytest.mark.parametrize("outage", ["hangs", "is killed"])
async def test_while_the_server_is_away_discovery_serves_and_then_recovers(
    fleet: Fleet, heard: Heard, outage: str, start_server: StartServer
) -> None:
    fleet.server = start_server("valkey", persistence="always")
    watcher = await fleet.watcher(heard)
    await fleet.start("a", "b", "c")
    await watcher.wait_for(SERVICE, has("a", "b", "c"))
    balancer = watcher.balancer(SERVICE)

    (fleet.server.pause if outage == "hangs" else fleet.server.kill)()
    away_at = time.monotonic()
    await heard(DiscoveryStale, service=SERVICE, within_s=2.5)
    stale_after_s = time.monotonic() - away_at
    served, errors = 0, 0
    while time.monotonic() - away_at < TERMS.ttl_s * 2:
        served += 1
        snapshot = await watcher.snapshot(SERVICE)
        async with balancer.acquire():
            errors += not has("a", "b", "c")(snapshot) or snapshot.stale_since is None
        await asyncio.sleep(0.01)
    if outage == "hangs":
        fleet.server.resume()
    else:
        await fleet.server.restart()
    back_at = time.monotonic()
    await heard(DiscoveryRecovered, service=SERVICE, within_s=5.0)
    await watcher.wait_for(SERVICE, all_trusted("a", "b", "c"), within_s=5.0)

    assert stale_after_s <= 2.0
    assert served > 50
    assert errors == 0
    assert time.monotonic() - back_at <= TERMS.renew_every_s + 2.0
    assert heard.all(InstanceGone) == []
    assert (await watcher.snapshot(SERVICE)).stale_since is None


async def test_a_flushed_server_has_all_instances_back_and_nobody_misses_them(
    fleet: Fleet, heard: Heard
) -> None:
    watcher = await fleet.watcher(heard)
    owners = [await fleet.watcher(Heard()) for _ in range(4)]
    sink = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = sink.sockets[0].getsockname()[1]
    names = [f"i{n}" for n in range(20)]
    for n, name in enumerate(names):
        info = ServiceInfo(id=name, name=SERVICE, endpoint=f"127.0.0.1:{port}")
        await owners[n % 4].register(info)
    await watcher.wait_for(SERVICE, has(*names))
    counts: list[int] = []
    watcher.discovery.listen(SERVICE, lambda s: counts.append(len(s.instances)))

    fleet.server.flush()
    flushed_at = time.monotonic()
    back = await watcher.wait_for(
        SERVICE,
        lambda s: all_trusted(*names)(s) and s.by_id["i0"].session.endswith(".2"),
        within_s=TERMS.renew_every_s + 2.0,
    )

    assert time.monotonic() - flushed_at <= TERMS.renew_every_s + 2.0
    assert set(counts) == {20}
    assert len({info.session for info in back.instances}) == 4
    assert all(owner.registrar.stats().again == 5 for owner in owners)
    sink.close()


async def test_watchers_that_lose_their_connections_end_with_the_same_picture(
    fleet: Fleet,
) -> None:
    chance = random.Random(20)
    ears = [Heard() for _ in range(5)]
    watchers = [await fleet.watcher(heard) for heard in ears]
    owner = await fleet.watcher(Heard())
    seen: list[list[Snapshot]] = [[] for _ in watchers]
    for watcher, snapshots in zip(watchers, seen, strict=True):
        watcher.discovery.listen(SERVICE, snapshots.append)
    await owner.register(an_instance("i0"))

    names: set[str] = {"i0"}
    for step in range(600):
        await random_change(owner, names, chance)
        if step % 20 == 0:
            cut_somebody(fleet.server, chance)
    await owner.register(an_instance("last"))
    truth = await owner.registrar._writer.snapshot(SERVICE)  # type: ignore[attr-defined]

    for watcher, snapshots in zip(watchers, seen, strict=True):
        final = await watcher.wait_for(
            SERVICE, lambda s: s.revision >= truth.revision, within_s=10.0
        )
        assert revised(final) == revised(truth)
        fresh = [s for s in snapshots if s.stale_since is None]
        steps = [(s.epoch, s.revision) for s in fresh]
        assert steps == sorted(set(steps), key=lambda step: step[1])
    assert truth.revision > 300
    assert sum(heard.count(InboxLost) for heard in ears) >= 5


def an_instance(name: str, **fields: object) -> ServiceInfo:
    return ServiceInfo(id=name, name=SERVICE, endpoint="127.0.0.1:9", **fields)  # type: ignore[arg-type]


def revised(snapshot: Snapshot) -> list[ServiceInfo]:
    """The instances without the texts of their health, which change silently."""
    return [
        replace(info, health=HealthStatus(info.health.status), last_check=None)
        for info in snapshot.instances
    ]


async def random_change(
    owner: ServiceRegistry, names: set[str], chance: random.Random
) -> None:
    name = chance.choice(sorted(names)) if names else "i0"
    match chance.randrange(5):
        case 0 | 1:
            names.add(name := f"i{chance.randrange(12)}")
            await owner.register(an_instance(name, version=str(chance.randrange(3))))
        case 2 if names:
            names.discard(name)
            await owner.deregister(name)
        case 3 if names:
            state = chance.choice([HealthState.HEALTHY, HealthState.DEGRADED])
            await owner.set_health(name, HealthStatus(state))
        case 4 if names:
            await owner.set_admin(name, chance.choice(list(AdminState)))


def cut_somebody(server: Server, chance: random.Random) -> None:
    """Cut one subscription, or one connection for calls, of whomever it hits."""
    kind = chance.choice(["pubsub", "normal"])
    clients = server.admin.client_list(_type=kind)
    mine = server.admin.client_id()
    others = [c for c in clients if int(c["id"]) != mine and c["name"] == "quorate"]
    if others:
        chosen = chance.choice(others)["id"]
        with contextlib.suppress(Exception):
            server.admin.execute_command("CLIENT", "KILL", "ID", chosen)


async def test_a_change_reaches_every_watcher_in_milliseconds(
    fleet: Fleet, record_property: Callable[[str, object], None]
) -> None:
    watchers = [await fleet.watcher(Heard()) for _ in range(5)]
    owner = await fleet.watcher(Heard())
    await owner.register(an_instance("a"))
    arrived: dict[int, list[float]] = {}
    for watcher in watchers:
        await watcher.wait_for(SERVICE, has("a"))

        def told(snapshot: Snapshot) -> None:
            arrived.setdefault(snapshot.revision, []).append(time.monotonic())

        watcher.discovery.listen(SERVICE, told)

    sent: dict[int, float] = {}
    for count in range(200):
        state = (HealthState.DEGRADED, HealthState.HEALTHY)[count % 2]
        at = time.monotonic()
        await owner.set_health("a", HealthStatus(state))
        sent[count + 2] = at
        await asyncio.sleep(0.005)
    for watcher in watchers:
        await watcher.wait_for(SERVICE, lambda s: s.revision >= 201)

    delays_ms = sorted(
        (at - sent[rev]) * 1000
        for rev, times in arrived.items()
        if rev in sent
        for at in times
    )
    figures = {
        "p50_ms": statistics.median(delays_ms),
        "p99_ms": delays_ms[int(len(delays_ms) * 0.99)],
        "changes": len(delays_ms),
    }
    record_property("propagation", figures)
    assert len(delays_ms) == 200 * 5
    assert figures["p50_ms"] <= 50
    assert figures["p99_ms"] <= 500


async def test_a_rolling_restart_fails_no_request(fleet: Fleet, heard: Heard) -> None:
    watcher = await fleet.watcher(heard)
    running = await fleet.start("a1", "b1", "c1", grace_s=0.3)
    await watcher.wait_for(SERVICE, has("a1", "b1", "c1"))
    balancer = watcher.balancer(SERVICE)
    answers: dict[str, int] = {}
    failures: list[str] = []
    done = asyncio.Event()

    async def call() -> None:
        while not done.is_set():
            try:
                async with balancer.acquire() as choice:
                    who = await ask(choice.service)
                    answers[who] = answers.get(who, 0) + 1
            except (OSError, NobodyHome, AssertionError) as error:
                failures.append(repr(error))
            await asyncio.sleep(0.01)

    callers = [asyncio.ensure_future(call()) for _ in range(4)]
    for old in tuple(running):
        await fleet.start(old.id.replace("1", "2"), grace_s=0.3)
        old.signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await old.process.wait()
    done.set()
    await asyncio.gather(*callers)

    assert failures == []
    assert sum(answers.values()) > 100
    assert {"a2", "b2", "c2"} <= set(answers)
    assert [i.id for i in await watcher.discover(SERVICE)] == ["a2", "b2", "c2"]


async def ask(info: ServiceInfo) -> str:
    """One short call over a connection of its own."""
    async with asyncio.timeout(5):
        address = info.address
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"who?\n")
        line = await reader.readline()
        writer.close()
    assert line, "the connection ended without an answer"
    return line.decode().strip()


async def test_ten_thousand_heartbeats_change_no_revision(
    fleet: Fleet, heard: Heard
) -> None:
    owner = await fleet.watcher(heard)
    for n in range(50):
        await owner.register(an_instance(f"i{n}"))
    store = owner.registrar._writer
    assert isinstance(store, RedisRegistry)
    before = await store.snapshot(SERVICE)
    fleet.server.reset_stats()

    session = owner._backend.session
    [member] = session.memberships()
    rows = owner._backend.wire.new_sessions()
    for _ in range(10_000 // 500):
        renewals = [
            rows.renew(member.tag, member.name, session.ttl_ms) for _ in range(500)
        ]
        await asyncio.gather(*renewals)

    stats = fleet.server.commandstats()
    assert (await store.snapshot(SERVICE)).revision == before.revision
    assert stats.get("xadd", 0) == 0
    assert stats.get("publish", 0) == 0
    await rows.close()
