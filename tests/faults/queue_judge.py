"""What must hold of a queue, whatever was done to it. Pure, over a history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from tests.faults.lock_judge import percentile

from quorate.testing.history import History, Operation
from quorate.testing.total_queue import QueueTally, tally
from quorate.testing.verdict import Verdict


def tasks_kept(
    history: History,
    *,
    most_duplicates: int | None = None,
    dead: Iterable[str] = (),
    may_be_lost: bool = False,
) -> Verdict:
    """Every task that was put in is done or among the dead letters, and no other."""
    counted = account(history, dead)
    if may_be_lost and counted.lost:
        return Verdict("valid", counted.enqueued + counted.done)
    return counted.verdict(most_duplicates=most_duplicates)


def account(history: History, dead: Iterable[str] = ()) -> QueueTally:
    """The four numbers; a dead letter counts as done."""
    buried = [
        Operation("complete", {"id": task}, None, 0, 0) for task in dead
    ]  # fmt: skip
    return tally([*history.of("enqueue", "complete"), *buried])


def overlaps(history: History, also_ends: Mapping[str, int] | None = None) -> list[str]:
    """Tasks of which two attempts ran at the same time, by what the runs say.

    A run that did not end was cut off with its process, at the latest when
    `also_ends` says that this process was gone.
    """
    gone = also_ends or {}
    by_task: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for run in history.of("run"):
        ends = run.returned_ns or gone.get(run.proc, run.called_ns)
        by_task[run.args["id"]].append((run.called_ns, ends))
    found = []
    for task, runs in by_task.items():
        runs.sort()
        if any(nxt[0] < run[1] for run, nxt in pairwise(runs)):
            found.append(task)
    return found


def set_aside_too_soon(
    history: History, dead: Mapping[str, str], crash_budget: int
) -> Verdict:
    """Dead letters that had no reason to be: fewer runs cut off than they may have.

    Who dies under a task is killed from outside here; the queue cannot know, and gives
    a task up when so many processes have died under it.
    """
    cut_off: dict[str, int] = defaultdict(int)
    for run in history.of("run"):
        cut_off[run.args["id"]] += run.returned_ns is None
    wrong = [
        task for task, reason in dead.items()
        if reason != "poison" or cut_off[task] < crash_budget
    ]  # fmt: skip
    if wrong:
        why = f"{len(wrong)} set aside without a reason: {', '.join(wrong[:5])}"
        return Verdict("invalid", len(dead), why)
    return Verdict("valid", len(dead))


def out_of_order(history: History, ids: Iterable[str]) -> int:
    """How many of these tasks began before one that stood before them."""
    began = {run.args["id"]: run.called_ns for run in reversed(history.of("run"))}
    times = [began[task] for task in ids if task in began]
    return sum(nxt < before for before, nxt in pairwise(times))


def waits_s(history: History, ids: Iterable[str]) -> list[float]:
    """From being put in to the beginning of the first run."""
    asked = {op.args["id"]: op.called_ns for op in history.of("enqueue")}
    began: dict[str, int] = {}
    for run in history.of("run"):
        began.setdefault(run.args["id"], run.called_ns)
    return [(began[task] - asked[task]) / 1e9 for task in ids if task in began]


def tokens_grow(history: History) -> Verdict:
    """A later attempt at a task has a higher token."""
    by_task: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for run in history.of("run"):
        by_task[run.args["id"]].append((run.called_ns, run.args["token"]))
    bad = [
        task
        for task, runs in by_task.items()
        if any(a[1] >= b[1] for a, b in pairwise(sorted(runs)))
    ]
    judged = len(history.of("run"))
    if bad:
        return Verdict("invalid", judged, f"tokens fell back for {', '.join(bad[:5])}")
    return Verdict("valid", judged)


def results_recorded(history: History, results: Mapping[str, int | None]) -> Verdict:
    """What the server keeps as a task's result is that of its last claim.

    `results` are the tokens that the results name. A completion under an older claim
    must have been refused.
    """
    best: dict[str, int] = {}
    for done in history.of("complete"):
        task, token = done.args["id"], done.result["token"]
        best[task] = max(best.get(task, 0), token)
    wrong = [
        task for task, token in results.items() if token is not None
        and token != best.get(task)
    ]  # fmt: skip
    if wrong:
        why = f"{len(wrong)} results of an old claim: {', '.join(wrong[:5])}"
        return Verdict("invalid", len(results), why)
    return Verdict("valid", len(results))


def attempts_counted(history: History) -> int:
    """How many completions were of a second or later attempt."""
    return sum(done.result["attempt"] > 1 for done in history.of("complete"))


def spread_ms(values_s: list[float]) -> str:
    figures = [percentile(values_s, share) * 1000 for share in (0.5, 0.99, 1.0)]
    return " / ".join(f"{figure:,.0f}" for figure in figures) + " ms"
