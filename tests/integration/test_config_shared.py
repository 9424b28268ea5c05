"""Processes that share a configuration store: the owner's snippet, and faults."""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import AsyncIterator

import pytest

from quorate.backend import Backend
from quorate.config import ConfigFormat, ConfigManager, get_config_manager
from quorate.config.events import (
    ConfigResynced,
    ConfigSourceFailed,
    ConfigSourceRestored,
    LastGoodUsed,
)
from quorate.config.options import ConfigOptions
from quorate.config.redis import RedisConfigStore
from quorate.core.errors import ConfigConflict, StoreError, StoreUnavailable
from quorate.core.lifecycle import running
from quorate.settings import load_settings
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import LoseReply
from quorate.wire.redis import WireLimits
from quorate.wire.scripts import load

COMMIT = load("quorate.config", "commit")
QUICK = WireLimits(timeout_s=1.0, connect_timeout_s=1.0)


class Member:
    """One process's share: a backend and a manager, and the values it was told."""

    def __init__(self, url: str, namespace: str, emit, **options) -> None:
        self.backend = Backend(url, namespace=namespace, limits=QUICK, emit=emit)
        self._options = ConfigOptions(**options)
        self._emit = emit
        self.told: list[object] = []

    async def __aenter__(self) -> Member:
        await self.backend.start()
        store = RedisConfigStore(self.backend.wire, self.backend.session)
        self.config = ConfigManager(store, self._options, emit=self._emit)
        await self.config.start()
        self.config.watch_config("n", self.told.append)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.config.stop()
        await self.backend.stop()

    async def sees(self, key: str, value: object, within_s: float = 10.0) -> None:
        """Wait until `get` gives `value`."""
        news = asyncio.Event()
        watcher = self.config.watch_config(key, lambda _value: news.set())
        async with asyncio.timeout(within_s):
            while self.config.get(key, None) != value:
                news.clear()
                if self.config.get(key, None) != value:
                    await news.wait()
        watcher.close()


async def test_the_owners_snippet_works_as_it_stands(
    redis_url, namespace, tmp_path, monkeypatch
):
    monkeypatch.setenv("QUORATE_NAMESPACE", namespace)
    monkeypatch.setenv("REDIS_URL", "redis://from-the-environment:6379")
    path = tmp_path / "app.yaml"
    path.write_text("database:\n  url: sqlite://\nfeature:\n  enabled: false\n")
    changed: asyncio.Queue = asyncio.Queue()

    async def on_config_change(change):
        await changed.put(change)

    config_manager = await get_config_manager(redis_url)
    config_manager.add_file_source(str(path), ConfigFormat.YAML)
    database_url = config_manager.get("database.url", "default_url")
    config_manager.add_change_callback(on_config_change)
    await config_manager.set("feature.enabled", True)

    async with asyncio.timeout(5):
        change = await changed.get()
    assert database_url == "sqlite://"
    assert change.keys == ("feature.enabled",)
    assert config_manager.get("feature.enabled") is True
    assert (
        config_manager.get("distributed_lock.redis_url")
        == "redis://from-the-environment:6379"
    )
    await config_manager.stop()


async def test_what_one_writes_the_other_sees_and_soon(redis_url, namespace, heard):
    async with (
        Member(redis_url, namespace, heard.emit) as one,
        Member(redis_url, namespace, heard.emit) as two,
    ):
        took = []
        for number in range(20):
            began = time.perf_counter()
            await one.config.set("n", number)
            await two.sees("n", number)
            took.append(time.perf_counter() - began)

        assert statistics.median(took) < 0.25
        assert await two.config.settled(5)
        assert two.told == sorted(two.told)
        assert two.told[-1] == 19
        assert heard.count(ConfigResynced) == 0


async def test_many_writers_and_readers_end_with_the_same_tree(
    redis_url, namespace, heard
):
    chance = random.Random(7)
    async with (
        Member(redis_url, namespace, heard.emit) as one,
        Member(redis_url, namespace, heard.emit) as two,
        Member(redis_url, namespace, heard.emit) as three,
    ):
        members = (one, two, three)

        async def write(member: Member, number: int) -> None:
            key = chance.choice(["a", "a.b", "a.b.c", "d.e", "d"])
            if chance.random() < 0.3:
                await member.config.delete(key)
            else:
                await member.config.set(key, {"x": number})

        await asyncio.gather(*(write(members[n % 3], n) for n in range(60)))
        last = await one.config.set("n", "done")
        for member in members:
            await member.sees("n", "done")

        trees = [member.config.snapshot.tree for member in members]
        assert trees[0] == trees[1] == trees[2]
        assert {member.config.snapshot.revision for member in members} == {last}
        assert last == 61


