import asyncio
import random

import pytest

from quorate.core.errors import InvalidInput, InvalidName
from quorate.health import (
    HealthCheckConfig,
    HealthCheckManager,
    HealthTerms,
    get_health_check_manager,
)
from quorate.health.events import HealthOverallChanged
from quorate.verdict.model import HealthState
from quorate.watch.events import CallbackFailed

QUICK = HealthCheckConfig(interval=0.01, timeout=1.0, fall=2)


@pytest.fixture
async def manager(heard):
    manager = HealthCheckManager(emit=heard.emit, chance=random.Random(1))
    yield manager
    async with asyncio.timeout(5.0):
        await manager.stop()


class Told:
    """Hears status changes, and can be waited for."""

    def __init__(self):
        self.calls = []
        self.news = asyncio.Event()

    def __call__(self, *call):
        self.calls.append(call)
        self.news.set()

    async def until(self, wanted):
        async with asyncio.timeout(5.0):
            while not any(wanted(*call) for call in self.calls):
                self.news.clear()
                await self.news.wait()


async def test_the_owners_snippet_works(manager, checker):
    """`on_health_change(old, new)` gets words with `.value`, plain or async."""
    told = Told()

    async def on_health_change(old_status, new_status):
        told(old_status.value, new_status.value)

    manager.register_checker("auth", checker, config=QUICK)
    manager.add_status_change_callback(on_health_change)
    await manager.start()
    await told.until(lambda _old, new: new == "healthy")
    checker.breaks()
    await told.until(lambda _old, new: new == "unhealthy")
    checker.works()
    await told.until(lambda old, new: (old, new) == ("unhealthy", "healthy"))

    assert told.calls[:3] == [
        ("starting", "healthy"),
        ("healthy", "unhealthy"),
        ("unhealthy", "healthy"),
    ]


async def test_changes_of_single_checks_are_told_too(manager, checker):
    told = Told()
    manager.register_checker("auth", checker, config=QUICK)
    manager.add_check_callback(told)
    await manager.start()

    await told.until(lambda change: change.new is HealthState.HEALTHY)

    change = told.calls[0][0]
    assert (change.check, change.old) == ("auth", HealthState.STARTING)


async def test_the_whole_is_told_as_an_event_with_its_causes(manager, scripted, heard):
    bad = scripted()
    manager.register_checker("good", scripted(), config=QUICK)
    manager.register_checker("bad", bad, config=QUICK)
    await manager.start()
    await heard(HealthOverallChanged, new="healthy", within_s=5)

    bad.breaks()

    event = await heard(HealthOverallChanged, new="unhealthy", within_s=5)
    assert event.causes == ("bad",)
    assert manager.status is HealthState.UNHEALTHY


async def test_what_is_not_critical_only_degrades_the_whole(manager, scripted, heard):
    minor = HealthCheckConfig(interval=0.01, timeout=1.0, critical=False)
    manager.register_checker("bad", scripted(ValueError("no")), config=minor)

    await manager.start()

    assert await heard(HealthOverallChanged, new="degraded", within_s=5)


async def test_a_callback_that_raises_harms_nobody(manager, checker, heard):
    told = Told()

    def break_down(_old, _new):
        raise ValueError("no")

    manager.register_checker("auth", checker, config=QUICK)
    manager.add_status_change_callback(break_down)
    manager.add_status_change_callback(told)
    await manager.start()

    await told.until(lambda _old, new: new is HealthState.HEALTHY)
    assert await heard(CallbackFailed, watch="health status", within_s=5)


async def test_who_leaves_hears_no_more(manager, checker):
    told, stays = Told(), Told()
    manager.register_checker("auth", checker, config=QUICK)
    leave = manager.add_status_change_callback(told)
    manager.add_status_change_callback(stays)

    leave()
    await manager.start()
    await stays.until(lambda _old, new: new is HealthState.HEALTHY)

    assert told.calls == []


async def test_a_report_is_there_before_the_start_and_runs_no_check(manager, checker):
    manager.register_checker("auth", checker, config=QUICK)

    report = manager.report()

    assert report.status is HealthState.STARTING
    assert report.checks["auth"].reason == "no result yet"
    assert checker.looks == 0


async def test_a_report_never_calls_healthy_what_nobody_has_looked_at(
    clock, checker, heard
):
    manager = HealthCheckManager(emit=heard.emit, clock=clock)
    config = HealthCheckConfig(interval=10.0, timeout=1.0)
    manager.register_checker("auth", checker, config=config)
    told = Told()
    manager.add_status_change_callback(told)
    await manager.start()
    prober = manager._monitor.prober("auth")
    await prober.tick()
    await prober.tick()
    healthy = manager.report().status
    manager._monitor._lag.rest()

    await clock.advance(31.0)

    assert healthy is HealthState.HEALTHY
    assert manager.report().status is HealthState.UNKNOWN
    await told.until(lambda _old, new: new is HealthState.UNKNOWN)
    await manager.stop()


