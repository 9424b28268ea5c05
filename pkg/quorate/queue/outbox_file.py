"""Tasks on disk that the server does not have yet: a log that survives its process.

Records are appended and synced before anybody is told that his task is safe. How far
they were sent is noted in the head of the file; should that note be lost, records are
sent again, which changes nothing, because each has its id. A record that was half
written when the process died was never promised, and is cut off.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from quorate.core.ids import short

from .ports import Parcel

SUFFIX = ".outbox"
MARK = b"quorate1"
HEAD = struct.Struct(">8sQI")
RECORD = struct.Struct(">II")
MOST_BYTES_IN_RECORD = 64 * 1024 * 1024


class Held(NamedTuple):
    """A task that waits on disk, and the queue that it is for."""

    queue: str
    parcel: Parcel


class OutboxFile:
    """One process's log. Made by `create` or `adopt`; both lock it for this process."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._sent = self._end = HEAD.size
        self.waiting = 0

    @classmethod
    def create(cls, folder: Path) -> OutboxFile:
        """A new log in `folder`, which is made if need be."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}-{short()}{SUFFIX}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        file = cls(path, handle)
        file._note_sent()
        _sync_folder(folder)
        return file

    @classmethod
    def adopt(cls, path: Path) -> OutboxFile | None:
        """The log of a process that is gone; None if it has an owner, or is no more."""
        try:
            handle = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                file = cls(path, handle)
                file._take_stock()
                return file
        except BlockingIOError:
            os.close(handle)
            return None
        os.close(handle)
        return None

    @property
    def size_bytes(self) -> int:
        return self._end

    def append(self, held: Iterable[Held]) -> None:
        """Add records; when this returns they are on the disk."""
        records = [_written(each) for each in held]
        data = b"".join(records)
        try:
            _write_at(self._handle, data, self._end)
            os.fdatasync(self._handle)
        except OSError:
            # What is half there must not stand in front of what comes next.
            os.ftruncate(self._handle, self._end)
            raise
        self._end += len(data)
        self.waiting += len(records)

    def first(self, most: int, most_bytes: int) -> tuple[list[Held], int]:
        """The first records of one queue that were not sent, and where they end."""
        found: list[Held] = []
        end, size = self._sent, 0
        for held, after in self._records(self._sent):
            size += len(held.parcel.envelope)
            other = found and held.queue != found[0].queue
            if other or len(found) == most or (found and size > most_bytes):
                break
            found.append(held)
            end = after
        return found, end

    def sent(self, until: int, count: int) -> None:
        """Everything before `until` is with the server."""
        self._sent = until
        self.waiting -= count
        if self._sent == self._end:
            self._sent = self._end = HEAD.size
            os.ftruncate(self._handle, HEAD.size)
        self._note_sent()

    def close(self) -> None:
        """Let go of the file; one without anything in it is removed."""
        if not self.waiting:
            self.path.unlink(missing_ok=True)
        os.close(self._handle)

    def _take_stock(self) -> None:
        head = os.pread(self._handle, HEAD.size, 0)
        with contextlib.suppress(struct.error):
            mark, sent, check = HEAD.unpack(head)
            length = os.fstat(self._handle).st_size
            # An end beyond the end: it was emptied, and died before it noted that.
            if mark == MARK and check == zlib.crc32(head[:16]) and sent <= length:
                self._sent = sent
        self._end = self._sent
        for _, after in self._records(self._sent):
            self._end = after
            self.waiting += 1
        os.ftruncate(self._handle, max(self._end, HEAD.size))

    def _records(self, start: int) -> Iterator[tuple[Held, int]]:
        """Whole records from `start` on, each with where it ends."""
        length = os.fstat(self._handle).st_size
        while start + RECORD.size <= length:
            size, check = RECORD.unpack(os.pread(self._handle, RECORD.size, start))
            start += RECORD.size
            if size > min(MOST_BYTES_IN_RECORD, length - start):
                return
            data = os.pread(self._handle, size, start)
            if zlib.crc32(data) != check:
                return
            start += size
            yield _read(data), start

    def _note_sent(self) -> None:
        words = struct.pack(">8sQ", MARK, self._sent)
        os.pwrite(self._handle, words + struct.pack(">I", zlib.crc32(words)), 0)
        os.fdatasync(self._handle)


def left_behind(folder: Path, ours: Path) -> list[Path]:
    """Logs in `folder` besides our own, the oldest first."""
    found = {}
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    found.pop(ours, None)
    return sorted(found, key=lambda path: found[path])


def _written(held: Held) -> bytes:
    parcel = held.parcel
    facts = [held.queue, parcel.id, parcel.lane, parcel.delay_s, parcel.at]
    data = json.dumps(facts, separators=(",", ":")).encode() + b"\n" + parcel.envelope
    return RECORD.pack(len(data), zlib.crc32(data)) + data


def _read(data: bytes) -> Held:
    line, _, envelope = data.partition(b"\n")
    queue, task_id, lane, delay_s, at = json.loads(line)
    return Held(queue, Parcel(task_id, lane, delay_s, envelope, at))


def _write_at(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(handle, view, offset)
        view, offset = view[count:], offset + count


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
