"""Settings of the task queue. Pure."""

# ruff: noqa: RUF009 — `setting` and `section` make dataclass fields, not values
from __future__ import annotations

from dataclasses import dataclass

from quorate.core.shape import section, setting

SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneWeights:
    """How often each lane is served while all of them have tasks."""

    high: int = setting(16, "Urgent tasks get most turns.", unit="turns", at_least=1)
    normal: int = setting(4, "Ordinary tasks keep moving.", unit="turns", at_least=1)
    low: int = setting(1, "Nobody waits for ever.", unit="turns", at_least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """What happens to a task that failed."""

    attempts: int = setting(
        5,
        "After so many failures a task goes to the dead letters.",
        unit="attempts",
        at_least=1,
        at_most=100,
    )
    backoff_base_s: float = setting(
        1.0, "The longest rest after the first failure.", unit=SECONDS, above=0
    )
    backoff_cap_s: float = setting(
        600.0, "No rest between attempts is longer.", unit=SECONDS, above=0
    )
    budget_share: float = setting(
        0.2,
        "Of the tasks of one name that a worker began in the last ten seconds so many "
        "may be tried again at once; what is beyond rests at least half of the cap.",
        unit="share",
        at_least=0,
    )
    budget_floor: float = setting(
        10.0,
        "So many may always be tried again, so that a quiet worker can retry as well.",
        unit="retries a second",
        at_least=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSettings:
    """How much is kept of the tasks that were set aside; the oldest go first."""

    most: int = setting(10_000, "No queue keeps more.", unit="tasks", at_least=1)
    keep_s: float = setting(
        1_209_600.0,
        "None is kept longer: two weeks, time enough to find out and replay.",
        unit=SECONDS,
        at_least=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """Tasks that are kept on disk while the queue's server is away."""

    dir: str = setting(
        "",
        "Where they are kept, for this machine alone; empty keeps none, and enqueueing "
        "fails while the server is away.",
        unit="directory",
    )
    max_bytes: int = setting(
        67_108_864,
        "A process keeps no more: what is beyond fails.",
        unit="bytes",
        at_least=65_536,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Lanes, limits and patience of the task queue."""

    weights: LaneWeights = section(LaneWeights)
    strict: bool = setting(
        False, "Serve a lane only while those above it are empty, whatever the weights."
    )
    retries: RetrySettings = section(RetrySettings)
    crash_budget: int = setting(
        3,
        "A task under which so many workers died goes to the dead letters.",
        unit="deaths",
        at_least=1,
        at_most=100,
    )
    dead_letters: DeadLetterSettings = section(DeadLetterSettings)
    outbox: OutboxSettings = section(OutboxSettings)
    age_floor_s: float = setting(
        60.0,
        "A low task that waits longer gets at least one turn in eight.",
        unit=SECONDS,
        above=0,
    )
    reserved_for_high: float = setting(
        0.1,
        "So much of a worker stays free for urgent tasks.",
        unit="share",
        at_least=0,
        at_most=0.9,
    )
    concurrency: int = setting(
        64,
        "Tasks of each queue that one worker process runs at once.",
        unit="tasks",
        at_least=1,
        at_most=10_000,
    )
    attempt_timeout_s: float = setting(
        300.0,
        "An attempt that runs longer is stopped and counts as failed.",
        unit=SECONDS,
        above=0,
    )
    result_ttl_s: float = setting(
        3600.0,
        "A result that nobody fetched is forgotten after this time.",
        unit=SECONDS,
        at_least=1,
    )
    grace_s: float = setting(
        25.0,
        "Running tasks may finish so long when a worker stops; below the 30 s that "
        "Kubernetes waits.",
        unit=SECONDS,
        at_least=0,
    )
    recycle_after_tasks: int = setting(
        0,
        "A worker process is replaced after so many tasks, for handlers that leak; "
        "0 sets no limit.",
        unit="tasks",
        at_least=0,
    )
    recycle_above_bytes: int = setting(
        0,
        "A worker process is replaced when it holds more memory; 0 sets no limit.",
        unit="bytes",
        at_least=0,
    )
    payload_max_bytes: int = setting(
        262_144,
        "Larger payloads belong in a store; the task carries a reference.",
        unit="bytes",
        at_least=1024,
        at_most=16_777_216,
    )
    result_max_bytes: int = setting(
        262_144,
        "A task that returns more goes to the dead letters.",
        unit="bytes",
        at_least=1024,
        at_most=16_777_216,
    )
    poll_s: float = setting(
        3.0,
        "An idle worker looks so often by itself, in case a message was lost.",
        unit=SECONDS,
        above=0,
    )
    roll_call_s: float = setting(
        10.0,
        "A worker compares so often what it has with what the server believes it has.",
        unit=SECONDS,
        above=0,
    )
