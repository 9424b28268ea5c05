"""The snippets of the owner's design (S2), with nothing but their imports changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.servers import Server

from quorate.config import ConfigFormat, get_config_manager
from quorate.health import HealthCheckConfig, get_health_check_manager
from quorate.locks import LockConfig, LockType, get_lock_manager
from quorate.queue import QueueType, TaskPriority, async_task, get_queue_manager


@pytest.fixture
def redis_address(private_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REDIS_URL", private_server.url)
    return private_server.url


async def handler_func(payload: dict[str, str]) -> str:
    return f"seen {payload['user_id']}"


@async_task(queue="high_priority", priority=TaskPriority.HIGH)
async def schedule_medical_resource(
    user_id: str, requirements: dict[str, str]
) -> dict[str, str]:
    return {"for": user_id, **requirements}


async def test_queue(redis_address: str):
    queue_manager = await get_queue_manager(QueueType.REDIS)
    try:
        await queue_manager.register_task_handler(
            "process_medical_request", handler_func
        )
        task_id = await queue_manager.enqueue_task(
            "process_medical_request",
            {"user_id": "123", "type": "consultation"},
            priority=TaskPriority.HIGH,
        )
        await queue_manager.start_workers(worker_count=4)

        assert len(queue_manager.worker_pids) == 4
        assert await queue_manager.result(task_id, wait_s=20) == "seen 123"
        other = await schedule_medical_resource("7", {"bed": "1"})
        found = await queue_manager.result(other, wait_s=20, queue="high_priority")
        assert found == {"for": "7", "bed": "1"}
    finally:
        await queue_manager.stop()


async def test_locks(redis_address: str):
    lock_manager = await get_lock_manager(redis_address)
    done: list[str] = []

    @lock_manager.with_lock("user:{user_id}", LockType.EXCLUSIVE)
    async def process_user_request(user_id: str) -> None:
        (line,) = await lock_manager.ls()
        done.append(line.name)

    async with lock_manager.acquire_lock("resource:123", LockType.EXCLUSIVE):
        assert [line.name for line in await lock_manager.ls()] == ["resource:123"]
    await process_user_request("42")
    async with lock_manager.acquire_lock("user:42"):
        pass

    assert done == ["user:42"]
    assert LockConfig(default_timeout=30, auto_extend=True) == LockConfig()
    await lock_manager.close()


async def test_health():
    said: list[tuple[str, str]] = []
    told = asyncio.Event()

    async def on_health_change(old_status, new_status):
        said.append((old_status.value, new_status.value))
        if new_status.value == "unhealthy":
            told.set()

    health_manager = get_health_check_manager()
    health_manager.register_database_checker(
        "postgresql",
        "postgresql://user:pass@localhost/db",
        config=HealthCheckConfig(interval=30.0, timeout=10.0),
    )
    health_manager.register_http_checker(
        "auth_service", "http://127.0.0.1:9/health", expected_status=200
    )
    health_manager.add_status_change_callback(on_health_change)
    await health_manager.start()
    health_manager.check_soon("auth_service")
    try:
        async with asyncio.timeout(20):
            await told.wait()
        assert said[-1][1] == "unhealthy"
    finally:
        await health_manager.stop()


async def test_config_and_health_to_degraded_mode(redis_address: str, tmp_path: Path):
    path = tmp_path / "app.yaml"
    path.write_text("database:\n  url: postgresql://${DB_HOST:-localhost}/db\n")
    changes: list[object] = []

    async def on_config_change(change):
        changes.append(change)

    config_manager = await get_config_manager(redis_address)
    try:
        config_manager.add_file_source(str(path), ConfigFormat.YAML)
        config_manager.set_remote_source("http://127.0.0.1:9/config", poll_interval=60)
        database_url = config_manager.get("database.url", "default_url")
        assert database_url == "postgresql://localhost/db"

        config_manager.add_change_callback(on_config_change)
        await config_manager.set("feature.enabled", True)
        await config_manager.set("service.degraded_mode", True)

        assert config_manager.get("feature.enabled") is True
        assert config_manager.get("service.degraded_mode") is True
        assert await config_manager.settled(5)
        assert changes
    finally:
        await config_manager.stop()
