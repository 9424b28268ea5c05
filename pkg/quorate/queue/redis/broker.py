"""Tasks in and out of a Redis server: one script for a batch of either.

Satisfies `Broker` and `Claims`. Everything that is decided here is how things are
written on the wire; what moves where is in the scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from quorate.core.fence import Fence
from quorate.queue.ages import age_of, seen
from quorate.queue.decide import death_note
from quorate.queue.lanes import Sight
from quorate.queue.model import (
    PRIORITIES,
    DeadReason,
    Lease,
    MoveKind,
    QueueConfig,
    TaskState,
)
from quorate.queue.ports import (
    Answer,
    Finished,
    Parcel,
    Request,
    RollAnswer,
    RollCall,
    TakenBack,
)
from quorate.queue.views import QueueStats
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .fenced import check_fenced, proof
from .keys import QueueKeys
from .words import milliseconds, put_in_words

_PACKAGE = "quorate.queue.redis"
_ENQUEUE = load(_PACKAGE, "enqueue")
_ENQUEUE_FENCED = load(_PACKAGE, "enqueue_fenced")
_EXCHANGE = load(_PACKAGE, "exchange")
_CANCEL = load(_PACKAGE, "cancel")
_STATS = load(_PACKAGE, "stats")
_ROLL_CALL = load(_PACKAGE, "roll_call")
_BEGIN = load(_PACKAGE, "begin")
_REPORT = load(_PACKAGE, "report")
_TAKE_BACK = load(_PACKAGE, "take_back")
_LEAVE = load(_PACKAGE, "leave")

TAKEN_BACK_AT_ONCE = 10
NAMES_FRESH_S = 90.0
FORGOTTEN_AFTER_S = 60.0
"""Even a task whose result nobody wants is remembered so long, so that a producer that
repeats itself does not start it again."""

LETTERS = {
    b"c": TaskState.CANCELLED,
    b"r": TaskState.RUNNING,
    b"d": TaskState.DONE,
    b"x": TaskState.DEAD,
    b"t": TaskState.RETRYING,
    b"s": TaskState.SCHEDULED,
    b"q": TaskState.QUEUED,
}


class RedisBroker:
    """One queue on one server."""

    def __init__(
        self, calls: Caller, keys: QueueKeys, config: QueueConfig, home: str = ""
    ) -> None:
        self._home = home
        self._calls = calls
        self._keys = keys
        self._config = config
        note = death_note(DeadReason.POISON, "Its worker died too often.", 0, 0)
        self._poison = (
            note.decode()
            .replace('"attempt":0', '"attempt":%d')
            .replace('"lane":0', '"lane":%d')
        )

    async def enqueue(
        self, parcels: Sequence[Parcel], fence: Fence | None = None
    ) -> list[bool]:
        keys = self._keys
        queue, *args = put_in_words(keys.queue, parcels)
        if fence is None:
            reply = await self._calls.call(_ENQUEUE, [keys.prefix], [queue, *args])
        else:
            args = [queue, *proof(fence, keys.tag, self._home), *args]
            places = [keys.prefix, keys.sessions]
            reply = await self._calls.call(_ENQUEUE_FENCED, places, args)
            check_fenced(fence, reply)
        return [bool(put_in) for put_in in reply]

    async def exchange(self, request: Request) -> Answer:
        keys, me = self._keys, request.session
        bell = request.bell
        flags = (
            f"{'u' if request.upkeep else ''}{'l' if request.look else ''}"
            f"{'b' if bell.wanted else ''}{'r' if bell.was_listed else ''}"
        )
        args: list[str | bytes | int] = [
            me,
            request.exchanger,
            request.number,
            *request.takes,
            request.slots.total,
            request.slots.others,
            flags,
            bell.channel,
            keys.queue,
            self._config.dead_letters_max,
            len(request.finished),
        ]
        for finished in request.finished:
            args += _settlement(me, finished)
        reply = await self._calls.call(
            _EXCHANGE,
            [keys.sessions, keys.prefix, keys.with_claims, keys.queues_of(me)],
            args,
        )
        alive, claims, stale, shed, due_ms, short, sight = reply
        return Answer(
            alive=alive != 0,
            leases=_leases(me, claims),
            stale=tuple(task.decode() for task in stale),
            is_short=bool(short),
            shed_level=shed,
            due_in_s=None if due_ms < 0 else due_ms / 1000,
            sight=_sight(sight) if sight else None,
        )

    async def cancel(self, task_id: str) -> TaskState | None:
        remembered_ms = milliseconds(max(FORGOTTEN_AFTER_S, self._config.result_ttl_s))
        letter = await self._calls.call(
            _CANCEL,
            [self._keys.prefix],
            [task_id, remembered_ms, self._keys.queue],
        )
        return LETTERS.get(letter)

    async def stats(self) -> QueueStats:
        reply = await self._calls.call(_STATS, [self._keys.prefix], [])
        depths, heads, running, scheduled, dead, shed, paused, now_ms = reply
        ages = [age_of(head.decode(), now_ms / 1000) for head in heads]
        return QueueStats(
            queue=self._keys.queue,
            ready=dict(zip(PRIORITIES, depths, strict=True)),
            running=dict(zip(PRIORITIES, running, strict=True)),
            oldest_age_s=dict(zip(PRIORITIES, ages, strict=True)),
            scheduled=scheduled,
            dead=dead,
            shed_level=shed,
            paused=bool(paused),
        )

    async def roll_call(self, mine: RollCall) -> RollAnswer:
        args: list[str | bytes | int] = [
            mine.session,
            self._keys.queue,
            milliseconds(NAMES_FRESH_S),
            *mine.numbers,
            len(mine.known),
            *mine.known,
            *mine.names,
        ]
        reply = await self._calls.call(
            _ROLL_CALL, [self._keys.sessions, self._keys.prefix], args
        )
        alive, returned, lost, unwanted, names = reply
        return RollAnswer(
            alive=bool(alive),
            returned=returned,
            lost=tuple(task.decode() for task in lost),
            unwanted=tuple(task.decode() for task in unwanted),
            names=frozenset(name.decode() for name in names),
        )

    async def begin(self, lease: Lease) -> bool:
        keys = [self._keys.sessions, self._keys.prefix]
        return bool(
            await self._calls.call(_BEGIN, keys, (lease.session, lease.id, lease.token))
        )

    async def report(self, lease: Lease, progress: str) -> bool:
        keys = [self._keys.sessions, self._keys.prefix]
        args = (lease.session, lease.id, lease.token, progress)
        return bool(await self._calls.call(_REPORT, keys, args))

    async def take_back(self, session: str) -> TakenBack:
        keys = self._keys
        reply = await self._calls.call(
            _TAKE_BACK,
            [keys.sessions, keys.prefix, keys.with_claims, keys.queues_of(session)],
            [
                session,
                keys.queue,
                TAKEN_BACK_AT_ONCE,
                self._config.crash_budget,
                self._poison,
                self._config.dead_letters_max,
            ],
        )
        tasks, crashed, dead, left = reply
        return TakenBack(
            tasks=max(0, tasks),
            crashed=crashed,
            dead=tuple(task.decode() for task in dead),
            left=left,
        )

    async def leave(self, session: str) -> None:
        keys = self._keys
        channel = f"{keys.channels}{session.rpartition('.')[0]}"
        await self._calls.call(
            _LEAVE,
            [keys.prefix, keys.with_claims, keys.queues_of(session)],
            [session, keys.queue, channel],
        )


def _settlement(session: str, finished: Finished) -> tuple[str | bytes | int, ...]:
    """A finished task in five words.

    A capital letter has its notes removed, and what follows it set off or called off.
    The second is the claim as the server has it, under the session that settles: who
    settles the task of another is refused.
    """
    lease, move, is_marked = finished
    is_marked = is_marked or lease.has_record
    claim = f"{session}|{lease.token}|{lease.lane}|1"
    match move.kind:
        case MoveKind.DONE:
            keep_ms = milliseconds(max(FORGOTTEN_AFTER_S, move.keep_s))
            body = b"d" + move.body if move.keep_s > 0 or is_marked else b"d"
            return lease.id, claim, "D" if is_marked else "d", keep_ms, body
        case MoveKind.CANCELLED:
            return lease.id, claim, "C", milliseconds(move.keep_s), b"c"
        case MoveKind.DEAD:
            return lease.id, claim, "X", 0, move.body
        case MoveKind.RETRY | MoveKind.BACK as kind:
            failures, crashes, bounces = move.record
            record = f"{failures}|{bounces}|{crashes}" if any(move.record) else ""
            code = "r" if kind is MoveKind.RETRY else "b"
            return (
                lease.id,
                claim,
                code.upper() if is_marked else code,
                milliseconds(move.delay_s)
                if move.at is None
                else f"={milliseconds(move.at)}",
                record,
            )


def _leases(session: str, claims: list[bytes | int]) -> tuple[Lease, ...]:
    leases = []
    words = iter(claims)
    for name, token, lane, record, envelope in zip(
        words, words, words, words, words, strict=True
    ):
        marks = (0, 0, 0)
        if record:
            failures, bounces, crashes = cast("bytes", record).split(b"|")
            marks = (int(failures), int(crashes), int(bounces))
        leases.append(
            Lease(
                cast("bytes", name).decode(),
                session,
                int(token),
                cast("int", lane),
                cast("bytes", envelope),
                *marks,
            )
        )
    return tuple(leases)


def _sight(words: list[bytes | int]) -> Sight:
    high, normal, low, *rest = words
    *heads, now_ms = rest
    first, second, third = (cast("bytes", head).decode() for head in heads)
    return seen(
        (cast("int", high), cast("int", normal), cast("int", low)),
        (first, second, third),
        cast("int", now_ms) / 1000,
    )
