"""What can happen to a queue, its tasks and its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDied(Event):
    """A task was set aside in the dead letters."""

    level: ClassVar[str] = "error"
    queue: str
    task: str
    task_id: str
    reason: str
    error: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTimedOut(Event):
    """An attempt ran into its limit and was stopped."""

    level: ClassVar[str] = "warning"
    queue: str
    task: str
    task_id: str
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRefused(Event):
    """The server refused completions: the tasks belong to somebody else by now."""

    level: ClassVar[str] = "warning"
    queue: str
    session: str
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksTakenBack(Event):
    """Tasks of a dead worker are back in their lanes; `crashed` of them had begun."""

    level: ClassVar[str] = "warning"
    queue: str
    session: str
    tasks: int
    crashed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksStranded(Event):
    """The server had claims for this worker that it knew nothing of; they are back."""

    level: ClassVar[str] = "error"
    queue: str
    session: str
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksMended(Event):
    """An audit put right what did not add up: `lost` tasks wait again."""

    level: ClassVar[str] = "error"
    queue: str
    lost: int
    tidied: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShedChanged(Event):
    """So many of the lowest lanes are not served now."""

    queue: str
    level_was: int
    level_is: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCutOff(Event):
    """The server cannot be reached; no tasks are claimed until it can."""

    level: ClassVar[str] = "warning"
    queue: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReached(Event):
    """The server answers again."""

    queue: str
    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted(Event):
    """A worker process is ready to claim tasks."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped(Event):
    """A worker process ended because it was told to."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(Event):
    """A worker process ended by itself; another is started after a rest."""

    level: ClassVar[str] = "error"
    worker: int
    pid: int
    exit_code: int
    rest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecycled(Event):
    """A worker has done enough: it drains, and a fresh process takes its place."""

    worker: int
    pid: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStalled(Event):
    """A worker's event loop makes no progress; at the limit the process is killed."""

    level: ClassVar[str] = "warning"
    worker: int
    pid: int
    stalled_s: float
    killed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFired(Event):
    """So many tasks of a schedule were put in; the oldest was due `late_s` ago."""

    level: ClassVar[str] = "debug"
    queue: str
    schedule: str
    tasks: int
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringsMissed(Event):
    """Firings were left out: nobody saw to them in time, or the last was not over.

    Of very many missed ones only the last few hundred are counted.
    """

    level: ClassVar[str] = "warning"
    queue: str
    schedule: str
    missed: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleUnreadable(Event):
    """A schedule in the store cannot be understood here; it was left as it is."""

    level: ClassVar[str] = "error"
    queue: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksHeldBack(Event):
    """Tasks that need this service are set aside until it is up again."""

    level: ClassVar[str] = "warning"
    queue: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksTakenUp(Event):
    """The service is up, and the tasks that waited for it are ready again."""

    queue: str
    service: str
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueTuned(Event):
    """The configuration has changed how this process works on a queue."""

    queue: str
    concurrency: int
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxFilling(Event):
    """The server is away, and tasks are kept on disk until it is back."""

    level: ClassVar[str] = "warning"
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEmptied(Event):
    """So many tasks that were kept on disk are with the server now."""

    tasks: int
