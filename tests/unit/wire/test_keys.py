"""The shape of keys."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.core.errors import InvalidName, MissingCapability
from quorate.wire.keys import Keyspace, plain, sessions_key

names = st.text(min_size=1, max_size=300)


def test_on_one_server_everything_has_one_tag() -> None:
    keys = Keyspace("shop-eu")

    tags = {
        keys.tag,
        keys.registry_tag,
        keys.config_tag,
        keys.lock_tag("a"),
        keys.queue_tag("q"),
    }

    assert tags == {"{shop-eu}"}
    assert sessions_key(keys.tag) == "{shop-eu}:S"


def test_in_a_cluster_everything_has_a_tag_of_its_own() -> None:
    keys = Keyspace("shop", 64)

    tags = {keys.registry_tag, keys.config_tag, keys.queue_tag("q"), *keys.lock_tags}

    assert len(tags) == 67
    assert (keys.registry_tag, keys.config_tag) == ("{shop.reg}", "{shop.cfg}")
    assert keys.queue_tag("a {b}") == "{shop.q.a %7Bb%7D}"
    assert keys.lock_tags[:2] == ("{shop.0}", "{shop.1}")
    assert keys.lock_tag("user:42") == keys.lock_tag("user:42")
    with pytest.raises(MissingCapability, match="no tag for everything"):
        _ = keys.tag


def test_on_one_server_all_locks_have_one_tag() -> None:
    assert Keyspace("shop").lock_tags == ("{shop}",)


@given(names)
def test_a_stripe_is_the_same_in_every_process(name: str) -> None:
    """No hash that changes from run to run."""
    try:
        stripe = zlib.crc32(name.encode()) % 64
    except UnicodeEncodeError:
        return

    assert Keyspace("shop", 64).lock_tag(name) == f"{{shop.{stripe}}}"


@pytest.mark.parametrize("good", ["a", "A-1", "quorate", "x" * 64, "-"])
def test_a_plain_namespace_is_taken(good: str) -> None:
    assert Keyspace(good).tag == f"{{{good}}}"


@pytest.mark.parametrize(
    "bad", ["", "a b", "a{b", "a}b", "a:b", "ü", "a\n", "x" * 65, "a.b", None, 7, b"a"]
)
def test_a_namespace_that_would_break_keys_is_refused(bad: object) -> None:
    with pytest.raises(InvalidName) as refused:
        Keyspace(bad)  # type: ignore[arg-type]

    assert "letters, digits and hyphens" in refused.value.fix


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("user:42", "user:42"),
        ("a b/c", "a b/c"),
        ("{a}", "%7Ba%7D"),
        ("100%", "100%25"),
        ("new\nline", "new%0Aline"),
        ("ü", "%C3%BC"),
    ],
)
def test_names_stay_readable(name: str, key: str) -> None:
    assert plain(name) == key


def test_a_long_name_is_cut_and_hashed() -> None:
    long = plain("n" * 5000)

    assert len(long) <= 200
    assert re.fullmatch(r"n+%~[0-9a-f]{64}", long)


@given(names, names)
@example("{", "%7B")
@example("n" * 250, "n" * 251)
@example("a", "a%")
def test_two_names_never_become_one_key(first: str, second: str) -> None:
    assert (plain(first) == plain(second)) == (first == second)


@given(names)
def test_a_key_has_no_brace_and_nothing_unseen(name: str) -> None:
    key = plain(name)

    assert not set("{}") & set(key)
    assert key.isascii()
    assert key.isprintable()
    assert len(key) <= 200
