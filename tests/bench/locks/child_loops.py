"""What is timed inside a process that takes locks, with tasks of asyncio.

Times are of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from tests.bench.locks.peers.port import Floor, Peer
from tests.bench.spread import Spread

US = 1e6
PAIRS_A_BLOCK = 25
FLOORS_A_BLOCK = 50
_now = time.monotonic


def facts(spread: Spread) -> dict[str, float]:
    return {
        "n": spread.n,
        "p50": round(spread.p50, 2),
        "p99": round(spread.p99, 2),
        "max": round(spread.max, 2),
    }


async def uncontended(peer: Peer, seconds: float) -> dict[str, Any]:
    """One task takes and returns one lock, again and again."""
    acquires, releases = [], []
    began, cpu = _now(), time.process_time()
    end = began + seconds
    while (asking := _now()) < end:
        held = await peer.acquire("alone")
        inside = _now()
        await peer.release(held)
        acquires.append(inside - asking)
        releases.append(_now() - inside)
    took, cpu = _now() - began, time.process_time() - cpu
    pairs = [a + r for a, r in zip(acquires, releases, strict=True)]
    return {
        "per_s": len(pairs) / took,
        "n": len(pairs),
        "client_cpu_us": cpu / len(pairs) * US,
        "acquire_us": facts(Spread.of(acquires, US)),
        "release_us": facts(Spread.of(releases, US)),
        "pair_us": facts(Spread.of(pairs, US)),
    }


async def paired(peer: Any, seconds: float) -> dict[str, Any]:
    """Locks and bare scripts in turns, through one connection."""
    acquires, releases, bares = [], [], []
    end = _now() + seconds
    while _now() < end:
        for _ in range(FLOORS_A_BLOCK):
            asking = _now()
            await peer.bare()
            bares.append(_now() - asking)
        for _ in range(PAIRS_A_BLOCK):
            asking = _now()
            held = await peer.acquire("alone")
            inside = _now()
            await peer.release(held)
            acquires.append(inside - asking)
            releases.append(_now() - inside)
    return {
        "n": len(bares),
        "bare_us": facts(Spread.of(bares, US)),
        "acquire_us": facts(Spread.of(acquires, US)),
        "release_us": facts(Spread.of(releases, US)),
    }


async def bare(peer: Floor, seconds: float, tasks: int) -> dict[str, Any]:
    """Bare scripts, from so many tasks at once."""
    samples: list[float] = []
    began, cpu = _now(), time.process_time()
    end = began + seconds

    async def ask() -> None:
        while (asking := _now()) < end:
            await peer.bare()
            samples.append(_now() - asking)

    await asyncio.gather(*(ask() for _ in range(tasks)))
    took, cpu = _now() - began, time.process_time() - cpu
    return {
        "per_s": len(samples) / took,
        "n": len(samples),
        "client_cpu_us": cpu / len(samples) * US,
        "bare_us": facts(Spread.of(samples, US)),
    }


async def distinct(peer: Peer, seconds: float, tasks: int) -> dict[str, Any]:
    """Each task has a lock of its own."""
    samples: list[float] = []
    began, cpu = _now(), time.process_time()
    end = began + seconds

    async def work(number: int) -> None:
        name = f"own-{number}"
        while (asking := _now()) < end:
            await peer.release(await peer.acquire(name))
            samples.append(_now() - asking)

    await asyncio.gather(*(work(number) for number in range(tasks)))
    took, cpu = _now() - began, time.process_time() - cpu
    return {
        "per_s": len(samples) / took,
        "n": len(samples),
        "client_cpu_us": cpu / len(samples) * US,
        "pair_us": facts(Spread.of(samples, US)),
    }


async def contend(
    peer: Peer, start_at: float, seconds: float, hold_s: float
) -> dict[str, Any]:
    """Want one lock that other processes want too. (asked, inside, gave back)."""
    rows = []
    await asyncio.sleep(start_at - _now())
    end = start_at + seconds
    while (asking := _now()) < end:
        held = await peer.acquire("one")
        inside = _now()
        await asyncio.sleep(hold_s)
        leaving = _now()
        await peer.release(held)
        rows.append((asking, inside, leaving))
    return {"rows": rows}


async def crowd(peer: Peer, tasks: int, cap_s: float) -> dict[str, Any]:
    """So many tasks at one lock, once each; the rest is left after `cap_s`."""
    granted: list[float] = []
    errors: Counter[str] = Counter()

    async def work() -> None:
        try:
            held = await peer.acquire("crowd")
            granted.append(_now())
            await peer.release(held)
        except Exception as error:
            errors[type(error).__name__] += 1

    began = _now()
    started = [asyncio.ensure_future(work()) for _ in range(tasks)]
    _, left = await asyncio.wait(started, timeout=cap_s)
    took = _now() - began
    return {
        "seconds": took,
        "granted": len(granted),
        "errors": dict(errors),
        "left": len(left),
    }


async def reenter(peer: Any, seconds: float) -> dict[str, Any]:
    """The owner enters and leaves again what it holds."""
    samples = []
    async with peer.locks.acquire_lock("mine", peer.reentrant):
        requests = peer.requests
        end = _now() + seconds
        while (asking := _now()) < end:
            await peer.enter_again("mine")
            samples.append(_now() - asking)
        requests = peer.requests - requests
    return {
        "n": len(samples),
        "pair_us": facts(Spread.of(samples, US)),
        "requests_in_all": requests,
    }
