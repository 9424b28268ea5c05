"""Failpoints strike where and when the plan says, and nowhere else."""

from __future__ import annotations

import time

import pytest

from quorate.core.clock import Chance
from quorate.core.errors import InvalidSettings
from quorate.core.failpoint import arm, failpoint
from quorate.core.lifecycle import Tasks
from quorate.testing.clock import ManualClock
from quorate.testing.failpoints import (
    VARIABLE,
    FailpointError,
    Failpoints,
    Plan,
    Rule,
    arm_from,
    armed,
    parse,
)


def test_a_plan_is_read_from_text() -> None:
    plan = parse(
        "queue.after_claim=kill@3; wire.before_send=sleep:0.2~0.1\n"
        "lease.*=raise@2+;seed=42; a=stall:1;"
    )

    assert plan == Plan(
        (
            Rule("queue.after_claim", "kill", nth=3),
            Rule("wire.before_send", "sleep", seconds=0.2, share=0.1),
            Rule("lease.*", "raise", nth=2, onwards=True),
            Rule("a", "stall", seconds=1.0),
        ),
        seed=42,
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a", "is not point=action"),
        ("a=kil", "did you mean kill?"),
        ("a=explode", "use kill, sleep, stall, raise"),
        ("a=sleep", "sleep needs its seconds"),
        ("a=kill:1", "kill takes no seconds"),
        ("a=raise@0", "hits are counted from 1"),
        ("a=raise~2", "at most 1"),
        ("a=raise~0", "above 0"),
        ("seed=x", "use kill"),
    ],
)
def test_a_fault_in_the_plan_is_named(text: str, fault: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(text)

    assert fault in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse("a=kil; b=raise; c")

    assert len(caught.value.faults) == 2


async def test_the_nth_hit_is_struck_and_no_other() -> None:
    with armed("step=raise@2") as points:
        await failpoint("step")
        await failpoint("other")
        with pytest.raises(FailpointError, match="step"):
            await failpoint("step")
        await failpoint("step")

    assert points.hits == {"step": 3, "other": 1}
    assert points.struck == {"step": 1}


async def test_wildcards_and_onwards_strike_more() -> None:
    told: list[tuple[str, str]] = []
    with armed("q.*=sleep:0@2+", told=lambda *fact: told.append(fact)):
        for _ in range(3):
            await failpoint("q.a")
            await failpoint("r.a")

    assert told == [("q.a", "sleep")] * 2


def test_a_share_of_the_hits_is_struck_the_same_way_for_the_same_seed() -> None:
    def struck(seed: int) -> list[int]:
        chance = Chance(seed)
        rule = Rule("a", "raise", share=0.3)
        return [hit for hit in range(1000) if rule.strikes(hit, chance)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 200 < len(struck(1)) < 400


async def test_sleep_lets_others_run_and_stall_does_not(clock: ManualClock) -> None:
    tasks = Tasks()
    points = Failpoints(parse("a=sleep:3; b=stall:0.01"), clock=clock)

    sleeper = tasks.spawn(points.strike("a"), "sleeper")
    await clock.advance(2)
    assert not sleeper.done()
    await clock.advance(1)
    assert sleeper.done()
    began = time.monotonic()
    await points.strike("b")

    assert time.monotonic() - began >= 0.01
    await tasks.close()


async def test_kill_ends_this_process() -> None:
    killed: list[bool] = []
    points = Failpoints(parse("a=kill"), kill=lambda: killed.append(True))

    await points.strike("a")

    assert killed == [True]


async def test_a_failpoint_is_silent_unless_armed() -> None:
    with armed("a=raise"):
        pass

    await failpoint("a")


async def test_the_environment_arms_only_when_asked() -> None:
    assert arm_from({}) is None
    assert arm_from({VARIABLE: "  "}) is None

    points = arm_from({VARIABLE: "a=raise"})
    try:
        with pytest.raises(FailpointError):
            await failpoint("a")
    finally:
        arm(None)

    assert points is not None
    assert points.struck == {"a": 1}
