"""Circles over real processes: found in time, with exactly one victim, by name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.servers import Server

from quorate.locks.deadlock_watch import JITTER

PROGRAM = Path(__file__).with_name("deadlock_process.py")
LONGEST = 8
TIMEOUT_S = 0.4
FOUND_WITHIN_S = TIMEOUT_S * (1 + JITTER) + 0.3


class Child:
    """A process that does as it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, namespace: str) -> Child:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), url, namespace, str(TIMEOUT_S)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": ""},
        )
        return cls(process)

    def order(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words.encode() + b"\n")

    async def tells(self, event: str) -> dict[str, object]:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            told = json.loads(await self._process.stdout.readline())
        assert told["event"] == event
        return told

    async def ends(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@pytest.fixture
async def children(
    private_server: Server, namespace: str
) -> AsyncIterator[list[Child]]:
    url = private_server.url
    started = [await Child.start(url, namespace) for _ in range(LONGEST)]
    for child in started:
        await child.tells("ready")
    yield started
    for child in started:
        await child.ends()


async def test_circles_of_two_to_eight_processes_lose_exactly_one_in_time(
    children: list[Child],
):
    for length in range(2, LONGEST + 1):
        circle = children[:length]
        for number, child in enumerate(circle):
            child.order(f"take lock-{number}")
        for child in circle:
            await child.tells("inside")

        for number, child in enumerate(circle):
            child.order(f"ask lock-{(number + 1) % length}")
        told = [await child.tells("done") for child in circle]

        (victim,) = [one for one in told if one["found"]]
        assert float(str(victim["after_s"])) <= FOUND_WITHIN_S
        steps = [f"then lock-{number}" for number in range(length)]
        assert all(step in str(victim["why"]) for step in steps)
