"""Failpoints do nothing until they are armed."""

from __future__ import annotations

from quorate.core.failpoint import arm, failpoint


async def test_a_failpoint_strikes_only_while_armed() -> None:
    struck: list[str] = []

    async def strike(name: str) -> None:
        struck.append(name)

    await failpoint("before")
    arm(strike)
    await failpoint("armed")
    arm(None)
    await failpoint("after")

    assert struck == ["armed"]
