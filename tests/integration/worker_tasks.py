"""Tasks for the stories of `quorate worker`."""

from __future__ import annotations

import asyncio
import os
import time

from quorate.queue import async_task, own_process


@async_task()
async def whoami(rest_s: float = 0.0) -> int:
    """Who did it, after a while."""
    await asyncio.sleep(rest_s)
    return os.getpid()


@async_task()
def block(rest_s: float) -> int:
    """Blocks its thread, which nobody can stop."""
    time.sleep(rest_s)
    return os.getpid()


@async_task()
@own_process
def burn(times: int) -> list[int]:
    """Keeps a CPU busy, in a process of its own."""
    return [os.getpid(), sum(number * number for number in range(times))]


@async_task()
@own_process
def burst() -> None:
    """Takes its own process along."""
    os._exit(7)
