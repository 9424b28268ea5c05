import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidInput
from quorate.watch.patterns import Interests, Pattern


@pytest.mark.parametrize(
    ("pattern", "key", "meant"),
    [
        ("database.url", "database.url", True),
        ("database.url", "database.urls", False),
        ("database.*", "database.url", True),
        ("database.*", "database", False),
        ("database.*", "database.pool.size", False),
        ("database.*", "database.", False),
        ("*", "database", True),
        ("*", "database.url", False),
        ("**", "database", True),
        ("**", "database.pool.size", True),
        ("database.**", "database", True),
        ("database.**", "database.pool.size", True),
        ("database.**", "databases.url", False),
        ("**.url", "url", True),
        ("**.url", "a.b.url", True),
        ("**.url", "a.b.urls", False),
        ("a.**.z", "a.z", True),
        ("a.**.z", "a.z.z.z", True),
        ("a.**.z", "a.b.c", False),
        ("a.**.m.**.z", "a.m.m.z", True),
        ("service.*.url", "service.auth.url", True),
        ("service.auth*.url", "service.auth-2.url", True),
        ("service.auth*.url", "service.auth.url", True),
        ("service.*-2.url", "service.auth-3.url", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-b-b-d", False),
    ],
)
def test_a_pattern_means_what_its_stars_say(pattern, key, meant):
    assert Pattern.parse(pattern).matches(key) is meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("a..b", "part"),
        (".a", "part"),
        ("a.", "part"),
        ("a**.b", "of its own"),
        ("a.***", "of its own"),
        (".".join("a" * 33), "33 parts"),
        ("x" * 256, "too long"),
    ],
)
def test_what_is_not_a_pattern_is_refused(text, why):
    with pytest.raises(InvalidInput, match=why):
        Pattern.parse(text)


PARTS = st.lists(st.text("ab*", min_size=1, max_size=4), min_size=1, max_size=5)
KEYS = st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=6)


@given(
    PARTS.map(lambda parts: [p if "**" not in p else "**" for p in parts]),
    KEYS,
)
def test_it_agrees_with_a_regular_expression(parts, key_parts):
    words = []
    for part in parts:
        word = r"(\.[^.]+)*"
        if part != "**":
            word = r"\." + "".join("[^.]*" if c == "*" else c for c in part)
        words.append(word)
    key = ".".join(key_parts)

    expected = re.fullmatch("".join(words), "." + key) is not None

    assert Pattern.parse(".".join(parts)).matches(key) is expected


def test_no_pattern_takes_long():
    cruel = Pattern.parse(".".join(["**", "a*a*a*a*a*b"] * 16))
    key = ".".join(["a" * 14] * 17)

    started = time.perf_counter()
    meant = cruel.matches(key)

    assert not meant
    assert time.perf_counter() - started < 0.1


def test_an_endless_key_is_not_searched():
    assert not Pattern.parse("**").matches("a" * 256)


def test_all_who_asked_are_found_once_for_each_pattern():
    interests = Interests[str]()
    interests.add(Pattern.parse("a.b"), "plain")
    interests.add(Pattern.parse("a.*"), "star")
    interests.add(Pattern.parse("**"), "all")
    interests.add(Pattern.parse("z.*"), "other")

    assert list(interests.who("a.b")) == ["plain", "star", "all"]
    assert list(interests.who("q")) == ["all"]
    assert len(interests) == 4


def test_who_leaves_is_not_found_any_more():
    interests = Interests[str]()
    for text in ("a.b", "a.*"):
        interests.add(Pattern.parse(text), "me")
        interests.add(Pattern.parse(text), "you")

    for text in ("a.b", "a.*", "never.asked", "never.*"):
        interests.remove(Pattern.parse(text), "me")
    interests.remove(Pattern.parse("a.b"), "you")

    assert list(interests.who("a.b")) == ["you"]
    assert len(interests) == 1
