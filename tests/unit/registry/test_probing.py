"""What a probe may conclude, and what it may not."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

import pytest

from quorate.registry.events import ProbeFailed
from quorate.registry.model import ServiceInfo
from quorate.registry.probing import AT_ONCE, Finding, Prober, TcpProbe
from quorate.testing.clock import ManualClock, settle
from quorate.testing.heard import Heard

INFO = ServiceInfo(id="a", name="s", endpoint="127.0.0.1:1")


def fails_with(error: Exception) -> Callable[..., object]:
    async def connect(_host: str, _port: int) -> object:
        raise error

    return connect


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
        (OSError(errno.EHOSTUNREACH, "no way"), False),
        (OSError(errno.EMFILE, "too many files open here"), None),
        (OSError(errno.ENETUNREACH, "no network here"), None),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), None),
    ],
)
async def test_only_errors_of_the_other_side_refute(
    monkeypatch: pytest.MonkeyPatch,
    clock: ManualClock,
    error: Exception,
    found: bool | None,
) -> None:
    monkeypatch.setattr(asyncio, "open_connection", fails_with(error))

    assert await TcpProbe(clock)(INFO) is found


async def test_an_accepted_connection_confirms_and_is_closed_again(
    monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    closed: list[bool] = []

    class Writer:
        @property
        def transport(self) -> Writer:
            return self

        def abort(self) -> None:
            closed.append(True)

    async def connect(_host: str, _port: int) -> tuple[None, Writer]:
        return None, Writer()

    monkeypatch.setattr(asyncio, "open_connection", connect)

    assert await TcpProbe(clock)(INFO) is True
    assert closed == [True]


@pytest.mark.parametrize(("held_up_s", "found"), [(0.01, False), (0.5, None)])
async def test_silence_refutes_unless_the_observer_itself_was_held_up(
    monkeypatch: pytest.MonkeyPatch,
    clock: ManualClock,
    held_up_s: float,
    found: bool | None,
) -> None:
    async def connect(_host: str, _port: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            clock._monotonic += held_up_s

    monkeypatch.setattr(asyncio, "open_connection", connect)

    assert await TcpProbe(clock, timeout_s=0.01)(INFO) is found


async def findings(prober: Prober, count: int = 1) -> list[Finding]:
    found: list[Finding] = []
    done = asyncio.Event()

    async def told(finding: Finding) -> None:
        found.append(finding)
        if len(found) == count:
            done.set()

    for _ in range(count):
        prober.ask(INFO, told)
    await asyncio.wait_for(done.wait(), 5)
    return found


@pytest.mark.parametrize(
    ("answer", "finding"),
    [(True, Finding.THERE), (False, Finding.NOBODY), (None, Finding.UNSURE)],
)
async def test_a_probe_s_answer_becomes_a_finding(
    heard: Heard, clock: ManualClock, answer: bool | None, finding: Finding
) -> None:
    async def probe(_info: ServiceInfo) -> bool | None:
        return answer

    prober = Prober(probe, heard.emit, clock)

    assert await findings(prober) == [finding]
    assert prober.probes == 1


async def test_a_probe_that_raises_has_found_nothing_out(
    heard: Heard, clock: ManualClock
) -> None:
    async def probe(_info: ServiceInfo) -> bool | None:
        raise RuntimeError("a bug of the user's")

    prober = Prober(probe, heard.emit, clock)

    assert await findings(prober) == [Finding.UNSURE]
    assert "a bug" in heard.all(ProbeFailed)[0].why


async def test_only_so_many_probes_run_at_once(
    heard: Heard, clock: ManualClock
) -> None:
    running, most = 0, 0
    gate = asyncio.Event()

    async def probe(_info: ServiceInfo) -> bool | None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return True

    prober = Prober(probe, heard.emit, clock)
    waiting = asyncio.ensure_future(findings(prober, AT_ONCE * 2))
    await settle()
    gate.set()
    await waiting

    assert most == AT_ONCE


async def test_closing_ends_the_probes(heard: Heard, clock: ManualClock) -> None:
    ended = asyncio.Event()

    async def probe(_info: ServiceInfo) -> bool | None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return True

    async def told(_finding: Finding) -> None:
        raise AssertionError("nothing was found")

    prober = Prober(probe, heard.emit, clock)
    prober.ask(INFO, told)
    await settle()

    await prober.close()

    assert ended.is_set()
