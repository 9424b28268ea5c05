"""What a task is, on its way from who wants it done to who does it.

A producer asks for a `Task`; it travels as an envelope; a worker claims it as a `Lease`
that names its session and carries a token; what becomes of it is a `Move`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput
from quorate.core.names import check_name

from .guards import Rate, Slot, Unique
from .patience import RetryPolicy

LANES = 3
DEFAULT_QUEUE = "default"
ALL_SHED = 3


class QueueType(Enum):
    """Which kind of server carries the tasks."""

    REDIS = "redis"
    RABBITMQ = "rabbitmq"


class TaskPriority(Enum):
    """The lane that a task waits in. `MEDIUM` is another word for `NORMAL`."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    MEDIUM = NORMAL

    # That of Enum is written in Python, and each task is looked up by its lane.
    __hash__ = object.__hash__

    @property
    def lane(self) -> int:
        """0 for the most urgent, 2 for the least."""
        return _LANE_OF[self]


PRIORITIES = (TaskPriority.HIGH, TaskPriority.NORMAL, TaskPriority.LOW)
"""By lane."""

_LANE_OF = {priority: lane for lane, priority in enumerate(PRIORITIES)}


class TaskState(Enum):
    """Where a task is. It is in exactly one of these."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


class DeadReason(Enum):
    """Why a task was set aside."""

    EXHAUSTED = "exhausted"
    GIVEN_UP = "given_up"
    POISON = "poison"
    UNDECODABLE = "undecodable"
    UNKNOWN_TASK = "unknown_task"
    EXPIRED = "expired"
    DEADLINE = "deadline"
    BAD_RESULT = "bad_result"


@dataclass(frozen=True, slots=True)
class LaneWeights:
    """How often each lane is served while all of them have tasks."""

    high: int = 16
    normal: int = 4
    low: int = 1

    def __post_init__(self) -> None:
        if min(self.high, self.normal, self.low) < 1:
            raise InvalidInput(
                f"Lane weights {self.high}:{self.normal}:{self.low} cannot be used.",
                "A lane without any weight would never be served.",
                "Give each lane at least 1, or shed it.",
            )

    @property
    def by_lane(self) -> tuple[int, int, int]:
        return (self.high, self.normal, self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """Lanes, limits and patience of a process's queues. Times in seconds.

    `concurrency` is for each queue and process. `strict` serves a lane only when those
    above it are empty. `retry_share` and `retry_floor_per_s` are the retry budget of
    each task name; `crash_budget` counts the deaths of workers that ran a task.
    """

    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    concurrency: int = 64
    weights: LaneWeights = field(default_factory=LaneWeights)
    strict: bool = False
    age_floor_s: float = 60.0
    reserved_for_high: float = 0.1
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retry_share: float = 0.2
    retry_floor_per_s: float = 10.0
    crash_budget: int = 3
    attempt_timeout_s: float = 300.0
    result_ttl_s: float = 3600.0
    result_max_bytes: int = 262_144
    payload_max_bytes: int = 262_144
    dead_letters_max: int = 10_000
    dead_letters_keep_s: float = 1_209_600.0
    grace_s: float = 25.0
    poll_s: float = 3.0
    roll_call_s: float = 10.0
    stall_warned_at_s: float = 15.0
    max_stall_s: float = 30.0
    recycle_after_tasks: int = 0
    recycle_above_bytes: int = 0
    outbox_dir: str = ""
    outbox_max_bytes: int = 67_108_864

    def __post_init__(self) -> None:
        counts = {
            "concurrency": self.concurrency,
            "crash_budget": self.crash_budget,
            "result_max_bytes": self.result_max_bytes,
            "payload_max_bytes": self.payload_max_bytes,
            "dead_letters_max": self.dead_letters_max,
            "outbox_max_bytes": self.outbox_max_bytes,
        }
        positive = {
            "age_floor_s": self.age_floor_s,
            "attempt_timeout_s": self.attempt_timeout_s,
            "result_ttl_s": self.result_ttl_s,
            "dead_letters_keep_s": self.dead_letters_keep_s,
            "poll_s": self.poll_s,
            "roll_call_s": self.roll_call_s,
            "stall_warned_at_s": self.stall_warned_at_s,
            "max_stall_s": self.max_stall_s,
        }
        faults = [
            f"{name} = {value}"
            for name, value in {**positive, **counts}.items()
            if not 0 < value < math.inf or (name in counts and value != int(value))
        ]
        if not 0 <= self.grace_s < math.inf:
            faults.append(f"grace_s = {self.grace_s}")
        if min(self.recycle_after_tasks, self.recycle_above_bytes) < 0:
            faults.append("a limit for recycling is below 0")
        for name in ("retry_share", "retry_floor_per_s"):
            if not 0 <= getattr(self, name) < math.inf:
                faults.append(f"{name} = {getattr(self, name)}")
        if not 0 <= self.reserved_for_high <= 0.9:
            faults.append(f"reserved_for_high = {self.reserved_for_high}")
        for queue in self.queues:
            check_name(queue, "queue")
        if not self.queues or len(set(self.queues)) != len(self.queues):
            faults.append(f"queues = {self.queues}")
        if faults:
            raise InvalidInput(
                "The queue's configuration cannot be used.",
                "; ".join(faults),
                "Limits are finite and above 0, the reserve is a share of at most 0.9, "
                "and queues are named once each.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to be done: the name of its handler, and what the handler is given.

    `id` makes the request idempotent: while the task is known, and for as long as its
    result is kept, asking again under the same id changes nothing. `delay_s` is how
    long to wait before the first attempt, or `at` the wall time to wait for;
    `timeout_s` the limit of one attempt, `expires_s` until when it must have begun,
    `deadline_s` until when it must be done, retries included; tasks that its handler
    enqueues inherit that. None takes the handler's, or else the configuration's value.
    `unique`, `slot` and `rate` are its guards. `is_call`: the payload holds a call's
    arguments. `service` is what it needs: while that is down, the task waits. `flow` is
    for chains and groups, which set it.
    """

    name: str
    payload: Json = None
    queue: str = DEFAULT_QUEUE
    priority: TaskPriority = TaskPriority.NORMAL
    id: str | None = None
    delay_s: float = 0.0
    at: float | None = None
    timeout_s: float | None = None
    attempts: int | None = None
    expires_s: float | None = None
    deadline_s: float | None = None
    keep_result_s: float | None = None
    unique: Unique | None = None
    slot: Slot | None = None
    rate: Rate | None = None
    is_call: bool = False
    service: str | None = None
    flow: str = ""


