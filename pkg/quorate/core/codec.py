"""Values ⇄ bytes: JSON, strict on both sides, and never pickle.

What JSON would quietly change (tuples, NaN, numbers as keys) is refused when it is
written, so that what comes out is what went in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from .errors import InvalidPayload

Json: TypeAlias = Any
"""`None | bool | int | float | str | list[Json] | dict[str, Json]`."""

MAX_DEPTH = 64
MAX_INT = 2**63

_PLAIN = frozenset((str, bool, type(None)))
"""What needs no look: the encoder takes it, and it comes back as it was."""

_TEXT = frozenset((str,))

_encoder = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)


def _encode_slowly(value: Json) -> str:
    return _encoder.encode(value)


def _made_once() -> Callable[[Json], str]:
    """The encoder in C, which `json` makes anew for each value, made once for all."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _encode_slowly
    quote = json.encoder.encode_basestring
    try:
        chunks = make(
            None, _encoder.default, quote, None, ":", ",", False, False, False
        )
    except TypeError:
        return _encode_slowly

    def fast(value: Json) -> str:
        return "".join(chunks(value, 0))

    sample: Json = {"text": ["é", 1, 0.5, None, True, {}]}
    return fast if fast(sample) == _encode_slowly(sample) else _encode_slowly


_encode = _made_once()


def encode(value: Json, what: str, max_bytes: int) -> bytes:
    """`value` as JSON bytes; `what` names it in the error.

    Raises `InvalidPayload` for anything that would not come back as it was, for more
    than 64 levels, and for more than `max_bytes`.
    """
    if not _is_sound(value, 0):
        _check(value, what, "", 0)
    try:
        data = _encode(value).encode()
    except (ValueError, TypeError) as error:
        raise InvalidPayload(
            f"The {what} cannot be written as JSON.", str(error)
        ) from error
    if len(data) > max_bytes:
        raise InvalidPayload(
            f"The {what} is too large.",
            f"It has {len(data)} bytes; {max_bytes} are allowed.",
            "Store the bulk elsewhere and pass a reference to it.",
        )
    return data


def decode(data: bytes | str, what: str, max_bytes: int = 64 * 1024 * 1024) -> Json:
    """The value in `data`. Raises `InvalidPayload` and never returns half of it."""
    if len(data) > max_bytes:
        raise InvalidPayload(
            f"The {what} is too large.",
            f"It has {len(data)} bytes; {max_bytes} are allowed.",
        )
    try:
        # json.loads would guess at UTF-16 and UTF-32; only UTF-8 travels.
        text = data.decode() if isinstance(data, bytes) else data
        return _decode(text)
    except InvalidPayload:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"The {what} is not valid JSON.", str(error)) from error


def _is_sound(value: Json, depth: int) -> bool:
    """Quickly, whether all of it travels; `_check` says what does not, and where."""
    kind = type(value)
    if kind is dict and _TEXT.issuperset(map(type, value)):
        value = value.values()
    elif kind is not list:
        return kind in _PLAIN
    for item in value:
        kind = type(item)
        if kind in _PLAIN:
            continue
        if kind is float:
            # NaN and the infinities do not vanish.
            if item - item != 0.0:
                return False
        elif kind is int:
            if not -MAX_INT <= item < MAX_INT:
                return False
        elif depth >= MAX_DEPTH - 1 or not _is_sound(item, depth + 1):
            return False
    return True


def _check(value: Json, what: str, path: str, depth: int) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is int or kind is float:
        _check_number(value, what, path)
    elif kind is dict or kind is list:
        _check_inside(value, what, path, depth)
    else:
        raise InvalidPayload(
            f"The {what} has a {kind.__name__} {_at(path)}.",
            "Only None, bool, int, float, str, list and dict travel.",
            "Convert it first, for instance with dataclasses.asdict or isoformat().",
        )


def _check_number(value: float, what: str, path: str) -> None:
    if type(value) is int:
        if not -MAX_INT <= value < MAX_INT:
            raise InvalidPayload(f"The {what} has a number beyond 64 bits {_at(path)}.")
    elif value != value or value in (float("inf"), float("-inf")):
        raise InvalidPayload(f"The {what} has {value} {_at(path)}, which JSON lacks.")


def _check_inside(value: Json, what: str, path: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise InvalidPayload(f"The {what} is nested deeper than {MAX_DEPTH} levels.")
    if type(value) is list:
        for index, item in enumerate(value):
            if type(item) not in _PLAIN:
                _check(item, what, f"{path}[{index}]", depth + 1)
        return
    for key, item in value.items():
        if type(key) is not str:
            raise InvalidPayload(
                f"The {what} has the key {key!r} {_at(path)}.",
                "JSON keys are text; it would come back as another key.",
            )
        if type(item) not in _PLAIN:
            _check(item, what, f"{path}.{key}" if path else key, depth + 1)


def _at(path: str) -> str:
    return f"at {path}" if path else "at the top"


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidPayload(f"The key {twice!r} stands twice in one JSON object.")
    return result


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidPayload(f"{text[:40]} is beyond the largest number.")
    return value


def _refuse_constant(name: str) -> Json:
    raise InvalidPayload(f"{name} is not JSON.")


_decoder = json.JSONDecoder(
    object_pairs_hook=_no_duplicates,
    parse_constant=_refuse_constant,
    parse_float=_finite,
)


_scan: Callable[[str, int], tuple[Json, int]] = getattr(_decoder, "scan_once")  # noqa: B009


def _decode(text: str) -> Json:
    """What the decoder makes of `text`, without looking for blanks around it first."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)
