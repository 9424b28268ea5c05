"""The owner's rule, on views and times only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.reactions.actions import SetDegraded, ShedLanes
from quorate.reactions.rules.degraded_mode import (
    AUTHOR,
    DegradedTerms,
    degrade_when_a_dependency_fails,
)
from quorate.reactions.view import (
    DegradedLevel,
    Dependency,
    DependencyState,
    View,
)

TERMS = DegradedTerms(enter_after_s=2.0, leave_after_s=5.0, dwell_s=10.0)
SICK, WELL = DependencyState.UNHEALTHY, DependencyState.HEALTHY


def decide(view: View, now: float, terms: DegradedTerms = TERMS) -> list[object]:
    return list(degrade_when_a_dependency_fails(view, now, terms))


def a_view(state: DependencyState = WELL, since: float = 0.0, **facts: object) -> View:
    dependency = Dependency("records", state, since, message="no answer")
    return View(dependencies=(dependency,), **facts)  # type: ignore[arg-type]


def test_nothing_is_done_while_every_dependency_is_healthy():
    assert decide(a_view(WELL, shed_level=0), 100.0) == []


def test_a_dependency_that_stays_unhealthy_turns_it_on_and_names_the_cause():
    (action,) = decide(a_view(SICK, since=10.0), 12.0)

    assert isinstance(action, SetDegraded)
    assert action.on
    assert action.level is DegradedLevel.DEGRADED
    assert action.cause == "unhealthy: records (no answer)"


def test_a_short_sickness_does_not_turn_it_on():
    assert decide(a_view(SICK, since=10.0), 11.9) == []


def test_a_dependency_that_is_not_critical_does_not_turn_it_on():
    view = View(dependencies=(Dependency("mail", SICK, 0.0, critical=False),))

    assert decide(view, 100.0) == []


@pytest.mark.parametrize(
    ("state", "since", "changed_at", "now", "leaves"),
    [
        (WELL, 20.0, 0.0, 25.0, True),
        (WELL, 20.0, 0.0, 24.9, False),  # not well for long enough
        (WELL, 20.0, 16.0, 25.9, False),  # dwell is not over
        (WELL, 20.0, 16.0, 26.0, True),
        (SICK, 0.0, 0.0, 99.0, False),
        (DependencyState.UNKNOWN, 0.0, 0.0, 99.0, False),
    ],
)
def test_it_is_left_only_when_well_for_a_while_and_after_the_dwell(
    state: DependencyState, since: float, changed_at: float, now: float, leaves: bool
):
    view = a_view(state, since, degraded=True, set_by=AUTHOR, changed_at=changed_at)

    actions = decide(view, now)

    assert bool(actions) == leaves
    if leaves:
        assert actions == [
            SetDegraded(
                on=False,
                level=DegradedLevel.NORMAL,
                cause="healthy again: records (no answer)",
            )
        ]


def test_an_unknown_dependency_neither_turns_it_on_nor_off():
    assert decide(a_view(DependencyState.UNKNOWN), 99.0) == []


def test_the_low_lane_is_shed_while_it_is_on_and_taken_again_after():
    on = decide(a_view(SICK, since=0.0, shed_level=0), 50.0)
    off = decide(a_view(WELL, shed_level=1), 50.0)

    assert ShedLanes(level=1, cause="unhealthy: records (no answer)") in on
    assert off == [ShedLanes(level=0, cause="every dependency is healthy")]


def test_a_missed_change_of_the_lanes_heals_on_the_next_look():
    view = a_view(SICK, degraded=True, set_by=AUTHOR, changed_at=40.0, shed_level=0)

    (action,) = decide(view, 50.0)

    assert isinstance(action, ShedLanes)
    assert action.level == 1


def test_an_application_that_sets_the_value_itself_is_obeyed():
    set_by_app = a_view(SICK, degraded=False, set_by="app", shed_level=0)
    on_by_app = a_view(WELL, degraded=True, set_by="app", shed_level=0)

    assert decide(set_by_app, 50.0) == []
    assert decide(on_by_app, 50.0) == [
        ShedLanes(level=1, cause="service.degraded_mode was set by app")
    ]


@given(
    flips=st.lists(
        st.tuples(st.floats(0.01, 8.0), st.sampled_from(list(DependencyState))),
        max_size=60,
    )
)
def test_however_it_flaps_a_change_lasts_at_least_the_dwell(
    flips: list[tuple[float, DependencyState]],
):
    now, since, degraded, changed_at = 0.0, 0.0, False, float("-inf")
    state, turned_on_at = WELL, None
    for wait_s, new_state in flips:
        now += wait_s
        if new_state is not state:
            state, since = new_state, now
        view = a_view(state, since, degraded=degraded, changed_at=changed_at)
        for action in decide(view, now):
            assert isinstance(action, SetDegraded)
            assert action.on != degraded
            if action.on:
                turned_on_at = now
            elif turned_on_at is not None:
                assert now - turned_on_at >= TERMS.dwell_s
            degraded, changed_at = action.on, now
