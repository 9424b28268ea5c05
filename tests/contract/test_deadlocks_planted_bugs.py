"""The guards against deadlocks and stale writes go red for the bugs they are for."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from importlib.resources import files

import pytest
from tests.contract import test_deadlocks as deadlocks
from tests.contract import test_fenced_writes as fences
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import StaleTokenError
from quorate.locks.hold import Hold
from quorate.locks.manager import LockManager
from quorate.registry.model import ServiceInfo
from quorate.testing.heard import Heard
from quorate.wire.scripts import Script, load


@dataclass(frozen=True, slots=True)
class Bug:
    """A line of Lua made wrong, and the guard that must not pass with it."""

    name: str
    script: str
    right: str
    wrong: str
    guard: Callable[..., Awaitable[None]]


async def a_circle_is_broken(process) -> None:
    await deadlocks.test_processes_that_wait_in_a_circle_lose_exactly_one(process, 2)


async def stale_tasks_are_refused(ann, bob) -> None:
    await fences.test_who_was_overtaken_is_refused(ann, bob, fences.Process.enqueues)


async def stale_decisions_are_refused(ann, bob) -> None:
    await fences.test_who_was_overtaken_is_refused(ann, bob, fences.Process.drains)


async def stale_settings_are_refused(ann, bob) -> None:
    await fences.test_who_was_overtaken_is_refused(ann, bob, fences.Process.sets)


async def stale_settings_of_lost_sessions_are_refused(ann) -> None:
    await fences.test_who_lost_its_session_is_refused_even_before_anybody_else(
        ann, fences.Process.sets
    )


async def siblings_are_told_apart(ann) -> None:
    for write in fences.WRITES:
        await fences.test_a_stale_task_of_the_same_process_is_refused_too(ann, write)


async def tokens_go_along_by_themselves(ann, bob) -> None:
    for write in fences.WRITES:
        await fences.test_the_lock_hands_its_token_to_the_write_by_itself(
            ann, bob, write
        )


async def lost_sessions_are_refused(ann) -> None:
    await fences.test_who_lost_its_session_is_refused_even_before_anybody_else(
        ann, fences.Process.enqueues
    )


LOCK_BUGS = (
    Bug(
        "notes are not kept",
        "quorate.locks.redis_waits:_WAITS",
        "redis.call('HSET', notes, session, mine)",
        "local _ = 0",
        a_circle_is_broken,
    ),
    Bug(
        "who stands in line is not read",
        "quorate.locks.redis_waits:_WAITS",
        "redis.call('ZRANGE', queue(name, mode), 0, most - 1)",
        "{}",
        a_circle_is_broken,
    ),
    Bug(
        "a reader that waits to be the writer is not read",
        "quorate.locks.redis_waits:_WAITS",
        "found[#found + 1] = upgrading",
        "found[#found + 1] = ''",
        deadlocks.test_a_circle_through_a_reader_that_wants_to_write_is_found,
    ),
    Bug(
        "the victim does not leave the line",
        "quorate.locks.redis_waits:_GIVE_WAY",
        "if redis.call('HEXISTS', waits, ARGV[2]) == 0 then",
        "if true then",
        a_circle_is_broken,
    ),
    Bug(
        "any token takes a lock away",
        "quorate.locks.redis_waits:_END_HOLD",
        "if token >= first and token <= final then",
        "if true then",
        deadlocks.test_a_lock_that_is_taken_away_goes_to_the_next_in_line,
    ),
)
FENCE_BUGS = (
    Bug(
        "a queue does not remember tokens",
        "quorate.queue.redis.broker:_ENQUEUE_FENCED",
        "remember(base, ARGV[2], ARGV[3])",
        "local _ = 0",
        stale_tasks_are_refused,
    ),
    Bug(
        "a queue does not compare tokens",
        "quorate.queue.redis.broker:_ENQUEUE_FENCED",
        "tonumber(last) > tonumber(token)",
        "false",
        stale_tasks_are_refused,
    ),
    Bug(
        "a queue does not look at the session",
        "quorate.queue.redis.broker:_ENQUEUE_FENCED",
        "if not ends or tonumber(ends) <= now then\n      return {-2}\n    end",
        "",
        lost_sessions_are_refused,
    ),
    Bug(
        "a repeated task is refused as stale",
        "quorate.queue.redis.broker:_ENQUEUE_FENCED",
        "if not all_known then",
        "if true then",
        fences.test_a_task_that_is_in_already_is_no_stale_write,
    ),
    Bug(
        "the registry does not compare tokens",
        "quorate.registry.redis:_ADMIN",
        "tonumber(last) > tonumber(token)",
        "false",
        stale_decisions_are_refused,
    ),
    Bug(
        "the registry does not remember tokens",
        "quorate.registry.redis:_ADMIN",
        "remember(root, ARGV[7], ARGV[8])",
        "local _ = 0",
        stale_decisions_are_refused,
    ),
    Bug(
        "configuration does not compare tokens",
        "quorate.config.redis:_COMMIT",
        "tonumber(last) > tonumber(token)",
        "false",
        stale_settings_are_refused,
    ),
    Bug(
        "configuration does not remember tokens",
        "quorate.config.redis:_COMMIT",
        "remember(base, ARGV[4], ARGV[5])",
        "local _ = 0",
        stale_settings_are_refused,
    ),
    Bug(
        "configuration does not look at the session",
        "quorate.config.redis:_COMMIT",
        "if not ends or tonumber(ends) <= now then",
        "if false then",
        stale_settings_of_lost_sessions_are_refused,
    ),
)


def plant(monkeypatch: pytest.MonkeyPatch, bug: Bug) -> None:
    module_name, _, name = bug.script.partition(":")
    module = importlib.import_module(module_name)
    script: Script = getattr(module, name)
    assert script.text.count(bug.right) == 1, "the script has changed"
    text = script.text.replace(bug.right, bug.wrong)
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(module, name, replace(script, text=text, sha=sha))


@pytest.fixture
async def process(
    private_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[deadlocks.NewProcess]:
    """As in the contract; a circle that stays is a red guard, and soon."""
    monkeypatch.setattr(deadlocks, "FOUND_WITHIN_S", 1.5)
    open_: list[deadlocks.Process] = []

    async def new(config=deadlocks.SOON) -> deadlocks.Process:
        backend = Backend(private_server.url, namespace=namespace)
        await backend.start()
        heard = Heard()
        locks = LockManager.over(backend.wire, backend.session, config, heard.emit)
        await locks.start()
        open_.append(deadlocks.Process(backend, locks, heard))
        return open_[-1]

    yield new
    for one in open_:
        await one.locks.stop()
        await one.backend.stop()


@pytest.mark.parametrize("bug", LOCK_BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
async def test_a_deadlock_guard_goes_red(process, monkeypatch, bug: Bug):
    plant(monkeypatch, bug)

    with pytest.raises((AssertionError, TimeoutError)):
        await bug.guard(process)


@pytest.fixture
async def ann(private_server: Server, namespace: str) -> AsyncIterator[fences.Process]:
    async with opened(private_server, namespace) as process:
        await process.registry.register(
            ServiceInfo("orders-1", "orders", "http://10.0.0.1:80")
        )
        yield process


@pytest.fixture
async def bob(private_server: Server, namespace: str) -> AsyncIterator[fences.Process]:
    async with opened(private_server, namespace) as process:
        yield process


@contextlib.asynccontextmanager
async def opened(server: Server, namespace: str) -> AsyncIterator[fences.Process]:
    backend = Backend(server.url, namespace=namespace)
    await backend.start()
    process = fences.Process(backend)
    await process.start()
    yield process
    await process.stop()
    await backend.stop()


@pytest.mark.parametrize("bug", FENCE_BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
async def test_a_fence_guard_goes_red(ann, bob, monkeypatch, bug: Bug):
    plant(monkeypatch, bug)
    given = {"ann": ann, "bob": bob}
    wanted = inspect.signature(bug.guard).parameters

    with pytest.raises((AssertionError, StaleTokenError, pytest.fail.Exception)):
        await bug.guard(**{name: given[name] for name in wanted})


def hands_on_the_same_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks of a process write with the token of the first."""
    monkeypatch.setattr(Hold, "token", _Unchanging(), raising=False)


class _Unchanging:
    """A token that a hold keeps, whoever is inside."""

    def __get__(self, hold: Hold, _: object = None) -> int:
        return _FIRST[hold.id]

    def __set__(self, hold: Hold, token: int) -> None:
        _FIRST.setdefault(hold.id, token)


_FIRST: dict[str, int] = {}


async def test_the_guard_of_siblings_goes_red(ann, monkeypatch):
    hands_on_the_same_token(monkeypatch)

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await siblings_are_told_apart(ann)


@pytest.mark.parametrize(
    "room", ["queue.producer", "registry.manager", "config.publisher"]
)
async def test_the_guard_of_tokens_that_go_along_goes_red(ann, bob, monkeypatch, room):
    monkeypatch.setattr(f"quorate.{room}.current_fence", lambda: None)

    with pytest.raises(pytest.fail.Exception):
        await tokens_go_along_by_themselves(ann, bob)


def test_all_rooms_compare_tokens_in_the_same_way():
    fence = (files("quorate.wire") / "scripts" / "fence.lua").read_text().strip()

    for room, name in (
        ("quorate.queue.redis", "enqueue_fenced"),
        ("quorate.registry", "admin"),
        ("quorate.config", "commit"),
    ):
        assert fence in load(room, name).text
