"""The last known good content of a source that is on the network, kept on disk.

Two generations, each a line of JSON that says when it was saved and a checksum, then
the content. Written aside, synced and renamed, readable by this user only. A damaged
file is never used and never fatal: the one before it is tried. Values are kept as they
are; whoever may read the file may read them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quorate.core.clock import Clock
from quorate.core.codec import decode, encode
from quorate.core.errors import InvalidPayload
from quorate.core.events import Emit
from quorate.core.lifecycle import to_the_end

from .events import LastGoodFailed
from .formats import MAX_BYTES, write_json
from .model import Loaded

FORMAT = 1
HEADER_BYTES = 1024
REST_S = 60.0

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Kept:
    """What was on disk: the content, and the wall time at which it was saved."""

    loaded: Loaded
    saved_at: float


class LastGood:
    """A role: keeps the contents of one manager; `owner` keeps managers apart.

    Only the newest content of a source is written, and one file at a time, so that an
    older one never takes its place.
    """

    name = "last good keeper"

    def __init__(self, directory: Path, owner: str, emit: Emit, clock: Clock) -> None:
        self._directory = directory
        self._owner = owner
        self._emit = emit
        self._clock = clock
        self._unsaved: dict[str, Loaded] = {}
        self.wake: Callable[[], None] = lambda: None

    def path_of(self, source: str) -> Path:
        """The file of one source."""
        name = f"{self._owner} {source}"
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        plain = _NOT_PLAIN.sub("-", name).strip("-")[:60]
        return self._directory / f"{plain}-{digest}.json"

    def keep(self, source: str, loaded: Loaded) -> None:
        """Keep `loaded` soon."""
        self._unsaved[source] = loaded
        self.wake()

    async def tick(self) -> float:
        """Write what is new."""
        await self.flush()
        return REST_S

    async def flush(self) -> None:
        """Write what is not written yet; a write that has begun is waited for."""
        for source in tuple(self._unsaved):
            loaded = self._unsaved[source]
            await to_the_end(self.save(source, loaded), "save last good")
            if self._unsaved.get(source) is loaded:
                del self._unsaved[source]

    async def save(self, source: str, loaded: Loaded) -> None:
        """Write `loaded`. A disk that refuses is told of, and nothing else happens."""
        path = self.path_of(source)
        try:
            data = _packed(loaded, self._clock.now())
            await asyncio.to_thread(_write, path, data)
        except (OSError, InvalidPayload) as error:
            self._emit(LastGoodFailed(path=str(path), error=str(error)))

    async def read(self, source: str) -> Kept | None:
        """The newest undamaged content, or None."""
        path = self.path_of(source)
        for candidate in (path, _older(path)):
            try:
                return _unpacked(await asyncio.to_thread(candidate.read_bytes))
            except FileNotFoundError:
                continue
            except (OSError, InvalidPayload) as error:
                self._emit(LastGoodFailed(path=str(candidate), error=str(error)))
        return None


def _packed(loaded: Loaded, now: float) -> bytes:
    body = write_json(loaded.tree)
    header = {
        "format": FORMAT,
        "saved_at": now,
        "version": loaded.version,
        "sha256": _checksum(loaded.version, now, body),
    }
    return encode(header, "header", HEADER_BYTES) + b"\n" + body


def _unpacked(data: bytes) -> Kept:
    first, _, body = data.partition(b"\n")
    header = decode(first, "header of the kept configuration", HEADER_BYTES)
    fields = header if isinstance(header, dict) else {}
    version, saved_at = fields.get("version"), fields.get("saved_at")
    if (
        fields.get("format") != FORMAT
        or not isinstance(version, str)
        or not isinstance(saved_at, float)
        or fields.get("sha256") != _checksum(version, saved_at, body)
    ):
        raise InvalidPayload(
            "The kept configuration is damaged.",
            "Its checksum does not fit its content.",
            "It is not used; the one before it is tried.",
        )
    tree = decode(body, "kept configuration", 4 * MAX_BYTES)
    return Kept(Loaded(tree, version), saved_at)


def _checksum(version: str, saved_at: float, body: bytes) -> str:
    return hashlib.sha256(f"{version}\n{saved_at!r}\n".encode() + body).hexdigest()


def _older(path: Path) -> Path:
    return path.with_suffix(".previous.json")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            path.replace(_older(path))
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
