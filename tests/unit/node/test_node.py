"""The node over servers in this process."""

from __future__ import annotations

import asyncio

import pytest

import quorate
from quorate.core.errors import (
    InvalidInput,
    InvalidSettings,
    InvalidUrl,
    LockLostError,
    StoreUnavailable,
)
from quorate.core.events import Event
from quorate.health import HealthCheckConfig, failed, passed
from quorate.health.model import CheckResult
from quorate.node import Node, connect, this_node
from quorate.reactions.events import RuleSuspended
from quorate.registry import ServiceInfo
from quorate.settings import load_settings

QUICK = {
    "QUORATE_REACTIONS__ENTER_AFTER_S": "0",
    "QUORATE_REACTIONS__LEAVE_AFTER_S": "0",
    "QUORATE_REACTIONS__DWELL_S": "0",
}
OFTEN = HealthCheckConfig(interval=0.05, timeout=0.04, rise=1, fall=1)


class Records:
    """A dependency that can be switched."""

    def __init__(self) -> None:
        self.is_well = True

    async def check(self) -> CheckResult:
        return passed() if self.is_well else failed("no answer")


@pytest.fixture
def url(namespace: str) -> str:
    return f"memory://{namespace}"


@pytest.fixture
def settings() -> quorate.Settings:
    return load_settings(environ=QUICK)


async def hold(node: Node, name: str) -> None:
    async with node.locks.acquire_lock(name):
        await asyncio.Event().wait()


async def listed(node: Node) -> list[str]:
    async with asyncio.timeout(5):
        while not (lines := await node.locks.ls()):
            await asyncio.sleep(0.01)
    return [line.name for line in lines]


