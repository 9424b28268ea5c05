"""The same as `child_loops`, with threads, for a library that has no asyncio."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

from tests.bench.locks.child_loops import US, facts
from tests.bench.locks.peers.port import Blocking
from tests.bench.spread import Spread

STACK = 256 * 1024
_now = time.monotonic


def start(work: Any, number: int) -> list[threading.Thread]:
    threading.stack_size(STACK)
    threads = [
        threading.Thread(target=work, args=(one,), daemon=True) for one in range(number)
    ]
    for thread in threads:
        thread.start()
    return threads


def distinct(peer: Blocking, seconds: float, tasks: int) -> dict[str, Any]:
    samples: list[float] = []
    began, cpu = _now(), time.process_time()
    end = began + seconds

    def work(number: int) -> None:
        name = f"own-{number}"
        while (asking := _now()) < end:
            peer.give(peer.take(name))
            samples.append(_now() - asking)

    for thread in start(work, tasks):
        thread.join()
    took, cpu = _now() - began, time.process_time() - cpu
    return {
        "per_s": len(samples) / took,
        "n": len(samples),
        "client_cpu_us": cpu / len(samples) * US,
        "pair_us": facts(Spread.of(samples, US)),
    }


def crowd(peer: Blocking, tasks: int, cap_s: float) -> dict[str, Any]:
    granted: list[float] = []
    errors: Counter[str] = Counter()

    def work(_: int) -> None:
        try:
            held = peer.take("crowd")
            granted.append(_now())
            peer.give(held)
        except Exception as error:
            errors[type(error).__name__] += 1

    began = _now()
    threads = start(work, tasks)
    for thread in threads:
        thread.join(timeout=max(0.0, began + cap_s - _now()))
    return {
        "seconds": _now() - began,
        "granted": len(granted),
        "errors": dict(errors),
        "left": sum(thread.is_alive() for thread in threads),
    }


def wait(peer: Blocking, tasks: int) -> None:
    """Let so many threads wait for the lock that somebody holds."""

    def work(_: int) -> None:
        peer.give(peer.take("held"))

    start(work, tasks)
