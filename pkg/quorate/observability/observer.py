"""Hangs logs and metrics on a node, and takes them off again.

It is handed a way to listen and functions that read statistics; it knows nothing else
of what it observes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quorate.core.events import Emit

from .logs import LogSettings, configure_logs, log_events
from .metrics import Metrics, ReadStats


class Observer:
    """Logs if there are `logs`, a page of metrics if there is a `port`."""

    def __init__(
        self,
        listen: Callable[[Emit], Callable[[], None]],
        sources: Mapping[str, ReadStats],
        *,
        logs: LogSettings | None = None,
        port: int | None = None,
    ) -> None:
        self._listen = listen
        self._logs = logs
        self._port = port
        self._leave: list[Callable[[], None]] = []
        self.metrics = Metrics()
        for name, read in sources.items():
            self.metrics.add(name, read)

    async def start(self) -> None:
        """Listen from now on. Raises `OSError` if the port is taken."""
        if self._logs is not None:
            logger = configure_logs(self._logs)
            write = log_events(logger, self._logs.leave_out)
            self._leave.append(self._listen(write))
        self._leave.append(self._listen(self.metrics.count))
        if self._port is not None:
            self.metrics.serve(self._port)

    async def stop(self) -> None:
        """Listen no more, and close the page."""
        while self._leave:
            self._leave.pop()()
        self.metrics.close()
