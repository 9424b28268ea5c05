"""Each story of a lock goes well, and goes wrong with a bug planted in a script."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import LockNotGranted
from quorate.lease.lease import LeaseTerms
from quorate.locks import redis as redis_locks
from quorate.locks.answers import Ask
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig
from quorate.testing.checker import judge
from quorate.testing.history import Operation, monotonic_ns
from quorate.testing.models import Mutex
from quorate.wire.scripts import Script

TERMS = LeaseTerms(ttl_s=1.5, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=3.0)
LONG = LeaseTerms(ttl_s=60.0)
"""Who waits looks of its own accord once a minute: no story takes so long."""

PATIENCE_S = 10.0
IMPATIENCE_S = 0.5
"""How long it takes to believe that a waiter is not served: with right scripts it is
served at once on any machine, and with wrong ones never."""

SCRIPTS = ("_ACQUIRE", "_LEAVE", "_CLEAN")


class Story:
    """Processes over one server, without a sweeper, and what they saw of one lock."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url = url
        self._namespace = namespace
        self._open: list[tuple[Backend, LockManager]] = []
        self.patience_s = PATIENCE_S
        self._ids = itertools.count(1)
        self.history: list[Operation] = []

    async def process(self, terms: LeaseTerms = TERMS) -> tuple[Backend, LockManager]:
        backend = Backend(self._url, namespace=self._namespace, terms=terms)
        await backend.start()
        locks = LockManager.over(
            backend.wire, backend.session, LockConfig(passing_s=0.0005)
        )
        await locks.start()
        self._open.append((backend, locks))
        return backend, locks

    async def holds(
        self,
        locks: LockManager,
        for_s: float = 0.0,
        until: asyncio.Event | None = None,
    ) -> int:
        """Take the lock, write it down, give it back. Returns the token."""
        owner = f"o{next(self._ids)}"
        asked = Operation("acquire", {"owner": owner}, None, monotonic_ns(), None)
        async with locks.acquire_lock("a", on_loss="flag") as grant:
            self.history.append(
                replace(asked, result=grant.token, returned_ns=monotonic_ns())
            )
            try:
                await asyncio.sleep(for_s)
                if until is not None:
                    await until.wait()
            finally:
                leaving = Operation(
                    "release", {"owner": owner}, None, monotonic_ns(), None
                )
                self.history.append(leaving)
        self.history.remove(leaving)
        self.history.append(replace(leaving, result=True, returned_ns=monotonic_ns()))
        return grant.token

    async def ends(self, backend: Backend) -> None:
        """The session of a process ends on the server, and nobody tells it."""
        (member,) = backend.session.memberships()
        await backend.session._store.end(member.tag, member.name)

    def is_a_lock(self) -> bool:
        """What the checker says of all that was written down."""
        return judge(self.history, Mutex()).is_valid

    async def stop(self) -> None:
        for backend, locks in self._open:
            await locks.stop()
            await backend.stop()


async def some_take_it_at_once(story: Story) -> bool:
    """One is inside at a time."""
    managers = [(await story.process())[1] for _ in range(3)]
    await asyncio.gather(*(story.holds(locks, 0.05) for locks in managers))
    return story.is_a_lock()


async def a_wait_is_cancelled(story: Story) -> bool:
    """One gives up waiting: whoever is before it waits on for who is inside."""
    ann, bob, cat = [(await story.process(LONG))[1] for _ in range(3)]
    leave = asyncio.Event()
    holding = asyncio.ensure_future(story.holds(ann, until=leave))
    await in_line(ann, 0)
    waiting = asyncio.ensure_future(story.holds(bob))
    await in_line(ann, 1)
    doomed = asyncio.ensure_future(story.holds(cat))
    await in_line(ann, 2)
    doomed.cancel()
    await asyncio.wait({waiting}, timeout=IMPATIENCE_S)
    leave.set()
    await asyncio.gather(holding, doomed, waiting, return_exceptions=True)
    return story.is_a_lock()


async def many_tasks_in_turn(story: Story) -> bool:
    """The server's clock was set back: the last token is ahead of it."""
    managers = [(await story.process())[1] for _ in range(2)]
    first = await story.holds(managers[0])
    backend = story._open[0][0]
    tag = backend.wire.keys.lock_tag("a")
    ahead = first + 10**12
    await backend.wire.calls.command("HSET", f"{tag}:l:h:a", "f", ahead)
    await asyncio.gather(*(story.holds(locks) for locks in managers for _ in range(40)))
    return story.is_a_lock()


async def the_server_forgets_everything(story: Story) -> bool:
    """A token of before must not come again."""
    backend, ann = await story.process()
    await story.holds(ann)
    await backend.wire.calls.command("FLUSHALL")
    await story.holds(ann)
    return story.is_a_lock()


async def a_session_ends_unheard(story: Story) -> bool:
    """The server ends a session, and its process goes on to take a lock."""
    backend, ann = await story.process()
    _, bob = await story.process()
    await story.holds(ann)
    await story.ends(backend)
    leave = asyncio.Event()
    holding = asyncio.ensure_future(story.holds(ann, until=leave))
    await in_line(bob, 0)
    theirs = asyncio.ensure_future(story.holds(bob))
    await asyncio.wait({theirs}, timeout=IMPATIENCE_S)
    leave.set()
    await asyncio.wait_for(theirs, 5)
    await asyncio.gather(holding, return_exceptions=True)
    return story.is_a_lock()


