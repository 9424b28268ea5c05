"""A secret is seen only where it is revealed."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest

from quorate.core.secret import Secret, SecretUrl, masked_url

CANARY = "hunter2-canary"


@dataclasses.dataclass(frozen=True)
class Holder:
    secret: Secret


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        lambda s: f"{s}",
        lambda s: f"{s!r:>20}",
        lambda s: f"{s:>20}",
        lambda s: "%s" % s,  # noqa: UP031
        lambda s: repr([s]),
        lambda s: repr(Holder(s)),
        lambda s: repr(dataclasses.asdict(Holder(s))),
        lambda s: json.dumps({"x": s}, default=str),
    ],
)
def test_showing_a_secret_shows_stars(show):
    assert CANARY not in show(Secret(CANARY))
    assert "****" in show(Secret(CANARY))


def test_a_secret_is_revealed_on_request():
    assert Secret(CANARY).reveal() == CANARY


def test_a_secret_does_not_travel():
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))
    with pytest.raises(TypeError):
        json.dumps(Secret(CANARY))


def test_a_copy_is_the_secret_itself():
    secret = Secret(CANARY)

    assert copy.copy(secret) is secret
    assert copy.deepcopy({"x": secret})["x"] is secret


def test_equal_secrets_are_equal_and_empty_is_falsy():
    assert Secret("a") == Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"
    assert not Secret()
    assert str(Secret()) == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379", "redis://localhost:6379"),
        ("redis://:pw@host:6379/0", "redis://:****@host:6379/0"),
        ("rediss://me:pw@host", "rediss://me:****@host"),
        ("redis://me@host", "redis://me@host"),
        ("redis://:p/w@host", "redis://:****@host"),
        ("redis://:p@w@host", "redis://:****@host"),
        ("http://host/?token=abc&x=1", "http://host/?token=****&x=1"),
        ("http://host/?a=1&PASSWORD=abc#f", "http://host/?a=1&PASSWORD=****#f"),
        ("consul://token@host:8500/x", "consul://****@host:8500/x"),
        ("consul://me:token@host", "consul://****@host"),
        ("consul://host", "consul://host"),
        ("embedded://", "embedded://"),
        ("pw@host", "****"),
        ("host", "host"),
    ],
)
def test_an_address_is_shown_without_its_password(url, shown):
    assert masked_url(url) == shown
    assert str(SecretUrl(url)) == shown
    assert SecretUrl(url).reveal() == url
