"""The tasks that were set aside on a RabbitMQ. Satisfies `DeadLetters`.

They lie in a queue, so they are read from its beginning: the oldest first. While they
are read others do not see them; what is not taken is put back as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiormq.abc import AbstractChannel as Wire
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from quorate.core.codec import Json, decode
from quorate.core.errors import InvalidInput, InvalidPayload
from quorate.queue.decide import death_note
from quorate.queue.envelope import read_header, read_payload
from quorate.queue.guards import Rate
from quorate.queue.model import PRIORITIES, DeadReason
from quorate.queue.views import DeadLetter, Which
from quorate.wire.rabbit_publisher import Message

from .letters import PERSISTENT, Letter, Record, lane_of, read
from .sending import Sending

MOST_READ = 10_000
READ_WITHIN_S = 60.0
BACK_WITHIN = 100
"""So many looks."""

Take = Callable[[Wire, DeliveredMessage], Awaitable[bool]]
"""What to do with a dead letter; True if it is taken out."""


class RabbitDeadLetters:
    """The dead letters of one task queue."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending

    async def list(self, *, first: int = 0, most: int = 100) -> tuple[DeadLetter, ...]:
        found: list[DeadLetter] = []

        async def look(_wire: Wire, message: DeliveredMessage) -> bool:
            found.append(described(message))
            return False

        await self._go_through(look, min(first + most, MOST_READ))
        return tuple(found[first : first + most])

    async def replay(
        self,
        which: Which | Sequence[str] | None = None,
        *,
        rate: Rate | None = None,
        dry_run: bool = False,
    ) -> int:
        """Under a rate they become ready in whole seconds, a second's worth at once."""
        chosen, gap_s = _chosen(which), rate.interval_us / 1e6 if rate else 0.0
        count = 0

        async def revive(wire: Wire, message: DeliveredMessage) -> bool:
            nonlocal count
            if not _fits(chosen, message):
                return False
            count += 1
            if dry_run:
                return False
            letter = read(message, lane_of(message))
            record = Record(letter.record.lane, letter.record.turn + 1)
            delay_s = float(int((count - 1) * gap_s))
            await self._sending.copies([(letter.id, record, letter.envelope, delay_s)])
            await wire.basic_ack(message.delivery_tag or 0)
            return True

        await self._go_through(revive, MOST_READ)
        return count

    async def purge(
        self, which: Which | Sequence[str] | None = None, *, dry_run: bool = False
    ) -> int:
        chosen, count = _chosen(which), 0

        async def forget(wire: Wire, message: DeliveredMessage) -> bool:
            nonlocal count
            if not _fits(chosen, message):
                return False
            count += 1
            if not dry_run:
                await wire.basic_ack(message.delivery_tag or 0)
            return not dry_run

        await self._go_through(forget, MOST_READ)
        return count

    async def _go_through(self, take: Take, most: int) -> int:
        """Show each dead letter to `take`, the oldest first. Returns how many went."""
        await self._sending.ensure()
        name = self._sending.topology.dead.name

        async def read_all(wire: Wire) -> int:
            taken = left = last_left = 0
            answer = await wire.queue_declare(name, passive=True)
            for _ in range(min(most, answer.message_count or 0)):
                message = await wire.basic_get(name)
                if message.delivery_tag is None:
                    break
                if await take(wire, message):
                    taken += 1
                else:
                    left, last_left = left + 1, message.delivery_tag
            if left:
                await wire.basic_nack(last_left, multiple=True, requeue=True)
                await self._are_back(wire, name, left)
            return taken

        return await self._sending.ask(read_all, READ_WITHIN_S)

    async def _are_back(self, wire: Wire, name: str, count: int) -> None:
        """Until who looks next will find them again; not for long: others may look."""
        for _ in range(BACK_WITHIN):
            answer = await wire.queue_declare(name, passive=True)
            if (answer.message_count or 0) >= count:
                return
            await self._sending.pause()


def burial(name: str, letter: Letter, note: bytes, now_s: float) -> Message:
    """The message that sets a task aside."""
    record = letter.record
    headers: dict[str, Json] = {
        "q-lane": record.lane,
        "q-turn": record.turn + 1,
        "q-died": int(now_s * 1000),
        "q-note": note.decode(),
    }
    properties = Basic.Properties(
        message_id=letter.id, delivery_mode=PERSISTENT, headers=headers
    )
    return Message(name, letter.envelope, properties)


def _chosen(which: Which | Sequence[str] | None) -> Which:
    if isinstance(which, str):
        raise InvalidInput("Dead letters are named by a list of ids, not by text.")
    if isinstance(which, Which):
        return which
    return Which(ids=None if which is None else tuple(which))


def _fits(which: Which, message: DeliveredMessage) -> bool:
    """Is this dead letter one of those?"""
    letter = described(message)
    if which.ids is not None and letter.id not in which.ids:
        return False
    if which.since is not None and letter.died_at < which.since:
        return False
    if which.until is not None and letter.died_at >= which.until:
        return False
    return which.takes(letter.reason, letter.name)


def described(message: DeliveredMessage) -> DeadLetter:
    """A dead letter in words. The broker itself adds no note to what it gives up on."""
    headers = message.header.properties.headers or {}
    lane = lane_of(message)
    given_up = death_note(DeadReason.POISON, _why(headers), 1, lane).decode()
    facts = decode(str(headers.get("q-note") or given_up).encode(), "note of a death")
    try:
        header, body = read_header(message.body)
        name, payload = header.name, read_payload(body)
    except InvalidPayload:
        name, payload = "", None
    return DeadLetter(
        id=message.header.properties.message_id or "",
        name=name,
        reason=facts["reason"],
        error=facts["error"],
        attempt=facts["attempt"],
        priority=PRIORITIES[lane],
        died_at=_died_at(headers),
        payload=payload,
    )


def _why(headers: Mapping[str, object]) -> str:
    reason = headers.get("x-first-death-reason", "unknown")
    return f"RabbitMQ gave it up ({reason}): its workers died too often."


def _died_at(headers: Mapping[str, object]) -> float:
    died = headers.get("q-died")
    if isinstance(died, int):
        return died / 1000
    deaths = headers.get("x-death")
    match deaths:
        case [{"time": time}, *_] if hasattr(time, "timestamp"):
            return float(time.timestamp())
        case _:
            return 0.0
