"""The eight packages of the owner's card, each used where it belongs.

A package whose room has no content yet is named, with what it waits for, as a skipped
test: the list of those still to come is printed at the end of every run.
"""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIBRARY = ROOT / "pkg" / "quorate"


@dataclass(frozen=True, slots=True)
class Card:
    """A package, the module it is imported as, and the files it belongs to."""

    package: str
    module: str
    room: str
    purpose: str

    def __str__(self) -> str:
        return self.package


CARDS = (
    Card("redis", "redis", "wire/*.py", "connections to Redis and Valkey"),
    Card("fakeredis", "fakeredis", "wire/*.py", "memory://"),
    Card("tenacity", "tenacity", "resilience/retry.py", "retries"),
    Card("structlog", "structlog", "observability/*.py", "logs"),
    Card("prometheus-client", "prometheus_client", "observability/*.py", "metrics"),
    Card("aio-pika", "aio_pika", "wire/rabbit*", "amqp://, with the queue issue"),
    Card("consul", "consul", "wire/consul*", "consul://, with the locks issue"),
)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def files_of(card: Card) -> list[Path]:
    found = LIBRARY.glob(card.room)
    return [
        path
        for place in found
        for path in (place.rglob("*.py") if place.is_dir() else [place])
        if path.name != "__init__.py"
    ]


@pytest.mark.parametrize("card", CARDS, ids=str)
def test_a_package_of_the_card_is_used_where_it_belongs(card: Card):
    files = files_of(card)
    if not files:
        pytest.skip(f"still to come: {card.package} in {card.room}, for {card.purpose}")

    assert any(card.module in imported(path) for path in files), (
        f"{card.package} should be used in {card.room}, for {card.purpose}"
    )


def test_pytest_asyncio_runs_the_tests():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]

    assert options["ini_options"]["asyncio_mode"] == "auto"
    assert "pytest-asyncio==" in (ROOT / "requirements.txt").read_text()


async def test_a_test_may_be_a_coroutine():
    """Without pytest-asyncio this test would fail, not pass unawaited."""
