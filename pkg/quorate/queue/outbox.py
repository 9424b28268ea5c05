"""Keeps tasks on disk while the server is away, and sends them when it is back.

For who asked for it (`outbox_dir`): enqueueing then returns when the task is on the
disk, and the task is enqueued later under the same id. The order is kept: as long as
anything waits here, new tasks line up behind it. What a process left behind when it
was killed is sent by the next one that opens the same folder. What is written under a
lock or by a task's handler is never kept: its right to write may be over by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quorate.backend import Backend
from quorate.core.clock import Chance, Clock
from quorate.core.errors import QueueError, StoreError
from quorate.core.events import Emit
from quorate.core.failpoint import failpoint
from quorate.core.lifecycle import Duty, Tasks, to_the_end

from .events import OutboxEmptied, OutboxFilling
from .model import QueueConfig
from .outbox_file import Held, OutboxFile, left_behind
from .ports import Broker, Parcel

MOST_IN_A_CALL = 256
MOST_BYTES_IN_A_CALL = 4 * 1024 * 1024
AGAIN_S = 0.5
NEARLY_FULL = 0.9
LOOK_AROUND_S = 10.0


@dataclass(slots=True)
class Batch:
    """Tasks that go to the disk with one write, and what came of it."""

    held: list[Held] = field(default_factory=list)
    error: QueueError | None = None


class Outbox:
    """A role: the log of this process, and those that others left behind."""

    name = "outbox"

    def __init__(
        self,
        folder: Path,
        most_bytes: int,
        broker_of: Callable[[str], Broker],
        emit: Emit,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._broker_of = broker_of
        self._emit = emit
        self._clock = clock
        self._chance = chance
        self._tasks = Tasks(emit, clock)
        self._file: OutboxFile | None = None
        self._adopted: list[OutboxFile] = []
        self._duty: Duty | None = None
        self._disk = asyncio.Lock()
        self._coming: Batch | None = None
        self._is_writing = False
        self._filled = 0

    @property
    def waiting(self) -> int:
        """Tasks on disk that the server does not have yet."""
        own = self._file.waiting if self._file is not None else 0
        return own + sum(file.waiting for file in self._adopted)

    @property
    def is_holding(self) -> bool:
        """Must a new task line up behind others?"""
        file = self._file
        return file is not None and bool(
            file.waiting or self._coming or self._is_writing
        )

    @property
    def has_room(self) -> bool:
        """Is it far from full? Beyond that new tasks try their luck with the server."""
        file = self._file
        return file is not None and file.size_bytes < self._most_bytes * NEARLY_FULL

    async def start(self) -> None:
        """Open this process's log. Raises `QueueError` if the disk does not let us."""
        try:
            self._file = await asyncio.to_thread(OutboxFile.create, self._folder)
        except OSError as error:
            raise QueueError(
                f"The outbox in {self._folder} cannot be opened.",
                str(error),
                "Give a folder that this process may write to, or none.",
            ) from error
        self._duty = self._tasks.employ(self)

    async def stop(self) -> None:
        """Leave what is not sent yet on the disk, for the next who opens the folder."""
        await self._tasks.close()
        await to_the_end(self._close(), "close the outbox")

    async def hold(self, queue: str, parcels: Sequence[Parcel]) -> None:
        """Keep these until the server is back; on the disk when this returns.

        Raises `QueueError` if it is full, or the disk is.
        """
        now = self._clock.now()
        if self._coming is None:
            self._coming = Batch()
        batch = self._coming
        batch.held += [Held(queue, _at_a_moment(parcel, now)) for parcel in parcels]
        # All who come while the disk is busy share the next write.
        async with self._disk:
            if self._coming is batch:
                await to_the_end(self._write(batch), "write the outbox")
        if batch.error is not None:
            raise QueueError(batch.error.what, batch.error.why, batch.error.fix)

    async def tick(self) -> float:
        """Send what waits. Returns the seconds until it is worth trying again."""
        await self._adopt()
        try:
            for file in tuple(self._adopted):
                await self._send_all(file)
                self._adopted.remove(file)
                await asyncio.to_thread(file.close)
            if self._file is not None:
                await self._send_all(self._file)
        except StoreError:
            return AGAIN_S * (0.5 + self._chance.random())
        if self._filled and not self.waiting:
            self._emit(OutboxEmptied(tasks=self._filled))
            self._filled = 0
        return LOOK_AROUND_S * (0.5 + self._chance.random())

    async def _write(self, batch: Batch) -> None:
        self._coming, self._is_writing = None, True
        try:
            file = self._opened()
            was_empty = not file.waiting
            self._check_room(file, batch)
            await asyncio.to_thread(file.append, batch.held)
        except QueueError as error:
            batch.error = error
        except OSError as error:
            batch.error = QueueError(
                "The outbox cannot be written.", str(error), "Is the disk full?"
            )
        else:
            if was_empty:
                self._emit(OutboxFilling(queue=batch.held[0].queue))
                if self._duty is not None:
                    self._duty.wake()
        finally:
            self._is_writing = False

    def _check_room(self, file: OutboxFile, batch: Batch) -> None:
        size = sum(len(each.parcel.envelope) for each in batch.held)
        if file.size_bytes + size > self._most_bytes:
            raise QueueError(
                f"The outbox has no room for {len(batch.held)} more tasks.",
                f"It has {file.size_bytes} of {self._most_bytes} bytes already.",
                "Wait until the server is back, or allow it more.",
            )

    async def _send_all(self, file: OutboxFile) -> None:
        while file.waiting:
            held, end = await asyncio.to_thread(
                file.first, MOST_IN_A_CALL, MOST_BYTES_IN_A_CALL
            )
            broker = self._broker_of(held[0].queue)
            await broker.enqueue([each.parcel for each in held])
            await failpoint("queue.outbox_before_noting")
            async with self._disk:
                await asyncio.to_thread(file.sent, end, len(held))
            self._filled += len(held)

    async def _adopt(self) -> None:
        async with self._disk:
            found = await asyncio.to_thread(self._left_behind)
        self._adopted += found

    def _left_behind(self) -> list[OutboxFile]:
        ours = {file.path for file in self._adopted}
        found = []
        for path in left_behind(self._folder, self._opened().path):
            file = None if path in ours else OutboxFile.adopt(path)
            if file is not None:
                found.append(file)
        return found

    async def _close(self) -> None:
        async with self._disk:
            for file in (*self._adopted, *([self._file] if self._file else [])):
                await asyncio.to_thread(file.close)
            self._adopted, self._file = [], None

    def _opened(self) -> OutboxFile:
        if self._file is None:
            raise QueueError("The outbox is closed.", "", "Enqueue before stop().")
        return self._file


def _at_a_moment(parcel: Parcel, now: float) -> Parcel:
    """A delay goes on while the task waits on the disk."""
    if not parcel.delay_s:
        return parcel
    return parcel._replace(delay_s=0.0, at=now + parcel.delay_s)


def outbox_of(
    backend: Backend, config: QueueConfig, broker_of: Callable[[str], Broker]
) -> Outbox | None:
    """The outbox that the configuration asks for, not yet open; None if it does not."""
    if not config.outbox_dir:
        return None
    return Outbox(
        Path(config.outbox_dir),
        config.outbox_max_bytes,
        broker_of,
        backend.emit,
        backend.clock,
        backend.chance,
    )