async def a_dead_process_stands_in_line(story: Story) -> bool:
    """Nobody sweeps; the next in line is dead, the one behind it waits."""
    _, ann = await story.process(LONG)
    backend, dead = await story.process(LONG)
    _, bob = await story.process(LONG)
    leave = asyncio.Event()
    holding = asyncio.ensure_future(story.holds(ann, until=leave))
    await in_line(ann, 0)
    doomed = asyncio.ensure_future(story.holds(dead))
    await in_line(ann, 1)
    waiting = asyncio.ensure_future(story.holds(bob))
    await in_line(ann, 2)
    await story.ends(backend)
    await backend.wire.inbox.stop()
    await backend.wire.calls.close()
    leave.set()
    await holding
    return await is_served(story, waiting, doomed)


async def one_waits_for_another(story: Story) -> bool:
    """The waiter is inside soon after the holder has left."""
    _, ann = await story.process(LONG)
    _, bob = await story.process(LONG)
    leave = asyncio.Event()
    holding = asyncio.ensure_future(story.holds(ann, until=leave))
    await in_line(ann, 0)
    waiting = asyncio.ensure_future(story.holds(bob))
    await in_line(ann, 1)
    leave.set()
    await holding
    return await is_served(story, waiting)


async def an_ask_arrives_late(story: Story) -> bool:
    """An ask that was given up arrives after that, on a connection of its own."""
    _, ann = await story.process()
    late = Ask("a", "me:1", False, True, 0.0, "o", "")
    await ann._store.leave("a", late.id, echo=True)
    try:
        await ann._store.acquire(late)
    except LockNotGranted:
        return True
    return False


async def is_served(
    story: Story, waiting: asyncio.Task[int], *others: asyncio.Task[int]
) -> bool:
    """Whether it is served before it looks of its own accord; then all are stopped."""
    done, _ = await asyncio.wait({waiting}, timeout=story.patience_s)
    for task in (waiting, *others):
        task.cancel()
    await asyncio.gather(waiting, *others, return_exceptions=True)
    return bool(done)


async def in_line(locks: LockManager, waiters: int) -> None:
    """Wait until somebody holds the lock and so many stand in the server's line."""
    async with asyncio.timeout(5):
        while True:
            explanation = await locks.explain("a")
            if explanation.holders and len(explanation.waiters) == waiters:
                return


@dataclass(frozen=True, slots=True)
class Bug:
    """A line of Lua made wrong, and the story that must not go well with it."""

    name: str
    right: str
    wrong: str
    story: Callable[[Story], Awaitable[bool]]


BUGS = (
    Bug(
        "a return does not look whose the lock is",
        "  if record then\n    redis.call('SREM', claims(fields(record)[4])",
        "  if mode then redis.call('DEL', key) settle(name, false, mode) end\n"
        "  if record then\n    redis.call('SREM', claims(fields(record)[4])",
        a_wait_is_cancelled,
    ),
    Bug(
        "a held lock is granted",
        "if not grace and (not held or (held == 's'",
        "if true or (not held or (held == 's'",
        some_take_it_at_once,
    ),
    Bug(
        "a grant reserves no tokens for local passes",
        "'f', digits(final), id",
        "'f', digits(token), id",
        many_tasks_in_turn,
    ),
    Bug(
        "tokens are a bare counter",
        "token = math.max(token + 1, micros)",
        "token = token + 1",
        the_server_forgets_everything,
    ),
    Bug(
        "a dead session takes locks",
        "if not ends or tonumber(ends) <= now then\n  return {'dead', now}\nend",
        "",
        a_session_ends_unheard,
    ),
    Bug(
        "a dead waiter is granted the lock",
        "if is and is_alive(is[5]) then",
        "if is then",
        a_dead_process_stands_in_line,
    ),
    Bug(
        "nobody is told of its grant",
        "redis.call('PUBLISH', base .. 'to:' .. session,",
        "string.len(base .. 'to:' .. session,",
        one_waits_for_another,
    ),
    Bug(
        "what was given up is forgotten",
        "redis.call('ZADD', given_up",
        "redis.call('ZCARD', given_up) local _ = lines(given_up",
        an_ask_arrives_late,
    ),
)


def broken(script: Script, bug: Bug) -> Script:
    text = script.text.replace(bug.right, bug.wrong)
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return replace(script, text=text, sha=sha)


@pytest.fixture
async def story(private_server: Server, namespace: str) -> AsyncIterator[Story]:
    story = Story(private_server.url, namespace)
    yield story
    async with asyncio.timeout(20):
        await story.stop()


@pytest.mark.parametrize(
    "tale", dict.fromkeys(bug.story for bug in BUGS), ids=lambda tale: tale.__name__
)
async def test_a_story_goes_well_with_the_scripts_as_they_are(story, tale):
    assert await tale(story)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
async def test_a_story_does_not_go_well_with_a_bug(
    story, bug, monkeypatch: pytest.MonkeyPatch
):
    scripts = {name: getattr(redis_locks, name) for name in SCRIPTS}
    assert any(bug.right in script.text for script in scripts.values()), "no such line"
    for name, script in scripts.items():
        monkeypatch.setattr(redis_locks, name, broken(script, bug))
    story.patience_s = IMPATIENCE_S

    assert not await bug.story(story)
