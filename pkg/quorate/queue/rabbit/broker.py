"""Tasks in and out of a RabbitMQ. Satisfies `Broker` and `Claims`.

What is finished well is acknowledged. What is to be tried again, or is set aside, is
first put in again as a copy, confirmed, and then acknowledged: a crash in between makes
two of it, never none. What is claimed comes out of what the broker has already sent, so
an exchange that only claims asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quorate.core.fence import Fence
from quorate.queue.ages import seen
from quorate.queue.capabilities import Capability, lacking
from quorate.queue.decide import death_note
from quorate.queue.guards import GUARDED
from quorate.queue.lanes import Counts, Sight
from quorate.queue.model import (
    LANES,
    PRIORITIES,
    DeadReason,
    Lease,
    Move,
    MoveKind,
    TaskState,
)
from quorate.queue.ports import (
    Answer,
    Finished,
    Parcel,
    Request,
    RollAnswer,
    RollCall,
    TakenBack,
)
from quorate.queue.views import QueueStats
from quorate.wire.rabbit import RabbitWire

from .dead_letters import burial
from .letters import Letter, Record
from .memory import Memory
from .reception import Harvest, Reception, next_copy
from .sending import Sending, delay_until
from .topology import Topology

OVER = (MoveKind.DONE, MoveKind.CANCELLED)
HELD_S = 5.0
"""A task whose service is down comes again so often."""

HOLD_S = 5.0
"""What waits here so long without room goes back, so that others can have it."""


class RabbitBroker:
    """One task queue on one broker."""

    def __init__(
        self, wire: RabbitWire, topology: Topology, tell: Callable[[str, bytes], None]
    ) -> None:
        self.queue = topology.queue
        self.sending = Sending(wire, topology)
        self.memory = Memory()
        self.reception = Reception(wire, self.sending, self.memory, self._arrived)
        self._wire = wire
        self._tell = tell
        self._bell = ""
        self._said: dict[int, tuple[int, Answer]] = {}
        self._moved: set[int] = set()

    async def enqueue(
        self, parcels: Sequence[Parcel], fence: Fence | None = None
    ) -> list[bool]:
        """All of them are new: what is in already cannot be looked up.

        Nor can a fence be checked, since nothing here remembers the last token.
        """
        if any(parcel.envelope.startswith(GUARDED) for parcel in parcels):
            raise lacking(Capability.GUARDS)
        await self.sending.enqueue(parcels)
        return [True] * len(parcels)

    async def exchange(self, request: Request) -> Answer:
        said = self._said.get(request.exchanger)
        if said is not None and request.number <= said[0]:
            return said[1] if request.number == said[0] else Answer(alive=True)
        if request.session not in self._wire.roll:
            ids = tuple(finished.lease.id for finished in request.finished)
            return Answer(alive=False, stale=ids)
        if request.session != self.reception.session:
            self._said.clear()
            self._moved.clear()
            await self.reception.belong_to(request.session)
        stale = await self._settle(request.finished)
        if request.slots.total:
            await self.reception.open()
        if request.session != self.reception.session:
            # Another session has begun meanwhile: what is here now is for that one.
            return Answer(alive=False, stale=stale)
        harvest = self.reception.claim(request)
        try:
            await self.reception.settle(harvest.stale)
            await self._put_aside(harvest)
        except BaseException:
            self.reception.unclaim(harvest.leases)
            raise
        self._bell = request.bell.channel if request.bell.wanted else ""
        if not request.slots.total:
            self._count_the_wait()
        answer = Answer(
            alive=True,
            leases=tuple(harvest.leases),
            stale=stale,
            is_short=harvest.is_short,
            sight=self._sight() if request.look else None,
        )
        self._said[request.exchanger] = (request.number, answer)
        return answer

    async def cancel(self, task_id: str) -> TaskState | None:
        raise lacking(Capability.CANCEL)

    async def stats(self) -> QueueStats:
        """Depths are the broker's; what runs is counted in this process alone."""
        depths = await self.sending.depths()
        topology = self.sending.topology
        held = self._held()
        mine = {shape.name for shape in (*topology.lanes, topology.dead)}
        return QueueStats(
            queue=self.queue,
            ready={
                priority: depths[shape.name] + waiting
                for priority, shape, waiting in zip(
                    PRIORITIES, topology.lanes, self.reception.depths, strict=True
                )
            },
            running=dict(zip(PRIORITIES, held, strict=True)),
            oldest_age_s=dict.fromkeys(PRIORITIES, None),
            scheduled=sum(n for name, n in depths.items() if name not in mine),
            dead=depths[topology.dead.name],
            shed_level=0,
            paused=False,
        )

    # -- Claims ----------------------------------------------------------------------

    async def roll_call(self, mine: RollCall) -> RollAnswer:
        """Which tasks others can do, nobody knows here."""
        if mine.session not in self._wire.roll:
            return RollAnswer(alive=False)
        return RollAnswer(alive=True)

    async def begin(self, lease: Lease) -> bool:
        """Run it alone: everything else here goes back first, so that nobody is blamed.

        The broker counts a death for all that this process has not acknowledged.
        """
        if (
            lease.session not in self._wire.roll
            or lease.token not in self.reception.held
        ):
            return False
        await self.reception.close(but=lease.token)
        return lease.token in self.reception.held

    async def report(self, lease: Lease, progress: str) -> bool:
        raise lacking(Capability.PROGRESS)

    async def take_back(self, session: str) -> TakenBack:
        """The broker has done it when the connection broke."""
        return TakenBack(tasks=0, crashed=0, dead=(), left=0)

    async def leave(self, session: str) -> None:
        """The worker stops: what is here goes back, and nothing more comes."""
        self._said.clear()
        if session == self.reception.session:
            await self.reception.close()
            await self.reception.belong_to("")

    async def tidy(self) -> None:
        """Give back what nobody here has had room for in a while."""
        await self.reception.give_back_old()
        since = self.reception.full_since
        if since is not None and self._wire.clock.monotonic() - since > HOLD_S:
            await self.reception.close()
            self.reception.full_since = None

    # -- inside ----------------------------------------------------------------------

    async def _settle(self, finished: Sequence[Finished]) -> tuple[str, ...]:
        """Copies first, then acknowledgements. Returns who was not held any more."""
        if not finished:
            return ()
        held = self.reception.held
        await self._send_on(
            [
                each
                for each in finished
                if each.lease.token in held and each.lease.token not in self._moved
            ]
        )
        stale: list[str] = []
        done: list[Letter] = []
        for each in finished:
            self._moved.discard(each.lease.token)
            letter = self.reception.release(each.lease.token)
            if letter is None:
                stale.append(each.lease.id)
                continue
            if each.move.kind in OVER:
                self.memory.over(letter.id)
            done.append(letter)
        await self.reception.settle(done)
        return tuple(stale)

    async def _send_on(self, finished: Sequence[Finished]) -> None:
        """Put in again what is not over, and set aside what is dead."""
        again, dead = [], []
        for lease, move, _ in finished:
            letter = self.reception.held[lease.token]
            if move.kind is MoveKind.DEAD:
                dead.append((letter, move.body))
            elif move.kind not in OVER:
                again.append((letter, move))
        if again:
            now_s = self._wire.clock.now()
            await self.sending.copies(
                [_copy(letter, move, now_s) for letter, move in again]
            )
        if dead:
            await self._bury(dead)
        for letter, _ in (*again, *dead):
            self.memory.moved(letter.id, letter.record.turn + 1)
        self._moved.update(each.lease.token for each in finished)

    async def _put_aside(self, harvest: Harvest) -> None:
        """What is not to run goes where it belongs; or waits here for another try."""
        try:
            await self.reception.give_back(harvest.worn)
            harvest.worn.clear()
            await self._poisoned(harvest.poisoned)
            harvest.poisoned.clear()
        finally:
            for letter in (*harvest.worn, *harvest.poisoned):
                self.reception.taps[letter.record.lane].letters.appendleft(letter)

    async def _poisoned(self, letters: Sequence[Letter]) -> None:
        """Set tasks aside under which workers have died too often."""
        if not letters:
            return
        why = "Its workers died, or their connections were cut, too often."
        notes = [
            death_note(
                DeadReason.POISON, why, letter.record.failures + 1, letter.record.lane
            )
            for letter in letters
        ]
        await self._bury(list(zip(letters, notes, strict=True)))
        for letter in letters:
            self.memory.moved(letter.id, letter.record.turn + 1)
        await self.reception.settle(letters)

    async def _bury(self, dead: Sequence[tuple[Letter, bytes]]) -> None:
        name, now_s = self.sending.topology.dead.name, self._wire.clock.now()
        await self.sending.bury(
            [burial(name, letter, note, now_s) for letter, note in dead]
        )

    def _arrived(self) -> None:
        channel, self._bell = self._bell, ""
        if channel:
            self._tell(channel, b"w" + self.queue.encode())

    def _count_the_wait(self) -> None:
        if self.reception.full_since is None and any(self.reception.depths):
            self.reception.full_since = self._wire.clock.monotonic()

    def _sight(self) -> Sight:
        reception = self.reception
        return seen(reception.depths, reception.heads, self._wire.clock.now())

    def _held(self) -> Counts:
        counts = [0] * LANES
        for letter in self.reception.held.values():
            counts[letter.record.lane] += 1
        return counts[0], counts[1], counts[2]


def _copy(letter: Letter, move: Move, now_s: float) -> tuple[str, Record, bytes, float]:
    if move.kind is MoveKind.HELD:
        # There is no place to wait for a service: so look again after a while.
        same = letter.record
        move = move._replace(
            delay_s=HELD_S, record=(same.failures, same.crashes, same.bounces)
        )
    failures, crashes, bounces = move.record
    record = next_copy(letter, failures=failures, crashes=crashes, bounces=bounces)
    return letter.id, record, letter.envelope, delay_until(move.at, now_s, move.delay_s)
