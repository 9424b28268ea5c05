"""Functions declared as tasks."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidInput, InvalidName, QueueError
from quorate.queue.declared import all_declared, async_task, carry_with
from quorate.queue.guards import Rate, Slot, Unique, UniqueScope
from quorate.queue.model import Task, TaskPriority


@async_task(queue="side", priority=TaskPriority.HIGH, timeout_s=2.0)
async def schedule(user_id: str, requirements: dict | None = None) -> str:
    """Says who."""
    return f"for {user_id}"


@async_task(
    deadline_s=60.0,
    unique=Unique("report:{user.id}", UniqueScope.UNTIL_STARTED),
    slot=Slot("user:{0}", limit=2),
    rate=Rate(5, key="all reports"),
)
async def report(user: object, year: int = 2026) -> None:
    """With guards."""


@async_task(unique=Unique())
async def once(user_id: str) -> None:
    """Unique by what it is asked."""


class Carrier:
    def __init__(self) -> None:
        self.tasks: list[Task] = []

    async def carry(self, task: Task) -> str:
        self.tasks.append(task)
        return f"id-{len(self.tasks)}"


@pytest.fixture
def carrier():
    carrier = Carrier()
    leave = carry_with(carrier)
    yield carrier
    leave()


async def test_awaiting_a_declared_function_enqueues_its_call(carrier):
    assert await schedule("u1", requirements={"bed": 1}) == "id-1"
    assert await schedule.enqueue("u2") == "id-2"

    first, second = carrier.tasks
    assert first.name == f"{__name__}.schedule"
    assert first.payload == {"args": ["u1"], "kwargs": {"requirements": {"bed": 1}}}
    assert (first.queue, first.priority, first.timeout_s, first.is_call) == (
        "side", TaskPriority.HIGH, 2.0, True,
    )  # fmt: skip
    assert second.payload == {"args": ["u2"], "kwargs": {}}


async def test_it_can_still_be_called_here_and_now():
    assert await schedule.run("u1") == "for u1"
    assert schedule.__doc__ == "Says who."
    assert schedule in all_declared()


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(carrier):
    with pytest.raises(InvalidInput, match="cannot be called like that"):
        await schedule()

    assert carrier.tasks == []


async def test_without_an_open_queue_it_says_what_to_do():
    with pytest.raises(QueueError, match="no queue is open") as refused:
        await schedule("u1")

    assert "get_queue_manager" in refused.value.fix


async def test_the_queue_opened_last_carries(carrier):
    other = Carrier()
    leave = carry_with(other)

    await schedule("u1")
    leave()
    leave()
    await schedule("u2")

    assert (len(other.tasks), len(carrier.tasks)) == (1, 1)


def test_a_bad_queue_name_is_refused_when_it_is_declared():
    with pytest.raises(InvalidInput):
        async_task(queue="")


async def test_the_keys_of_guards_are_filled_from_the_call(carrier):
    class User(str):
        id = 7

    await report(User("ada"), year=1843)
    await once("u1")

    task, unique = carrier.tasks
    assert task.unique == Unique("report:7", UniqueScope.UNTIL_STARTED)
    assert (task.slot, task.rate) == (Slot("user:ada", 2), Rate(5, key="all reports"))
    assert (task.deadline_s, task.is_call) == (60.0, True)
    assert task.payload == {"args": ["ada"], "kwargs": {"year": 1843}}
    assert unique.unique == Unique()


def test_a_key_with_a_hole_that_nothing_fills_is_refused_where_it_stands():
    with pytest.raises(InvalidName, match="slot name"):

        @async_task(slot=Slot("user:{usr_id}"))
        async def work(user_id: str) -> None: ...
