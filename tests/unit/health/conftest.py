"""Checkers that find what the test says."""

from __future__ import annotations

import asyncio

import pytest

from quorate.health.model import CheckResult, failed, passed


class Scripted:
    """A checker that finds `result`, or raises it; counts looks and closings."""

    def __init__(self, result: CheckResult | BaseException | None = None) -> None:
        self.result = result or passed()
        self.looks = 0
        self.closed = 0
        self.inside = 0
        self.most_inside = 0
        self.looked = asyncio.Event()

    async def check(self) -> CheckResult:
        self.looks += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.looked.set()
        try:
            await asyncio.sleep(0)
            if isinstance(self.result, BaseException):
                raise self.result
            return self.result
        finally:
            self.inside -= 1

    async def close(self) -> None:
        self.closed += 1

    def breaks(self) -> None:
        self.result = failed("refused")

    def works(self) -> None:
        self.result = passed()


@pytest.fixture
def checker() -> Scripted:
    return Scripted()


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted
