"""The owner's rule: an unhealthy dependency turns `service.degraded_mode` on. Pure.

Hysteresis on both sides (sick for a while before it is on, well for a while before it
is off) and a minimum dwell, so that a flapping dependency does not make the system
flap. While it is on, the low lane is shed; if it lasts, or an application says so, the
normal lane too (survival). Back it goes step by step, a dwell each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quorate.reactions.actions import Action, SetDegraded, ShedLanes
from quorate.reactions.view import DegradedLevel, Dependency, DependencyState, View

AUTHOR = "quorate.reactions"


@dataclass(frozen=True, slots=True)
class DegradedTerms:
    """How quick the rule is, in seconds, and how many of the lanes it sheds.

    `enter_after_s`: a critical dependency must have been unhealthy for so long.
    `leave_after_s`: every critical dependency must have been healthy for so long.
    `dwell_s`: each level lasts for at least so long.
    `deepen_after_s`: degraded so long with a dependency unhealthy, it is survival; 0 is
    never.
    """

    enter_after_s: float = 0.0
    leave_after_s: float = 5.0
    dwell_s: float = 10.0
    deepen_after_s: float = 60.0


def is_left_to_application(view: View) -> bool:
    """Has the application set the mode or the level itself? Then it decides."""
    return view.set_by not in ("", AUTHOR) or view.told is not None


def degrade_when_a_dependency_fails(
    view: View, now: float, terms: DegradedTerms
) -> Iterator[Action]:
    """What to do about `service.degraded_mode`, if anything."""
    if is_left_to_application(view):
        wanted = _told(view)
        cause = f"service.degraded_mode was set by {view.set_by}"
        if view.told is not None:
            cause = f"service.degraded_level was set to {view.told}"
    else:
        wanted, cause = _wanted(view, now, terms)
        if wanted is not view.stands:
            on = wanted is not DegradedLevel.NORMAL
            yield SetDegraded(on=on, level=wanted, cause=cause)
    if view.shed_level is not None and view.shed_level != wanted.shed:
        yield ShedLanes(level=wanted.shed, cause=cause)


def _told(view: View) -> DegradedLevel:
    if view.told is not None:
        return view.told
    return DegradedLevel.DEGRADED if view.degraded else DegradedLevel.NORMAL


def _wanted(view: View, now: float, terms: DegradedTerms) -> tuple[DegradedLevel, str]:
    critical, stands = view.critical(), view.stands
    if stands is DegradedLevel.NORMAL:
        sick = [each for each in critical if _is_sick(each, now, terms)]
        if sick:
            return DegradedLevel.DEGRADED, _names("unhealthy", tuple(sick))
        return DegradedLevel.NORMAL, "every dependency is healthy"
    if not critical or now - view.changed_at < terms.dwell_s:
        return stands, "degraded, and not yet for long"
    if all(_is_well(each, now, terms) for each in critical):
        back = (
            DegradedLevel.DEGRADED
            if stands is DegradedLevel.SURVIVAL
            else DegradedLevel.NORMAL
        )
        return back, _names("healthy again", critical)
    unhealthy = tuple(
        each for each in critical if each.state is DependencyState.UNHEALTHY
    )
    is_lasting = now - view.lasts_since >= terms.deepen_after_s > 0
    if unhealthy and is_lasting:
        return DegradedLevel.SURVIVAL, _names("unhealthy for long", unhealthy)
    return stands, "a dependency is not healthy yet"


def _is_sick(dependency: Dependency, now: float, terms: DegradedTerms) -> bool:
    unhealthy = dependency.state is DependencyState.UNHEALTHY
    return unhealthy and now - dependency.since >= terms.enter_after_s


def _is_well(dependency: Dependency, now: float, terms: DegradedTerms) -> bool:
    healthy = dependency.state is DependencyState.HEALTHY
    return healthy and now - dependency.since >= terms.leave_after_s


def _names(what: str, dependencies: tuple[Dependency, ...]) -> str:
    parts = [
        f"{each.name} ({each.message})" if each.message else each.name
        for each in dependencies
    ]
    return f"{what}: {', '.join(parts)}"
