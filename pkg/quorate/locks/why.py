"""Why an owner waits: from its wait to who holds the lock, to what that one waits for.

Made of what the server shows of each lock, read one after the other: a picture for
people. A lock that is handed on inside a process shows the task that took it first.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .model import Explanation, HolderFacts, WaiterFacts

Node = tuple[str, str]
"""An owner: its process, and its id there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One wait on the way: who waits, for whom. `depth` 0 is the owner asked about."""

    depth: int
    waiter: WaiterFacts
    holders: tuple[HolderFacts, ...]
    before: int

    def __str__(self) -> str:
        waiter = self.waiter
        held = "; ".join(str(holder) for holder in self.holders[:3]) or "nobody now"
        others = "others" if self.before > 1 else "other"
        line = f", behind {self.before} {others}" if self.before else ""
        return (
            f"{_who(waiter)} waits for {waiter.name!r} since {waiter.waited_s:.1f} s"
            f"{line}; held by {held}"
        )


@dataclass(frozen=True, slots=True)
class Why:
    """The chain from one owner on. `is_circle`: it leads back to somebody in it."""

    owner: str
    steps: tuple[Step, ...]
    is_circle: bool

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.owner} waits for nothing."
        lines = ["  " * step.depth + str(step) for step in self.steps]
        if self.is_circle:
            lines.append("They wait for each other in a circle.")
        return "\n".join(lines)


def chain(owner: str, locks: Iterable[Explanation]) -> Why:
    """The chain from `owner`: an owner's id, its label, its session, or session/id."""
    by_name = {lock.name: lock for lock in locks}
    waits: dict[Node, list[WaiterFacts]] = {}
    for lock in by_name.values():
        for waiter in lock.waiters:
            waits.setdefault(_node(waiter), []).append(waiter)
    first = [node for node, found in waits.items() if any(_is(owner, w) for w in found)]
    steps: list[Step] = []
    seen: set[Node] = set()
    is_circle = False
    open_: list[tuple[int, Node, tuple[Node, ...]]]
    open_ = [(0, node, (node,)) for node in reversed(first)]
    while open_:
        depth, node, path = open_.pop()
        if node in seen:
            continue
        seen.add(node)
        for waiter in waits[node]:
            lock = by_name[waiter.name]
            before = [w for w in lock.waiters if w.lock_type is waiter.lock_type]
            steps.append(Step(depth, waiter, lock.holders, before.index(waiter)))
            for holder in lock.holders:
                after = _node(holder)
                is_circle = is_circle or after in path
                if after in waits:
                    open_.append((depth + 1, after, (*path, after)))
    return Why(owner, tuple(steps), is_circle)


def _node(facts: WaiterFacts | HolderFacts) -> Node:
    return facts.session.rpartition(".")[0] or facts.session, facts.owner


def _is(owner: str, waiter: WaiterFacts) -> bool:
    return owner in (
        waiter.owner,
        waiter.label,
        waiter.session,
        f"{waiter.session}/{waiter.owner}",
    )


def _who(waiter: WaiterFacts) -> str:
    label = f" ({waiter.label})" if waiter.label else ""
    return f"{waiter.session}/{waiter.owner}{label}"
