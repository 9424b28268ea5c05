"""A queue in a dictionary, and a session that lives as long as the test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from quorate.core.clock import Chance, Clock
from quorate.core.errors import StoreUnavailable
from quorate.core.events import Event
from quorate.core.fence import Fence
from quorate.lease.lease import LeaseTerms
from quorate.queue.desk import Desk
from quorate.queue.envelope import Header, seal
from quorate.queue.model import Lease, MoveKind, QueueConfig, TaskState
from quorate.queue.ports import (
    Answer,
    Finished,
    Found,
    Parcel,
    Request,
    RollAnswer,
    RollCall,
    TakenBack,
)
from quorate.queue.views import QueueStats


class FakeSession:
    """Satisfies what a worker needs of a `Session`."""

    def __init__(self) -> None:
        self.id = "p"
        self.terms = LeaseTerms()
        self.turn = 1
        self.away = False
        self.trusted_until_ = float("inf")
        self._on_lost: list[Callable[[str, str], None]] = []

    @property
    def name(self) -> str:
        return f"p.{self.turn}"

    async def join(self, tag: str) -> str:
        if self.away:
            raise StoreUnavailable("away")
        return self.name

    def name_in(self, tag: str) -> str | None:
        return self.name

    def is_alive(self, tag: str, name: str) -> bool:
        return name == self.name

    def trusted_until(self, tag: str) -> float:
        return self.trusted_until_

    def on_lost(self, told: Callable[[str, str], None]) -> Callable[[], None]:
        self._on_lost.append(told)
        return lambda: self._on_lost.remove(told)

    def lose(self) -> str:
        """The session ends; the next join is under another name."""
        lost = self.name
        self.turn += 1
        for told in tuple(self._on_lost):
            told("{t}", lost)
        return lost


@dataclass
class FakeBroker:
    """Satisfies `Broker`, `Claims` and `Results`. `away` makes every call fail."""

    lanes: list[deque[str]] = field(default_factory=lambda: [deque() for _ in range(3)])
    envelopes: dict[str, bytes] = field(default_factory=dict)
    owners: dict[str, tuple[str, int]] = field(default_factory=dict)
    records: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    settled: list[Finished] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    rolls: list[RollCall] = field(default_factory=list)
    roll_answer: RollAnswer = field(default_factory=lambda: RollAnswer(alive=True))
    reports: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)
    calls: list[list[str]] = field(default_factory=list)
    fences: list[Fence | None] = field(default_factory=list)
    dead_sessions: set[str] = field(default_factory=set)
    away: bool = False
    ours: bool = True
    shed: int = 0
    due_in_s: float | None = None
    _token: int = 0

    def put(self, task_id: str, payload: object = None, lane: int = 1, **header) -> str:
        name = header.pop("name", "work")
        self.envelopes[task_id] = seal(Header(name, **header), payload, 100_000)
        self.lanes[lane].append(task_id)
        return task_id

    async def enqueue(
        self, parcels: Sequence[Parcel], fence: Fence | None = None
    ) -> list[bool]:
        self._check()
        self.fences.append(fence)
        self.calls.append([parcel.id for parcel in parcels])
        for parcel in parcels:
            self.envelopes[parcel.id] = parcel.envelope
            self.lanes[parcel.lane].append(parcel.id)
        return [True] * len(parcels)

    async def exchange(self, request: Request) -> Answer:
        self._check()
        self.requests.append(request)
        if request.session in self.dead_sessions:
            ids = tuple(finished.lease.id for finished in request.finished)
            return Answer(alive=False, stale=ids)
        stale = [each for each in request.finished if not self._settle(each)]
        leases: list[Lease] = []
        for lane, ids in enumerate(self.lanes):
            while ids and len(leases) < request.slots.total:
                leases.append(self._claim(ids.popleft(), lane, request.session))
        return Answer(
            alive=True,
            leases=tuple(leases),
            stale=tuple(each.lease.id for each in stale),
            is_short=len(leases) < request.slots.total,
            shed_level=self.shed,
            due_in_s=self.due_in_s,
        )

    async def cancel(self, task_id: str) -> TaskState | None:
        return TaskState.CANCELLED

    async def stats(self) -> QueueStats:
        raise NotImplementedError

    async def roll_call(self, mine: RollCall) -> RollAnswer:
        self._check()
        self.rolls.append(mine)
        return self.roll_answer

    async def begin(self, lease: Lease) -> bool:
        return self.ours

    async def report(self, lease: Lease, progress: str) -> bool:
        self.reports.append(progress)
        return self.ours

    async def take_back(self, session: str) -> TakenBack:
        return TakenBack(0, 0, (), 0)

    async def leave(self, session: str) -> None:
        self._check()
        self.left.append(session)

    async def find(self, task_id: str, *, tell: str = "") -> Found:
        self._check()
        return self.found.get(task_id, Found(None))

    def moves(self, kind: MoveKind) -> list[str]:
        """The ids of all tasks that were settled in this way."""
        return [each.lease.id for each in self.settled if each.move.kind is kind]

    def _settle(self, finished: Finished) -> bool:
        lease = finished.lease
        if self.owners.get(lease.id) != (lease.session, lease.token):
            return False
        del self.owners[lease.id]
        self.settled.append(finished)
        return True

    def _claim(self, task_id: str, lane: int, session: str) -> Lease:
        self._token += 1
        self.owners[task_id] = (session, self._token)
        failures, crashes, bounces = self.records.get(task_id, (0, 0, 0))
        envelope = self.envelopes[task_id]
        return Lease(
            task_id, session, self._token, lane, envelope, failures, crashes, bounces
        )

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


def a_desk(
    broker: FakeBroker,
    session: FakeSession,
    emit: Callable[[Event], None],
    clock: Clock,
    config: QueueConfig | None = None,
) -> Desk:
    return Desk(
        queue="q",
        tag="{t}",
        channel="{t}:j:to:p",
        config=config or QueueConfig(),
        broker=broker,
        claims=broker,
        session=session,  # type: ignore[arg-type]
        emit=emit,
        clock=clock,
        chance=Chance(7),
    )


def a_lease(
    task_id: str = "a", lane: int = 1, session: str = "p.1", **record: int
) -> Lease:
    envelope = seal(Header("work"), None, 1000)
    return Lease(task_id, session, 1, lane, envelope, **record)
