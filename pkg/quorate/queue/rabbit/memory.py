"""Which copies of a task are of no use any more, as far as this process knows.

The broker may deliver a task again that was finished here, because an acknowledgement
was lost with its connection; and a copy may have been sent twice. Bounded: what is
forgotten runs again, as at-least-once allows.
"""

from __future__ import annotations

from collections import OrderedDict

MOST = 65_536
OVER = 1 << 62


class Memory:
    """The next turn of each task that this process has dealt with."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._next: OrderedDict[str, int] = OrderedDict()
        self._survived: OrderedDict[tuple[str, int], int] = OrderedDict()

    def over(self, task_id: str) -> None:
        """It is done, or nobody wants it any more."""
        self._note(task_id, OVER)

    def moved(self, task_id: str, turn: int) -> None:
        """The broker has the copy `turn`; older ones are of no use."""
        self._note(task_id, turn)

    def is_stale(self, task_id: str, turn: int) -> bool:
        """Is this copy of no use?"""
        return turn < self._next.get(task_id, 0)

    def survived(self, task_id: str, turn: int) -> None:
        """Its delivery was lost with a connection, not with its worker."""
        key = (task_id, turn)
        self._survived[key] = self._survived.pop(key, 0) + 1
        while len(self._survived) > self._most:
            self._survived.popitem(last=False)

    def no_crashes(self, task_id: str, turn: int) -> int:
        """How many of this copy's returns were no crashes."""
        return self._survived.get((task_id, turn), 0)

    def _note(self, task_id: str, turn: int) -> None:
        if turn > self._next.get(task_id, 0):
            self._next[task_id] = turn
            self._next.move_to_end(task_id)
            if len(self._next) > self._most:
                self._next.popitem(last=False)