async def test_a_check_may_come_and_go_while_it_runs(manager, scripted, heard):
    manager.register_checker("good", scripted(), config=QUICK)
    await manager.start()
    await heard(HealthOverallChanged, new="healthy", within_s=5)
    bad = scripted(ValueError("no"))
    manager.register_checker("bad", bad, config=QUICK)
    await heard(HealthOverallChanged, new="unhealthy", within_s=5)

    await manager.unregister("bad")

    assert manager.status is HealthState.HEALTHY
    assert set(manager.report().checks) == {"good"}
    with pytest.raises(InvalidInput, match="no check 'bad'"):
        await manager.unregister("bad")


async def test_history_and_statistics_are_kept(manager, checker, heard):
    manager.register_checker("auth", checker, config=QUICK)
    await manager.start()
    await heard(HealthOverallChanged, new="healthy", within_s=5)

    assert manager.history("auth")[0].result.message == "ok"
    stats = manager.stats()
    assert stats.checks["auth"].looks >= 1
    assert stats.changes == 1
    with pytest.raises(InvalidInput, match="no check"):
        manager.history("other")


async def test_it_may_be_stopped_and_started_again(manager, checker):
    told = Told()
    manager.register_checker("auth", checker, config=QUICK)
    manager.add_status_change_callback(told)
    await manager.start()
    await manager.start()
    await told.until(lambda _old, new: new is HealthState.HEALTHY)

    await manager.stop()
    await manager.stop()
    told.calls.clear()
    await manager.start()

    await told.until(lambda _old, new: new is HealthState.HEALTHY)


async def test_a_function_is_a_check(manager, heard):
    async def fine():
        return None

    manager.register_custom_checker("own", fine, config=QUICK)
    await manager.start()

    await heard(HealthOverallChanged, new="healthy", within_s=5)


async def test_a_look_may_be_asked_for(manager, checker):
    slow = HealthCheckConfig(interval=3600.0, timeout=1.0)
    manager.register_checker("auth", checker, config=slow)
    await manager.start()

    manager.check_soon("auth")

    async with asyncio.timeout(5.0):
        await checker.looked.wait()


def test_all_shipped_checkers_are_registered_by_name():
    manager = get_health_check_manager()
    manager.register_http_checker("http", "http://localhost:1/health")
    manager.register_tcp_checker("tcp", "localhost", 1)
    manager.register_redis_checker("redis", "redis://localhost:1")
    manager.register_database_checker(
        "postgresql",
        "postgresql://user:pass@localhost/db",
        config=HealthCheckConfig(interval=30.0, timeout=10.0),
    )

    assert list(manager.report().checks) == ["http", "postgresql", "redis", "tcp"]


async def test_kinds_that_are_switched_off_do_not_count():
    terms = HealthTerms(database_enabled=False, redis_enabled=False)
    manager = get_health_check_manager(terms)
    manager.register_redis_checker("redis", "redis://localhost:1")
    manager.register_database_checker("db", "postgresql://localhost/db")
    manager.register_tcp_checker("tcp", "localhost", 1)

    report = manager.report()

    assert list(report.checks) == ["tcp"]
    assert report.disabled == ("db", "redis")
    assert manager.history("db") == ()
    manager.check_soon("db")
    with pytest.raises(InvalidInput, match="already"):
        manager.register_tcp_checker("db", "localhost", 1)
    await manager.unregister("db")
    assert manager.report().disabled == ("redis",)


async def test_switched_off_altogether_nothing_runs(checker):
    manager = get_health_check_manager(HealthTerms(enabled=False))
    manager.register_checker("auth", checker, config=QUICK)

    await manager.start()
    await manager.stop()

    assert checker.looks == 0
    assert manager.report().disabled == ("auth",)


@pytest.mark.parametrize("name", ["", " a", 7])
def test_a_name_that_cannot_be_used_is_refused(checker, name):
    with pytest.raises(InvalidName, match="check"):
        get_health_check_manager().register_checker(name, checker)


def test_what_is_no_checker_is_refused():
    with pytest.raises(InvalidInput, match="has no check"):
        get_health_check_manager().register_checker("a", object())
    with pytest.raises(InvalidInput, match="cannot be called"):
        get_health_check_manager().register_custom_checker("a", "b")
