"""What a type checker says of the public names of the queue. Never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_type

from quorate.queue import (
    Audit,
    DeadLetter,
    Declared,
    Explanation,
    QueueManager,
    QueueStats,
    QueueType,
    Task,
    TaskContext,
    TaskPriority,
    TaskState,
    WorkerReport,
    WorkerSight,
    async_task,
    get_queue_manager,
    own_process,
)


@async_task(queue="high_priority", priority=TaskPriority.HIGH)
async def schedule(
    user_id: str, requirements: dict[str, int], *, times: int = 1
) -> int:
    return times


@async_task()
@own_process
def render(page: int) -> bytes:
    return b""


@own_process
def plain(page: int) -> str:
    return ""


async def uses() -> None:
    # A declared task keeps the parameters of its function; awaiting it gives its id.
    assert_type(await schedule("42", {"beds": 1}, times=2), str)
    assert_type(schedule.task("42", {"beds": 1}), Task)
    assert_type(await schedule.run("42", {"beds": 1}), int)
    assert_type(render.run(1), bytes)
    assert_type(plain(1), str)
    await schedule(42, {"beds": 1})  # type: ignore[arg-type]
    await schedule("42")  # type: ignore[call-arg]
    await schedule("42", {"beds": 1}, often=2)  # type: ignore[call-arg]
    schedule.task("42", ["beds"])  # type: ignore[arg-type]
    await render("1")  # type: ignore[arg-type]
    plain("1")  # type: ignore[arg-type]

    queue = await get_queue_manager(QueueType.REDIS, "redis://localhost:6379")
    assert_type(queue, QueueManager)
    assert_type(await queue.enqueue_task("send", {"to": "Ada"}), str)
    assert_type(await queue.enqueue_each("work", ["a", {}]), list[str])
    assert_type(await queue.enqueue_many([schedule.task("42", {})]), list[str])
    assert_type(await queue.state("a"), TaskState)
    assert_type(await queue.stats(), QueueStats)
    assert_type(await queue.explain("a"), Explanation)
    assert_type(await queue.audit(), Audit)
    assert_type(await queue.crew(), tuple[WorkerReport, ...])
    assert_type(queue.workers(), tuple[WorkerSight, ...])
    assert_type(await queue.dead_letters.list(), tuple[DeadLetter, ...])
    await queue.enqueue_task("send", priority="high")  # type: ignore[arg-type]


async def with_context(payload: dict[str, str], context: TaskContext) -> None:
    assert_type(context.token, int)
    await context.progress(0.5, "half")


wrong: Callable[[str], object] = async_task()(plain)  # type: ignore[assignment]
right: Callable[[int], object] = async_task()(plain)


def is_declared(task: Declared[[int], str]) -> str:
    return task.run(1)
