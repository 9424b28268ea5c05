"""How old a waiting task is, as its id tells."""

from __future__ import annotations

from quorate.core.ids import born_at

from .lanes import Counts, Sight


def seen(depths: Counts, heads: tuple[str, str, str], now_s: float) -> Sight:
    """What a look at the lanes tells: `heads` are the first task ids, or empty."""
    ages = [age_of(head, now_s) for head in heads]
    return Sight(depths, (ages[0], ages[1], ages[2]))


def age_of(task_id: str, now_s: float) -> float | None:
    """Seconds since the birth of a task; None if its id does not tell."""
    if len(task_id) != 32 or task_id[12] != "7":
        return None
    try:
        return max(0.0, now_s - born_at(task_id))
    except ValueError:
        return None
