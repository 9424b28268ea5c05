"""A hand on a whole queue of a Redis server. Satisfies `QueueAdmin`."""

from __future__ import annotations

from quorate.core.codec import decode
from quorate.core.errors import InvalidInput
from quorate.queue.model import ALL_SHED, PRIORITIES, TaskState
from quorate.queue.ports import Audit
from quorate.queue.views import Explanation
from quorate.wire.link import Reply
from quorate.wire.ports import Caller
from quorate.wire.scripts import load

from .broker import LETTERS
from .keys import QueueKeys

_CONTROL = load("quorate.queue.redis", "control")
_EXPLAIN = load("quorate.queue.redis", "explain")
_MEND = load("quorate.queue.redis", "mend")

PAGE = 500
MEND_AT_ONCE = 50
FOR_EVER_S = 1e12


class RedisQueueAdmin:
    """One queue."""

    def __init__(self, calls: Caller, keys: QueueKeys) -> None:
        self._calls = calls
        self._keys = keys

    async def pause(self, *, paused: bool) -> None:
        await self._control("paused", "1" if paused else "")

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
        """Reads the whole queue page by page; what looks lost is judged by a script."""
        jobs = set(await self._scan("job"))
        placed = {
            member[2:] for member in await self._command("ZRANGE", "due", 0, "-1")
        }
        placed.update(await self._command("ZRANGE", "dead", 0, "-1"))
        for lane in range(len(PRIORITIES)):
            placed.update(await self._lane(lane))
        doubtful = sorted(task.decode() for task in jobs - placed)
        repaired: list[str] = []
        for start in range(0, len(doubtful), MEND_AT_ONCE):
            part = doubtful[start : start + MEND_AT_ONCE]
            mended = await self._calls.call(
                _MEND,
                [self._keys.sessions, self._keys.prefix],
                [self._keys.queue, *part],
            )
            repaired += (task.decode() for task in mended)
        return Audit(len(jobs), tuple(repaired))

    async def explain(self, task_id: str) -> Explanation | None:
        reply = await self._calls.call(_EXPLAIN, [self._keys.prefix], [task_id])
        return explained(task_id, reply)

    async def _control(self, name: str, value: str) -> bytes:
        args = [self._keys.queue, name, value]
        before: bytes = await self._calls.call(_CONTROL, [self._keys.prefix], args)
        return before

    async def _command(self, name: str, key: str, *args: str | int) -> Reply:
        return await self._calls.command(name, self._keys.prefix + key, *args)

    async def _lane(self, lane: int) -> list[bytes]:
        ids: list[bytes] = []
        page: list[bytes] = [b""] * PAGE
        while len(page) == PAGE:
            first = len(ids)
            page = await self._command("LRANGE", f"r{lane}", first, first + PAGE - 1)
            ids += page
        return ids

    async def _scan(self, key: str) -> list[bytes]:
        """The fields of a hash."""
        fields: list[bytes] = []
        cursor: bytes | None = None
        while cursor != b"0":
            at = (cursor or b"0").decode()
            cursor, found = await self._command("HSCAN", key, at, "COUNT", PAGE)
            fields += found[::2]
        return fields


def explained(task_id: str, reply: Reply) -> Explanation | None:
    """The words of the script in words for people."""
    envelope, owner, record, progress, lane, before, due_ms, *rest = reply
    note, shed, paused, letter = rest
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
        progress=progress.decode(),
    )


def why_resting(due_s: float) -> str:
    """What a task waits for that is in no lane yet."""
    if due_s < FOR_EVER_S:
        return f"It is due in {due_s:g} s."
    return "It waits: for the tasks before it, or for a service that is down."


def _why_waiting(lane: int, before: int, shed: int, *, paused: bool) -> str:
    if paused:
        return "The queue is paused."
    if lane >= len(PRIORITIES) - shed:
        return f"Its lane is not served: shed level {shed}."
    return f"{before} task(s) wait before it in the lane {PRIORITIES[lane].value}."
