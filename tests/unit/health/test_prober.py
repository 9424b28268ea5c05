import asyncio
import random

import pytest

from quorate.health.lag import LoopLag
from quorate.health.model import HealthCheckConfig, failed, passed, warned
from quorate.health.prober import Means, Prober
from quorate.verdict.model import HealthState

CONFIG = HealthCheckConfig(interval=1.0, timeout=0.5)


class Bench:
    """A prober, run by hand."""

    def __init__(self, checker, clock, config=CONFIG, history=5):
        self.clock = clock
        self.changes = []
        self.prober = Prober(
            "db",
            checker,
            config,
            Means(
                clock=clock,
                chance=random.Random(1),
                lag=LoopLag(clock),
                slots=asyncio.Semaphore(2),
                history=history,
                changed=lambda change, _report: self.changes.append(change),
            ),
        )

    async def looks(self, number):
        """So many looks, with the rests between them; the rests."""
        rests = []
        for _ in range(number):
            rests.append(await self.prober.tick())
            await self.clock.advance(rests[-1])
        return rests


@pytest.fixture
async def bench(checker, clock):
    return Bench(checker, clock)


def states(bench):
    return [(change.old.value, change.new.value) for change in bench.changes]


async def test_it_rests_somewhere_in_the_first_interval_before_it_looks(bench, checker):
    rests = await bench.looks(1)

    assert checker.looks == 0
    assert 0 <= rests[0] <= 1.0


async def test_the_first_success_makes_it_healthy(bench, clock):
    await bench.looks(2)

    report = bench.prober.report()
    assert report.state is HealthState.HEALTHY
    assert report.status.message == "ok"
    assert states(bench) == [("starting", "healthy")]
    change = bench.changes[0]
    assert (change.check, change.reason) == ("db", "the first success")
    assert 0 <= change.lasted_s <= 1.0
    assert report.since == change.at


async def test_it_looks_sooner_while_failures_count_up(bench, checker):
    await bench.looks(2)
    checker.breaks()

    rests = await bench.looks(4)

    assert all(rest < 0.3 for rest in rests[:2])
    assert all(rest > 0.8 for rest in rests[2:])
    assert states(bench)[-1] == ("healthy", "unhealthy")
    assert bench.prober.report().status.message == "refused"


async def test_a_dead_target_is_found_and_a_repaired_one_trusted_within_bounds(
    checker, clock
):
    """Refused: I(1+j) + (F-1)R(1+j) ≤ 1.65 s; back, with rise 2, ≤ 2.5 s."""
    bench = Bench(checker, clock)
    for seed in range(20):
        bench = Bench(checker, clock)
        bench.prober._means.chance.seed(seed)
        checker.works()
        await bench.looks(2)
        checker.breaks()
        broke_at = clock.monotonic()
        while bench.prober.verdict.state is not HealthState.UNHEALTHY:
            await bench.looks(1)
            found_at = bench.prober.verdict.since
        checker.works()
        fixed_at = clock.monotonic()
        while bench.prober.verdict.state is not HealthState.HEALTHY:
            await bench.looks(1)

        assert found_at - broke_at <= 1.65
        assert bench.prober.verdict.since - fixed_at <= 2.5


async def test_without_results_it_becomes_unknown_and_says_why(bench, clock):
    await bench.looks(2)

    await clock.advance(3.0)
    bench.prober.grow_old()

    report = bench.prober.report()
    assert report.state is HealthState.UNKNOWN
    assert report.status.message == "no result for more than 3 s"
    assert states(bench)[-1] == ("healthy", "unknown")


async def test_what_has_long_been_down_is_not_unknown_between_two_looks(
    bench, checker, clock
):
    checker.breaks()
    for _ in range(30):
        await bench.looks(1)
        bench.prober.grow_old()

    assert bench.prober.report().state is HealthState.UNHEALTHY


async def test_its_history_is_bounded(bench, checker):
    await bench.looks(4)
    checker.breaks()
    await bench.looks(3)

    history = bench.prober.history()

    assert [record.result.message for record in history] == ["ok"] * 2 + ["refused"] * 3
    assert [record.state.value for record in history][-1] == "unhealthy"


async def test_it_counts_what_it_finds(bench, checker):
    await bench.looks(3)
    checker.result = warned("slow")
    await bench.looks(1)
    checker.result = ValueError("no")
    await bench.looks(1)

    stats = bench.prober.stats()

    assert stats.looks == 4
    assert stats.by_outcome["success"] == 2
    assert stats.by_outcome["warning"] == 1
    assert stats.by_outcome["failure"] == 1
    assert stats.changes == 1


async def test_details_and_age_are_in_the_report(bench, checker, clock):
    checker.result = passed("fine", version="7.2")
    await bench.looks(2)
    await clock.advance(2.0)

    report = bench.prober.report()

    assert report.status.details == {"version": "7.2"}
    assert 2.0 <= report.state_for_s <= 4.0
    assert report.to_dict()["state_for_s"] == round(report.state_for_s, 3)


async def test_it_counts_the_time_that_looks_take(bench, checker, clock):
    async def take_long():
        await clock.advance(0.3)
        return passed()

    checker.check = take_long
    await bench.looks(3)

    assert bench.prober.stats().busy_s == pytest.approx(0.6)


async def test_it_waits_for_a_free_slot(bench, checker):
    await bench.looks(1)
    slots = bench.prober._means.slots
    await slots.acquire()
    await slots.acquire()
    look = asyncio.ensure_future(bench.prober.tick())
    await asyncio.sleep(0)
    looks_while_full = checker.looks

    slots.release()
    await asyncio.wait([look], timeout=1.0)

    assert (looks_while_full, checker.looks) == (0, 1)


async def test_it_closes_its_checker(bench, checker):
    await bench.prober.close()

    assert checker.closed == 1


async def test_beginning_again_forgets_the_verdict(bench, checker):
    checker.breaks()
    await bench.looks(2)

    bench.prober.begin()

    assert bench.prober.verdict.state is HealthState.STARTING
    assert await bench.prober.tick() <= 1.0
    assert checker.looks == 1


async def test_a_thousand_alternating_results_change_the_verdict_once(bench, checker):
    await bench.looks(2)
    for number in range(1000):
        checker.result = failed("no") if number % 2 else passed()
        await bench.looks(1)

    assert states(bench)[1:] == [("healthy", "degraded")]
    assert bench.prober.report().flapping
