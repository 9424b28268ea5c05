"""consul:// URLs: what is taken, what is refused, and that no token is told."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidUrl
from quorate.core.secret import masked_url
from quorate.wire.consul_place import read_consul_url

TOKEN = "6f1c5c1e-secret"


@pytest.mark.parametrize(
    ("url", "host", "port", "token", "prefix"),
    [
        ("consul://localhost", "localhost", 8500, "", ""),
        ("consul://localhost:18500/", "localhost", 18500, "", ""),
        (f"consul://{TOKEN}@10.0.0.7:8500", "10.0.0.7", 8500, TOKEN, ""),
        ("consul://a%2Fb%40c@host", "host", 8500, "a/b@c", ""),
        ("consul://host/team", "host", 8500, "", "team"),
        ("consul://host/team/shop.eu/", "host", 8500, "", "team/shop.eu"),
        ("consul://[::1]:8500", "::1", 8500, "", ""),
    ],
)
def test_it_is_read_part_by_part(url, host, port, token, prefix):
    place = read_consul_url(url)

    assert (place.host, place.port, place.prefix) == (host, port, prefix)
    assert place.token.reveal() == token


def test_keys_stay_beneath_prefix_and_namespace():
    assert read_consul_url("consul://h").root("shop") == "shop"
    assert read_consul_url("consul://h/team").root("shop") == "team/shop"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("consul://", "names no host"),
        ("consul:///prefix", "names no host"),
        ("consul://token@", "names no host"),
        ("consul://host:0", "port 0"),
        ("consul://host:x", "not a valid URL"),
        ("consul://[::1", "not a valid URL"),
        ("consul://host?wait=5s", "has parameters"),
        ("consul://host#x", "Percent-encode"),
        ("consul://to/ken@host", "Percent-encode"),
        ("consul://ho st", "a space or a control character"),
        ("consul://user:secret@host", "knows no users"),
        ("consul://:secret@host", "knows no users"),
        ("consul://t%0d%0aX: y@host", "a space or a control character"),
        ("consul://t%0d%0aX@host", "a token that cannot be sent"),
        ("consul://t%C3%BC@host", "a token that cannot be sent"),
        ("consul://host/a//b", "a prefix that cannot be used"),
        ("consul://host/../b", "a prefix that cannot be used"),
        ("consul://host/a b", "a space or a control character"),
        ("consul://host/ä", "a prefix that cannot be used"),
        (f"consul://host/{'x' * 101}", "a prefix that cannot be used"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(url, why):
    with pytest.raises(InvalidUrl, match=why):
        read_consul_url(url)


@pytest.mark.parametrize("rest", ["", ":0", "/a//b", "?x=1", "#y", ":x"])
def test_no_refusal_and_no_display_tells_the_token(rest):
    url = f"consul://{TOKEN}@host{rest}"

    try:
        shown = repr(read_consul_url(url))
    except InvalidUrl as error:
        shown = str(error)

    assert TOKEN not in shown + masked_url(url)
    assert "host" in masked_url(url)
