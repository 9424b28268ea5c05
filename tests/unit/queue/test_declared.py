"""Functions declared as tasks."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidInput, QueueError
from quorate.queue.declared import all_declared, async_task, carry_with
from quorate.queue.model import Task, TaskPriority


@async_task(queue="side", priority=TaskPriority.HIGH, timeout_s=2.0)
async def schedule(user_id: str, requirements: dict | None = None) -> str:
    """Says who."""
    return f"for {user_id}"


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
