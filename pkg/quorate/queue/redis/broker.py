"""Tasks in and out of a Redis server: one script for a batch of either.

Satisfies `Broker` and `Claims`. Everything that is decided here is how things are
written on the wire; what moves where is in the scripts.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.core.fence import Fence
from quorate.queue.ages import age_of
from quorate.queue.decide import death_note
from quorate.queue.model import (
    PRIORITIES,
    DeadReason,
    Lease,
    QueueConfig,
    TaskState,
)
from quorate.queue.ports import (
    Answer,
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
from .words import (
    FORGOTTEN_AFTER_S,
    leases,
    milliseconds,
    put_in_words,
    settlement,
    sight_of,
)

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
_LIMITED = 2
NAMES_FRESH_S = 90.0
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
    ) -> list[bool | str]:
        keys = self._keys
        queue, *args = put_in_words(keys.queue, parcels)
        if fence is None:
            reply = await self._calls.call(_ENQUEUE, [keys.prefix], [queue, *args])
        else:
            args = [queue, *proof(fence, keys.tag, self._home), *args]
            places = [keys.prefix, keys.sessions]
            reply = await self._calls.call(_ENQUEUE_FENCED, places, args)
            check_fenced(fence, reply)
        return [
            answer.decode() if isinstance(answer, bytes) else bool(answer)
            for answer in reply
        ]

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
            milliseconds(self._config.dead_letters_keep_s),
            len(request.finished),
        ]
        for finished in request.finished:
            args += settlement(me, finished)
        reply = await self._calls.call(
            _EXCHANGE,
            [keys.sessions, keys.prefix, keys.with_claims, keys.queues_of(me)],
            args,
        )
        alive, claims, stale, shed, due_ms, short, sight = reply
        return Answer(
            alive=alive != 0,
            leases=leases(me, claims),
            stale=tuple(task.decode() for task in stale),
            is_short=short == 1,
            is_limited=short == _LIMITED,
            shed_level=shed,
            due_in_s=None if due_ms < 0 else due_ms / 1000,
            sight=sight_of(sight) if sight else None,
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
        depths, heads, running, scheduled, dead, shed, paused, now_ms, parked = reply
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
            parked=parked,
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
                milliseconds(self._config.dead_letters_keep_s),
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
