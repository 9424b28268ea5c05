"""How tasks and times are written for the scripts."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.queue.ports import Parcel


def put_in_words(queue: str, parcels: Sequence[Parcel]) -> list[str | bytes | int]:
    """What enqueue.lua, and whatever includes it, is given."""
    words: list[str | bytes | int] = [queue]
    for parcel in parcels:
        name, lane, delay_s, envelope, at = parcel
        due: int | str = 0
        if at is not None:
            due = f"={milliseconds(at)}"
        elif delay_s:
            due = milliseconds(delay_s)
        words += (name, lane, due, envelope)
    return words


def milliseconds(seconds: float) -> int:
    """Seconds as the server counts them; nothing is below zero."""
    return max(0, round(seconds * 1000))
