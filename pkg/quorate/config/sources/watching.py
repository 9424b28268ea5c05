"""One watcher for all configuration files of a manager.

It watches directories, never files: the file's own, and that of every symbolic link on
the way to it, so that a rename, a delete and recreate, and the swap of a Kubernetes
`..data` link are seen. When a directory is replaced, the watch is set up anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from watchfiles import awatch

MAX_LINKS = 40
STEP_MS = 20
DEBOUNCE_MS = 100
LOOK_AGAIN_MS = 1000
"""Changes are gathered for a step as long as more come, but no longer than debounce;
and every second it is checked that the directories are still the same."""


class FileWatch:
    """A role: tells each file's listener that something happened around it."""

    name = "file watch"

    def __init__(self) -> None:
        self._listeners: dict[Path, list[Callable[[], None]]] = {}
        self._anew = asyncio.Event()
        self.watching: frozenset[Path] = frozenset()

    @contextlib.contextmanager
    def listening(self, path: Path, told: Callable[[], None]) -> Iterator[None]:
        """Have `told` called for `path` within the block."""
        self._listeners.setdefault(path, []).append(told)
        self._anew.set()
        try:
            yield
        finally:
            self._listeners[path].remove(told)
            if not self._listeners[path]:
                del self._listeners[path]
            self._anew.set()

    async def tick(self) -> float:
        """Watch until the directories are others, or somebody joins or leaves."""
        self._anew = asyncio.Event()
        marks = self._marks()
        self.watching = frozenset(path for path, _ in marks)
        if not marks:
            await self._anew.wait()
            return 0.0
        stream = awatch(
            *self.watching,
            watch_filter=None,
            recursive=False,
            step=STEP_MS,
            debounce=DEBOUNCE_MS,
            rust_timeout=LOOK_AGAIN_MS,
            yield_on_timeout=True,
            stop_event=self._anew,
        )
        self._tell_all()
        async with contextlib.aclosing(stream):
            async for changes in stream:
                touched = {Path(path).parent for _, path in changes}
                self._tell(touched | {Path(path) for _, path in changes})
                if self._marks() != marks:
                    break
        return 0.0

    def _marks(self) -> frozenset[tuple[Path, tuple[int, int]]]:
        """The directories to watch, each with the identity that it has now."""
        found = set()
        for path in self._listeners:
            for directory in directories_of(path):
                with contextlib.suppress(OSError):
                    state = directory.stat()
                    found.add((directory, (state.st_dev, state.st_ino)))
        return frozenset(found)

    def _tell(self, touched: set[Path]) -> None:
        for path in tuple(self._listeners):
            if touched & directories_of(path):
                self._call(path)

    def _tell_all(self) -> None:
        """What happened before the watch stood is seen by looking once."""
        for path in tuple(self._listeners):
            self._call(path)

    def _call(self, path: Path) -> None:
        for told in tuple(self._listeners[path]):
            told()


def directories_of(path: Path) -> set[Path]:
    """Where a change can make `path` another file: its directory, and those of links.

    A directory that does not exist stands for itself through the nearest one that does.
    """
    found: set[Path] = set()
    todo = [path.absolute()]
    for _ in range(MAX_LINKS):
        if not todo:
            break
        current = todo.pop()
        link = _first_link(current)
        if link is None:
            found.add(_nearest(current.parent))
            continue
        found.add(_nearest(link.parent))
        target = link.parent / link.readlink()
        todo.append(Path(os.path.normpath(target / current.relative_to(link))))
    return found


def _first_link(path: Path) -> Path | None:
    """The topmost part of `path` that is a symbolic link."""
    for part in (*reversed(path.parents), path):
        if part.is_symlink():
            return part
    return None


def _nearest(directory: Path) -> Path:
    while not directory.is_dir() and directory != directory.parent:
        directory = directory.parent
    return directory
