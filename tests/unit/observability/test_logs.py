"""Events as log lines."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import ClassVar

from quorate.core.events import Event
from quorate.core.secret import Secret
from quorate.observability.logs import LogSettings, configure_logs, log_events


@dataclass(frozen=True, slots=True, kw_only=True)
class LockMislaid(Event):
    level: ClassVar[str] = "warning"
    lock: str
    password: Secret | None = None
    more: object = None


def written(settings: LogSettings, *events: Event) -> str:
    stream = io.StringIO()
    write = log_events(configure_logs(settings, stream))
    for event in events:
        write(event)
    return stream.getvalue()


def test_a_line_has_message_level_time_service_and_the_facts():
    line = json.loads(written(LogSettings(service="shop"), LockMislaid(lock="a")))

    assert line["message"] == "lock.mislaid"
    assert line["level"] == "warning"
    assert line["service"] == "shop"
    assert line["lock"] == "a"
    assert line["timestamp"].endswith("Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailed(Event):
    message: str
    service: str
    event: str


def test_a_fact_does_not_take_the_place_of_what_the_line_says_itself():
    event = CheckFailed(message="no answer", service="auth", event="x")

    line = json.loads(written(LogSettings(service="shop"), event))

    assert line["message"] == "check.failed"
    assert line["service"] == "shop"
    assert line["fact_message"] == "no answer"
    assert line["fact_service"] == "auth"
    assert line["fact_event"] == "x"


def test_secrets_are_masked_wherever_they_stand():
    secret = Secret("CANARY-1")
    event = LockMislaid(lock="a", password=secret, more={"deep": [secret, (secret,)]})

    assert "CANARY" not in written(LogSettings(), event)
    assert "CANARY" not in written(LogSettings(format="console"), event)


def test_lines_below_the_level_are_not_written():
    assert written(LogSettings(level="error"), LockMislaid(lock="a")) == ""


def test_the_console_form_reads_as_one_line():
    text = written(LogSettings(format="console"), LockMislaid(lock="a"))

    assert "lock.mislaid" in text
    assert text.count("\n") == 1


def test_a_line_is_one_write_so_that_lines_of_several_processes_do_not_mix():
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    stream = Counting()

    configure_logs(LogSettings("info", "json"), stream).info("a.fact", b=1)

    assert stream.writes == 1
    assert stream.getvalue().endswith("}\n")


def test_what_is_to_be_left_out_is_not_written():
    stream = io.StringIO()
    logger = configure_logs(LogSettings("info", "json"), stream)
    write = log_events(logger, {"thing.happened"})

    @dataclass(frozen=True, slots=True, kw_only=True)
    class ThingHappened(Event): ...

    @dataclass(frozen=True, slots=True, kw_only=True)
    class ThingEnded(Event): ...

    write(ThingHappened())
    write(ThingEnded())

    assert "thing.happened" not in stream.getvalue()
    assert "thing.ended" in stream.getvalue()
