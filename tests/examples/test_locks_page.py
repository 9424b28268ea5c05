"""What the page about locks shows is run, block by block."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from quorate.wire.embedded import open_embedded

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = (DOCS / "locks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SQL = [text for language, text in BLOCKS if language == "sql"]
LINES = [line for lang, text in BLOCKS if lang == "sh" for line in text.splitlines()]
SAID = (
    ("refused: Of|refused: A later holder", "the rate is 5"),
    ("refused: A later holder", r"\[\('user:42', 100\)\]"),
    ("DeadlockError Waiting for", "str moved from"),
)


def run(words: list[str], **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        words, capture_output=True, text=True, timeout=40, check=False, **how
    )


def test_every_block_is_of_a_language_that_is_tested_here():
    assert {language for language, _ in BLOCKS} == {"python", "sql", "sh", "text"}
    assert len(PYTHON) == len(SAID)


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_a_python_block_does_what_the_page_says(tmp_path: Path, number: int):
    script = tmp_path / "block.py"
    script.write_text(PYTHON[number])

    done = run([sys.executable, str(script)], cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    for said in SAID[number]:
        assert re.search(said, done.stdout), done.stdout


def test_the_recipe_refuses_a_lower_token_and_takes_an_equal_one():
    (text,) = SQL
    create, fence = text.split(";")[:2]
    database = sqlite3.connect(":memory:")
    database.execute(create)

    def writes(token: int) -> int:
        return database.execute(fence.replace("65", str(token))).rowcount

    assert [writes(65), writes(65), writes(33), writes(97)] == [1, 1, 0, 1]


def test_the_drawings_on_the_page_are_there():
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE):
        assert ET.parse(DOCS / name).getroot().tag.endswith("svg")


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    server = await open_embedded(f"embedded://{tmp_path / 'server'}")
    yield server.address.shared
    await server.close()


@pytest.mark.parametrize("line", LINES)
async def test_a_command_runs(url: str, line: str):
    _, *words = shlex.split(line)

    done = run(
        [sys.executable, "-c", "from quorate.cli.main import main; main()", *words],
        env={**os.environ, "QUORATE_URL": url},
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 0, done.stderr
    if " run " in line:
        assert "QUORATE_FENCE=" in done.stdout
