"""A manager over a line that a test can hold up."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.locks.line import Line, a_manager, a_session

from quorate.locks.manager import LockManager
from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard


@pytest.fixture
def line(clock: ManualClock) -> Line:
    return Line(a_session(clock))


@pytest.fixture
async def manager(line: Line, heard: Heard) -> AsyncIterator[LockManager]:
    async with a_manager(line, emit=heard.emit) as manager:
        yield manager
