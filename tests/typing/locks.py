"""What a type checker says of the public names of locks. Never run."""

from __future__ import annotations

from typing import assert_type

from quorate.locks import (
    Explanation,
    Grant,
    Leader,
    LockConfig,
    LockManager,
    LockStats,
    LockType,
    get_lock_manager,
)


async def uses() -> None:
    manager = await get_lock_manager("redis://localhost:6379", LockConfig())
    assert_type(manager, LockManager)

    async with manager.acquire_lock("resource:123", LockType.EXCLUSIVE) as grant:
        assert_type(grant, Grant)
        assert_type(grant.token, int)
        assert_type(grant.valid_for(), float)

    @manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
    async def process(user_id: str, *, times: int = 1) -> float:
        return float(times)

    assert_type(await process("42", times=2), float)
    await process(42)  # type: ignore[arg-type]
    await process("42", often=2)  # type: ignore[call-arg]
    manager.acquire_lock("a", on_loss="ignore")  # type: ignore[arg-type]

    @manager.with_lock("user:{user_id}", skip=True)
    def nightly(user_id: str) -> int:
        return 1

    assert_type(await nightly("42"), int | None)

    async with manager.lock_all(["a", "b"]) as grants:
        assert_type(grants, tuple[Grant, ...])
        await grants[0].downgrade()
        await grants[0].upgrade(wait_s=1)

    async with manager.semaphore("exports", permits=5).acquire(weight=2) as permit:
        assert_type(permit, Grant)

    async with manager.election("boss", "me").campaign() as leadership:
        assert_type(leadership.term, int)
    async for leader in manager.election("boss").observe():
        assert_type(leader, Leader | None)
    assert_type(await manager.barrier("phase", 3).wait(), int)
    assert_type(await manager.latch("ready", 3).count_down("me"), int)

    assert_type(manager.stats(), LockStats)
    assert_type(await manager.explain("a"), Explanation)
