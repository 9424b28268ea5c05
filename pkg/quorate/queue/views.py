"""What can be seen of a queue: values for people and for who looks after it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.core.codec import Json

from .model import TaskPriority, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A task that was set aside, with what is known of its end.

    `payload` is None if the envelope could not be read.
    """

    id: str
    name: str
    reason: str
    error: str
    attempt: int
    priority: TaskPriority
    died_at: float
    payload: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Some of the dead letters: those for which all that is given holds.

    `since` and `until` are wall times of their deaths, in seconds; the first counts,
    the second does not.
    """

    ids: tuple[str, ...] | None = None
    reason: str = ""
    task: str = ""
    since: float | None = None
    until: float | None = None

    def takes(self, reason: str, task: str) -> bool:
        """Is this one of them, apart from its id and its time?"""
        return self.reason in ("", reason) and self.task in ("", task)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """One queue, as the server sees it now. Ages in seconds; None if the lane is empty.

    The age of a task whose id was given by its producer is not known. `parked` tasks
    wait for a slot, for their turn at a rate, or for the end of a pause of their name.
    `workers` and `rate` (tasks done per second) are what workers told lately.
    """

    queue: str
    ready: dict[TaskPriority, int]
    running: dict[TaskPriority, int]
    oldest_age_s: dict[TaskPriority, float | None]
    scheduled: int
    dead: int
    shed_level: int
    paused: bool
    parked: int = 0
    workers: int = 0
    rate: float = 0.0

    @property
    def depth(self) -> int:
        """Tasks that could start now, over all lanes."""
        return sum(self.ready.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where a task is, and what keeps it from running.

    `task` is its handler's name. `progress` is the last that is known of its
    way: what its handler told, or why the last attempt failed. `story` has all of
    it in sentences, the present last.
    """

    id: str
    state: TaskState
    why: str
    attempt: int = 1
    crashes: int = 0
    progress: str = ""
    task: str = ""
    priority: TaskPriority | None = None
    age_s: float | None = None
    story: tuple[str, ...] = ()
