"""The search for circles: none where none is, and everybody chooses the same victim."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from quorate.core.errors import DeadlockError
from quorate.locks import notes as texts
from quorate.locks.deadlock import Line, Note, Picture, find_deadlocks

RUNS = 10_000


def note(ident: str, name: str, on: str, *inside: str, **changes) -> Note:
    given = {
        "session": f"s{ident}",
        "owner": ident,
        "label": "",
        "since_ms": 0,
    } | changes
    return Note(ident=ident, name=name, on=on, inside=inside, **given)


def ring(length: int) -> Picture:
    """Each holds one lock and waits for that of the next."""
    notes = tuple(
        note(f"o{n}", f"l{(n + 1) % length}", f"b:p{n}", f"h{n}:1", since_ms=n)
        for n in range(length)
    )
    lines = tuple(
        Line(f"l{n}", "x", (f"h{n}",), (f"p{(n - 1) % length}",)) for n in range(length)
    )
    return Picture(notes, lines)


def found(picture: Picture):
    return find_deadlocks(picture.edges(), picture.notes)


@pytest.mark.parametrize("length", range(2, 9))
def test_a_ring_is_one_deadlock_and_the_last_to_wait_gives_way(length: int):
    (deadlock,) = found(ring(length))

    assert len(deadlock.cycle) == length
    assert deadlock.victim.owner == f"o{length - 1}"
    assert isinstance(deadlock.error(), DeadlockError)
    assert all(f"'l{n}'" in str(deadlock) for n in range(length))


def test_a_chain_is_none():
    picture = ring(4)

    assert found(replace(picture, notes=picture.notes[1:])) == ()


def test_a_reader_that_wants_to_write_waits_for_the_others_and_keeps_readers_out():
    line = Line("l", "s", ("h1", "h2"), (), ("p1",), upgrading="h1")

    assert set(line.edges()) == {("u:h1", "h:h2", ""), ("b:p1", "h:h1", "")}
    assert not set(replace(line, upgrading="").edges())


def test_the_lowest_priority_gives_way_before_the_youngest():
    picture = ring(3)
    first, *rest = picture.notes

    (deadlock,) = found(replace(picture, notes=(replace(first, priority=-1), *rest)))

    assert deadlock.victim.owner == "o0"


def test_of_those_that_began_together_the_greatest_id_gives_way():
    picture = ring(3)
    notes = tuple(replace(each, since_ms=5) for each in picture.notes)

    (deadlock,) = found(replace(picture, notes=notes))

    assert deadlock.victim.ident == "o2"


def test_the_order_of_what_is_read_makes_no_difference():
    picture = ring(6)
    shuffled = Picture(picture.notes[::-1], picture.lines[::-1])

    assert found(picture) == found(shuffled)


def test_two_rings_lose_one_each():
    first, second = ring(3), ring(4)
    other = Picture(
        tuple(
            replace(
                n, ident=f"x{n.ident}", on=f"b:x{n.on[2:]}", inside=(f"x{n.inside[0]}",)
            )
            for n in second.notes
        ),
        tuple(
            Line(f"x{one.name}", "x", (f"x{one.holders[0]}",), (f"x{one.writers[0]}",))
            for one in second.lines
        ),
    )

    both = Picture(first.notes + other.notes, first.lines + other.lines)

    assert sorted(d.victim.ident for d in found(both)) == ["o2", "xo3"]


def test_two_rings_through_one_owner_lose_only_as_many_as_needed():
    # o holds a and waits for c, whose two readers wait for a.
    picture = Picture(
        (
            note("o", "c", "b:po", "ha:1", since_ms=9),
            note("r1", "a", "b:p1", "hc1:1"),
            note("r2", "a", "b:p2", "hc2:1"),
        ),
        (
            Line("c", "s", ("hc1", "hc2"), ("po",)),
            Line("a", "x", ("ha",), ("p1", "p2")),
        ),
    )

    assert [d.victim.ident for d in found(picture)] == ["o"]


def test_a_reader_behind_a_writer_waits_for_it_only_among_readers():
    among_readers = Line("n", "s", ("h",), ("w",), ("r",))
    behind_a_writer = Line("n", "x", ("h",), ("w",), ("r",))

    assert ("b:r", "b:w", "") in set(among_readers.edges())
    assert ("b:r", "h:h", "") not in set(among_readers.edges())
    assert ("b:r", "b:w", "") not in set(behind_a_writer.edges())
    assert ("b:r", "h:h", "") in set(behind_a_writer.edges())


def test_a_hold_that_was_passed_on_is_another_edge():
    before = Picture((note("o", "a", "h:x:5", "y:1"),))
    after = Picture((note("o", "a", "h:x:6", "y:1"),))

    assert ("w:o", "h:x") in {edge[:2] for edge in before.edges() & before.edges()}
    assert ("w:o", "h:x") not in {edge[:2] for edge in before.edges() & after.edges()}


class World:
    """Owners that do not begin a wait by which they would wait in a circle.

    Owners wait in lines, are passed holds, give up, read or write, and want to write
    while they read; two readings are taken at different moments, each in parts, as
    several processes would note them.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._ids = iter(range(10**9))
        self.locks = [f"l{n}" for n in range(chance.randint(2, 6))]
        self.held: dict[str, dict[str, tuple[str, bool]]] = {n: {} for n in self.locks}
        self.lines: dict[str, list[tuple[str, str, bool]]] = {n: [] for n in self.locks}
        self.waits: dict[str, tuple[str, int, str, str]] = {}
        self.upgrading: dict[str, str] = {}
        self.has: dict[str, list[str]] = {
            f"o{n}": [] for n in range(chance.randint(2, 8))
        }

    def step(self) -> None:
        owner = self._chance.choice(list(self.has))
        if owner in self.waits:
            if self._chance.random() < 0.3:
                self._gives_up(owner)
            return
        mine = self.has[owner]
        others = [name for name in self.locks if name not in mine]
        if others and self._chance.random() < 0.6:
            self._asks(owner, self._chance.choice(others))
        elif mine and self._chance.random() < 0.3:
            self._wants_to_write(owner, self._chance.choice(mine))
        elif mine:
            name = self._chance.choice(mine)
            mine.remove(name)
            holds = self.held[name]
            del holds[next(h for h, (who, _) in holds.items() if who == owner)]
            self._lets_in(name)

    def _asks(self, owner: str, name: str) -> None:
        number, shared = next(self._ids), self._chance.random() < 0.3
        self.lines[name].append((f"p{number}", owner, shared))
        self.waits[owner] = (name, number, f"w{number}", f"b:p{number}")
        self._lets_in(name)
        if owner in self.waits and self.has[owner] and found(self.reading(busy=0)):
            self._gives_up(owner)

    def _wants_to_write(self, owner: str, name: str) -> None:
        holds = self.held[name]
        hold = next(h for h, (who, _) in holds.items() if who == owner)
        if name in self.upgrading or not holds[hold][1]:
            return
        number = next(self._ids)
        self.upgrading[name] = hold
        self.waits[owner] = (name, number, f"w{number}", f"u:{hold}")
        self._lets_in(name)
        if owner in self.waits and found(self.reading(busy=0)):
            self._gives_up(owner)

    def _gives_up(self, owner: str) -> None:
        name, _, _, on = self.waits.pop(owner)
        if on.startswith("u:"):
            del self.upgrading[name]
        self.lines[name] = [one for one in self.lines[name] if one[1] != owner]
        self._lets_in(name)

    def _lets_in(self, name: str) -> None:
        line, holds = self.lines[name], self.held[name]
        if name in self.upgrading:
            if len(holds) > 1:
                return
            ((hold, (owner, _)),) = holds.items()
            holds[hold] = (owner, False)
            del self.upgrading[name], self.waits[owner]
        while line:
            _, owner, shared = line[0]
            if holds and not (shared and all(s for _, s in holds.values())):
                return
            line.pop(0)
            del self.waits[owner]
            holds[f"h{next(self._ids)}"] = (owner, shared)
            self.has[owner].append(name)

    def note_of(self, owner: str) -> Note | None:
        if owner not in self.waits:
            return None
        name, number, ident, on = self.waits[owner]
        inside = [
            f"{hold}:1"
            for one in self.has[owner]
            for hold, (who, _) in self.held[one].items()
            if who == owner
        ]
        return note(ident, name, on, *inside, owner=owner, since_ms=number)

    def line_of(self, name: str) -> Line:
        holds = self.held[name]
        mode = "" if not holds else "s" if all(s for _, s in holds.values()) else "x"
        waiting = self.lines[name]
        return Line(
            name,
            mode,
            tuple(holds),
            tuple(p for p, _, shared in waiting if not shared),
            tuple(p for p, _, shared in waiting if shared),
            self.upgrading.get(name, ""),
        )

    def _goes_on(self, busy: int) -> None:
        for _ in range(self._chance.randint(0, busy) if busy else 0):
            self.step()

    def reading(self, busy: int) -> Picture:
        """Notes and lines read in any order, while the world goes on in between."""
        notes, lines = [], []
        parts = [*self.has, *self.locks]
        if busy:
            self._chance.shuffle(parts)
        for part in parts:
            if part in self.held:
                lines.append(self.line_of(part))
            elif one := self.note_of(part):
                notes.append(one)
            self._goes_on(busy)
        return Picture(tuple(notes), tuple(lines))


