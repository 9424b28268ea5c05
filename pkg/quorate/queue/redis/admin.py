"""A hand on a whole queue of a Redis server. Satisfies `QueueAdmin`."""

from __future__ import annotations

import json

from quorate.core.codec import decode
from quorate.core.errors import InvalidInput, InvalidPayload
from quorate.core.names import check_name
from quorate.queue.envelope import read_header
from quorate.queue.guards import Rate
from quorate.queue.model import ALL_SHED, PRIORITIES, TaskPriority, TaskState
from quorate.queue.ports import Audit
from quorate.queue.views import Explanation
from quorate.wire.link import Reply
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .auditor import Auditor
from .broker import LETTERS
from .keys import QueueKeys

_CONTROL = load("quorate.queue.redis", "control")
_EXPLAIN = load("quorate.queue.redis", "explain")
_SET_GATE = load("quorate.queue.redis", "set_gate")

FOR_EVER_S = 1e12
FOR_SERVICES_S = 9_001_000_000_000.0


class RedisQueueAdmin:
    """One queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def pause(self, *, paused: bool, task: str = "") -> None:
        if task:
            await self._set_gate("p", task, None, wanted=paused)
        else:
            await self._control("paused", "1" if paused else "")

    async def limit(self, rate: Rate | None, *, task: str = "") -> None:
        await self._set_gate("t" if task else "q", task, rate, wanted=rate is not None)

    async def shed(self, level: int) -> int:
        if isinstance(level, bool) or level not in range(ALL_SHED + 1):
            raise InvalidInput(
                f"There is no shed level {level!r}.",
                "A queue has three lanes.",
                "Give 0 to serve all, 1 to stop LOW, 2 to stop NORMAL too, 3 for all.",
            )
        before = await self._control("shed", str(level) if level else "")
        return int(before or 0)

    async def audit(self) -> Audit:
        return await Auditor(self._calls, self._keys).audit()

    async def explain(self, task_id: str) -> Explanation | None:
        reply = await self._calls.call(_EXPLAIN, [self._keys.prefix], [task_id])
        return explained(task_id, reply)

    async def _set_gate(
        self, letter: str, task: str, rate: Rate | None, *, wanted: bool
    ) -> None:
        """A name stands there as it stands in envelopes."""
        name = json.dumps(check_name(task, "task"))[1:-1] if task else ""
        if "\\\\" in name or '\\"' in name:
            raise InvalidInput(
                f"The tasks called {task!r} cannot be limited or paused by name.",
                "It has a quote or a backslash in it.",
                "Give the task a plainer name.",
            )
        numbers = (0, 0) if rate is None else (rate.interval_us, rate.most_at_once)
        args = (self._keys.queue, letter, name, *numbers, int(wanted))
        await self._calls.call(_SET_GATE, [self._keys.prefix], args)

    async def _control(self, name: str, value: str) -> bytes:
        args = [self._keys.queue, name, value]
        before: bytes = await self._calls.call(_CONTROL, [self._keys.prefix], args)
        return before


def explained(task_id: str, reply: Reply) -> Explanation | None:
    """The words of the script in words for people."""
    envelope, owner, record, progress, lane, before, due_ms, *rest = reply
    note, shed, paused, letter, gate, ahead, holders = rest
    if not envelope:
        state = LETTERS.get(letter)
        return state and Explanation(id=task_id, state=state, why="It is over.")
    failures, bounces, crashes = (
        (int(mark) for mark in record.split(b"|")) if b"|" in record else (0, 0, 0)
    )
    state, why = TaskState.QUEUED, ""
    if note:
        state = TaskState.DEAD
        facts = decode(note, "note of a death")
        why = f"It was set aside ({facts['reason']}): {facts['error']}"
    elif owner:
        session = owner.decode().split("|")[0]
        state, why = TaskState.RUNNING, f"It runs in {session}."
    elif due_ms >= 0:
        state = TaskState.RETRYING if failures else TaskState.SCHEDULED
        why = why_resting(due_ms / 1000)
    elif ahead >= 0:
        why = _why_parked(gate.decode(), ahead, [each.decode() for each in holders])
    elif before >= 0:
        why = _why_waiting(lane, before, shed, paused=bool(paused))
    else:
        why = "It is in no place at all: run an audit."
    if bounces:
        why += f" {bounces} worker(s) had no handler for it."
    return Explanation(
        id=task_id,
        state=state,
        why=why,
        attempt=failures + 1,
        crashes=crashes,
        progress=progress.decode(errors="replace"),
        task=_name_in(envelope),
        priority=_lane_of(lane, owner),
    )


def _name_in(envelope: bytes) -> str:
    try:
        return read_header(envelope)[0].name
    except InvalidPayload:
        return ""


def _lane_of(lane: int, owner: bytes) -> TaskPriority | None:
    """Where it waits, or the lane that its claim names."""
    if owner:
        words = owner.split(b"|")
        lane = int(words[-2]) if len(words) > 3 and words[-2].isdigit() else -1
    return PRIORITIES[lane] if 0 <= lane < len(PRIORITIES) else None


def _why_parked(gate: str, ahead: int, holders: list[str]) -> str:
    kind, _, key = gate.partition(":")
    if kind == "p":
        return f"Tasks called {key} are paused."
    queue = f"{ahead} task(s) wait there before it."
    if kind == "s":
        return f"It waits for the slot {key}, which {', '.join(holders)} has. {queue}"
    if kind == "t":
        return f"It waits for its turn at the rate of tasks called {key}. {queue}"
    return f"It waits for its turn at the rate of {key}. {queue}"


def why_resting(due_s: float) -> str:
    """What a task waits for that is in no lane yet."""
    if due_s < FOR_EVER_S:
        return f"It is due in {due_s:g} s."
    if due_s < FOR_SERVICES_S:
        return "It waits for the tasks before it."
    return "It waits for a service that is down."


def _why_waiting(lane: int, before: int, shed: int, *, paused: bool) -> str:
    if paused:
        return "The queue is paused."
    if lane >= len(PRIORITIES) - shed:
        return f"Its lane is not served: shed level {shed}."
    return f"{before} task(s) wait before it in the lane {PRIORITIES[lane].value}."
