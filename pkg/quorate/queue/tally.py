"""What came of the tasks of one queue in this process: counts, and rare facts."""

from __future__ import annotations

import json
from dataclasses import dataclass

from quorate.core.errors import InvalidPayload
from quorate.core.events import Emit

from .envelope import read_header
from .events import CompletionRefused, TaskDied
from .model import MoveKind
from .ports import Answer, Finished, Request


@dataclass(slots=True)
class Tally:
    """Counts since the start. `stale` completions were refused by the server."""

    claimed: int = 0
    done: int = 0
    retried: int = 0
    dead: int = 0
    back: int = 0
    cancelled: int = 0
    stale: int = 0
    exchanges: int = 0

    def count(self, kind: MoveKind) -> None:
        """One more task that went this way."""
        setattr(self, _FIELD[kind], getattr(self, _FIELD[kind]) + 1)


_FIELD = {
    MoveKind.DONE: "done",
    MoveKind.RETRY: "retried",
    MoveKind.DEAD: "dead",
    MoveKind.BACK: "back",
    MoveKind.HELD: "back",
    MoveKind.CANCELLED: "cancelled",
}


class Bookkeeper:
    """Counts what the server has accepted and tells what it has refused."""

    def __init__(self, queue: str, emit: Emit) -> None:
        self.tally = Tally()
        self._queue = queue
        self._emit = emit

    def settled(self, request: Request, answer: Answer) -> None:
        """An exchange was answered."""
        tally, stale = self.tally, frozenset(answer.stale)
        tally.exchanges += 1
        tally.claimed += len(answer.leases)
        self.refused(len(stale), request.session)
        for finished in request.finished:
            if stale and finished.lease.id in stale:
                continue
            kind = finished.move.kind
            if kind is MoveKind.DONE:
                tally.done += 1
                continue
            tally.count(kind)
            if kind is MoveKind.DEAD:
                self._emit(obituary(self._queue, finished))

    def refused(self, count: int, session: str) -> None:
        """So many completions came too late."""
        if count:
            self.tally.stale += count
            self._emit(
                CompletionRefused(queue=self._queue, session=session, tasks=count)
            )


def obituary(queue: str, finished: Finished) -> TaskDied:
    """The event for a task that was set aside."""
    lease, move, _ = finished
    try:
        name = read_header(lease.envelope)[0].name
    except InvalidPayload:
        name = ""
    note = json.loads(move.body)
    return TaskDied(
        queue=queue,
        task=name,
        task_id=lease.id,
        reason=note["reason"],
        error=note["error"],
        attempt=lease.attempt,
    )
