"""Events as log lines, through structlog.

A line is a dotted event name and fields, never a sentence: `message`, `level`,
`timestamp`, `service`, then the facts of the event. Secrets are masked by their type
wherever they stand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from quorate.core.events import Event
from quorate.core.secret import Secret

RESERVED = frozenset({"event", "level", "message", "service", "timestamp"})
"""What a line says itself. A fact of that name is written as `fact_<name>`."""

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How log lines look: `json` for machines, `console` for people."""

    level: Level = "info"
    format: Literal["json", "console"] = "json"
    service: str = "quorate"
    leave_out: frozenset[str] = frozenset()


def configure_logs(
    settings: LogSettings, stream: TextIO | None = None
) -> FilteringBoundLogger:
    """A logger that writes to `stream` (standard error if not given).

    Only this logger is set up; structlog's global configuration, which belongs to the
    application, is left alone.
    """
    target = stream or sys.stderr
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=target.isatty(), event_key="message", pad_event_to=28
        )
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        # One write a line: workers share a standard error with their supervisor.
        structlog.WriteLogger(target),
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _mask,
            structlog.processors.EventRenamer("message"),
            renderer,
        ],
    )
    return logger.bind(service=settings.service)


def log_events(
    logger: FilteringBoundLogger, leave_out: Collection[str] = ()
) -> Callable[[Event], None]:
    """A listener that writes each event as one line at the event's own level.

    Not those whose names are to be left out.
    """

    def write(event: Event) -> None:
        if event.name in leave_out:
            return
        facts = {
            f"fact_{name}" if name in RESERVED else name: value
            for name, value in event.facts().items()
        }
        getattr(logger, type(event).level)(event.name, **facts)

    return write


def _mask(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    return {key: _masked(value) for key, value in line.items()}


def _masked(value: object) -> object:
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value
