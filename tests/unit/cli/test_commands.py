"""The command `quorate`, over a server in this process."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from quorate.cli import main as entry
from quorate.cli.main import app
from quorate.cli.shown import ago, span


@pytest.fixture
def quorate(namespace: str):
    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["--url", f"memory://{namespace}", *words])

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["services"], "Nobody is registered."),
        (["services", "auth"], "Nobody is registered."),
        (["locks", "ls"], "No lock is held."),
        (["locks", "explain", "user:1"], "user:1 is free."),
        (["queue", "show"], "dead letters"),
        (["queue", "ls"], "No queue has been used."),
        (["queue", "dlq"], "There are no dead letters."),
        (["queue", "replay"], "replayed"),
        (["config", "set", "a.b", "1", "--comment", "why"], "revision"),
        (["config", "explain", "a.b"], "a.b is not set."),
        (["config", "history"], "Nothing has been written."),
        (["version"], "0.1.0"),
    ],
)
def test_a_command_says_what_there_is(quorate, words: list[str], said: str):
    result = quorate(*words)

    assert result.exit_code == 0, result.exception
    assert said in result.output


@pytest.mark.parametrize(
    "words",
    [["services"], ["locks", "ls"], ["queue", "dlq"], ["config", "history"]],
)
def test_json_is_one_document(quorate, words: list[str]):
    result = quorate("--json", *words)

    assert json.loads(result.output) == []


def test_json_of_lanes_has_every_lane(quorate):
    lanes = json.loads(quorate("--json", "queue", "show").output)["lanes"]

    assert [lane["lane"] for lane in lanes] == ["high", "normal", "low"]


def test_an_error_is_told_with_its_cure_and_ends_with_one(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["quorate", "--url", "redsi://x", "services"])

    with pytest.raises(SystemExit) as ended:
        entry.main()

    assert ended.value.code == 1
    assert "Did you mean redis://?" in capsys.readouterr().err


def test_a_key_that_is_not_set_is_an_error(monkeypatch, capsys, namespace: str):
    url = f"memory://{namespace}"
    monkeypatch.setattr("sys.argv", ["quorate", "--url", url, "config", "get", "a.b"])

    with pytest.raises(SystemExit):
        entry.main()

    assert "a.b is not set." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5.04, "5.0 s"), (75.2, "1 min 15 s"), (7300, "2 h 1 min")],
)
def test_spans_are_said_as_people_say_them(seconds: float, said: str):
    assert span(seconds) == said


def test_a_moment_that_never_was_is_a_dash():
    assert ago(None) == "–"
