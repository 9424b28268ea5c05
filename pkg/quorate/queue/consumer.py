"""One queue's share of a worker process: the pump between server and tasks.

What is finished leaves with the call that fetches the next tasks. A call goes out at
once if none is under way; what ends meanwhile rides on the following one, so batches
grow by themselves under load and nobody waits for them when there is little to do. At
most two are under way, and each is repeated under its number until it is answered.
While the server is away nothing is claimed; what is finished waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from quorate.core.errors import StoreError
from quorate.core.lifecycle import Duty, Tasks

from .ahead import Anteroom, Pace
from .bulletin import Bulletin
from .decide import after_cancel, after_release
from .desk import Desk
from .exchanger import Exchanger
from .handlers import Handlers
from .intake import Intake
from .lanes import Slots
from .model import Lease, QueueConfig
from .ports import Answer, Bell, Finished, Request
from .quarantine import Quarantine
from .run import Stop
from .running import Running
from .services import Usher
from .tally import Bookkeeper, Tally

SECOND_AT = 32
"""A second exchange goes out while one is under way, if so many tasks are finished, or
if a whole batch would fit and the last answer was a full one."""

UPKEEP_EVERY_S = 0.02
LOOK_EVERY_S = 0.1
AGAIN_S = 0.25
NOTHING = Slots(0, 0)


class Consumer:
    """Claims, runs and settles the tasks of one queue."""

    def __init__(self, desk: Desk, handlers: Handlers, tasks: Tasks) -> None:
        self._desk = desk
        self._tasks = tasks
        self.running = Running(desk, handlers, tasks, self._over)
        self.usher = Usher(desk)
        self.running.is_away = self.usher.is_away
        self._intake = Intake(desk.config, self.running)
        self._pace = Pace()
        self._anteroom = Anteroom(self._intake.places, self.running.admit, self._over)
        self._intake.minds(self._who_waits)
        self._quarantine = Quarantine(desk, self.running, self._over)
        self._quarantine.is_clear = self._is_clear
        self._quarantine.on_clear = self._wake
        self._books = Bookkeeper(desk.queue, desk.emit)
        self._exchangers = tuple(Exchanger(desk.broker, self, n) for n in (0, 1))
        self._duties: tuple[Duty, ...] = ()
        self._finished: deque[Finished] = deque()
        self._me: str | None = None
        self._bulletin = Bulletin(desk)
        self._is_draining = self._is_paused = False
        self._may_be_listed = True
        self._next_upkeep = self._next_look = 0.0
        self._due_at: float | None = None

    @property
    def queue(self) -> str:
        return self._desk.queue

    @property
    def tally(self) -> Tally:
        """What came of the tasks so far."""
        return self._books.tally

    @property
    def session(self) -> str | None:
        """The name under which tasks are claimed now."""
        return self._me

    @property
    def known(self) -> tuple[str, ...]:
        """The ids of all tasks that this process has."""
        waiting = [finished.lease.id for finished in self._finished]
        for exchanger in self._exchangers:
            waiting += (finished.lease.id for finished in exchanger.unsettled)
        inside = (*self.running.ids, *self._anteroom.ids, *self._quarantine.ids)
        return (*inside, *waiting)

    @property
    def answered(self) -> tuple[int, ...]:
        """The number of the last answer to each exchanger."""
        return tuple(exchanger.answered for exchanger in self._exchangers)

    @property
    def is_busy(self) -> bool:
        """Is anything claimed and not yet settled?"""
        is_asking = any(exchanger.is_open for exchanger in self._exchangers)
        return bool(
            len(self.running)
            or len(self._anteroom)
            or self._finished
            or is_asking
            or self._quarantine.ids
        )

    def start(self) -> None:
        """Begin to claim."""
        self._duties = tuple(map(self._tasks.employ, self._exchangers))
        self._quarantine.wake = self._tasks.employ(self._quarantine).wake

    def ring(self) -> None:
        """There is work, the server says; its bell for us is taken down.

        It may be a delayed task that is due before all others, so upkeep is due too.
        """
        self._may_be_listed = False
        self._next_upkeep = 0.0
        self._wake()

    def look_again(self) -> None:
        """Something may have been missed."""
        self._may_be_listed = True
        self._wake()

    def lost(self, session: str) -> None:
        """The session has ended: its tasks are somebody else's now."""
        self.running.stop_all(Stop.LOST, session)
        self._anteroom.forget(session)
        self._quarantine.release(session)
        self.look_again()

    def drain(self) -> None:
        """Claim nothing more; what has not begun goes back."""
        self._is_draining = True
        self._anteroom.release()
        self._quarantine.release()
        self.look_again()

    def tune(self, config: QueueConfig, *, paused: bool) -> None:
        """From now on so many at once, in these shares; nothing new while paused."""
        is_new = self._intake.tune(config) or paused is not self._is_paused
        self._is_paused = paused
        if is_new:
            self._bulletin.tuned(config, paused=paused)
            self.look_again()

    def stop(self, task_id: str, why: Stop) -> bool:
        """Stop a task of ours, begun or not; False if there is none."""
        lease = self._anteroom.remove(task_id)
        if lease is None:
            return self.running.stop(task_id, why)
        if why is Stop.CANCEL:
            keep_s = self._desk.config.result_ttl_s
            self._over(Finished(lease, after_cancel(keep_s)))
        return True

    def close(self) -> None:
        self._anteroom.close()
        self.running.close()

    def now(self) -> float:
        return self._desk.clock.monotonic()

    async def next_request(self, exchanger: int, number: int) -> Request | None:
        if exchanger and not (self._exchangers[0].is_open and self._has_more()):
            return None
        desk = self._desk
        if self._me is None or not desk.session.is_alive(desk.tag, self._me):
            self._me = await desk.session.join(desk.tag)
        finished = self._take_finished(self._me)
        is_closed = self._is_draining or self._is_paused or self._quarantine.is_closed
        now = desk.clock.monotonic()
        self._intake.look_ahead(self._pace.ahead(now))
        slots = NOTHING if is_closed else self._intake.free()
        if not finished and not slots.total:
            return None
        upkeep, look = now >= self._next_upkeep, now >= self._next_look
        if upkeep:
            self._next_upkeep = now + UPKEEP_EVERY_S
        if look:
            self._next_look = now + LOOK_EVERY_S
        bell = Bell(desk.channel, slots.total > 0, self._may_be_listed)
        self._may_be_listed = self._may_be_listed or bell.wanted
        takes = self._intake.ask(exchanger, slots)
        if not exchanger and self._has_more():
            self._duties[1].wake()
        return Request(
            session=self._me,
            exchanger=exchanger,
            number=number,
            finished=finished,
            takes=takes,
            slots=slots,
            bell=bell,
            upkeep=upkeep,
            look=look,
        )

    def take_in(self, request: Request, answer: Answer) -> float:
        self._bulletin.reached()
        now = self._desk.clock.monotonic()
        self.running.budgets.note(now)
        took_s = self._exchangers[request.exchanger].took_s
        self._pace.note(now, len(request.finished), took_s)
        self._books.settled(request, answer)
        self._intake.answered(request, answer)
        if not answer.alive:
            self._me = None
            return AGAIN_S
        self._look_forward(answer.due_in_s, is_all=request.upkeep)
        if not answer.is_short or not request.bell.wanted:
            self._may_be_listed = False
        self._bulletin.shed(answer.shed_level)
        if self._desk.session.is_alive(self._desk.tag, request.session):
            self._welcome(answer.leases)
        is_all = answer.is_short or answer.is_limited or not self._intake.free().total
        if self._finished or (not is_all and request.slots.total):
            return 0.0
        return self.rest_s()

    def cut_off(self, error: StoreError) -> float:
        self._bulletin.cut_off(error)
        return AGAIN_S * (0.5 + self._desk.chance.random())

    def rest_s(self) -> float:
        poll_s = self._desk.config.poll_s * self._desk.peers
        poll_s *= 0.9 + 0.2 * self._desk.chance.random()
        if self._due_at is None or not self._intake.free().total:
            return poll_s
        return min(poll_s, max(0.001, self._due_at - self._desk.clock.monotonic()))

    def _look_forward(self, due_in_s: float | None, *, is_all: bool) -> None:
        """It is worth asking again then; `is_all`: nothing else is due before."""
        if is_all:
            self._due_at = None
        if due_in_s is not None:
            due_at = self._desk.clock.monotonic() + due_in_s
            self._due_at = min(due_at, self._due_at or due_at)

    def _has_more(self) -> bool:
        """Is there enough for a second exchange beside the first?"""
        return len(self._finished) >= SECOND_AT or self._intake.has_room_for_second

    def _wake(self) -> None:
        if self._duties:
            self._duties[0].wake()

    def _welcome(self, leases: Sequence[Lease]) -> None:
        begin = []
        for lease in leases:
            if self._is_draining:
                self._over(Finished(lease, after_release(lease)))
            elif lease.crashes:
                self._quarantine.receive(lease)
            else:
                begin.append(lease)
        self._anteroom.receive(begin)

    def _is_clear(self) -> bool:
        """Has all that was asked for come, and begun?"""
        return self._intake.is_quiet and not len(self._anteroom)

    def _who_waits(self) -> Slots:
        total = len(self._anteroom)
        return Slots(total, total - self._anteroom.urgent) if total else NOTHING

    def _over(self, finished: Finished) -> None:
        self._finished.append(finished)
        if len(self._anteroom):
            self._anteroom.next()
        if self._quarantine.is_closed:
            self._quarantine.wake()
        if not self._exchangers[0].is_open:
            self._wake()
        elif len(self._finished) >= SECOND_AT and not self._exchangers[1].is_open:
            self._duties[1].wake()

    def _take_finished(self, me: str) -> tuple[Finished, ...]:
        """A batch of what is finished; what belongs to a lost session is dropped."""
        take = self._finished.popleft
        some = [take() for _ in range(min(len(self._finished), self._intake.batch))]
        batch = tuple([each for each in some if each.lease.session == me])
        self._books.refused(len(some) - len(batch), me)
        return batch
