"""What a type checker says of guards, patience and dead letters. Never run."""

from __future__ import annotations

from typing import assert_type

from quorate.queue import (
    ErrorRule,
    QueueManager,
    QueueStats,
    QueueType,
    Rate,
    RetryPolicy,
    Slot,
    Task,
    TaskPriority,
    Unique,
    UniqueScope,
    Which,
    async_task,
    get_queue_manager,
)


@async_task(
    queue="high_priority",
    priority=TaskPriority.HIGH,
    retry=RetryPolicy(3, rules=(ErrorRule(TimeoutError, attempts=5),)),
    deadline_s=60.0,
    unique=Unique("report:{user_id}", UniqueScope.UNTIL_STARTED),
    slot=Slot("user:{user_id}", limit=2),
    rate=Rate(100, per_s=60, key="reports"),
)
async def report(user_id: str, *, year: int = 2026) -> bytes:
    return f"{user_id} {year}".encode()


async def uses() -> None:
    queue = await get_queue_manager(QueueType.REDIS)
    assert_type(queue, QueueManager)

    assert_type(await report("ada", year=1843), str)
    assert_type(await report.run("ada"), bytes)
    assert_type(report.task("ada"), Task)
    await report(42)  # type: ignore[arg-type]
    await report("ada", yeer=1843)  # type: ignore[call-arg]

    task_id = await queue.enqueue_task("send", {"to": "ada"}, slot=Slot("ada"))
    assert_type(task_id, str)
    await queue.enqueue_task("send", slot="ada")  # type: ignore[arg-type]
    await queue.set_rate(Rate(10), task="send")
    await queue.pause(task="send")
    assert_type(await queue.stats(), QueueStats)

    which = Which(reason="poison", since=0.0)
    assert_type(
        await queue.dead_letters.replay(which, rate=Rate(500), dry_run=True), int
    )
    await queue.dead_letters.purge([task_id])
    Rate(0.5)  # type: ignore[arg-type]
