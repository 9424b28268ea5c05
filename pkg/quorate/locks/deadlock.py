"""Who waits for whom, over all processes, and who gives way. Pure.

Owners wait through a place in a lock's line for its holders and for those before them.
A circle in what two readings have in common, each edge confirmed in between by the
process that knows it, existed at one instant and cannot dissolve by itself: no phantom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from quorate.core.errors import DeadlockError

from .model import shown

Edge = tuple[str, str, str]
"""From, to, and a mark: an edge with another mark is another edge."""


@dataclass(frozen=True, slots=True)
class Note:
    """An owner that waits and holds something, as its own process says.

    No `ident` is ever used twice. `on` is what it waits at: `b:<id of a place>`;
    `h:<id of a hold>:<token>` while it stands behind others of its own process;
    `u:<id of its hold>` as a reader that waits to be the writer; or `w:<ident>` while
    another task, that of this note, has to go on before.
    `inside` are the holds that only it can give back, each as `<id>:<token>`.
    `since_ms` is wall time; it only serves to choose who gives way.
    """

    ident: str
    session: str
    owner: str
    label: str
    name: str
    on: str
    inside: tuple[str, ...]
    since_ms: int
    priority: int = 0

    def __str__(self) -> str:
        label = f" ({self.label})" if self.label else ""
        return f"{self.owner}{label} in {self.session}"


@dataclass(frozen=True, slots=True)
class Line:
    """One lock as the server has it: ids of holds and of places, in their order.

    `mode` is x (one writer), s (readers) or empty (free); `upgrading` is the hold of a
    reader that waits to be the writer.
    """

    name: str
    mode: str
    holders: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    upgrading: str = ""

    def edges(self) -> Iterable[Edge]:
        """What each place waits for: holders that exclude it, and who is before it.

        Readers that wait enter before any writer that waits behind a writer's hold, so
        a waiting writer is before them only while other readers hold the lock. So is a
        reader that waits to be the writer, which waits for all other readers.
        """
        for holder in self.holders:
            if self.upgrading and holder != self.upgrading:
                yield f"u:{self.upgrading}", f"h:{holder}", ""
        before = ""
        for writer in self.writers:
            for holder in self.holders:
                yield f"b:{writer}", f"h:{holder}", ""
            if before:
                yield f"b:{writer}", f"b:{before}", ""
            before = writer
        for reader in self.readers:
            for node in self._before_readers():
                yield f"b:{reader}", node, ""

    def _before_readers(self) -> Iterable[str]:
        """What keeps out every reader that waits."""
        if self.mode == "x":
            yield from (f"h:{holder}" for holder in self.holders)
            return
        if self.writers:
            yield f"b:{self.writers[0]}"
        if self.upgrading:
            yield f"h:{self.upgrading}"


@dataclass(frozen=True, slots=True)
class Picture:
    """One reading. `heard`: up to which doubt of whom each session has answered."""

    notes: tuple[Note, ...] = ()
    lines: tuple[Line, ...] = ()
    heard: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def edges(self) -> frozenset[Edge]:
        """Everything that waits for something in this reading."""
        found: set[Edge] = set()
        for note in self.notes:
            kind, _, what = note.on.partition(":")
            ident, mark = what, ""
            if kind == "h":
                ident, _, mark = what.rpartition(":")
            found.add((f"w:{note.ident}", f"{kind}:{ident}", mark))
            for hold in note.inside:
                ident, _, token = hold.rpartition(":")
                found.add((f"h:{ident}", f"w:{note.ident}", token))
        for line in self.lines:
            found.update(line.edges())
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Deadlock:
    """Owners that wait for each other in a circle; the first of them gives way."""

    cycle: tuple[Note, ...]

    @property
    def victim(self) -> Note:
        return self.cycle[0]

    @property
    def sessions(self) -> frozenset[str]:
        """The sessions that take part."""
        return frozenset(note.session for note in self.cycle)

    def __str__(self) -> str:
        steps = [f"{note} waits for {shown(note.name)!r}" for note in self.cycle]
        return " → ".join((*steps, str(self.cycle[0])))

    def error(self) -> DeadlockError:
        """What the victim gets."""
        return DeadlockError(
            f"Waiting for {shown(self.victim.name)!r} would never end.",
            f"The owners wait for each other in a circle: {self}.",
            "This one was chosen to give way. Give back what is held and begin again; "
            "take locks in the same order everywhere to be safe from this.",
        )


def find_deadlocks(
    edges: Iterable[Edge], notes: Iterable[Note]
) -> tuple[Deadlock, ...]:
    """Every circle that has to be broken, each with the one who gives way.

    That is the one of the lowest priority, of those the last to begin waiting, of those
    the one with the greatest id: whoever looks at the same edges chooses the same.
    """
    after: dict[str, set[str]] = {}
    for source, target, _ in edges:
        after.setdefault(source, set()).add(target)
    known = {f"w:{note.ident}": note for note in notes}
    found: list[Deadlock] = []
    while circles := _strong(after):
        for circle in circles:
            there = [known[node] for node in circle if node in known]
            if not there:
                return tuple(found)
            victim = max(there, key=lambda n: (-n.priority, n.since_ms, n.ident))
            path = _circle(after, f"w:{victim.ident}", circle)
            found.append(Deadlock(tuple(known[node] for node in path if node in known)))
            after.pop(f"w:{victim.ident}")
            if not victim.on.startswith("w:"):
                after.pop(victim.on, None)
    return tuple(found)


def _circle(after: Mapping[str, set[str]], start: str, within: set[str]) -> list[str]:
    """The shortest way from `start` back to it."""
    came: dict[str, str] = {}
    edge = [start]
    while start not in came:
        nearer, edge = edge, []
        for node in nearer:
            for following in sorted(after.get(node, set()) & within):
                if following not in came:
                    came[following] = node
                    edge.append(following)
    path = [start]
    while (before := came[path[-1]]) != start:
        path.append(before)
    return [start, *reversed(path[1:])]


def _strong(after: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of nodes that all reach each other (Tarjan, 1972), without recursion."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[set[str]] = []
    for root in sorted(after):
        if root in number:
            continue
        walk = [(root, iter(sorted(after[root])))]
        number[root] = low[root] = len(number)
        stack.append(root)
        while walk:
            node, ways = walk[-1]
            following = next(ways, None)
            if following is None:
                walk.pop()
                if walk:
                    low[walk[-1][0]] = min(low[walk[-1][0]], low[node])
                _close(node, number, low, stack, circles)
            elif following not in number:
                number[following] = low[following] = len(number)
                stack.append(following)
                walk.append((following, iter(sorted(after.get(following, ())))))
            elif following in low:
                low[node] = min(low[node], number[following])
    return circles


def _close(
    node: str,
    number: Mapping[str, int],
    low: dict[str, int],
    stack: list[str],
    circles: list[set[str]],
) -> None:
    """All ways from `node` are walked: what hangs together with it is complete."""
    if low[node] != number[node]:
        return
    circle: set[str] = set()
    while node not in circle:
        circle.add(stack[-1])
        del low[stack.pop()]
    if len(circle) > 1:
        circles.append(circle)
