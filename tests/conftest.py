"""What every test may ask for.

    namespace         a fresh name for keys: tests share servers and keep apart by it
    redis_url         memory://…, a valkey and a redis in turn: for contract tests.
                      With `-m fleet` a Sentinel set and a Cluster instead
    server            the shared valkey and redis in turn, a `tests.servers.Server`:
                      url, port, pid, info(), commandstats(), reset_stats(), flush(),
                      admin (a blocking client). Leave it as you found it
    private_server    a fresh valkey for this test alone: kill(), pause(), resume(),
                      await restart(), stop()
    start_server      start_server("redis", persistence="always", password="…",
                      options={"maxmemory": "4mb"}) → a further private server
    start_sentinels   start_sentinels(replicas=1) → a private master, its replicas and
                      three Sentinels, a `tests.fleets.SentinelSet`: master, fail_over()
    start_cluster     start_cluster(replicas=1) → a private Cluster of three masters, a
                      `tests.fleets.Cluster`: owner(key), replica_of(), await move(slot)
    locks_url         those of `redis_url`, and the shared Consul; a test of what is
                      declared to be different there says so by
                      @pytest.mark.differs_on_consul("how it is there")
    queue_url         those of `redis_url`, and the shared RabbitMQ; a test of what is
                      declared to be different there says so by
                      @pytest.mark.differs_on_rabbit("how it is there"). And the two
                      together, divided by a space: tasks travel over RabbitMQ, and
                      their state is in a valkey
    consul_url        the shared Consul
    private_consul    a fresh Consul for this test alone, a `ConsulServer`: url, ask(),
                      keys(), kill(), pause(), resume(), await restart(), stop()
    start_consul      start_consul(durable=True, settings={…}) → a further one
    postgres_url      the shared PostgreSQL
    rabbit_url        the shared RabbitMQ, the same for the whole run
    rabbit_server     its process, a `RabbitServer`: kill(), pause(), resume(), await
                      restart(), control(…). Leave it running
    heard             hears events: pass `heard.emit`, then `await heard(LockLost)`
    clock             a `ManualClock`: it moves only by `await clock.advance(5)`

A server that is missing is told of at the end and its tests are skipped; with CI=true
they fail. QUORATE_TEST_REDIS_URL, …_CONSUL_URL, …_POSTGRES_URL and …_RABBITMQ_URL name
servers to use instead where a test wants no more than the URL. No server outlives the
run, however that ends.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from tests.anywhere import in_one_slot
from tests.consul_server import ConsulServer
from tests.fleets import Cluster, Fleets, SentinelSet, StartCluster, StartSentinels
from tests.postgres_server import PostgresServer
from tests.rabbit_server import RabbitServer
from tests.servers import (
    KINDS,
    Kind,
    MissingServer,
    Server,
    Servers,
    ServerSettings,
    StartServer,
)

from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard
from quorate.wire.memory import open_memory
from quorate.wire.scripts import Script

FLEETS = [
    pytest.param(name, marks=pytest.mark.fleet) for name in ("sentinel", "cluster")
]
T = TypeVar("T")
# How quick a shared machine is says nothing about the code.
hypothesis_settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("house")

_missing: set[str] = set()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in sorted(_missing):
        terminalreporter.write_sep("!", "a server is missing", red=True, bold=True)
        terminalreporter.write_line(reason)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The real servers of this run, started when first asked for."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleets]:
    """The Sentinel set and the Cluster of this run, started when first asked for."""
    fleets = Fleets(tmp_path_factory.mktemp("fleets"))
    yield fleets
    fleets.stop()


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["memory", *KINDS, *FLEETS])
async def redis_url(
    request: pytest.FixtureRequest,
    servers: Servers,
    fleets: Fleets,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[str]:
    async with _redis(request.param, servers, fleets, namespace, monkeypatch) as url:
        yield url


@asynccontextmanager
async def _redis(
    kind: str,
    servers: Servers,
    fleets: Fleets,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[str]:
    if kind in ("sentinel", "cluster"):
        monkeypatch.setattr(Script, "spoken", in_one_slot)
        yield fleets.shared(kind).url
    elif kind == "memory":
        url = f"memory://{namespace}"
        server = await open_memory(url)
        yield url
        await server.close()
    elif kind == "redis" and "QUORATE_TEST_REDIS_URL" in os.environ:
        yield os.environ["QUORATE_TEST_REDIS_URL"]
    else:
        yield or_skip(servers.shared, kind).url


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    return or_skip(servers.shared, request.param)


@pytest.fixture
def start_server(servers: Servers) -> Iterator[StartServer]:
    started: list[Server] = []

    def start(kind: Kind = "valkey", **settings: object) -> Server:
        chosen = ServerSettings(kind=kind, **settings)  # type: ignore[arg-type]
        started.append(server := or_skip(servers.start, chosen))
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def private_server(start_server: StartServer) -> Server:
    return start_server("valkey")


@pytest.fixture(scope="session")
def shared_consul(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ConsulServer]:
    server = or_skip(lambda _: ConsulServer(tmp_path_factory.mktemp("consul")), None)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", *KINDS, "consul"])
async def locks_url(
    request: pytest.FixtureRequest, servers: Servers, namespace: str
) -> AsyncIterator[str]:
    if request.param == "consul":
        mark = request.node.get_closest_marker("differs_on_consul")
        if mark is not None:
            pytest.skip(f"on Consul {mark.args[0]}")
        yield request.getfixturevalue("consul_url")
    elif request.param == "memory":
        url = f"memory://{namespace}"
        server = await open_memory(url)
        yield url
        await server.close()
    elif request.param == "redis" and "QUORATE_TEST_REDIS_URL" in os.environ:
        yield os.environ["QUORATE_TEST_REDIS_URL"]
    else:
        yield or_skip(servers.shared, request.param).url


@pytest.fixture
def consul_url(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("QUORATE_TEST_CONSUL_URL")
    return given or request.getfixturevalue("shared_consul").url


@pytest.fixture
def start_consul(tmp_path: Path) -> Iterator[Callable[..., ConsulServer]]:
    started: list[ConsulServer] = []

    def start(**given: object) -> ConsulServer:
        folder = tmp_path / f"consul-{len(started)}"
        server = or_skip(lambda _: ConsulServer(folder, **given), None)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def private_consul(start_consul: Callable[..., ConsulServer]) -> ConsulServer:
    return start_consul()


@pytest.fixture(scope="session")
def shared_postgres(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PostgresServer]:
    server = or_skip(lambda _: PostgresServer(tmp_path_factory.mktemp("pg")), None)
    or_skip(lambda _: server.start(), None)
    yield server
    server.stop()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("QUORATE_TEST_POSTGRES_URL")
    return given or request.getfixturevalue("shared_postgres").url


@pytest.fixture(scope="session")
def shared_rabbit(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RabbitServer]:
    server = or_skip(lambda _: RabbitServer(tmp_path_factory.mktemp("rabbit")), None)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def rabbit_url(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("QUORATE_TEST_RABBITMQ_URL")
    return given or request.getfixturevalue("rabbit_server").url


@pytest.fixture
def rabbit_server(shared_rabbit: RabbitServer) -> RabbitServer:
    if not shared_rabbit.is_running:
        shared_rabbit.start()
    return shared_rabbit


@pytest.fixture(params=["memory", *KINDS, *FLEETS, "rabbit", "hybrid"])
async def queue_url(
    request: pytest.FixtureRequest,
    servers: Servers,
    fleets: Fleets,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[str]:
    mark = request.node.get_closest_marker("differs_on_rabbit")
    if mark is not None and (
        request.param == "rabbit"
        or (request.param == "hybrid" and mark.kwargs.get("also_with_redis"))
    ):
        pytest.skip(f"on RabbitMQ {mark.args[0]}")
    if request.param == "rabbit":
        yield request.getfixturevalue("rabbit_url")
        return
    if request.param == "hybrid":
        transport = request.getfixturevalue("rabbit_url")
        yield f"{transport} {or_skip(servers.shared, 'valkey').url}"
        return
    async with _redis(request.param, servers, fleets, namespace, monkeypatch) as url:
        yield url


@pytest.fixture
def start_sentinels(fleets: Fleets) -> Iterator[StartSentinels]:
    started: list[SentinelSet] = []

    def start(kind: Kind = "valkey", **how: object) -> SentinelSet:
        started.append(or_skip(lambda kind: fleets.sentinels(kind, **how), kind))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def start_cluster(fleets: Fleets) -> Iterator[StartCluster]:
    started: list[Cluster] = []

    def start(kind: Kind = "valkey", **how: object) -> Cluster:
        started.append(or_skip(lambda kind: fleets.cluster(kind, **how), kind))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def or_skip(start: Callable[..., T], what: object) -> T:
    """The server; where there is none, the test is skipped, or fails in CI."""
    try:
        return start(what)
    except MissingServer as error:
        _missing.add(str(error))
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
