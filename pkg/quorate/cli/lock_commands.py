"""`quorate locks`: the commands that look on for a while, or take a lock themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from quorate.core.clock import SystemClock
from quorate.core.errors import InvalidInput
from quorate.locks.manager import LockManager
from quorate.locks.model import Explanation, LockLine, LockType
from quorate.settings import environment
from quorate.settings.load import process_environment

from .running import run_to_the_end
from .shown import Shown

MOST_SHOWN = 30
COLUMNS = ("lock", "held by", "token", "held_s", "waiting", "longest_s")

Name = Annotated[str, typer.Argument(help="The lock.")]
Every = Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")]
Spell = Annotated[
    float | None, typer.Option("--for", min=0, help="Seconds; else until stopped.")
]


def watch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="One lock; else all.")] = "",
    every: Every = 1.0,
    spell: Spell = None,
) -> None:
    """Tell each change: who takes a lock, who gives it back, how many wait."""

    async def work(locks: LockManager, shown: Shown) -> None:
        before: dict[str, tuple[tuple[str, ...], int]] = {}
        async for _ in _looks(every, spell):
            lines = await locks.ls()
            now = {
                _named(line): (line.holders, line.waiting)
                for line in lines
                if not name or line.name == name
            }
            for lock in sorted(now.keys() | before.keys()):
                holders, waiting = now.get(lock, ((), 0))
                if before.get(lock, ((), 0)) != (holders, waiting):
                    _tell(shown, lock, holders, waiting)
            before = now

    context.obj.run_locks(work)


def top(
    context: typer.Context,
    every: Every = 1.0,
    spell: Spell = None,
    *,
    once: Annotated[bool, typer.Option(help="One look only.")] = False,
) -> None:
    """The locks that most wait for, the busiest first."""

    async def work(locks: LockManager, shown: Shown) -> None:
        async for look in _looks(every, 0.0 if once else spell):
            if look:
                shown.clear()
            found = await _busiest(locks)
            shown.rows(COLUMNS, [_row(each) for each in found], "No lock is held.")

    context.obj.run_locks(work)


def release(
    context: typer.Context,
    name: Name,
    token: Annotated[
        int, typer.Option(help="The holder's token, as explain shows it.")
    ],
) -> None:
    """Take a lock away from its holder, whose work under it is stopped."""

    async def work(locks: LockManager, shown: Shown) -> None:
        if not await locks.release(name, token):
            raise InvalidInput(
                f"Nobody holds {name} with the token {token}.",
                "It was given back, or somebody else has it by now.",
                f"Look who holds it: quorate locks explain {name}",
            )
        shown.value({"lock": name, "token": token, "released": True})

    context.obj.run_locks(work)


def run(
    context: typer.Context,
    name: Name,
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait; 0 only tries.")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds to end in when the lock is lost.")
    ] = 1.0,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    *,
    shared: Annotated[bool, typer.Option(help="As a reader among readers.")] = False,
) -> None:
    """Run a command while a lock is held; its exit code is that of the command.

    The command finds its token in QUORATE_FENCE and the lock's name in QUORATE_LOCK.
    If the lock is lost it is told to end (SIGTERM), and ended after the grace.
    """
    kind = LockType.SHARED if shared else LockType.EXCLUSIVE

    async def work(locks: LockManager, _: Shown) -> None:
        block = locks.acquire_lock(name, kind, wait_s=wait, label=label)
        async with block as grant:
            proof = {environment.FENCE: str(grant.token), environment.LOCK: name}
            told = {**process_environment(), **proof}
            code = await run_to_the_end(command, told, grace)
        raise typer.Exit(code)

    context.obj.run_locks(work)


async def _looks(every_s: float, for_s: float | None) -> AsyncIterator[int]:
    """Number each look, until the time is over; at least one."""
    clock = SystemClock()
    until = clock.monotonic() + (float("inf") if for_s is None else for_s)
    look = 0
    yield look
    while clock.monotonic() + every_s <= until:
        await clock.sleep(every_s)
        look += 1
        yield look


async def _busiest(locks: LockManager) -> list[Explanation]:
    found = [line for line in await locks.ls() if line.kind == "lock"]
    lines = sorted(found, key=lambda line: (-line.waiting, line.name))
    return await asyncio.gather(*(locks.explain(e.name) for e in lines[:MOST_SHOWN]))


def _named(line: LockLine) -> str:
    return line.name if line.kind == "lock" else f"{line.name} ({line.kind})"


def _row(found: Explanation) -> tuple[object, ...]:
    holders = found.holders
    who = ", ".join(each.label or each.session for each in holders[:3])
    return (
        found.name,
        who + (f" and {len(holders) - 3} more" if len(holders) > 3 else ""),
        found.token,
        max((each.held_s for each in holders), default=0.0),
        len(found.waiters),
        max((each.waited_s for each in found.waiters), default=0.0),
    )


def _tell(shown: Shown, lock: str, holders: tuple[str, ...], waiting: int) -> None:
    if shown.as_json:
        shown.value({"lock": lock, "holders": holders, "waiting": waiting})
    elif holders:
        shown.value(f"{lock}  held by {', '.join(holders)}; {waiting} wait")
    else:
        shown.value(f"{lock}  free")
