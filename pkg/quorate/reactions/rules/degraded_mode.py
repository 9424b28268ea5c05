"""The owner's rule: an unhealthy dependency turns `service.degraded_mode` on. Pure.

Hysteresis on both sides (sick for a while before it is on, well for a while before it
is off) and a minimum dwell, so that a flapping dependency does not make the system
flap. While it is on, the low lane is shed.
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
    `dwell_s`: once on, it stays on for at least so long.
    """

    enter_after_s: float = 0.0
    leave_after_s: float = 5.0
    dwell_s: float = 10.0
    shed_level: int = 1


def is_left_to_application(view: View) -> bool:
    """Has the application set `service.degraded_mode` itself? Then it decides."""
    return view.set_by not in ("", AUTHOR)


def degrade_when_a_dependency_fails(
    view: View, now: float, terms: DegradedTerms
) -> Iterator[Action]:
    """What to do about `service.degraded_mode`, if anything."""
    if is_left_to_application(view):
        wanted = view.degraded
        cause = f"service.degraded_mode was set by {view.set_by}"
    else:
        wanted, cause = _wanted(view, now, terms)
        if wanted != view.degraded:
            level = DegradedLevel.DEGRADED if wanted else DegradedLevel.NORMAL
            yield SetDegraded(on=wanted, level=level, cause=cause)
    shed = terms.shed_level if wanted else 0
    if view.shed_level is not None and view.shed_level != shed:
        yield ShedLanes(level=shed, cause=cause)


def _wanted(view: View, now: float, terms: DegradedTerms) -> tuple[bool, str]:
    critical = view.critical()
    if view.degraded:
        if not critical or now - view.changed_at < terms.dwell_s:
            return True, "degraded, and not yet for long"
        if all(_is_well(each, now, terms) for each in critical):
            return False, _names("healthy again", critical)
        return True, "a dependency is not healthy yet"
    sick = [each for each in critical if _is_sick(each, now, terms)]
    if sick:
        return True, _names("unhealthy", tuple(sick))
    return False, "every dependency is healthy"


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
