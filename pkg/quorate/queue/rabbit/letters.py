"""A task as a message, and back.

The body is the envelope; what has happened to the task so far stands in headers, since
a message cannot be changed: each try, and each giving back, is a new copy. `turn` says
which copy this is, so that an older one that comes again is known as such.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from quorate.core.codec import Json
from quorate.queue.model import LANES, Lease
from quorate.queue.ports import Parcel

PERSISTENT = 2
FORGIVEN = 1
"""A worker that died and a cut connection look the same to the broker. So the first
return is no crash."""


@dataclass(frozen=True, slots=True)
class Record:
    """What happened to a task before this copy of it was sent."""

    lane: int
    turn: int = 0
    failures: int = 0
    crashes: int = 0
    bounces: int = 0


FRESH = tuple(Record(lane) for lane in range(LANES))


@dataclass(frozen=True, slots=True)
class Letter:
    """One delivered copy: what it says, and where to acknowledge it."""

    id: str
    record: Record
    envelope: bytes
    returns: int
    message: DeliveredMessage
    came_at: float = 0.0

    def crashes_but(self, survived: int) -> int:
        """Workers that died under it, as far as can be told.

        `survived` of its returns were cut connections: nobody died.
        """
        return self.record.crashes + max(0, self.returns - survived - FORGIVEN)

    def lease(self, session: str, token: int, crashes: int) -> Lease:
        """The claim of `session` on it."""
        record = self.record
        return Lease(
            self.id,
            session,
            token,
            record.lane,
            self.envelope,
            record.failures,
            crashes,
            record.bounces,
        )


def properties_of(task_id: str, record: Record) -> Basic.Properties:
    """The properties of a message."""
    return Basic.Properties(
        message_id=task_id,
        delivery_mode=PERSISTENT,
        content_type="application/octet-stream",
        headers=_headers(record),
    )


def fresh(parcel: Parcel) -> Basic.Properties:
    """Of a task that is enqueued now."""
    return properties_of(parcel.id, FRESH[parcel.lane])


def read(message: DeliveredMessage, lane: int, now: float = 0.0) -> Letter:
    """What came, and when. Foreign messages are read too: with an empty record."""
    properties = message.header.properties
    headers = properties.headers or {}
    record = Record(
        lane=lane,
        turn=_whole(headers.get("q-turn")),
        failures=_whole(headers.get("q-failures")),
        crashes=_whole(headers.get("q-crashes")),
        bounces=_whole(headers.get("q-bounces")),
    )
    task_id = properties.message_id or f"foreign-{message.delivery_tag}"
    returns = _whole(headers.get("x-delivery-count"))
    return Letter(task_id, record, message.body, returns, message, now)


def lane_of(message: DeliveredMessage) -> int:
    """The lane that a dead letter came from."""
    lane = _whole((message.header.properties.headers or {}).get("q-lane"))
    return lane if lane < LANES else 1


def _headers(record: Record) -> dict[str, Json]:
    headers: dict[str, Json] = {"q-lane": record.lane}
    marks = {
        "q-turn": record.turn,
        "q-failures": record.failures,
        "q-crashes": record.crashes,
        "q-bounces": record.bounces,
    }
    headers.update({name: mark for name, mark in marks.items() if mark})
    return headers


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return 0
    return value