def test_what_never_deadlocks_is_never_called_a_deadlock():
    alarms = single = 0
    for seed in range(RUNS):
        world = World(random.Random(seed))
        for _ in range(15):
            world.step()
        first = world.reading(busy=4)
        second = world.reading(busy=4)
        kept = first.edges() & second.edges()
        alarms += bool(find_deadlocks(kept, second.notes))
        single += bool(found(first))

    assert alarms == 0
    # The runs are no child's play: one reading alone would have seen phantoms.
    assert single > 0


def test_notes_come_back_as_they_were_written():
    notes = [
        note("s#1", "a b", "b:s:7", "s:1:5", "s:2:9", label="the report", priority=-3),
        note("s#2", "c", "h:s:1:5", "s:3:1", owner="task-1"),
    ]

    text = texts.written(notes, {"t": 4, "u": 5}, str.upper)
    back, heard = texts.read("s.1", text, str.lower)

    assert heard == {"t": 4, "u": 5}
    assert back == [replace(each, session="s.1") for each in notes]
    assert text.split("\n")[1].startswith("A B\t")


def test_who_waits_for_nothing_writes_nothing():
    assert texts.written([], {"t": 4}, str) == ""


def test_a_doubt_is_answered_when_every_place_with_notes_has_the_answer():
    fresh = {"ann.1": {"bob": 7, "cid": 2}, "dan.1": {}}
    behind = {"ann.1": {"bob": 6}}

    heard = texts.heard_in_all([fresh, behind])

    assert heard == {"ann.1": {"bob": 6}, "dan.1": {}}
    assert texts.heard_in_all([behind, fresh]) == heard
