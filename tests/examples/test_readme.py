"""Every code block of the README is run, as a newcomer would run it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quorate.wire.embedded import open_embedded

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
PYTHON = [text for language, text in BLOCKS if language == "python"]
LINES = [
    line.split("#")[0].strip()
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line.strip()
]


def test_every_block_has_a_language_that_is_run_here():
    assert {language for language, _ in BLOCKS} == {"python", "sh"}
    assert {line.split()[0] for line in LINES} == {"make", "quorate"}


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.split("\n")[-12].strip())
def test_a_python_block_runs_as_it_stands(tmp_path: Path, code: str):
    script = tmp_path / "block.py"
    script.write_text(code)

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", [each for each in LINES if each.startswith("make")])
def test_a_make_target_exists(line: str):
    done = subprocess.run(
        [*shlex.split(line), "--dry-run"],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    server = await open_embedded(f"embedded://{tmp_path / 'server'}")
    yield server.address.shared
    await server.close()


@pytest.mark.parametrize("line", [each for each in LINES if each.startswith("quorate")])
async def test_a_command_runs(url: str, line: str):
    _, *words = shlex.split(line)

    done = subprocess.run(
        [sys.executable, "-c", "from quorate.cli.main import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "QUORATE_URL": url},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
