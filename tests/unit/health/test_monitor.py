import asyncio
import random

import pytest

from quorate.core.errors import InvalidInput
from quorate.health.events import HealthChanged
from quorate.health.model import HealthCheckConfig, HealthTerms
from quorate.health.monitor import HealthMonitor
from quorate.verdict.model import HealthState

QUICK = HealthCheckConfig(interval=0.01, timeout=1.0)


@pytest.fixture
async def monitor(heard):
    monitor = HealthMonitor(emit=heard.emit, chance=random.Random(1))
    yield monitor
    async with asyncio.timeout(5.0):
        await monitor.stop()


async def looked(checker):
    checker.looked.clear()
    async with asyncio.timeout(5.0):
        await checker.looked.wait()


async def test_it_runs_every_check_and_tells_of_changes(monitor, scripted, heard):
    good, bad = scripted(), scripted(ConnectionError("away"))
    monitor.add("good", good, QUICK)
    monitor.add("bad", bad, QUICK)

    await monitor.start()

    assert await heard(HealthChanged, check="good", new="healthy", within_s=5)
    event = await heard(HealthChanged, check="bad", new="unhealthy", within_s=5)
    assert event.message == "ConnectionError: away"
    assert {report.name: report.state.value for report in monitor.reports()} == {
        "good": "healthy",
        "bad": "unhealthy",
    }


async def test_a_check_never_overlaps_with_itself(monitor, scripted):
    checker = scripted()
    monitor.add("a", checker, QUICK)
    await monitor.start()

    for _ in range(5):
        monitor.check_soon("a")
        await looked(checker)

    assert checker.most_inside == 1


async def test_a_check_may_be_added_and_removed_while_it_runs(monitor, scripted, heard):
    await monitor.start()
    checker = scripted()
    monitor.add("late", checker, QUICK)
    await heard(HealthChanged, check="late", new="healthy", within_s=5)

    await monitor.remove("late")

    assert not any("late" in task.get_name() for task in asyncio.all_tasks())
    assert checker.closed == 1
    assert monitor.reports() == ()
    monitor.add("late", checker, QUICK)


async def test_what_hangs_delays_nobody_else(monitor, scripted, heard):
    class Hanging:
        async def check(self):
            await asyncio.Event().wait()

    monitor.add("hanging", Hanging(), HealthCheckConfig(interval=0.01, timeout=60.0))
    monitor.add("good", scripted(), QUICK)

    await monitor.start()

    await heard(HealthChanged, check="good", new="healthy", within_s=5)


async def test_a_frozen_prober_is_noticed(clock, heard, checker):
    monitor = HealthMonitor(emit=heard.emit, clock=clock)
    monitor.add("db", checker, HealthCheckConfig(interval=1.0, timeout=1.0))
    prober = monitor.prober("db")
    await prober.tick()
    await prober.tick()
    healthy = monitor.reports()[0].state

    await clock.advance(3.1)
    rest_s = await monitor.tick()

    assert healthy is HealthState.HEALTHY
    assert monitor.reports()[0].state is HealthState.UNKNOWN
    assert rest_s == 0.25


async def test_what_ignores_its_deadline_becomes_unknown_by_itself(monitor, heard):
    gate = asyncio.Event()

    class Deaf:
        async def check(self):
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    continue

    monitor.add("deaf", Deaf(), HealthCheckConfig(interval=0.02, timeout=0.02))
    await monitor.start()

    event = await heard(HealthChanged, check="deaf", new="unknown", within_s=5)
    gate.set()

    assert event.reason == "no result for more than 0.06 s"


async def test_it_measures_its_own_stalls(monitor):
    await monitor.start()

    assert any(task.get_name() == "role lag meter" for task in asyncio.all_tasks())


async def test_it_stops_all_looks_and_may_start_again(monitor, checker, heard):
    monitor.add("a", checker, QUICK)
    await monitor.start()
    await monitor.start()
    await looked(checker)

    await monitor.stop()
    await monitor.stop()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    closed = checker.closed
    await monitor.start()
    await looked(checker)

    assert left == set()
    assert closed == 1


async def test_a_stop_does_not_wait_for_a_look(monitor):
    looking = asyncio.Event()

    class Hanging:
        async def check(self):
            looking.set()
            await asyncio.Event().wait()

    monitor.add("a", Hanging(), HealthCheckConfig(interval=0.01, timeout=60.0))
    await monitor.start()

    async with asyncio.timeout(5.0):
        await looking.wait()
        await monitor.stop()


def test_a_name_that_is_taken_is_refused(checker):
    monitor = HealthMonitor(HealthTerms())
    monitor.add("db", checker, QUICK)

    with pytest.raises(InvalidInput, match="already"):
        monitor.add("db", checker, QUICK)


async def test_a_check_that_is_not_there_is_named(checker):
    monitor = HealthMonitor()
    monitor.add("db", checker, QUICK)

    with pytest.raises(InvalidInput, match=r"no check 'bd'.\n  There are: db"):
        monitor.prober("bd")
    with pytest.raises(InvalidInput, match="no check"):
        await monitor.remove("bd")
    with pytest.raises(InvalidInput, match="no check"):
        monitor.check_soon("bd")
    monitor.check_soon("db")
