"""How tasks, claims and times are written on the wire to a Redis server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from quorate.queue.ages import seen
from quorate.queue.guards import GUARDED
from quorate.queue.lanes import Sight
from quorate.queue.model import Lease, MoveKind
from quorate.queue.ports import Finished, Parcel

FORGOTTEN_AFTER_S = 60.0
"""Even a task whose result nobody wants is remembered so long, so that a producer that
repeats itself does not start it again."""


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


def settlement(session: str, finished: Finished) -> tuple[str | bytes | int, ...]:
    """A finished task in five words.

    A capital letter has its notes removed, and what follows it set off or called off; a
    ! behind it has its guards looked at. The second is the claim as the server has it,
    under the session that settles: who settles the task of another is refused.
    """
    lease, move, is_marked = finished
    is_marked = is_marked or lease.has_record
    claim = f"{session}|{lease.token}|{lease.lane}|1"
    guarded = "!" if lease.envelope.startswith(GUARDED) else ""
    match move.kind:
        case MoveKind.DONE:
            keep_ms = milliseconds(max(FORGOTTEN_AFTER_S, move.keep_s))
            body = b"d" + move.body if move.keep_s > 0 or is_marked else b"d"
            return lease.id, claim, ("D" if is_marked else "d") + guarded, keep_ms, body
        case MoveKind.CANCELLED:
            return lease.id, claim, "C" + guarded, milliseconds(move.keep_s), b"c"
        case MoveKind.HELD:
            return lease.id, claim, "h" + guarded, move.body, ""
        case MoveKind.DEAD:
            return lease.id, claim, "X" + guarded, 0, move.body
        case MoveKind.RETRY | MoveKind.BACK as kind:
            failures, crashes, bounces = move.record
            record = f"{failures}|{bounces}|{crashes}" if any(move.record) else ""
            code = "r" if kind is MoveKind.RETRY else "b"
            code = (code.upper() if is_marked else code) + guarded
            rest: int | str = milliseconds(move.delay_s)
            if move.at is not None:
                rest = f"={milliseconds(move.at)}"
            why = record.encode() + b"\n" + move.body if move.body else record
            return lease.id, claim, code, rest, why


def leases(session: str, claims: list[bytes | int]) -> tuple[Lease, ...]:
    """Claims, five words each."""
    found = []
    words = iter(claims)
    for name, token, lane, record, envelope in zip(
        words, words, words, words, words, strict=True
    ):
        marks = (0, 0, 0)
        if record:
            failures, bounces, crashes = cast("bytes", record).split(b"|")
            marks = (int(failures), int(crashes), int(bounces))
        found.append(
            Lease(
                cast("bytes", name).decode(),
                session,
                int(token),
                cast("int", lane),
                cast("bytes", envelope),
                *marks,
            )
        )
    return tuple(found)


def sight_of(words: list[bytes | int]) -> Sight:
    """Depths, first ids and the time."""
    high, normal, low, *rest = words
    *heads, now_ms = rest
    first, second, third = (cast("bytes", head).decode() for head in heads)
    return seen(
        (cast("int", high), cast("int", normal), cast("int", low)),
        (first, second, third),
        cast("int", now_ms) / 1000,
    )


def milliseconds(seconds: float) -> int:
    """Seconds as the server counts them; nothing is below zero."""
    return max(0, round(seconds * 1000))
