"""The engine with hands that only remember."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from quorate.core.errors import LockLostError, StoreUnavailable
from quorate.core.events import Event
from quorate.reactions.engine import BEAT_S, IDLE_S, ReactionEngine
from quorate.reactions.events import (
    DegradedLevelChanged,
    DegradedModeEntered,
    DegradedModeLeft,
    LanesShed,
    ReactorElected,
    RuleSuspended,
)
from quorate.reactions.hands import Stored
from quorate.reactions.rules.degraded_mode import AUTHOR, DegradedTerms
from quorate.reactions.view import Dependency, DependencyState


class AnOffice:
    token = 7

    def __init__(self) -> None:
        self.is_lost = False

    def check(self) -> None:
        if self.is_lost:
            raise LockLostError("lost")


class HandsThatRemember:
    def __init__(self) -> None:
        self.state = DependencyState.HEALTHY
        self.since = 0.0
        self.has_checks = True
        self.now_stored = Stored(value=False, author="")
        self.level: int | None = 0
        self.comments: list[str] = []
        self.offices: list[AnOffice] = []
        self.is_away = False

    def dependencies(self) -> tuple[Dependency, ...]:
        return (
            (Dependency("records", self.state, self.since),) if self.has_checks else ()
        )

    @asynccontextmanager
    async def office(self) -> AsyncIterator[AnOffice]:
        self.offices.append(AnOffice())
        yield self.offices[-1]

    async def stored(self) -> Stored:
        if self.is_away:
            raise StoreUnavailable("away")
        return self.now_stored

    async def store(self, values: dict[str, object], comment: str) -> int:
        on, level = values["service.degraded_mode"], values["service.degraded_level"]
        self.now_stored = Stored(bool(on), AUTHOR, str(level), AUTHOR)
        self.comments.append(comment)
        return len(self.comments)

    async def shed_level(self) -> int | None:
        return self.level

    async def shed(self, level: int) -> None:
        self.level = level


class StillClock:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, delay_s: float) -> None:
        self.at += delay_s


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def hands() -> HandsThatRemember:
    return HandsThatRemember()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def engine(hands, clock, heard) -> ReactionEngine:
    terms = DegradedTerms(enter_after_s=0.0, leave_after_s=5.0, dwell_s=10.0)
    return ReactionEngine(hands, terms, emit=heard.append, clock=clock)


async def test_a_process_without_checks_does_not_stand_for_the_office(engine, hands):
    hands.has_checks = False

    assert await engine.tick() == IDLE_S
    assert hands.offices == []
    assert not engine.is_in_office


async def test_it_degrades_sheds_and_comes_back_by_itself(engine, hands, clock, heard):
    assert await engine.tick() == BEAT_S
    hands.state, hands.since = DependencyState.UNHEALTHY, clock.at
    await engine.tick()
    assert hands.now_stored == Stored(True, AUTHOR, "degraded", AUTHOR)
    assert hands.level == 1

    hands.state, hands.since = DependencyState.HEALTHY, clock.at
    clock.at += 9.0
    await engine.tick()
    assert hands.now_stored.value
    clock.at += 1.0
    await engine.tick()

    assert not hands.now_stored.value
    await engine.tick()
    assert hands.level == 0
    kinds = [type(event) for event in heard]
    assert kinds == [
        ReactorElected,
        DegradedModeEntered,
        LanesShed,
        DegradedModeLeft,
        LanesShed,
    ]
    assert hands.comments == ["unhealthy: records", "healthy again: records"]


async def test_what_lasts_becomes_survival_and_comes_back_step_by_step(
    engine, hands, clock, heard
):
    hands.state, hands.since = DependencyState.UNHEALTHY, clock.at
    levels = []
    for _ in range(61):
        await engine.tick()
        levels.append(hands.level)
        clock.at += 1.0
    hands.state, hands.since = DependencyState.HEALTHY, clock.at
    for _ in range(30):
        await engine.tick()
        levels.append(hands.level)
        clock.at += 1.0

    assert levels[0] == 1
    assert levels[59:62] == [1, 2, 2]
    steps = [
        level for n, level in enumerate(levels) if n == 0 or levels[n - 1] != level
    ]
    assert steps == [1, 2, 1, 0]
    (deeper, shallower) = [e for e in heard if isinstance(e, DegradedLevelChanged)]
    assert (deeper.level_was, deeper.level_is) == ("degraded", "survival")
    assert deeper.cause == "unhealthy for long: records"
    assert (shallower.level_was, shallower.level_is) == ("survival", "degraded")
    assert levels.index(1, 61) - 61 >= 9
    assert sum(level == 1 for level in levels[61:]) >= 10


async def test_a_new_reactor_does_not_deepen_at_once(hands, clock, heard):
    """It has only begun to look; how long it was so before, it does not know."""
    hands.state, hands.since = DependencyState.UNHEALTHY, 0.0
    hands.now_stored = Stored(True, AUTHOR, "degraded", AUTHOR)
    engine = ReactionEngine(hands, DegradedTerms(), emit=heard.append, clock=clock)

    await engine.tick()
    assert hands.level == 1

    clock.at += 60.0
    await engine.tick()
    await engine.tick()
    assert hands.level == 2


@pytest.mark.parametrize(
    ("level", "shed"), [("survival", 2), ("degraded", 1), ("normal", 0)]
)
async def test_an_application_may_say_how_much_is_left_undone(
    engine, hands, heard, level, shed
):
    hands.now_stored = Stored(False, "", level, "operator")
    hands.level = 3

    await engine.tick()

    assert hands.level == shed
    assert hands.comments == []
    (suspended,) = [e for e in heard if isinstance(e, RuleSuspended)]
    assert suspended.set_by == "operator"


async def test_it_writes_once_and_not_on_every_look(engine, hands):
    hands.state = DependencyState.UNHEALTHY

    for _ in range(5):
        await engine.tick()

    assert len(hands.comments) == 1


async def test_an_office_that_is_lost_is_taken_anew_before_anything_is_done(
    engine, hands
):
    await engine.tick()
    hands.offices[0].is_lost = True

    await engine.tick()

    assert len(hands.offices) == 2


async def test_losing_the_office_while_looking_stops_the_writing(engine, hands):
    hands.state = DependencyState.UNHEALTHY
    looked = hands.stored

    async def lose_while_looking() -> Stored:
        hands.offices[-1].is_lost = True
        return await looked()

    hands.stored = lose_while_looking
    with pytest.raises(LockLostError):
        await engine.tick()

    assert hands.comments == []
    assert not engine.is_in_office


async def test_a_value_set_by_the_application_suspends_the_rule_once_visibly(
    engine, hands, heard
):
    hands.now_stored = Stored(value=False, author="billing-app")
    hands.state = DependencyState.UNHEALTHY

    await engine.tick()
    await engine.tick()

    assert engine.is_suspended
    suspended = [event for event in heard if isinstance(event, RuleSuspended)]
    assert [event.set_by for event in suspended] == ["billing-app"]
    assert hands.comments == []


async def test_a_store_that_is_away_is_the_roles_failure_and_heals(engine, hands):
    hands.is_away = True
    with pytest.raises(StoreUnavailable):
        await engine.tick()

    hands.is_away = False
    assert await engine.tick() == BEAT_S


async def test_starting_and_stopping_gives_the_office_up(engine, hands):
    await engine.start()
    engine.wake()
    await engine.stop()
    await engine.stop()

    assert not engine.is_in_office
