from itertools import pairwise

import pytest

from quorate.health.events import HealthObserverStalled
from quorate.health.lag import LoopLag


async def test_a_loop_that_runs_loses_no_time(clock):
    lag = LoopLag(clock)
    begun = lag.observed()

    for _ in range(20):
        await clock.advance(await lag.tick())

    assert lag.stalled_s() == 0.0
    assert lag.observed() - begun == pytest.approx(2.0)


async def test_time_for_which_the_loop_stood_still_does_not_pass(clock):
    lag = LoopLag(clock)
    await lag.tick()
    begun = lag.observed()

    await clock.advance(5.0)
    before_the_meter_noticed = lag.observed()
    await lag.tick()

    assert lag.stalled_s() == pytest.approx(4.88)
    assert before_the_meter_noticed == pytest.approx(lag.observed())
    assert lag.observed() - begun == pytest.approx(0.12)


async def test_observed_time_never_goes_back(clock):
    lag = LoopLag(clock)
    await lag.tick()
    seen = [lag.observed()]

    for number in range(400):
        await clock.advance(0.013)
        seen.append(lag.observed())
        if number % 37 == 0:
            await lag.tick()
            seen.append(lag.observed())

    assert all(a <= b + 1e-9 for a, b in pairwise(seen))


async def test_a_long_stall_is_told(clock):
    events = []
    lag = LoopLag(clock, events.append)
    await lag.tick()
    await clock.advance(0.5)
    await lag.tick()

    await clock.advance(2.12)
    await lag.tick()

    assert events == [HealthObserverStalled(stalled_s=2.0)]


async def test_time_in_which_nobody_measures_is_not_lost(clock):
    lag = LoopLag(clock)
    await lag.tick()
    await clock.advance(1.12)
    lag.rest()

    await clock.advance(60.0)
    await lag.tick()

    assert lag.stalled_s() == pytest.approx(1.0)
