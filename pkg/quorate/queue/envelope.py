"""How a task travels: a line of JSON that says what it is, and its payload below.

The first line is the same for all tasks of one kind, so it is made and read once and
then looked up. Of an envelope the server reads only its guards, a line before all else
that begins with "!", and, where tasks of one name are limited, that name; to that of a
task which waits for others it appends what they came to, a line each. Pure.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from quorate.core.codec import Json, decode, encode
from quorate.core.errors import InvalidPayload

from .guards import GUARDED
from .model import TaskState

VERSION = 1
MOST_REMEMBERED = 1024
HEADER_MAX_BYTES = 4096


class Header(NamedTuple):
    """What a worker must know before it reads the payload. Times in seconds.

    `is_call` says that the payload holds the arguments of a call. `expires_at` and
    `deadline_at` are wall time. None takes the handler's, or else the configuration's
    value. `service` is what it needs. `flow` has letters: l others come after it, f it
    follows one task, g or o it follows a group (and wants results, or all outcomes), p
    what came before is its payload.
    """

    name: str
    timeout_s: float | None = None
    attempts: int | None = None
    expires_at: float | None = None
    keep_result_s: float | None = None
    is_call: bool = False
    deadline_at: float | None = None
    service: str | None = None
    flow: str = ""


class Before(NamedTuple):
    """How a task ended that others wait for. `result` is None unless it is done."""

    state: TaskState
    result: Json = None
    error: str = ""


_written: dict[Header, bytes] = {}
_read: dict[bytes, Header] = {}


def seal(header: Header, payload: Json, max_bytes: int, guards: bytes = b"") -> bytes:
    """The envelope. Raises `InvalidPayload` for what cannot travel."""
    line = _written.get(header)
    if line is None:
        line = _remember(_written, header, _write(header))
    return guards + line + encode(payload, f"payload of {header.name}", max_bytes)


def read_header(envelope: bytes) -> tuple[Header, bytes]:
    """The header and the payload's bytes. Raises `InvalidPayload`."""
    if envelope.startswith(GUARDED):
        envelope = envelope.partition(b"\n")[2]
    line, found, payload = envelope.partition(b"\n")
    if not found:
        raise InvalidPayload("The envelope has no payload.", repr(envelope[:60]))
    header = _read.get(line)
    if header is None:
        header = _remember(_read, line, _parse(line))
    if header.flow:
        payload = payload.partition(b"\n")[0]
    return header, payload


def read_before(envelope: bytes) -> list[Before]:
    """What the tasks before it came to. Raises `InvalidPayload`."""
    first = 3 if envelope.startswith(GUARDED) else 2
    return [_ended(line) for line in envelope.split(b"\n")[first:]]


def _ended(line: bytes) -> Before:
    body = line[1:]
    match line[:1]:
        case b"d":
            value = decode(body, "result of a task before") if body else None
            return Before(TaskState.DONE, value)
        case b"x":
            note = decode(body, "note of a death") if body else {"error": ""}
            return Before(TaskState.DEAD, error=note["error"])
        case _:
            return Before(TaskState.CANCELLED, error="It was cancelled.")


def read_payload(payload: bytes) -> Json:
    """The payload. Raises `InvalidPayload`."""
    return decode(payload, "payload")


def _remember(place: dict[Any, Any], key: Any, value: Any) -> Any:
    if len(place) >= MOST_REMEMBERED:
        place.clear()
    place[key] = value
    return value


def _write(header: Header) -> bytes:
    fields: dict[str, Json] = {"v": VERSION, "n": header.name}
    optional = {
        "t": header.timeout_s,
        "a": header.attempts,
        "x": header.expires_at,
        "k": header.keep_result_s,
        "c": header.is_call or None,
        "d": header.deadline_at,
        "s": header.service,
        "f": header.flow or None,
    }
    fields.update({key: value for key, value in optional.items() if value is not None})
    return (
        json.dumps(fields, ensure_ascii=True, separators=(",", ":")) + "\n"
    ).encode()


def _parse(line: bytes) -> Header:
    fields = decode(line, "envelope's header", HEADER_MAX_BYTES)
    if not isinstance(fields, dict) or not isinstance(fields.get("n"), str):
        raise InvalidPayload("The envelope's header names no task.", repr(line[:60]))
    if fields.get("v") != VERSION:
        raise InvalidPayload(
            f"The envelope has version {fields.get('v')!r}.",
            f"This worker reads version {VERSION}.",
            "Update the worker before the producers.",
        )
    return Header(
        name=fields["n"],
        timeout_s=_number(fields, "t"),
        attempts=_whole(fields, "a"),
        expires_at=_number(fields, "x"),
        keep_result_s=_number(fields, "k"),
        is_call=bool(fields.get("c")),
        deadline_at=_number(fields, "d"),
        service=_text(fields, "s"),
        flow=_text(fields, "f") or "",
    )


_LEAST = {"a": 1}
"""What numbers of a header may be at least; all others 0."""


def _number(fields: dict[str, Json], key: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or value < _LEAST.get(key, 0):
        raise InvalidPayload(f"The envelope's header has {key} = {value!r}.")
    return float(value)


def _text(fields: dict[str, Json], key: str) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidPayload(f"The envelope's header has {key} = {value!r}.")
    return value


def _whole(fields: dict[str, Json], key: str) -> int | None:
    value = _number(fields, key)
    return None if value is None else int(value)
