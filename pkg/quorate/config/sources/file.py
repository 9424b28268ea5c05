"""A file as a source: read only when it is at rest, and never believed half-way.

A file counts as read when two looks, 20 ms apart, find the same content; what does not
parse is looked at again for up to a second, because it may still be in writing. Only
content matters: times and event counts do not. `${…}` in it is filled from the
variables that are handed in.
"""

from __future__ import annotations

import asyncio
import hashlib
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quorate.config.formats import MAX_BYTES, ConfigFormat, format_of, parse
from quorate.config.model import Layer, Loaded
from quorate.core.clock import Clock
from quorate.core.errors import ConfigInvalid
from quorate.core.interpolate import interpolate_tree

from .watching import FileWatch

STILL_S = 0.02
RETRY_S = 0.05
PATIENCE_S = 1.0
RECHECK_S = 30.0

ABSENT = "absent"


class FileSource:
    """One file. With `required=False` a missing file is an empty one."""

    recheck_s = RECHECK_S

    def __init__(
        self,
        path: Path,
        kind: ConfigFormat | None,
        layer: Layer,
        environ: Mapping[str, str],
        watch: FileWatch,
        clock: Clock,
    ) -> None:
        self.path = path
        self.layer = layer
        self.name = str(path)
        self._kind = kind or format_of(path.name)
        self._environ = environ
        self._watch = watch
        self._clock = clock
        self._good = Loaded({}, "")
        self._bad = _Look("")

    @property
    def required(self) -> bool:
        """The environment-specific file need not be there."""
        return self.layer is not Layer.ENVIRONMENT_FILE

    def load_now(self) -> Loaded:
        """The content at this moment, without waiting for the file to be at rest."""
        look = self._judged(_read(self.path))
        return self._accepted(look)

    async def load(self) -> Loaded:
        """The content once the file is at rest. Raises `ConfigInvalid`."""
        give_up_at = self._clock.monotonic() + PATIENCE_S
        look = await self._look()
        while not self._settled(look) and self._clock.monotonic() < give_up_at:
            await self._clock.sleep(RETRY_S)
            look = await self._look()
        return self._accepted(look)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Tell of everything that happens around the file. Runs until cancelled."""
        with self._watch.listening(self.path, changed):
            await asyncio.Event().wait()

    async def _look(self) -> _Look:
        try:
            data = await asyncio.to_thread(_read, self.path)
            version = _version(data)
            if version == self._good.version:
                return _Look(version, self._good)
            if version == self._bad.version:
                return self._bad
            await self._clock.sleep(STILL_S)
            if await asyncio.to_thread(_read, self.path) != data:
                raise ConfigInvalid(f"{self.name} does not come to rest.")
            return self._judged(data)
        except ConfigInvalid as error:
            return _Look("", problem=error)

    def _settled(self, look: _Look) -> bool:
        """Whether there is nothing to wait for: it is usable, or known to be bad."""
        if look.version == ABSENT and not self._good.tree and not self.required:
            return True
        known_bad = look is self._bad
        return known_bad or (look.loaded is not None and look.version != ABSENT)

    def _accepted(self, look: _Look) -> Loaded:
        if look.loaded is None:
            self._bad = look
            assert look.problem is not None
            raise look.problem
        self._good, self._bad = look.loaded, _Look("")
        return look.loaded

    def _judged(self, data: bytes | None) -> _Look:
        version = _version(data)
        try:
            return _Look(version, self._parsed(data, version))
        except ConfigInvalid as error:
            return _Look(version, problem=error)

    def _parsed(self, data: bytes | None, version: str) -> Loaded:
        if data is None:
            if self.required:
                raise ConfigInvalid(
                    f"{self.name} is not there.", "", "Create it, or correct the path."
                )
            return Loaded({}, version)
        parsed = parse(data, self._kind, self.path.name)
        tree, unfilled = interpolate_tree(parsed.tree, self._environ)
        if unfilled:
            raise ConfigInvalid(
                f"{self.name} cannot be filled from the environment.",
                "\n  ".join(f"{place.path}: {place.problem}" for place in unfilled),
            )
        places = {key: f"line {line}" for key, line in parsed.lines.items()}
        return Loaded(tree, version, places)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at the file found: something usable, or a problem."""

    version: str
    loaded: Loaded | None = None
    problem: ConfigInvalid | None = None


def _version(data: bytes | None) -> str:
    return ABSENT if data is None else hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes | None:
    """What is in the file; None if there is none. Raises `ConfigInvalid`.

    A pipe or a device is refused: reading it might never end.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise ConfigInvalid(f"{path} is not a file.")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read.",
            error.strerror or str(error),
            "Check that this user may read it.",
        ) from error
