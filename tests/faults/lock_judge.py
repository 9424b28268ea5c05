"""Was it a lock? What the holders believed, judged against what may have ended a hold.

A history says what each process believed: from the end of `acquire` to the beginning
of `release`, and that it had the lock when a `check` said so. A fault may end a hold
behind its owner's back; for exactly those holds an `expire` is added that may have
happened at any time since the fault began, or never. All else has to be a mutex. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

from quorate.testing.history import History, Operation
from quorate.testing.models import Holding, Mutex
from quorate.testing.shared_models import Permits, ReadersWriter, Semaphore, Sharing
from quorate.testing.verdict import Verdict

S = TypeVar("S")
NS = 1_000_000_000
FOR_EVER = 2**63


def check_steps(state: S, operation: Operation, *, holds: bool) -> Sequence[S] | None:
    """What a `check` says: True only while its owner holds; False says nothing.

    None for an operation of another kind.
    """
    if operation.f != "check":
        return None
    wrong = operation.is_known and operation.result is True and not holds
    return () if wrong else (state,)


class CheckedMutex(Mutex):
    """A mutex whose holders may ask whether they still hold it."""

    def step(self, state: Holding, operation: Operation) -> Sequence[Holding]:
        holds = state.owner == operation.args["owner"]
        checked = check_steps(state, operation, holds=holds)
        return super().step(state, operation) if checked is None else checked


class CheckedReaders(ReadersWriter):
    """The same of a lock with readers."""

    def step(self, state: Sharing, operation: Operation) -> Sequence[Sharing]:
        owner = operation.args["owner"]
        holds = state.writer == owner or owner in state.readers
        checked = check_steps(state, operation, holds=holds)
        return super().step(state, operation) if checked is None else checked


class CheckedSemaphore(Semaphore):
    """The same of permits."""

    def step(self, state: Permits, operation: Operation) -> Sequence[Permits]:
        holds = any(owner == operation.args["owner"] for owner, _ in state)
        checked = check_steps(state, operation, holds=holds)
        return super().step(state, operation) if checked is None else checked


@dataclass(frozen=True, slots=True)
class Excuse:
    """A fault that may end holds: of whom, from when to when.

    `proc`: of processes whose name begins so. `between_steps`: the process stood still
    between two steps of its loop, so a grant believed later was believed anew and is
    not excused.
    """

    proc: str
    from_ns: int
    to_ns: int = FOR_EVER
    between_steps: bool = False

    def covers(self, hold: Belief) -> bool:
        if not hold.proc.startswith(self.proc) or hold.until_ns < self.from_ns:
            return False
        if self.between_steps:
            return hold.since_ns <= self.from_ns
        return hold.asked_ns <= self.to_ns


@dataclass(frozen=True, slots=True)
class Belief:
    """A hold as its owner saw it. `until_ns` is FOR_EVER if nobody saw its end.

    `denied`: the check that first told its owner that it had lost it.
    """

    acquire: Operation
    release: Operation | None
    denied: Operation | None = None

    @property
    def proc(self) -> str:
        return self.acquire.proc

    @property
    def is_careless(self) -> bool:
        """Whoever is only told of a loss learns of it when it looks."""
        return bool(self.acquire.args.get("careless"))

    def goes_with(self, other: Belief) -> bool:
        """Both may be right: two readers, or two holders of permits."""
        mine, others = self.acquire.args, other.acquire.args
        return "weight" in mine or bool(mine.get("shared") and others.get("shared"))

    @property
    def asked_ns(self) -> int:
        return self.acquire.called_ns

    @property
    def since_ns(self) -> int:
        return self.acquire.returned_ns or FOR_EVER

    @property
    def until_ns(self) -> int:
        until_ns = self.release.called_ns if self.release else FOR_EVER
        return min(until_ns, self.denied.called_ns) if self.denied else until_ns

    def over_ns(self, excuses: Iterable[Excuse]) -> int:
        """When it was over at the latest, as far as an excuse says so."""
        covering = [e.from_ns for e in excuses if e.covers(self)]
        return min([self.until_ns, *(max(at, self.since_ns) for at in covering)])


def beliefs(history: History) -> list[Belief]:
    """The holds that somebody was inside. Who never came in held nothing."""
    ends = {op.args["owner"]: op for op in history.of("release")}
    denied: dict[str, Operation] = {}
    for op in history.of("check"):
        if op.result is False:
            denied.setdefault(op.args["owner"], op)
    return [
        Belief(op, ends.get(op.args["owner"]), denied.get(op.args["owner"]))
        for op in history.of("acquire")
        if op.is_known
    ]


def excuses(history: History, *, links: bool = False) -> list[Excuse]:
    """The faults that the history itself tells of."""
    found = [
        Excuse(op.proc, op.called_ns, op.returned_ns or FOR_EVER, between_steps=True)
        for op in history.of("stall", "stop")
    ]
    for op in history.of("nemesis"):
        action, target = op.args["action"], f"{op.args['target']}."
        if action == "kill" and target.startswith("w"):
            found.append(Excuse(target, op.called_ns, op.returned_ns or FOR_EVER))
        if action == "pause":
            found.append(Excuse(target, op.called_ns, op.returned_ns or FOR_EVER))
    found += [
        Excuse("", op.called_ns, op.returned_ns or FOR_EVER)
        for op in history.of("sessions_end")
    ]
    return found


def mutex_operations(
    history: History, because: Sequence[Excuse]
) -> dict[str, list[Operation]]:
    """What `CheckedMutex` is to explain, by the name of the lock."""
    parts: dict[str, list[Operation]] = {}
    for op in history.of("check"):
        parts.setdefault(op.args["name"], []).append(op)
    for hold in beliefs(history):
        part = parts.setdefault(hold.acquire.args["name"], [])
        part.append(hold.acquire)
        covering = [excuse.from_ns for excuse in because if excuse.covers(hold)]
        release = hold.release
        if release is not None and (release.is_known or not covering):
            named = release.args | {"token": hold.acquire.result}
            part.append(replace(release, args=named))
        if covering:
            # It may also stand for a release that nobody saw the end of: two open ends
            # of one hold would double the possibilities with each such hold.
            at_ns = max(hold.asked_ns, min(covering))
            expire = replace(
                hold.acquire, f="expire", result=None, called_ns=at_ns, returned_ns=None
            )
            part.append(expire)
    return parts


def by_name(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    parts: dict[str, list[Operation]] = {}
    for op in operations:
        parts.setdefault(op.args["name"], []).append(op)
    return parts


def tokens_grow(history: History) -> Verdict:
    """A grant asked for after another had been given has the higher token.

    Weaker than the mutex, and true even where a server may forget who holds what.
    """
    judged = 0
    for name, grants in by_name(history.of("acquire")).items():
        known = [op for op in grants if op.is_known]
        judged += len(known)
        given = sorted(known, key=lambda op: op.returned_ns or 0)
        highest, at = 0, 0
        for op in sorted(known, key=lambda op: op.called_ns):
            while at < len(given) and (given[at].returned_ns or 0) < op.called_ns:
                highest = max(highest, given[at].result)
                at += 1
            # Readers share the token of the writer before them.
            least = highest if op.args.get("shared") else highest + 1
            if op.result < least:
                why = f"{name}: token {op.result} after {highest} had been given"
                return Verdict("invalid", judged, why, op)
    return Verdict("valid", judged)


def overlaps(history: History) -> int:
    """How often two believed at the same time; faults make it so, fences mend it."""
    count = 0
    for holds in _by_lock(beliefs(history)).values():
        holds.sort(key=lambda hold: hold.since_ns)
        ended = [hold for hold in holds if hold.until_ns != FOR_EVER]
        count += sum(
            before.until_ns > after.since_ns and not before.goes_with(after)
            for before, after in pairwise(ended)
        )
    return count


def next_grants_s(history: History, within_s: float) -> list[float]:
    """For each lock of a killed process: the seconds until somebody else had it.

    Counted from the last kill among the holder and those who stood in line before the
    next grant: a lock may pass through several dead hands. Left out where nobody asked
    for it before the dead one's time was over.
    """
    kills = [op for op in history.of("nemesis") if op.args["action"] == "kill"]
    died_ns: dict[str, int] = {}
    for op in history.of("acquire"):
        if op.proc not in died_ns:
            ends = [kill.called_ns for kill in kills if _is_of(op.proc, kill)]
            later = [at for at in ends if at > op.called_ns]
            died_ns[op.proc] = min(later, default=FOR_EVER)
    took: list[float] = []
    held = _by_lock(beliefs(history))
    asked = by_name(history.of("acquire"))
    for name, holds in held.items():
        waited = [op for op in asked[name] if not op.is_known]
        for hold in holds:
            dead_ns = died_ns[hold.proc]
            if hold.release is not None or dead_ns == FOR_EVER:
                continue
            later_holds = [
                next_
                for next_ in holds
                if next_.since_ns > dead_ns
                and next_.proc != hold.proc
                and next_.asked_ns < dead_ns + within_s * NS
            ]
            if later_holds:
                next_ns = min(next_.since_ns for next_ in later_holds)
                hands = [
                    died_ns[op.proc] for op in waited if died_ns[op.proc] < next_ns
                ]
                took.append((next_ns - max([dead_ns, *hands])) / NS)
    return took


def _is_of(proc: str, kill: Operation) -> bool:
    return proc.startswith(f"{kill.args['target']}.")


def _by_lock(holds: Iterable[Belief]) -> dict[str, list[Belief]]:
    parts: dict[str, list[Belief]] = {}
    for hold in holds:
        parts.setdefault(hold.acquire.args["name"], []).append(hold)
    return parts


def noticed_after_s(history: History, longest_s: float) -> tuple[list[float], int]:
    """For the holds that a standstill has certainly ended: how soon that was noticed,
    and how many were given back as if nothing had been."""
    still = [(op.proc, op) for op in history.of("stall", "stop")]
    still += [
        (f"{op.args['target']}.", op)
        for op in history.of("nemesis")
        if op.args["action"] == "pause"
    ]
    soon: list[float] = []
    unnoticed = 0
    for proc, op in still:
        if op.returned_ns is None or op.returned_ns - op.called_ns <= longest_s * NS:
            continue
        middle_ns = (op.called_ns + op.returned_ns) // 2
        for hold in beliefs(history):
            if not hold.proc.startswith(proc) or hold.release is None:
                continue
            if hold.is_careless:
                continue
            if hold.since_ns <= op.called_ns and hold.until_ns >= middle_ns:
                soon.append(max(0, hold.until_ns - op.returned_ns) / NS)
                unnoticed += hold.release.result is True
    return soon, unnoticed


def losses_after_s(history: History) -> list[float]:
    """For each hold that was told lost over an end of all sessions: how soon it was."""
    lost: list[float] = []
    for op in history.of("sessions_end"):
        for hold in beliefs(history):
            if hold.release is None or hold.release.is_known or hold.is_careless:
                continue
            within = op.called_ns <= hold.until_ns <= op.called_ns + NS
            if hold.since_ns <= op.called_ns and within:
                lost.append((hold.until_ns - op.called_ns) / NS)
    return lost


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie; 0 if there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
