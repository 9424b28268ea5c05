"""Whether something keeps changing its mind.

The score is the share of changes among the last 21 results, where recent changes weigh
up to 1.25 and old ones down to 0.75. Above 20 % it flaps, until it falls below 5 %.
Source: Nagios Core, "Detection and Handling of State Flapping". Pure.
"""

from __future__ import annotations

from itertools import pairwise

WINDOW = 21
HIGH = 0.20
LOW = 0.05

_CHANGES = WINDOW - 1
_WEIGHTS = tuple(0.75 + 0.5 * place / (_CHANGES - 1) for place in range(_CHANGES))


def remember(answers: tuple[bool, ...], newest: bool) -> tuple[bool, ...]:  # noqa: FBT001
    """The last results with one more, the oldest first, at most 21."""
    return (*answers, newest)[-WINDOW:]


def score(answers: tuple[bool, ...]) -> float:
    """From 0.0 (steady) to 1.0 (every result differs from the one before).

    Results that there are not yet count as unchanged.
    """
    weights = _WEIGHTS[_CHANGES - (len(answers) - 1) :] if len(answers) > 1 else ()
    pairs = pairwise(answers)
    changed = sum(w for w, (a, b) in zip(weights, pairs, strict=True) if a != b)
    return changed / _CHANGES


def is_flapping(answers: tuple[bool, ...], *, before: bool) -> bool:
    """Whether it flaps now, given whether it did before."""
    return score(answers) >= (LOW if before else HIGH)
