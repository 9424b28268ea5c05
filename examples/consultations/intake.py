"""Requests come in as JSON lines; bad lines are named and the rest goes on.

    {"id": "r-0001", "user_id": "u-017", "urgency": "high", "type": "consultation",
     "complaint": "chest pain since this morning"}

`id` may be left out; the line number then stands in for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quorate.queue import TaskPriority

URGENCIES = {
    "high": TaskPriority.HIGH,
    "normal": TaskPriority.NORMAL,
    "low": TaskPriority.LOW,
}
MOST_BYTES = 16_384
KNOWN = {"id", "user_id", "urgency", "type", "complaint", "age", "specialty"}


@dataclass(frozen=True, slots=True)
class Request:
    """One consultation that a user asks for."""

    id: str
    user_id: str
    urgency: str
    payload: dict[str, Any]

    @property
    def priority(self) -> TaskPriority:
        return URGENCIES[self.urgency]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no request, and why."""

    line: int
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.why}"


def read_requests(lines: Iterable[str]) -> tuple[list[Request], list[Malformed]]:
    """All requests in `lines`, and every line that is none. Empty lines are skipped."""
    requests: list[Request] = []
    malformed: list[Malformed] = []
    first_seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            request = _read(line, number)
            if request.id in first_seen:
                raise ValueError(
                    f"the id {request.id!r} stands on line {first_seen[request.id]} too"
                )
        except ValueError as error:
            malformed.append(Malformed(number, str(error)))
            continue
        first_seen[request.id] = number
        requests.append(request)
    return requests, malformed


def _read(line: str, number: int) -> Request:
    if len(line.encode()) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES} bytes")
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"a request is an object, not a {type(value).__name__}")
    if unknown := sorted(set(value) - KNOWN):
        raise ValueError(f"unknown field {unknown[0]!r}")
    user_id = _text(value, "user_id", required=True)
    urgency = _text(value, "urgency", required=True)
    if urgency not in URGENCIES:
        raise ValueError(f"urgency {urgency!r} is none of {', '.join(URGENCIES)}")
    for name in ("type", "complaint", "specialty"):
        _text(value, name)
    age = value.get("age")
    if age is not None and (type(age) is not int or not 0 <= age <= 130):
        raise ValueError("age is a whole number from 0 to 130")
    ident = _text(value, "id") or f"line-{number}"
    return Request(ident, user_id, urgency, {**value, "id": ident})


def _text(value: dict[str, Any], name: str, *, required: bool = False) -> str:
    text = value.get(name)
    if text is None and not required:
        return ""
    if text is None:
        raise ValueError(f"{name} is missing")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} must be a text that is not empty")
    if len(text) > 200:
        raise ValueError(f"{name} is longer than 200 characters")
    if any(ord(letter) < 32 for letter in text):
        raise ValueError(f"{name} has control characters in it")
    return text
