"""One queue as several processes see it, for the tests of what a broker promises."""

from __future__ import annotations

import itertools

from quorate.core.events import Event, silent
from quorate.core.ids import new_task_id
from quorate.lease.lease import LeaseTerms
from quorate.lease.session import Session
from quorate.queue.decide import (
    Failure,
    after_failure,
    after_release,
    after_success,
    dead,
)
from quorate.queue.envelope import Header, seal
from quorate.queue.guards import Rate, Slot, Unique, guard_line
from quorate.queue.lanes import Slots
from quorate.queue.model import DeadReason, Lease, Move, QueueConfig
from quorate.queue.patience import RetryPolicy
from quorate.queue.ports import Answer, Bell, Finished, Parcel, Request
from quorate.queue.redis.queues import RedisQueues
from quorate.resilience.backoff import constant
from quorate.wire.redis import Wire
from quorate.wire.sessions import RedisSessions

QUEUE = "work"
CONFIG = QueueConfig(queues=(QUEUE,), retry=RetryPolicy(3, constant(0.02)))
DONE = after_success(b'"ok"', 60.0)


class Party:
    """One process: a session, and the exchanges that it makes."""

    def __init__(self, wire: Wire, name: str, config: QueueConfig = CONFIG) -> None:
        self.events: list[Event] = []
        self.sessions = RedisSessions(wire.calls)
        terms = LeaseTerms(ttl_s=30.0)
        session = Session(name, self.sessions, terms, silent, wire.clock)
        queues = RedisQueues(wire, config, self.events.append)
        self.settle_in(wire, session, queues)

    def settle_in(self, wire: Wire, session: Session, queues: RedisQueues) -> None:
        self.wire, self.session, self.queues = wire, session, queues
        self.place = self.queues.place(QUEUE)
        self.broker = self.place.broker
        self.channel = f"{self.tag}:j:to:{session.id}"
        self.numbers = [itertools.count(1), itertools.count(1)]
        self.last: Request | None = None

    @property
    def tag(self) -> str:
        return self.wire.keys.queue_tag(QUEUE)

    @property
    def keys_begin(self) -> str:
        return f"{self.tag}:j:{QUEUE}:"

    async def join(self) -> str:
        return await self.session.join(self.tag)

    async def puts(
        self,
        count: int = 1,
        *,
        lane: int = 1,
        delay_s: float = 0.0,
        ids: list[str] | None = None,
        guards: bytes = b"",
        name: str = "task",
    ) -> list[str]:
        """Enqueue so many tasks; their ids."""
        ids = ids or [new_task_id(self.wire.clock.now()) for _ in range(count)]
        await self.answers(ids, lane=lane, delay_s=delay_s, guards=guards, name=name)
        return ids

    async def answers(
        self,
        ids: list[str],
        *,
        lane: int = 1,
        delay_s: float = 0.0,
        guards: bytes = b"",
        name: str = "task",
    ) -> list[bool | str]:
        """Enqueue tasks of these ids; what the broker says to each."""
        sealed = [seal(Header(name), each, 1000, guards) for each in ids]
        parcels = [
            Parcel(each, lane, delay_s, envelope)
            for each, envelope in zip(ids, sealed, strict=True)
        ]
        return list(await self.broker.enqueue(parcels))

    async def request(
        self,
        most: int = 10,
        *finished: Finished,
        others: int | None = None,
        exchanger: int = 0,
        takes: tuple[int, int, int] | None = None,
        bell: bool = False,
    ) -> Request:
        others = most if others is None else others
        return Request(
            session=await self.join(),
            exchanger=exchanger,
            number=next(self.numbers[exchanger]),
            finished=finished,
            takes=takes or (most, others, others),
            slots=Slots(most, others),
            bell=Bell(self.channel, wanted=bell),
            upkeep=True,
            look=True,
        )

    async def exchange(self, most: int = 10, *finished: Finished, **how) -> Answer:
        self.last = await self.request(most, *finished, **how)
        return await self.broker.exchange(self.last)

    async def takes(self, most: int = 10, **how) -> list[Lease]:
        return list((await self.exchange(most, **how)).leases)

    async def settles(self, *finished: Finished) -> Answer:
        return await self.exchange(0, *finished)

    async def dies(self) -> None:
        """The session ends without a word, and somebody sweeps."""
        me = await self.join()
        await self.sessions.end(self.tag, me)

    async def is_indexed(self) -> bool:
        """Does the sweeper still have to look after this session?"""
        key = self.queues.index_key(self.tag)
        members = await self.wire.calls.command("SMEMBERS", key)
        return (await self.join()).encode() in members

    async def keys(self) -> set[str]:
        """What is left of the queue on the server."""
        found = await self.wire.calls.command("KEYS", f"{self.tag}:j:*")
        return {key.decode().rsplit(":", 1)[-1] for key in found}


def envelope(payload: object, **header: object) -> bytes:
    return seal(Header("task", **header), payload, 1000)  # type: ignore[arg-type]


def done(lease: Lease, move: Move = DONE) -> Finished:
    return Finished(lease, move)


def failed(lease: Lease, chance, policy: RetryPolicy = CONFIG.retry) -> Finished:
    return Finished(lease, after_failure(lease, Failure("no"), policy, chance))


def back(lease: Lease, delay_s: float = 0.0) -> Finished:
    return Finished(lease, after_release(lease, delay_s))


def died(lease: Lease) -> Finished:
    return Finished(lease, dead(lease, DeadReason.GIVEN_UP, "enough"))


def guarded(
    unique: Unique | None = None, slot: Slot | None = None, rate: Rate | None = None
) -> bytes:
    return guard_line("task", None, (unique, slot, rate))
