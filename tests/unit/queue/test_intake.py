"""How much is asked for, and how a rate of the queue is learned from answers."""

from __future__ import annotations

from tests.unit.queue.fakes import a_lease

from quorate.queue.intake import Intake
from quorate.queue.lanes import Slots
from quorate.queue.model import QueueConfig
from quorate.queue.ports import Answer, Bell, Request


class NobodyRuns:
    urgent = 0

    def __len__(self) -> int:
        return 0


def an_intake(concurrency: int = 64) -> Intake:
    config = QueueConfig(concurrency=concurrency, reserved_for_high=0)
    return Intake(config, NobodyRuns())  # type: ignore[arg-type]


def asks(intake: Intake, claimed: int, *, limited: bool = False) -> int:
    """One exchange: what was asked for, when `claimed` tasks came of it."""
    slots = intake.free()
    takes = intake.ask(0, slots)
    request = Request(
        session="p.1", exchanger=0, number=1, finished=(), takes=takes, slots=slots,
        bell=Bell("", wanted=True),
    )  # fmt: skip
    leases = tuple(a_lease() for _ in range(claimed))
    is_short = not limited and claimed < slots.total
    intake.answered(
        request,
        Answer(alive=True, leases=leases, is_short=is_short, is_limited=limited),
    )
    return slots.total


def test_after_a_limit_about_so_many_are_asked_for():
    intake = an_intake()

    assert asks(intake, 5, limited=True) == 64
    assert asks(intake, 5, limited=True) == 5
    assert asks(intake, 3, limited=True) == 5
    assert intake.free().total == 3


def test_while_nothing_may_come_one_is_asked_for():
    intake = an_intake()
    asks(intake, 0, limited=True)

    assert intake.free() == Slots(1, 1)


def test_when_the_limit_is_gone_the_question_grows_again():
    intake = an_intake()
    asks(intake, 8, limited=True)

    grown = [asks(intake, claimed) for claimed in (8, 16, 32)]

    assert grown == [8, 16, 32]
    assert intake.free().total == 64
