"""The registry as a user meets it, over a make-believe server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from quorate.backend import Backend
from quorate.core.errors import (
    InvalidInput,
    InvalidSettings,
    MissingCapability,
    NobodyHome,
)
from quorate.lease.lease import LeaseTerms
from quorate.registry import (
    AdminState,
    RegistryConfig,
    RoundRobinStrategy,
    ServiceInfo,
    ServiceRegistry,
    Word,
    get_service_registry,
)
from quorate.registry.events import InstanceRegistered, InstanceUnreadable
from quorate.testing.heard import Heard
from quorate.verdict.model import HealthState, HealthStatus

TERMS = LeaseTerms(ttl_s=3.0, renew_every_s=1.0, retry_every_s=0.2, max_stall_s=9.0)
Opened = Callable[[], Awaitable[ServiceRegistry]]


@pytest.fixture
async def opened(namespace: str, heard: Heard) -> AsyncIterator[Opened]:
    """Opens registries of as many processes as a test wants, all on one server."""
    backends: list[Backend] = []
    registries: list[ServiceRegistry] = []

    async def open_one() -> ServiceRegistry:
        backend = Backend(f"memory://{namespace}", terms=TERMS, emit=heard.emit)
        await backend.start()
        backends.append(backend)
        registry = ServiceRegistry(backend)
        await registry.start()
        registries.append(registry)
        return registry

    yield open_one
    for registry in registries:
        await registry.stop()
    for backend in backends:
        await backend.stop()


def an_instance(name: str = "a", **fields: object) -> ServiceInfo:
    endpoint = fields.pop("endpoint", "http://127.0.0.1:8000")
    return ServiceInfo(id=name, name="s", endpoint=endpoint, **fields)  # type: ignore[arg-type]


async def test_one_process_announces_and_another_finds(opened: Opened) -> None:
    mine, theirs = await opened(), await opened()

    receipt = await mine.register_service(an_instance())
    await theirs.wait_for("s", lambda s: s.revision >= receipt.revision)

    [found] = await theirs.get_instances("s")
    assert (found.id, found.state) == ("a", HealthState.HEALTHY)
    assert await mine.deregister_service("a")
    await theirs.wait_for("s", lambda s: not s.instances)


async def test_health_and_admin_travel(opened: Opened) -> None:
    mine, theirs = await opened(), await opened()
    await mine.register(an_instance())

    await mine.set_health("a", HealthStatus(HealthState.DEGRADED, "slow"))
    await mine.set_admin("a", AdminState.DRAINING, "deploy")

    snapshot = await theirs.wait_for("s", lambda s: s.revision >= 3)
    found = snapshot.by_id["a"]
    assert found.health.message == "slow"
    assert found.admin_state is AdminState.DRAINING


async def test_an_operator_names_the_service_of_what_is_not_its_own(
    opened: Opened,
) -> None:
    mine, operator = await opened(), await opened()
    await mine.register(an_instance())

    done = await operator.set_admin("a", AdminState.MAINTENANCE, service="s")
    absent = await operator.set_admin("b", AdminState.MAINTENANCE, service="s")

    assert (done.word, absent.word) == (Word.DONE, Word.ABSENT)
    with pytest.raises(InvalidInput):
        await operator.set_admin("a", AdminState.MAINTENANCE)


async def test_a_query_takes_what_fits(opened: Opened) -> None:
    registry = await opened()
    await registry.register(an_instance("a", version="1", zone="eu"))
    await registry.register(an_instance("b", version="2", metadata={"x": "1"}))
    await registry.wait_for("s", lambda s: s.revision >= 2)

    async def ids(**wanted: object) -> list[str]:
        return [info.id for info in await registry.query("s", **wanted)]  # type: ignore[arg-type]

    assert await ids() == ["a", "b"]
    assert await ids(version="2") == ["b"]
    assert await ids(zone="eu") == ["a"]
    assert await ids(metadata={"x": "1"}) == ["b"]
    assert await ids(health=HealthState.UNHEALTHY) == []


async def test_a_balancer_follows_by_itself(opened: Opened) -> None:
    registry = await opened()
    strategy = RoundRobinStrategy()
    balancer = registry.balancer("s", strategy)
    with pytest.raises(NobodyHome):
        balancer.choose()

    for name in ("a", "b"):
        await registry.register(an_instance(name))
    await registry.wait_for("s", lambda s: s.revision >= 2)

    assert {balancer.choose().id for _ in range(4)} == {"a", "b"}
    assert registry.balancer("s", strategy) is balancer
    assert registry.balancer("s") is not balancer


async def test_a_watch_and_a_watcher_see_changes(opened: Opened) -> None:
    registry = await opened()
    lists: asyncio.Queue[list[str]] = asyncio.Queue()
    registry.add_watcher("s", lambda found: lists.put_nowait([i.id for i in found]))
    watch = registry.watch("s")

    async with asyncio.timeout(5):
        first = await anext(watch)
        await registry.register(an_instance())
        second = await anext(watch)
        told = [await lists.get(), await lists.get()]

    assert (len(first.instances), len(second.instances)) == (0, 1)
    assert told == [[], ["a"]]


async def test_the_status_shows_all_sides(opened: Opened) -> None:
    registry = await opened()
    registry.balancer("s")
    await registry.register(an_instance())
    await registry.wait_for("s", lambda s: s.revision >= 1)

    status = await registry.status()

    assert status.available
    assert [(c.name, c.instances) for c in status.services or ()] == [("s", 1)]
    assert [info.id for info in status.own] == ["a"]
    assert [snapshot.name for snapshot in status.followed] == ["s"]
    assert [b.service for b in status.balancers] == ["s"]
    assert (status.registrar.registered, status.sweep.removed) == (1, 0)


async def test_the_status_of_a_server_that_is_gone_says_so(opened: Opened) -> None:
    registry = await opened()
    await registry._backend.wire.calls.close()

    status = await registry.status()

    assert not status.available


async def test_dead_sessions_are_swept(opened: Opened) -> None:
    registry = await opened()
    await registry.register(an_instance("mine"))
    store, backend = registry.registrar._writer, registry._backend
    rows = backend.wire.new_sessions()
    await rows.join(backend.wire.keys.registry_tag, "other.1", 60_000)
    await store.register("other.1", an_instance("theirs"), 0)
    await registry.wait_for("s", lambda s: len(s.instances) == 2)

    await rows.end(backend.wire.keys.registry_tag, "other.1")
    await backend.sweeper.sweep(backend.wire.keys.registry_tag)

    after = await registry.wait_for("s", lambda s: len(s.instances) == 1)
    assert [info.id for info in after.instances] == ["mine"]
    assert (await registry.status()).sweep.removed == 1
    await rows.close()


async def test_who_looks_up_lives_in_the_registry_and_so_sweeps(
    opened: Opened,
) -> None:
    registry = await opened()
    tag = registry._backend.wire.keys.registry_tag
    await registry.discover("s")

    await registry.discovery.lookout().tick()

    assert registry._backend.session.name_in(tag) is not None


async def test_an_emptied_store_is_noticed_before_the_next_heartbeat(
    namespace: str, heard: Heard
) -> None:
    slow = LeaseTerms(ttl_s=600, renew_every_s=300)
    async with Backend(f"memory://{namespace}", terms=slow, emit=heard.emit) as backend:
        registry = ServiceRegistry(backend)
        await registry.start()
        await registry.register(an_instance())
        await registry.wait_for("s", lambda s: s.revision == 1)
        heard.clear()

        await backend.wire.calls.command("FLUSHALL")
        await registry.discovery.lookout().tick()
        again = await heard(InstanceRegistered, instance="a")
        await registry.stop()

    assert again.revision == 1


async def test_an_entry_that_cannot_be_read_is_told_of(
    opened: Opened, heard: Heard
) -> None:
    registry = await opened()
    await registry.register(an_instance())
    tag = registry._backend.wire.keys.registry_tag
    await registry._backend.wire.calls.command("HSET", f"{tag}:r:s:s:inst", "a", "?")

    assert await registry.discover("s") == []
    assert heard.count(InstanceUnreadable, instance="a") >= 1


async def test_a_registry_alone_has_all_it_needs(namespace: str) -> None:
    registry = await get_service_registry(f"memory://{namespace}")

    async with registry:
        await registry.register(an_instance())
        found = await registry.discover("s")

    assert [info.id for info in found] == ["a"]
    await registry.stop()


def test_a_configuration_that_makes_no_sense_is_refused_with_all_its_faults() -> None:
    with pytest.raises(InvalidSettings) as refused:
        RegistryConfig(check_interval=0, timeout=-1, protect_share=1.5, protect_least=0)

    assert len(refused.value.faults) == 4


async def test_what_is_no_instance_is_refused(opened: Opened) -> None:
    registry = await opened()

    with pytest.raises(InvalidInput, match="ServiceInfo"):
        await registry.register("orders")  # type: ignore[arg-type]

    assert registry.registrar.instances() == ()


async def test_consul_is_refused_before_anything_is_opened(namespace: str) -> None:
    with pytest.raises(MissingCapability, match="Consul"):
        await get_service_registry(
            f"memory://{namespace}", RegistryConfig(consul_host="localhost")
        )
