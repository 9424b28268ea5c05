"""How a task travels: written once, read as it was, and never half."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidPayload
from quorate.queue import envelope
from quorate.queue.envelope import Header, read_header, read_payload, seal

FULL = Header("send", 1.5, 3, 1_800_000_000.5, 60.0, True)


@pytest.mark.parametrize("header", [Header("send"), Header("wörk ⚙"), FULL])
@pytest.mark.parametrize("payload", [None, 0, "a\nb", {"x": [1, {"y": None}]}])
def test_what_was_sealed_is_read_again(header, payload):
    told, body = read_header(seal(header, payload, 1000))

    assert told == header
    assert read_payload(body) == payload


def test_headers_are_remembered_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(envelope, "MOST_REMEMBERED", 3)

    for number in range(10):
        sealed = seal(Header(f"task{number}"), number, 100)
        assert read_header(sealed)[0].name == f"task{number}"

    assert len(envelope._written) <= 3
    assert len(envelope._read) <= 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no payload"),
        (b'{"v":1,"n":"a"}', "no payload"),
        (b"\xff\xfe\n1", "not valid"),
        (b"[1]\n1", "names no task"),
        (b'{"v":1}\n1', "names no task"),
        (b'{"v":1,"n":7}\n1', "names no task"),
        (b'{"v":2,"n":"a"}\n1', "version 2"),
        (b'{"v":1,"n":"a","t":"soon"}\n1', "t = 'soon'"),
        (b'{"v":1,"n":"a","a":true}\n1', "a = True"),
        (b'{"v":1,"n":"a","a":0}\n1', "a = 0"),
        (b'{"v":1,"n":"a","t":-1}\n1', "t = -1"),
        (b'{"v":1,"n":"a","k":-0.5}\n1', "k = -0.5"),
        (b'{"v":1,"n":"' + b"a" * 5000 + b'"}\n1', "too large"),
    ],
)
def test_an_envelope_that_cannot_be_read_says_why(data, says):
    with pytest.raises(InvalidPayload, match=says):
        read_header(data)


def test_a_payload_that_cannot_be_read_is_refused():
    with pytest.raises(InvalidPayload):
        read_payload(b'{"a":')


@pytest.mark.parametrize(
    "payload", [{1: 2}, float("nan"), (1, 2), b"x", {"a": object()}]
)
def test_what_cannot_travel_is_refused_when_it_is_sealed(payload):
    with pytest.raises(InvalidPayload, match="payload of send"):
        seal(Header("send"), payload, 1000)


def test_a_payload_that_is_too_large_is_refused():
    with pytest.raises(InvalidPayload, match="too large"):
        seal(Header("send"), "x" * 1001, 1000)
