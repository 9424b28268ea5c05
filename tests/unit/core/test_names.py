"""What a name may be."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidName
from quorate.core.names import MAX_NAME_BYTES, check_name


@pytest.mark.parametrize(
    "good",
    ["a", "user:42", "orders/2024", "名前", "ü", "a b", "{x}", "🦊", "n" * 255, "%"],
)
def test_it_is_taken_as_it_is(good: str) -> None:
    assert check_name(good, "lock") is good


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ("", "is empty"),
        ("n" * 256, "256 bytes"),
        ("ü" * 128, "256 bytes"),
        ("a\nb", "control characters"),
        ("a\x00b", "control characters"),
        ("a\u200bb", "control characters"),
        ("a\u202eb", "control characters"),
        ("a\u2028b", "control characters"),
        ("a\x7f", "control characters"),
        ("\ufeffa", "control characters"),
        (" a", "begins or ends with a space"),
        ("a ", "begins or ends with a space"),
        ("\u3000a", "begins or ends with a space"),
        ("u\u0308", "composed form"),
        ("\ud800", "not valid Unicode"),
        (None, "must be text, not NoneType"),
        (b"a", "must be text, not bytes"),
        (7, "must be text, not int"),
        (["a"], "must be text, not list"),
    ],
)
def test_it_is_refused_with_a_reason_and_a_fix(bad: object, part: str) -> None:
    with pytest.raises(InvalidName) as refused:
        check_name(bad, "queue")

    assert part in str(refused.value)
    assert "queue" in refused.value.what
    assert refused.value.fix


def test_a_refusal_is_short_and_plain_however_long_and_odd_the_name() -> None:
    with pytest.raises(InvalidName) as refused:
        check_name("\x1b[31m" + "ü" * 9000, "lock")

    assert len(str(refused.value)) < 600
    assert str(refused.value).isascii()


@given(st.text(max_size=300))
def test_whatever_passes_is_safe_to_show_and_to_store(name: str) -> None:
    try:
        check_name(name, "lock")
    except InvalidName:
        return
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert name == name.strip() == unicodedata.normalize("NFC", name)
    assert "\n" not in name
