"""Keys by the time at which they end, the soonest first.

A heap in which an entry that was replaced or removed stays until it comes up, or until
such leftovers are the majority. Pure.
"""

from __future__ import annotations

import heapq

_SPARE = 64


class Deadlines:
    """What ends when. All operations cost O(log n), averaged."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._ends)

    def set(self, key: str, end: float) -> None:
        """`key` ends at `end`, whatever was said before."""
        self._ends[key] = end
        heapq.heappush(self._heap, (end, key))
        if len(self._heap) > 2 * len(self._ends) + _SPARE:
            self._heap = [(end, key) for key, end in self._ends.items()]
            heapq.heapify(self._heap)

    def remove(self, key: str) -> None:
        """Forget `key`; harmless if it is not there."""
        self._ends.pop(key, None)

    def soonest(self) -> tuple[float, str] | None:
        """The next end and its key; None if there is no key."""
        while self._heap and self._ends.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None
