"""Answers on a terminal: what is copied by hand from there is whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from quorate.cli.locks import EXPLAINED
from quorate.cli.shown import Shown

TOKEN = 1_795_226_140_499_538
HOLDER = (
    "holder", "exclusive", "vm-1859-0739a13ccfc0.1", "task-7f54a40c2090", "nightly",
    TOKEN, 3.3, 11.0,
)  # fmt: skip


def printed(columns, row, **how) -> str:
    page = io.StringIO()
    shown = Shown(as_json=False, console=Console(file=page, **how))
    shown.rows(columns, [row], "")
    return page.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_token_and_a_session_are_never_cut(width):
    """Without them nothing can be released by hand."""
    page = printed(EXPLAINED, HOLDER, width=width)

    assert str(TOKEN) in page
    assert "vm-1859-0739a13ccfc0.1" in page
    assert "…" not in page


def test_a_long_name_goes_on_in_the_next_line():
    name = "a-long-name-" * 20

    page = printed(("lock", "holder", "waiting"), (name, "vm-1.1", 3), width=80)

    assert "…" not in page
    assert page.count("-name-") >= 19


def test_what_goes_into_a_pipe_is_as_wide_as_it_is(capsys):
    name = "a-long-name-" * 20

    Shown(as_json=False).rows(("lock", "holder"), [(name, "vm-1.1")], "")

    assert name in capsys.readouterr().out
