"""What changes around a worker of one queue, told once each time."""

from __future__ import annotations

from quorate.core.errors import StoreError

from .desk import Desk
from .events import QueueCutOff, QueueReached, QueueTuned, ShedChanged
from .model import QueueConfig


class Bulletin:
    """Remembers what was told last."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shed_level: int | None = None
        self._away_since: float | None = None

    def shed(self, level: int) -> None:
        """So many of the lowest lanes are not served."""
        before, self._shed_level = self._shed_level, level
        if before is not None and before != level:
            event = ShedChanged(
                queue=self._desk.queue, level_was=before, level_is=level
            )
            self._desk.emit(event)

    def cut_off(self, error: StoreError) -> None:
        """The server does not answer."""
        if self._away_since is None:
            self._away_since = self._desk.clock.monotonic()
            self._desk.emit(QueueCutOff(queue=self._desk.queue, error=error.what))

    def reached(self) -> None:
        """The server has answered."""
        if self._away_since is not None:
            away_s = self._desk.clock.monotonic() - self._away_since
            self._away_since = None
            self._desk.emit(QueueReached(queue=self._desk.queue, away_s=away_s))

    def tuned(self, config: QueueConfig, *, paused: bool) -> None:
        """The worker works otherwise from now on."""
        self._desk.emit(
            QueueTuned(
                queue=self._desk.queue, concurrency=config.concurrency, paused=paused
            )
        )
