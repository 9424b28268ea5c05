"""How notes of who waits lie on a server: lines of text, made and read. Pure.

The first line says which doubts are answered, `<session> <number>` each; every other
line is one note, its lock's name first, for the script to find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from .deadlock import Note

Name = Callable[[str], str]
"""How a lock's name looks on the server, or back."""


def written(notes: Sequence[Note], heard: Mapping[str, int], key_name: Name) -> str:
    """The notes of one process; nothing if it has none."""
    if not notes:
        return ""
    lines = ["\t".join(f"{who} {number}" for who, number in sorted(heard.items()))]
    for note in notes:
        numbers = (str(note.since_ms), str(note.priority))
        who = (note.ident, note.owner, note.label, note.on)
        fields = (key_name(note.name), *who, *numbers, " ".join(note.inside))
        lines.append("\t".join(fields))
    return "\n".join(lines)


def read(
    session: str, text: str, shown_name: Name
) -> tuple[list[Note], dict[str, int]]:
    """The notes of the process behind `session`, and which doubts it has heard."""
    first, *lines = text.split("\n")
    heard = dict(_answered(part) for part in first.split("\t") if part)
    notes = []
    for line in lines:
        name, ident, owner, label, on, since_ms, priority, inside = line.split("\t")
        notes.append(
            Note(
                ident=ident,
                session=session,
                owner=owner,
                label=label,
                name=shown_name(name),
                on=on,
                inside=tuple(inside.split()),
                since_ms=int(since_ms),
                priority=int(priority),
            )
        )
    return notes, heard


def heard_in_all(
    parts: Iterable[Mapping[str, Mapping[str, int]]],
) -> dict[str, Mapping[str, int]]:
    """Which doubts each session has answered wherever it has noted something.

    The tags of a Cluster are written one by one: what one has, another may not have.
    """
    found: dict[str, Mapping[str, int]] = {}
    for part in parts:
        for session, heard in part.items():
            before = found.get(session, heard)
            both = heard.keys() & before.keys()
            found[session] = {who: min(heard[who], before[who]) for who in both}
    return found


def _answered(part: str) -> tuple[str, int]:
    who, _, number = part.partition(" ")
    return who, int(number)