async def until(holds, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("redsi://localhost", "Did you mean redis"),
        ("localhost:6379", "no '://'"),
        ("redis://", "names no host"),
        ("redis://h:6379/x", "databases are numbers"),
        (17, "must be text"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_before_anything_is_opened(given, why):
    with pytest.raises(InvalidUrl, match=why):
        connect(given, settings=load_settings(environ={}))

    with pytest.raises(InvalidUrl, match=why):
        connect("memory://a", queue=given, settings=load_settings(environ={}))


def test_settings_with_faults_are_refused_whole(tmp_path):
    path = tmp_path / "faulty.yaml"
    path.write_text("session: {ttl_s: 0}\nqueue: {concurency: 4}\n")

    with pytest.raises(InvalidSettings) as refused:
        connect("memory://a", settings=path)

    assert "session.ttl_s" in str(refused.value)
    assert "queue.concurrency" in str(refused.value)


async def test_everything_is_there_inside_and_nothing_outside(url: str, settings):
    node = connect(url, settings=settings)
    with pytest.raises(InvalidInput, match="not open"):
        _ = node.locks

    async with node:
        async with node.locks.acquire_lock("a") as grant:
            assert grant.token > 0
        assert await node.registry.discover("nobody") == []
        assert await node.config.set("a.b", 1) == 1
        assert (await node.queue.stats()).depth == 0
        assert node.health.report().checks == {}
        assert this_node() is node
        assert "://" in node.shared_url

    await node.stop()


def test_outside_of_a_node_there_is_none():
    with pytest.raises(InvalidInput, match="no node here"):
        asyncio.run(_this_node())


async def _this_node() -> Node:
    return this_node()


async def test_each_capability_may_have_a_server_of_its_own(namespace: str, settings):
    urls = {
        "locks": f"memory://{namespace}-l",
        "registry": f"memory://{namespace}-r",
        "queue": f"memory://{namespace}-q",
        "config": f"memory://{namespace}-c",
    }

    async with connect(settings=settings, **urls) as node:
        assert set(node.backends.urls()) == set(urls.values())
        async with node.locks.acquire_lock("a"):
            held = await node.backend(urls["locks"]).wire.calls.command("KEYS", "*:l:*")
            none = await node.backend(urls["queue"]).wire.calls.command("KEYS", "*:l:*")
        assert held
        assert not none


async def test_a_server_that_is_away_is_named_and_nothing_stays_open(settings):
    node = connect("redis://127.0.0.1:1", settings=settings)

    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await node.start()

    await node.stop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others


async def test_leaving_gives_back_what_is_held(url: str, settings):
    async with connect(url, settings=settings) as watcher:
        async with connect(url, settings=settings) as leaver:
            await leaver.registry.register(
                ServiceInfo(id="a", name="auth", endpoint="http://127.0.0.1:8000")
            )
            holder = asyncio.create_task(hold(leaver, "a"))
            await watcher.registry.wait_for("auth", lambda s: len(s.instances) == 1)
            assert await listed(watcher) == ["a"]

        await watcher.registry.wait_for("auth", lambda s: not s.instances)
        async with watcher.locks.acquire_lock("a", wait_s=1.0):
            pass
        with pytest.raises(LockLostError):
            await holder


async def test_an_instance_is_as_healthy_as_what_its_process_needs(url: str, settings):
    records = Records()
    async with connect(url, settings=settings) as node:
        node.health.register_checker("records", records, config=OFTEN)
        await node.registry.register(
            ServiceInfo(id="a", name="auth", endpoint="http://127.0.0.1:8000")
        )

        records.is_well = False

        snapshot = await node.registry.wait_for(
            "auth",
            lambda s: bool(s.instances) and s.instances[0].state.value == "unhealthy",
        )
        assert snapshot.instances[0].health.message == "because of records"


async def test_a_dependency_degrades_everybody_and_back(url: str, settings):
    records = Records()
    async with (
        connect(url, settings=settings) as node,
        connect(url, settings=settings) as other,
    ):
        node.health.register_checker("records", records, config=OFTEN)
        records.is_well = False

        await until(lambda: other.config.get("service.degraded_mode", None) is True)
        assert other.config.get("service.degraded_level") == "degraded"
        (commit,) = await other.config.history("service.degraded_mode", limit=1)
        assert commit.author == "quorate.reactions"
        assert commit.comment == "unhealthy: records (no answer)"
        async with asyncio.timeout(5):
            while await other.queue.shed_level() != 1:
                await asyncio.sleep(0.01)

        records.is_well = True
        await until(lambda: other.config.get("service.degraded_mode") is False)
        async with asyncio.timeout(5):
            while await other.queue.shed_level() != 0:
                await asyncio.sleep(0.01)


async def test_an_application_that_sets_the_mode_itself_is_left_alone(
    url: str, settings
):
    heard: list[Event] = []
    records = Records()
    async with connect(url, settings=settings) as node:
        node.listen(heard.append)
        await node.config.set("service.degraded_mode", False, author="billing")
        node.health.register_checker("records", records, config=OFTEN)
        records.is_well = False

        await until(lambda: any(isinstance(e, RuleSuspended) for e in heard))

        assert node.reactions.is_suspended
        assert node.config.get("service.degraded_mode") is False


async def test_logs_and_metrics_hang_on_events_and_stats(url: str, capsys):
    settings = load_settings(
        environ={"QUORATE_LOGGING__FORMAT": "json", "QUORATE_LOGGING__LEVEL": "info"}
    )

    async with connect(url, settings=settings) as node:
        async with node.locks.acquire_lock("a"):
            pass
        page = node.metrics.page().decode()

    assert 'quorate_events_total{event="session.joined"} 1.0' in page
    assert "quorate_locks_" in page
    assert "quorate_wire_requests" in page
    assert '"message": "session.joined"' in capsys.readouterr().err


async def test_what_the_application_keeps_is_closed_first(url: str, settings):
    said: list[str] = []

    class Mine:
        async def start(self) -> None:
            said.append("start")

        async def stop(self) -> None:
            await this_node().config.set("a.b", 2)
            said.append("stop")

    async with connect(url, settings=settings) as node:
        await node.keep(Mine())

    assert said == ["start", "stop"]
