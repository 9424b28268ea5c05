"""How a bug is planted on purpose, and what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType


def make_wrong(
    room: ModuleType, names: tuple[str, ...], right: str, wrong: str
) -> None:
    """Change a line in the scripts of `room` that have it."""
    scripts = {name: getattr(room, name) for name in names}
    if not any(right in script.text for script in scripts.values()):
        raise LookupError(f"no script has the line {right!r} any more")
    for name, script in scripts.items():
        text = script.text.replace(right, wrong)
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        setattr(room, name, replace(script, text=text, sha=sha))


@dataclass(frozen=True, slots=True)
class Bug:
    """What is wrong, how to plant it, and the run that has to catch it."""

    title: str
    plant: Callable[[], None]
    run: str


def by_name(*bugs: Bug) -> dict[str, Bug]:
    """The bugs by the names of what plants them."""
    return {bug.plant.__name__: bug for bug in bugs}
