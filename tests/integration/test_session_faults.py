"""Stories of sessions with real processes and servers that die, stop or lose sight.

In each: others see the session as dead within its bound, its owner learns of the loss
before the server could give its claims to somebody else, and a name that was lost is
never alive again. The bounds are for `TERMS`; what was measured is printed (`-s`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Server, StartServer

from quorate.backend import Backend
from quorate.core.clock import SystemClock
from quorate.lease.events import SessionSwept
from quorate.lease.lease import LeaseTerms
from quorate.lease.sweeper import Room
from quorate.testing.heard import Heard
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import Down, Swallow
from quorate.wire.keys import sessions_key

TERMS = LeaseTerms(ttl_s=1.5, renew_every_s=0.5, retry_every_s=0.1, max_stall_s=1.0)
SWEPT_WITHIN_S = TERMS.ttl_s + 1.0
"""From the fault until others have cleaned: the ttl, and at most a second more."""
LEARNT_WITHIN_S = 0.5
PROGRAM = Path(__file__).with_name("session_process.py")

clock = SystemClock()


def measured(story: str, took_s: float, bound_s: float) -> None:
    print(f"\n{story}: {took_s:.2f} s (bound {bound_s:.2f} s)")
    assert took_s <= bound_s


class Child:
    """A process with a session."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._ear = asyncio.ensure_future(self._listen())
        self.name = ""

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._told.put_nowait(json.loads(line))

    async def tells(self, event: str, within_s: float = 10.0) -> dict[str, Any]:
        """The next event of this name; the others before it are passed over."""
        async with asyncio.timeout(within_s):
            while (told := await self._told.get())["event"] != event:
                pass
        return told

    async def asked(self, order: str, answer: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")
        return await self.tells(answer)

    def signal(self, number: signal.Signals) -> float:
        """Send the signal. Returns the moment before."""
        at = clock.monotonic()
        self._process.send_signal(number)
        return at

    def hangs_up(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def ends(self) -> None:
        self._ear.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


StartChild = Callable[..., Awaitable[Child]]


@dataclass(frozen=True, slots=True)
class Observer:
    """Another process's view: a backend with a room that cleans after the dead."""

    backend: Backend
    heard: Heard
    server: Server
    cleaned: dict[str, float]

    @property
    def tag(self) -> str:
        return self.backend.wire.keys.tag

    async def sees_the_end_of(self, name: str) -> float:
        """The moment at which `name` was cleaned up after and buried."""
        within_s = TERMS.max_stall_s + 2 * SWEPT_WITHIN_S
        await self.heard(SessionSwept, session=name, within_s=within_s)
        return self.cleaned[name]

    def server_ends(self, name: str) -> float | None:
        """When the server ends `name`, in seconds from now; None: it has no row."""
        score = self.server.admin.zscore(sessions_key(self.tag), name)
        if score is None:
            return None
        seconds, micros = self.server.admin.time()
        return float(score) / 1000 - (seconds + micros / 1e6)

    def knows_no_life_of(self, name: str) -> bool:
        left_s = self.server_ends(name)
        return left_s is None or left_s <= 0


@pytest.fixture
def server(private_server: Server) -> Server:
    return private_server


@pytest.fixture
async def observer(
    server: Server, namespace: str, heard: Heard
) -> AsyncIterator[Observer]:
    cleaned: dict[str, float] = {}

    async def clean(tag: str, session: str) -> None:
        cleaned.setdefault(session, clock.monotonic())

    backend = Backend(server.url, namespace=namespace, terms=TERMS, emit=heard.emit)
    async with backend:
        backend.sweeper.add(Room(clean=clean, index_key=lambda tag: f"{tag}:x:I"))
        await backend.session.join(backend.wire.keys.tag)
        yield Observer(backend, heard, server, cleaned)


@pytest.fixture
async def start_child(server: Server, namespace: str) -> AsyncIterator[StartChild]:
    started: list[Child] = []

    async def start(*, url: str = "", terms: LeaseTerms = TERMS) -> Child:
        order = {
            "url": url or server.url,
            "namespace": namespace,
            "terms": asdict(terms),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROGRAM),
            json.dumps(order),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        child = Child(process)
        started.append(child)
        child.name = (await child.tells("ready", within_s=20))["name"]
        return child

    yield start
    for child in started:
        await child.ends()


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(server.url)
    await proxy.start()
    yield proxy
    await proxy.stop()


async def comes_back_as_another(child: Child, observer: Observer) -> None:
    """The name is gone for good: on the server, and for its owner."""
    assert (await child.asked("name", "name"))["name"] is None
    fresh = (await child.asked("join", "inside"))["name"]
    renewals = observer.backend.session.trusted_until(observer.tag)
    async with asyncio.timeout(5):
        while observer.backend.session.trusted_until(observer.tag) <= renewals + 1.2:
            assert observer.knows_no_life_of(child.name)
            await asyncio.sleep(0.05)
    assert fresh != child.name
    assert fresh.rpartition(".")[0] == child.name.rpartition(".")[0]
    assert (await child.asked("name", "name"))["name"] == fresh


async def test_a_process_that_ends_kindly_is_gone_at_once(
    start_child: StartChild, observer: Observer
) -> None:
    child = await start_child()
    at = clock.monotonic()

    child.hangs_up()
    seen_at = await observer.sees_the_end_of(child.name)

    measured("kind end → cleaned", seen_at - at, TERMS.renew_every_s + 1.0)


async def test_killed(start_child: StartChild, observer: Observer) -> None:
    child = await start_child()

    at = child.signal(signal.SIGKILL)
    seen_at = await observer.sees_the_end_of(child.name)

    measured("SIGKILL → cleaned", seen_at - at, SWEPT_WITHIN_S)


async def test_three_killed_at_once(
    start_child: StartChild, observer: Observer
) -> None:
    children = await asyncio.gather(*(start_child() for _ in range(3)))

    at = max(child.signal(signal.SIGKILL) for child in children)
    seen = [await observer.sees_the_end_of(child.name) for child in children]

    measured("3 × SIGKILL → all cleaned", max(seen) - at, SWEPT_WITHIN_S)


async def test_stopped_and_continued(
    start_child: StartChild, observer: Observer
) -> None:
    child = await start_child()

    stopped_at = child.signal(signal.SIGSTOP)
    seen_at = await observer.sees_the_end_of(child.name)
    continued_at = child.signal(signal.SIGCONT)
    lost = await child.tells("session.lost")

    measured("SIGSTOP → cleaned", seen_at - stopped_at, SWEPT_WITHIN_S)
    measured("SIGCONT → owner knows", lost["at"] - continued_at, LEARNT_WITHIN_S)
    assert lost["session"] == child.name
    await comes_back_as_another(child, observer)


async def test_stopped_for_a_moment(
    start_child: StartChild, observer: Observer
) -> None:
    child = await start_child()

    for _ in range(3):
        child.signal(signal.SIGSTOP)
        await asyncio.sleep(0.4)
        child.signal(signal.SIGCONT)
        await asyncio.sleep(0.3)

    assert (await child.asked("name", "name"))["name"] == child.name
    assert not observer.knows_no_life_of(child.name)


async def test_a_loop_that_stands_still_too_long(
    start_child: StartChild, observer: Observer
) -> None:
    child = await start_child()
    stall_s = TERMS.max_stall_s + TERMS.ttl_s + 1.5

    stalling = asyncio.ensure_future(child.asked(f"stall {stall_s}", "awake"))
    at = clock.monotonic()
    seen_at = await observer.sees_the_end_of(child.name)
    awake = await stalling
    lost = await child.tells("session.lost")

    bound_s = TERMS.max_stall_s + SWEPT_WITHIN_S
    measured("stalled loop → cleaned", seen_at - at, bound_s)
    measured("awake → owner knows", lost["at"] - awake["at"], LEARNT_WITHIN_S)
    assert awake["name"] is None
    await comes_back_as_another(child, observer)


async def test_a_loop_that_stands_still_no_longer_than_it_may(
    start_child: StartChild, observer: Observer
) -> None:
    patient = LeaseTerms(
        TERMS.ttl_s, TERMS.renew_every_s, TERMS.retry_every_s, max_stall_s=10.0
    )
    child = await start_child(terms=patient)

    awake = await child.asked(f"stall {2 * TERMS.ttl_s}", "awake")

    assert awake["name"] == child.name
    assert not observer.knows_no_life_of(child.name)
    assert child.name not in observer.cleaned


async def test_connections_that_are_cut_again_and_again(
    start_child: StartChild, observer: Observer, proxy: FaultProxy
) -> None:
    child = await start_child(url=proxy.url)

    for _ in range(8):
        proxy.cut()
        await asyncio.sleep(0.25)

    assert (await child.asked("name", "name"))["name"] == child.name
    assert proxy.stats().connections > 8


@pytest.mark.parametrize("fault", [Down(), Swallow(), Swallow(direction="up")], ids=str)
async def test_cut_off(
    fault: Down | Swallow,
    start_child: StartChild,
    observer: Observer,
    proxy: FaultProxy,
) -> None:
    child = await start_child(url=proxy.url)

    at = clock.monotonic()
    await proxy.add(fault)
    lost = await child.tells("session.lost")
    left_s = observer.server_ends(child.name)
    seen_at = await observer.sees_the_end_of(child.name)
    await proxy.clear()

    word = f"{type(fault).__name__} {fault.direction}"
    measured(f"{word} → owner knows", lost["at"] - at, TERMS.ttl_s)
    measured(f"{word} → cleaned", seen_at - at, SWEPT_WITHIN_S)
    assert lost["at"] < seen_at
    assert left_s is not None
    assert left_s > 0, "the owner must know before the server lets go"
    await comes_back_as_another(child, observer)


@pytest.mark.parametrize("fault", [Down(), Swallow()], ids=str)
async def test_cut_off_for_a_moment(
    fault: Down | Swallow,
    start_child: StartChild,
    observer: Observer,
    proxy: FaultProxy,
) -> None:
    child = await start_child(url=proxy.url)

    async with proxy.poisoned(fault):
        await asyncio.sleep(0.5)
    await asyncio.sleep(1.0)

    assert (await child.asked("name", "name"))["name"] == child.name
    assert not observer.knows_no_life_of(child.name)


async def test_a_server_that_comes_back_without_its_memory(
    start_child: StartChild, observer: Observer, server: Server
) -> None:
    child = await start_child()

    await server.restart()
    at = clock.monotonic()
    lost = await child.tells("session.lost")

    measured("restart → owner knows", lost["at"] - at, TERMS.ttl_s)
    assert lost["session"] == child.name
    await observer.backend.session.join(observer.tag)
    await comes_back_as_another(child, observer)


async def test_a_server_that_comes_back_soon_and_remembers(
    start_server: StartServer, start_child: StartChild, namespace: str
) -> None:
    remembering = start_server("valkey", persistence="always")
    child = await start_child(url=remembering.url)

    at = clock.monotonic()
    await remembering.restart()
    away_s = clock.monotonic() - at
    await asyncio.sleep(TERMS.ttl_s)

    name = (await child.asked("name", "name"))["name"]
    if away_s < TERMS.ttl_s / 3:
        assert name == child.name
    print(f"\nrestart with memory took {away_s:.2f} s; the session is {name}")


async def test_a_server_that_stands_still(
    start_child: StartChild, observer: Observer, server: Server
) -> None:
    child = await start_child()

    server.pause()
    at = clock.monotonic()
    lost = await child.tells("session.lost")
    server.resume()

    measured("server stopped → owner knows", lost["at"] - at, TERMS.ttl_s)
    await observer.backend.session.join(observer.tag)
    await observer.sees_the_end_of(child.name)
    await comes_back_as_another(child, observer)
