"""What a queue needs of the server that keeps it.

`exchange` is the heart: one call finishes a batch and claims the next. It is safe to
repeat: the server keeps the last claims of each exchanger and gives them again for the
same number. Whoever claims or settles is tested for being alive in the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from quorate.core.fence import Fence

from .guards import Rate
from .lanes import Counts, Sight, Slots
from .model import Lease, Move, TaskState
from .views import DeadLetter, Explanation, QueueStats, Which


class Parcel(NamedTuple):
    """A task ready for the server. Due `at` a wall time, or after `delay_s`."""

    id: str
    lane: int
    delay_s: float
    envelope: bytes
    at: float | None = None


class Finished(NamedTuple):
    """A claimed task and what becomes of it. `is_marked`: it left notes to remove."""

    lease: Lease
    move: Move
    is_marked: bool = False


@dataclass(frozen=True, slots=True)
class Bell:
    """How an idle worker wants to be woken. It may be listed still from before."""

    channel: str
    wanted: bool
    was_listed: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """One exchange: what is finished, and what fits.

    `upkeep` asks the server to do a little housekeeping and to tell when the next
    delayed task is due; `look` asks for the depths of the lanes.
    """

    session: str
    exchanger: int
    number: int
    finished: tuple[Finished, ...]
    takes: Counts
    slots: Slots
    bell: Bell
    upkeep: bool = False
    look: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an exchange.

    `alive` is False when the session has ended; then nothing was settled or claimed.
    `stale` are the finished tasks that belong to somebody else by now. `is_short` says
    that the lanes had less than was asked for, `is_limited` that the queue's own rate
    allowed no more. `due_in_s` is when it is worth asking
    again, if the answer tells.
    """

    alive: bool
    leases: tuple[Lease, ...] = ()
    stale: tuple[str, ...] = ()
    is_short: bool = True
    is_limited: bool = False
    shed_level: int = 0
    due_in_s: float | None = None
    sight: Sight | None = None


@dataclass(frozen=True, slots=True)
class RollCall:
    """A worker's own view: what it has, what it can do, which answers it has had."""

    session: str
    known: Sequence[str]
    numbers: tuple[int, ...]
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class RollAnswer:
    """How the two views differ.

    `returned` tasks were claimed for this worker without its knowledge and went back;
    `lost` it believes to have and has not; `unwanted` have been cancelled; `names` are
    the tasks that live workers can do.
    """

    alive: bool
    returned: int = 0
    lost: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What was freed of a dead session: how many, how many had begun, who died."""

    tasks: int
    crashed: int
    dead: tuple[str, ...]
    left: int


@dataclass(frozen=True, slots=True)
class Found:
    """A task's state, and its result or the note of its end."""

    state: TaskState | None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Audit:
    """Every task must be in exactly one place. What was not, and was put right.

    `repaired` tasks were in no place and wait again; `tidied` are what else did not add
    up: the task, and what it was.
    """

    looked_at: int
    repaired: tuple[str, ...]
    tidied: tuple[tuple[str, str], ...] = ()


class Broker(Protocol):
    """Tasks in, tasks out."""

    async def enqueue(
        self, parcels: Sequence[Parcel], fence: Fence | None = None
    ) -> Sequence[bool | str]:
        """Put them in. Safe to repeat.

        For each: True, False for an id that is known already, or the id of the task
        that has its unique key, and which stands for it.
        Under a `fence` nothing is put in once a later grant of its name has put
        something into this queue: `StaleTokenError`. Raises `SessionLostError` if the
        session of the grant is known to be over.
        """
        ...

    async def exchange(self, request: Request) -> Answer:
        """Settle what is finished and claim what fits. Safe to repeat."""
        ...

    async def cancel(self, task_id: str) -> TaskState | None:
        """Stop a task. Its state after that; None if it is not known."""
        ...

    async def stats(self) -> QueueStats: ...


class Claims(Protocol):
    """Who owns what, apart from the exchange."""

    async def roll_call(self, mine: RollCall) -> RollAnswer:
        """Compare a worker's view with the server's and put right what differs."""
        ...

    async def begin(self, lease: Lease) -> bool:
        """A task with a crash on its record begins now; False if it is not ours."""
        ...

    async def report(self, lease: Lease, progress: str) -> bool:
        """Note how far a task has come; False if it is not ours any more."""
        ...

    async def take_back(self, session: str) -> TakenBack:
        """Put a few tasks of a dead session back into their lanes."""
        ...

    async def leave(self, session: str) -> None:
        """A session without claims asks for no further attention."""
        ...


class Results(Protocol):
    """What became of a task."""

    async def find(self, task_id: str, *, tell: str = "") -> Found:
        """Its state and result. `tell`: send word to this channel when it is over."""
        ...


class DeadLetters(Protocol):
    """Tasks that were set aside."""

    async def list(self, *, first: int = 0, most: int = 100) -> tuple[DeadLetter, ...]:
        """The latest deaths first."""
        ...

    async def replay(
        self,
        which: Which | Sequence[str] | None = None,
        *,
        rate: Rate | None = None,
        dry_run: bool = False,
    ) -> int:
        """Put them back with a clean record, the oldest first. Returns how many.

        `which` are ids, or a choice; None is all. With a `rate` they become ready one
        after the other. One whose unique key has gone to another task stays. A dry run
        counts, and does nothing.
        """
        ...

    async def purge(
        self, which: Which | Sequence[str] | None = None, *, dry_run: bool = False
    ) -> int:
        """Forget them. Returns how many."""
        ...


class QueueAdmin(Protocol):
    """A hand on the whole queue."""

    async def pause(self, *, paused: bool, task: str = "") -> None:
        """Stop or resume all claiming, or that of the tasks of one name."""
        ...

    async def limit(self, rate: Rate | None, *, task: str = "") -> None:
        """Let the queue's tasks, or those of one name, begin at this rate at most."""
        ...

    async def shed(self, level: int) -> int:
        """Serve so many of the lowest lanes no more. Returns the level before."""
        ...

    async def audit(self) -> Audit:
        """Look for tasks that are in no place and put them back."""
        ...

    async def explain(self, task_id: str) -> Explanation | None:
        """Where a task is and what keeps it from running; None if it is not known."""
        ...
