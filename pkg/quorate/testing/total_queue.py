"""Is everything that was put in also done, and nothing else?

Counts the four numbers that Jepsen's `total-queue` counts. Lost and unexpected tasks
are faults; a task done twice is allowed by *at least once* and counted; one whose
enqueue had an open outcome may be done (recovered) or not. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .history import Operation
from .verdict import Verdict

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class QueueTally:
    """The ids of the tasks, by what became of them.

    `uncertain` were enqueued, and every completion of them has an open outcome.
    `duplicates` is executions beyond the first, over all tasks.
    """

    enqueued: int
    done: int
    lost: tuple[str, ...]
    unexpected: tuple[str, ...]
    duplicated: tuple[str, ...]
    recovered: tuple[str, ...]
    uncertain: tuple[str, ...]
    duplicates: int

    def verdict(self, *, most_duplicates: int | None = None) -> Verdict:
        """Invalid if a task is lost or unexpected, or more than so many ran again.

        Unknown if all is well but for tasks of which nobody knows.
        """
        faults = [
            f"{len(ids)} {name}: {', '.join(ids[:_SHOWN])}"
            for name, ids in (("lost", self.lost), ("unexpected", self.unexpected))
            if ids
        ]
        if most_duplicates is not None and self.duplicates > most_duplicates:
            faults.append(f"{self.duplicates} duplicates; {most_duplicates} allowed")
        judged = self.enqueued + self.done
        if faults:
            return Verdict("invalid", judged, "; ".join(faults))
        if self.uncertain:
            ids = ", ".join(self.uncertain[:_SHOWN])
            return Verdict("unknown", judged, f"{len(self.uncertain)} uncertain: {ids}")
        return Verdict("valid", judged)


def tally(operations: Iterable[Operation]) -> QueueTally:
    """Count `enqueue {"id": …}` and `complete {"id": …}` after the queue has drained.

    A completion with an open outcome never makes a duplicate, and alone leaves its task
    uncertain: neither done nor lost.
    """
    confirmed: set[str] = set()
    open_: set[str] = set()
    done: Counter[str] = Counter()
    perhaps: set[str] = set()
    for operation in operations:
        if operation.f not in ("enqueue", "complete"):
            continue
        task = str(operation.args["id"])
        if operation.f == "enqueue":
            (confirmed if operation.is_known else open_).add(task)
        elif operation.is_known:
            done[task] += 1
        else:
            perhaps.add(task)
    return QueueTally(
        enqueued=len(confirmed),
        done=len(done),
        lost=tuple(sorted(confirmed - done.keys() - perhaps)),
        unexpected=tuple(sorted((done.keys() | perhaps) - confirmed - open_)),
        duplicated=tuple(sorted(task for task, times in done.items() if times > 1)),
        recovered=tuple(sorted((open_ - confirmed) & done.keys())),
        uncertain=tuple(sorted((confirmed & perhaps) - done.keys())),
        duplicates=done.total() - len(done),
    )
