"""The page on moving says what is true of us, and of others what can be read."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from quorate.cli.main import app
from quorate.queue import Declared
from quorate.queue.declared import all_declared

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
OURS = [block for block in BLOCKS if "quorate" in block]


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_a_program_can_be_read(code: str):
    assert ast.parse(code).body


def test_our_tasks_are_tasks_and_are_called_as_the_page_says():
    module = ModuleType("moving_page_tasks")
    sys.modules[module.__name__] = module
    declared = set(all_declared())
    try:
        exec(compile(OURS[0], module.__name__, "exec"), module.__dict__)
        send = module.send_mail

        assert isinstance(send, Declared)
        assert send.task("ada").timeout_s == 30
        assert send.retry.attempts == 5
        assert module.sweep.timetable is not None
    finally:
        from quorate.queue import declared as room

        for each in set(all_declared()) - declared:
            del room._declared[each.template.name]
        del sys.modules[module.__name__]


def test_options_that_the_page_names_exist():
    import typer.main

    command = typer.main.get_command(app).commands["worker"]
    known = {name for each in command.params for name in each.opts}

    named = set(re.findall(r"`(--[a-z-]+)", TEXT)) - {"--workers"}
    theirs = {name for name in named if name.endswith("-per-child")}
    assert named - theirs <= known
