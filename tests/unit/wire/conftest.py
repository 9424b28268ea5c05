"""A scripted server, and calls to it with short deadlines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.unit.wire.scripted_server import ScriptedServer

from quorate.wire.calls import Calls
from quorate.wire.scripts import Dialect

MakeCalls = Callable[..., Calls]


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def make_calls(scripted: ScriptedServer) -> AsyncIterator[MakeCalls]:
    """`make_calls(timeout_s=0.2)` → calls to the scripted server, closed at the end."""
    made: list[Calls] = []

    def make(
        kind: type[Calls] = Calls, *, timeout_s: float = 1.0, dialect: Dialect = "whole"
    ) -> Calls:
        calls = kind(scripted.dialer(), timeout_s=timeout_s, dialect=dialect)
        made.append(calls)
        return calls

    yield make
    for calls in made:
        await calls.close()
