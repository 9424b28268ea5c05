"""Each story of a lock on Consul goes well, and goes wrong with a bug planted in it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from tests.consul_server import ConsulServer
from tests.http_proxy import HttpProxy

from quorate.backend import Backend
from quorate.core.errors import LockLostError, QuorateError
from quorate.lease.lease import LeaseTerms
from quorate.locks import consul as consul_locks
from quorate.locks.answers import Ask, Granted, GrantNotice, Queued
from quorate.locks.consul_line import Line, Place, read_line
from quorate.locks.consul_watch import LineWatch
from quorate.locks.manager import LockManager
from quorate.locks.model import LockConfig, LockType
from quorate.wire.consul_calls import ConsulCalls, Op
from quorate.wire.consul_sessions import ConsulSessions, SessionWatch

LONG = LeaseTerms(ttl_s=30.0, renew_every_s=10.0, retry_every_s=1.0)
SHORT = LeaseTerms(ttl_s=1.2, renew_every_s=0.4, retry_every_s=0.1)
SOON_S = 1.0
STORY_S = 3.5


class Scene:
    """Processes over one Consul, each behind a proxy of its own."""

    def __init__(self, server: ConsulServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.proxies: dict[Backend, HttpProxy] = {}
        self._open: list[tuple[Backend, LockManager]] = []

    async def process(self, terms: LeaseTerms = LONG) -> tuple[Backend, LockManager]:
        proxy = HttpProxy(self.server.port)
        await proxy.start()
        backend = Backend(
            f"consul://127.0.0.1:{proxy.port}", namespace=self.namespace, terms=terms
        )
        await backend.start()
        self.proxies[backend] = proxy
        locks = LockManager.over(
            backend.server, backend.session, LockConfig(passing_s=0.0)
        )
        await locks.start()
        self._open.append((backend, locks))
        await backend.session.join(backend.server.root)
        return backend, locks

    def end_session(self, backend: Backend) -> None:
        (member,) = backend.session.memberships()
        ident = backend.server.roster.id_of(member.name)
        self.server.ask(f"/v1/session/destroy/{ident}", method="PUT")

    async def stop(self) -> None:
        for backend, locks in reversed(self._open):
            await locks.stop()
            await backend.stop()
            await self.proxies[backend].stop()


Story = Callable[[Scene], Awaitable[None]]


@pytest.fixture
async def scene(shared_consul: ConsulServer, namespace: str) -> AsyncIterator[Scene]:
    scene = Scene(shared_consul, namespace)
    yield scene
    await scene.stop()


async def soon(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not holds():
            await asyncio.sleep(0.005)


async def a_late_copy_claims_nothing(scene: Scene) -> None:
    ann, locks = await scene.process()
    scene.proxies[ann].strand("/v1/txn", cut=True)
    async with locks.acquire_lock("a"):
        pass
    await scene.proxies[ann].deliver()

    assert await locks.ls() == []


async def tokens_grow_and_turns_are_in_order(scene: Scene) -> None:
    processes = [await scene.process() for _ in range(3)]
    (_, first), *others = processes
    served: list[int] = []
    tokens: list[int] = []

    async def wait(number: int, locks: LockManager) -> None:
        async with locks.acquire_lock("a") as grant:
            served.append(number)
            tokens.append(grant.token)

    async with first.acquire_lock("a") as grant:
        tokens.append(grant.token)
        tasks = []
        for number in range(6):
            # The last process first, so that the order of names is not that of asking.
            locks = others[number % 2 - 1][1]
            tasks.append(asyncio.ensure_future(wait(number, locks)))
            while len((await first.explain("a")).waiters) < min(number + 1, 2):
                await asyncio.sleep(0.005)
    await asyncio.wait_for(asyncio.gather(*tasks), 5)

    assert served[:2] == [0, 1]
    assert tokens == sorted(set(tokens))


async def a_writer_waits_for_readers(scene: Scene) -> None:
    (_, ann), (_, bob) = await scene.process(), await scene.process()
    inside = asyncio.Event()

    async def write() -> None:
        async with bob.acquire_lock("a"):
            inside.set()

    async with ann.acquire_lock("a", LockType.SHARED):
        task = asyncio.ensure_future(write())
        while not (await ann.explain("a")).waiters and not inside.is_set():
            await asyncio.sleep(0.005)
        assert not inside.is_set()
    await asyncio.wait_for(task, SOON_S)


async def a_place_that_was_removed_is_granted_nothing(scene: Scene) -> None:
    ann, _ = await scene.process()
    store = consul_locks.ConsulLocks(ann.server, ann.session)
    news: list[object] = []
    undo = store.listen(news.append)
    ids = itertools.count(1)

    def wish() -> Ask:
        return Ask("a", f"x:{next(ids)}", False, True, 0.0, "o", "")

    held, waiting = wish(), wish()
    assert isinstance(await store.acquire(held), Granted)
    assert isinstance(await store.acquire(waiting), Queued)
    key = f"{scene.namespace}/locks/a/{waiting.id}"
    scene.server.ask(f"/v1/kv/{key}", method="DELETE")
    await store.leave(held.name, held.id, echo=False)
    await soon(lambda: bool(news))
    undo()

    assert not any(isinstance(notice, GrantNotice) for notice in news)


async def a_failed_check_frees_the_lock_at_once(scene: Scene) -> None:
    (ann, mine), (_, theirs) = await scene.process(), await scene.process()
    with pytest.raises(LockLostError):
        async with mine.acquire_lock("a", on_loss="flag"):
            (member,) = ann.session.memberships()
            scene.server.ask(f"/v1/agent/check/fail/{member.name}:lease", method="PUT")
            async with asyncio.timeout(SOON_S), theirs.acquire_lock("a"):
                pass


async def the_end_of_a_session_is_seen_at_once(scene: Scene) -> None:
    ann, locks = await scene.process()

    async def work() -> None:
        async with locks.acquire_lock("a"):
            scene.end_session(ann)
            await asyncio.Event().wait()

    with pytest.raises(LockLostError):
        await asyncio.wait_for(work(), SOON_S)


async def a_dead_session_leaves_nothing(scene: Scene) -> None:
    ann, locks = await scene.process()
    left: list[dict[str, object]] = []
    with contextlib.suppress(LockLostError):
        async with locks.acquire_lock("a", on_loss="flag"):
            assert len(entries(scene)) == 1
            scene.end_session(ann)
            left = entries(scene)
    assert left == []


async def a_lock_is_held_as_long_as_its_block_runs(scene: Scene) -> None:
    _, locks = await scene.process(SHORT)
    async with locks.acquire_lock("a") as grant:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(SHORT.ttl_s * 2, over.set)
        await over.wait()
        grant.check()


def entries(scene: Scene) -> list[dict[str, object]]:
    found = scene.server.ask(f"/v1/kv/{scene.namespace}/locks/?recurse")
    return found if isinstance(found, list) else []


Plant = Callable[[pytest.MonkeyPatch], None]


def in_every_transaction(change: Callable[[list[Op]], list[Op]]) -> Plant:
    """A bug in what is sent to Consul."""
    txn = ConsulCalls.txn

    async def planted(self: ConsulCalls, ops: Sequence[Op]) -> object:
        return await txn(self, change(list(ops)))

    return lambda patch: patch.setattr(ConsulCalls, "txn", planted)


def without(verb: str, flags: int = 0) -> Callable[[list[Op]], list[Op]]:
    return lambda ops: [
        # A step that does nothing keeps the numbers of the others.
        Op("get-tree", "none/") if (op.verb, op.flags) == (verb, flags) else op
        for op in ops
    ]


def in_sessions(**changed: object) -> Plant:
    """A bug in what a session is to be."""
    create = ConsulSessions._create

    async def planted(self: ConsulSessions, terms: dict[str, object]) -> str:
        return await create(self, terms | changed)

    return lambda patch: patch.setattr(ConsulSessions, "_create", planted)


def last_come_first_served(patch: pytest.MonkeyPatch) -> None:
    def planted(folder: str, found: object) -> Line:
        line = read_line(folder, found)  # type: ignore[arg-type]
        return replace(line, places=line.places[::-1])

    patch.setattr(consul_locks, "read_line", planted)
    patch.setattr("quorate.locks.consul_watch.read_line", planted)


def only_writers_are_waited_for(patch: pytest.MonkeyPatch) -> None:
    def planted(self: Line, mine: Place) -> Place | None:
        ahead = self.places[: self.places.index(mine)]
        return next((p for p in reversed(ahead) if not p.shared), None)

    patch.setattr(Line, "before", planted)


def tokens_that_stand_still(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Place, "token", property(lambda _: 32))


def whoever_is_woken_holds(patch: pytest.MonkeyPatch) -> None:
    async def planted(self: LineWatch, awaited: object) -> None:
        ask = awaited.ask  # type: ignore[attr-defined]
        self._tell(GrantNotice(ask.name, ask.id, 1, 1, 0.0))

    patch.setattr(LineWatch, "_look", planted)


def nobody_watches_the_session(patch: pytest.MonkeyPatch) -> None:
    async def planted(_: SessionWatch) -> float:
        return 60.0

    patch.setattr(SessionWatch, "tick", planted)


def the_check_is_not_renewed(patch: pytest.MonkeyPatch) -> None:
    renew, passing = ConsulSessions.renew, ConsulSessions._pass

    async def skip(*_: object) -> bool:
        return True

    async def planted(self: ConsulSessions, *given: object) -> object:
        patch.setattr(ConsulSessions, "_pass", skip)
        try:
            return await renew(self, *given)  # type: ignore[arg-type]
        finally:
            patch.setattr(ConsulSessions, "_pass", passing)

    patch.setattr(ConsulSessions, "renew", planted)


BUGS: dict[str, tuple[Story, Plant]] = {
    "a claim is made without a look whether it was made before": (
        a_late_copy_claims_nothing,
        in_every_transaction(without("check-not-exists")),
    ),
    "nothing keeps out a late copy": (
        a_late_copy_claims_nothing,
        in_every_transaction(without("lock", flags=3)),
    ),
    "the last to come is served first": (
        tokens_grow_and_turns_are_in_order,
        last_come_first_served,
    ),
    "tokens do not grow": (tokens_grow_and_turns_are_in_order, tokens_that_stand_still),
    "a writer passes readers": (
        a_writer_waits_for_readers,
        only_writers_are_waited_for,
    ),
    "who is woken does not look at its own claim": (
        a_place_that_was_removed_is_granted_nothing,
        whoever_is_woken_holds,
    ),
    "the session does not hang on its check": (
        a_failed_check_frees_the_lock_at_once,
        in_sessions(ServiceChecks=[]),
    ),
    "nobody watches the session": (
        the_end_of_a_session_is_seen_at_once,
        nobody_watches_the_session,
    ),
    "claims outlive their session": (
        a_dead_session_leaves_nothing,
        in_sessions(Behavior="release"),
    ),
    "the check is not renewed": (
        a_lock_is_held_as_long_as_its_block_runs,
        the_check_is_not_renewed,
    ),
}


@pytest.mark.parametrize("story", dict.fromkeys(story for story, _ in BUGS.values()))
async def test_the_story_goes_well(scene: Scene, story: Story) -> None:
    async with asyncio.timeout(STORY_S):
        await story(scene)


@pytest.mark.parametrize("bug", BUGS)
async def test_the_bug_is_found(
    scene: Scene, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    story, plant = BUGS[bug]
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises((AssertionError, QuorateError, TimeoutError)):
            async with asyncio.timeout(STORY_S):
                await story(scene)