async def test_a_server_that_dies_is_survived_and_followed_again(
    start_server, namespace, heard
):
    server = start_server("valkey", persistence="always")
    async with (
        Member(server.url, namespace, heard.emit) as one,
        Member(server.url, namespace, heard.emit) as two,
    ):
        await one.config.set("n", 1)
        await two.sees("n", 1)

        server.kill()
        await heard(ConfigSourceFailed, within_s=15)
        with pytest.raises(StoreError):
            await one.config.set("n", 2)
        assert two.config.get("n") == 1
        await server.restart()
        await heard(ConfigSourceRestored, within_s=15)

        async with asyncio.timeout(15):
            while await _refused(one, 3):
                await one.backend.clock.sleep(0.05)
        await two.sees("n", 3)
        assert one.config.stale_since is None


async def _refused(member: Member, value: int) -> bool:
    try:
        await member.config.set("n", value)
    except StoreError:
        return True
    return False


async def test_a_server_that_lost_everything_is_taken_whole(
    private_server, namespace, heard
):
    async with Member(private_server.url, namespace, heard.emit) as one:
        for number in range(3):
            await one.config.set("n", number)
        await one.config.set("lost", True)

        private_server.flush()
        await one.config.set("n", 9)

        await heard(ConfigResynced, reason="epoch")
        assert one.config.get_config() == {"n": 9}
        assert one.config.snapshot.revision == 1


async def test_connections_cut_again_and_again_lose_and_repeat_nothing(
    private_server, namespace, heard
):
    proxy = FaultProxy(private_server.url)
    async with (
        running(proxy),
        Member(private_server.url, namespace, heard.emit) as writer,
        Member(proxy.url, namespace, heard.emit) as reader,
    ):
        revisions: list[int] = []
        reader.config.add_change_callback(
            lambda change: revisions.append(change.revision)
        )

        for number in range(120):
            await writer.config.set("n", number)
            if number % 15 == 0:
                proxy.cut()
        await reader.sees("n", 119, within_s=20)
        await reader.config.settled(5)

        assert revisions == sorted(set(revisions))
        assert reader.told == sorted(set(reader.told))
        assert reader.told[-1] == 119
        assert heard.count(ConfigResynced) == 0


async def test_lost_replies_make_no_write_happen_twice(
    private_server, namespace, heard
):
    proxy = FaultProxy(private_server.url, seed=3, redis=True)
    async with running(proxy), Member(proxy.url, namespace, heard.emit) as writer:
        await proxy.add(LoseReply(of=COMMIT.sha.encode(), chance=0.2))
        sure: dict[int, int] = {}

        for number in range(80):
            with contextlib.suppress(StoreError):
                sure[await writer.config.set("n", number)] = number
        await proxy.clear()
        history = await writer.config.history("n", limit=200)

        values = [commit.writes[0].value for commit in history]
        assert values == sorted(set(values), reverse=True)
        assert sure.items() <= {c.revision: c.writes[0].value for c in history}.items()
        assert len(sure) > 60
        assert proxy.stats().replies_lost > 5


async def test_compare_and_set_between_processes_loses_no_increment(
    redis_url, namespace, heard
):
    async with (
        Member(redis_url, namespace, heard.emit) as one,
        Member(redis_url, namespace, heard.emit) as two,
    ):
        await one.config.set("n", 0)

        async def increment(member: Member) -> bool:
            stored = member.config.stored("n")
            try:
                await member.config.set("n", stored.value + 1, expect=stored.version)
            except ConfigConflict:
                await member.config.reload_config()
                return False
            return True

        async def ten(member: Member) -> None:
            await member.config.reload_config()
            done = 0
            while done < 10:
                done += await increment(member)

        await asyncio.gather(ten(one), ten(two), ten(one), ten(two))
        await one.sees("n", 40)


@pytest.fixture
async def kept(start_server, namespace, tmp_path, heard) -> AsyncIterator:
    """A server that was used, and settings under which that is kept on disk."""
    server = start_server("valkey", persistence="always")
    environ = {"QUORATE_NAMESPACE": namespace, "DATA_DIR": str(tmp_path / "data")}
    settings = load_settings(environ=environ)
    first = await get_config_manager(server.url, settings=settings)
    await first.set("n", {f"k{number}": number for number in range(1000)})
    await first.stop()
    return server, settings


async def test_a_process_starts_on_what_was_good_last_and_joins_the_server_later(
    kept, heard
):
    server, settings = kept
    server.kill()
    began = time.perf_counter()

    config = await get_config_manager(server.url, emit=heard.emit, settings=settings)

    assert time.perf_counter() - began < 2.0
    assert config.get("n.k7") == 7
    assert config.stale_since is not None
    await heard(LastGoodUsed)
    with pytest.raises(StoreUnavailable):
        await config.set("n.k7", 8)

    await server.restart()
    await heard(ConfigSourceRestored, within_s=15)
    await config.set("n.k7", 8)
    assert config.get("n.k7") == 8
    assert config.stale_since is None
    await config.stop()


async def test_without_anything_kept_a_server_that_is_away_is_an_error(kept, tmp_path):
    server, _ = kept
    server.kill()
    settings = load_settings(environ={"DATA_DIR": str(tmp_path / "empty")})

    with pytest.raises(StoreUnavailable):
        await get_config_manager(server.url, settings=settings)
