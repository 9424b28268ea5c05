"""An address is shown without its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.core.errors import InvalidName
from quorate.wire.address import Address
from quorate.wire.embedded import directory_in
from quorate.wire.memory import name_in


def test_the_password_of_an_address_is_not_shown() -> None:
    address = Address("redis://:secret@127.0.0.1:6379/0", "embedded", "embedded:///d")

    assert address.shown == "redis://127.0.0.1:6379/0"
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("embedded://", None),
        ("embedded:///var/lib/quorate", Path("/var/lib/quorate")),
        ("embedded://data/here", Path("data/here")),
        ("embedded:///a%20b%23c", Path("/a b#c")),
    ],
)
def test_an_embedded_url_names_a_directory(url: str, directory: Path | None) -> None:
    assert directory_in(url) == directory


@pytest.mark.parametrize(
    ("url", "name"),
    [("memory://", ""), ("memory://a%20b", "a b"), ("memory://orders/", "orders")],
)
def test_a_memory_url_gives_a_name(url: str, name: str) -> None:
    assert name_in(url) == name


def test_a_memory_name_is_checked() -> None:
    with pytest.raises(InvalidName):
        name_in("memory://a%00b")
