"""Bugs of the queue, planted on purpose in a worker: the runs have to catch each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from tests.faults.bugs import Bug, by_name, make_wrong

from quorate.queue import judge, lanes
from quorate.queue.consumer import Consumer
from quorate.queue.decide import after_success
from quorate.queue.model import Lease, Move, MoveKind
from quorate.queue.ports import Answer, Finished, Request
from quorate.queue.rabbit.allowance import Allowance
from quorate.queue.redis import broker
from quorate.queue.redis.broker import RedisBroker
from quorate.queue.running import Running
from quorate.wire.rabbit_publisher import Message, Publisher, _send
from quorate.wire.sessions import RedisSessions


def pop_before_owning() -> None:
    """Tasks leave their lane before the server notes who has them."""
    line = "    redis.call('SADD', base .. 'mine:' .. session, unpack(mine))\n"
    make_wrong(broker, ("_EXCHANGE",), line, "")


def done_before_run() -> None:
    """A task is settled as soon as it is claimed, and then run."""
    admit, end = Running.admit, Running._end
    early: set[str] = set()

    def admitted(self: Running, lease: Lease) -> None:
        early.add(lease.id)
        self._finished(Finished(lease, after_success(b"null", 60.0)))
        admit(self, lease)

    def ended(self: Running, lease: Lease, *args: Any, **kwargs: Any) -> None:
        if lease.id not in early:
            end(self, lease, *args, **kwargs)

    Running.admit = admitted  # type: ignore[method-assign]
    Running._end = ended  # type: ignore[method-assign]


def fixed_visibility() -> None:
    """Sessions are never renewed: what takes longer is given to somebody else."""

    async def renew(
        self: RedisSessions, tag: str, session: str, ttl_ms: int
    ) -> tuple[bool, float, float | None, int]:
        return True, time.time(), None, 0

    RedisSessions.renew = renew  # type: ignore[method-assign]


def late_completion_accepted() -> None:
    """Whoever says that a task is done is believed."""
    right = (
        "if owner ~= claim and string.sub(owner or '', 1, -2) "
        "~= string.sub(claim, 1, -2) then"
    )
    make_wrong(broker, ("_EXCHANGE",), right, "if false then")
    make_wrong(
        broker,
        ("_EXCHANGE",),
        "if not ends or tonumber(ends) <= now then\n  local refused",
        "if false then\n  local refused",
    )
    take = Consumer._take_finished

    def believing(self: Consumer, me: str) -> tuple[Finished, ...]:
        self._finished = deque(
            finished._replace(lease=finished.lease._replace(session=me))
            for finished in self._finished
        )
        return take(self, me)

    Consumer._take_finished = believing  # type: ignore[method-assign]
    Consumer.lost = lambda *_: None  # type: ignore[method-assign]


def exchange_forgotten() -> None:
    """The server does not remember what it gave to whom."""
    make_wrong(broker, ("_EXCHANGE",), "if cfg[5] then", "if false then")


def death_in_two_steps() -> None:
    """A dead task is taken from its owner first, and buried by a second call."""
    exchange = RedisBroker.exchange

    async def two_steps(self: RedisBroker, request: Request) -> Answer:
        dying = [f for f in request.finished if f.move.kind.value == "dead"]
        if dying:
            prefix = self._keys.prefix
            ids = [finished.lease.id for finished in dying]
            await self._calls.command("HDEL", f"{prefix}own", *ids)
            mine = f"{prefix}mine:{request.session}"
            await self._calls.command("SREM", mine, *ids)
        return await exchange(self, request)

    RedisBroker.exchange = two_steps  # type: ignore[method-assign]


def neighbours_blamed() -> None:
    """A task whose worker died runs beside others again, which take the blame too."""
    welcome = Consumer._welcome

    def careless(self: Consumer, leases: Sequence[Lease]) -> None:
        self._anteroom.receive([lease for lease in leases if lease.crashes])
        welcome(self, [lease for lease in leases if not lease.crashes])

    Consumer._welcome = careless  # type: ignore[method-assign]
    make_wrong(broker, ("_EXCHANGE",), "begun = '0'", "begun = '1'")


def no_age_floor() -> None:
    """However long the head of a lane has waited, only weights count."""
    lanes._aged_lanes = lambda *_: ()


def release_counts_as_attempt() -> None:
    """What is given back has one attempt fewer."""

    def counted(lease: Lease, delay_s: float = 0.0) -> Move:
        record = (lease.failures + 1, lease.crashes, lease.bounces)
        return Move(MoveKind.BACK, delay_s=delay_s, record=record)

    judge.after_release = counted


def not_confirmed() -> None:
    """A message counts as in as soon as it is given to the connection."""

    async def hasty(
        _: Publisher, wire: Any, messages: list[Message], ends_at: float
    ) -> tuple[list[Message], None]:
        sending.update(asyncio.ensure_future(_send(wire, each)) for each in messages)
        return [], None

    sending: set[asyncio.Future[None]] = set()
    Publisher._try = hasty  # type: ignore[method-assign,assignment]


def timeout_not_learned() -> None:
    """The broker takes away what runs too long, and it is begun again as before."""
    Allowance.heard = lambda *_: None  # type: ignore[method-assign,assignment]


BUGS = by_name(
    Bug("pop before owning", pop_before_owning, "Q1"),
    Bug("done before it is run", done_before_run, "Q1"),
    Bug("sessions not renewed (fixed visibility)", fixed_visibility, "Q4"),
    Bug("late completions accepted", late_completion_accepted, "Q3"),
    Bug("answers to exchanges not remembered", exchange_forgotten, "Q7 exchange"),
    Bug("dead-lettering in two steps", death_in_two_steps, "Q2 before dead is sent"),
    Bug("neighbours of poison blamed", neighbours_blamed, "Q8"),
    Bug("no age floor", no_age_floor, "Q9"),
    Bug("giving back counts as an attempt", release_counts_as_attempt, "Q12"),
    Bug("RabbitMQ's confirms not waited for", not_confirmed, "Q11 rabbit"),
    Bug("consumer timeout not learned", timeout_not_learned, "Q13"),
)


def exchange_sha(bugs: tuple[str, ...]) -> bytes:
    """The digest of the exchange that a worker with these bugs sends."""
    right = broker._EXCHANGE
    try:
        for name in bugs:
            if name == exchange_forgotten.__name__:
                plant(name)
        return broker._EXCHANGE.sha.encode()
    finally:
        broker._EXCHANGE = right


def plant(name: str) -> None:
    """Make this process wrong, for the rest of its life."""
    BUGS[name].plant()