def check_tasks(tasks: Iterable[object]) -> None:
    """Refuse what is no `Task`, before anything is done with the others."""
    for task in tasks:
        if not isinstance(task, Task):
            raise InvalidInput(
                f"{task!r:.200} is no task.",
                "Several tasks at once are told as a list of Task.",
                "Give Task(name=…, payload=…), or function.task(…) of a declared one.",
            )


class Lease(NamedTuple):
    """A claimed task: the session that owns it, and the token of this claim.

    `failures`, `crashes` and `bounces` are its record so far: attempts that failed,
    workers that died under it, workers that did not know it.
    """

    id: str
    session: str
    token: int
    lane: int
    envelope: bytes
    failures: int = 0
    crashes: int = 0
    bounces: int = 0

    @property
    def attempt(self) -> int:
        """The number of the attempt that this lease is for; the first is 1."""
        return self.failures + 1

    @property
    def has_record(self) -> bool:
        """Did anything ever go wrong with it?"""
        return bool(self.failures or self.crashes or self.bounces)


class MoveKind(Enum):
    """What becomes of a task after a run."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"
    BACK = "back"
    HELD = "held"
    CANCELLED = "cancelled"


class Move(NamedTuple):
    """Where a task goes. `body` is its result, or what is known of its failure.

    `record` is what is written down about it: failures, crashes, bounces. It rests for
    `delay_s`, or until the wall time `at`.
    """

    kind: MoveKind
    delay_s: float = 0.0
    keep_s: float = 0.0
    body: bytes = b""
    record: tuple[int, int, int] = (0, 0, 0)
    at: float | None = None
