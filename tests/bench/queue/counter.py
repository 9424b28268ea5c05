"""What handlers write down: how many were called, when, and how late.

A module of its own with nothing in it but this: it costs every library the same.
Times are of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import threading
import time
from typing import Any

_now = time.monotonic


class Counter:
    """Counts the calls of a handler in this process."""

    def __init__(self) -> None:
        self.burn_s = 0.0
        self.reset(0)

    def reset(self, warm: int) -> None:
        """Begin anew; the first `warm` calls are not timed."""
        self.count = 0
        self.warm = warm
        self.began = self.cpu = 0.0
        self.ended = self.cpu_ended = 0.0
        self.stamped = 0
        self.late: list[float] = []
        self.lock = threading.Lock()

    def note(self, payload: dict[str, Any]) -> None:
        """One call, in the event loop. `at` in the payload is when it was enqueued."""
        self.count += 1
        if self.count == self.warm:
            self.began, self.cpu = _now(), time.process_time()
        if self.burn_s:
            ends_at = time.thread_time() + self.burn_s
            while time.thread_time() < ends_at:
                pass
        if payload["at"]:
            self.late.append(_now() - payload["at"])
        if not self.count % 16:
            self.ended, self.cpu_ended = _now(), time.process_time()
            self.stamped = self.count

    def note_in_thread(self, payload: dict[str, Any]) -> None:
        """The same for a library that has threads."""
        with self.lock:
            self.note(payload)


COUNTER = Counter()
