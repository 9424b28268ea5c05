"""The runner of the rings counts tests, and fails when anything did."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

RUNNER = Path(__file__).parents[3] / "scripts" / "run_tests.py"


@pytest.fixture
def runner(monkeypatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_tests", module)
    spec.loader.exec_module(module)
    return module


def report(path: Path, *cases: str) -> Path:
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


def case(name: str, inside: str = "") -> str:
    return f'<testcase file="f" classname="c" name="{name}">{inside}</testcase>'


def test_it_counts_tests_that_passed_failed_and_were_skipped(runner, tmp_path):
    path = report(
        tmp_path / "r.xml",
        case("one"),
        case("two", "<failure message='no'/>"),
        case("three", "<error message='no'/>"),
        case("four", "<skipped message='still to come'/>"),
    )

    verdict = runner.count(path)

    assert (verdict.passed, verdict.failed) == (1, 2)
    assert verdict.skipped == {"still to come": 1}


def test_a_test_that_passes_and_then_fails_to_tidy_up_has_failed_once(runner, tmp_path):
    path = report(tmp_path / "r.xml", case("one"), case("one", "<error/>"))

    verdict = runner.count(path)

    assert (verdict.passed, verdict.failed) == (0, 1)


def test_a_ring_that_ends_badly_without_a_failing_test_has_failed(runner, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda _: (2, "ERROR: cannot collect"))

    verdict = runner.run_pytest(runner.Ring("unit", folder="tests/unit"))

    assert (verdict.passed, verdict.failed) == (0, 1)


def test_a_ring_without_tests_is_named(runner, monkeypatch):
    ring = runner.Ring("moon", folder="tests/moon")

    monkeypatch.setattr(runner, "EMPTY_RING_FAILS", False)
    assert runner.run_pytest(ring).failed == 0

    monkeypatch.setattr(runner, "EMPTY_RING_FAILS", True)
    verdict = runner.run_pytest(ring)
    assert verdict.failed == 1
    assert verdict.note == "no tests yet in tests/moon/"


def test_a_ring_that_hangs_is_killed_with_its_children(runner, monkeypatch):
    monkeypatch.setattr(runner, "RING_TIMEOUT_S", 0.2)
    hang = "import subprocess, sys; subprocess.run(['sleep', '60'])"

    code, output = runner.run((sys.executable, "-c", hang))

    assert code == 1
    assert "did not end within 0.2 s" in output


@pytest.mark.parametrize(
    ("failing", "code", "tally"),
    [(False, 0, "2 passed, 0 failed"), (True, 1, "1 passed, 1 failed")],
)
def test_the_last_line_is_the_tally_and_the_exit_code_tells_the_verdict(
    runner, monkeypatch, capsys, failing, code, tally
):
    rings = (
        runner.Ring("first", (sys.executable, "-c", f"exit({int(failing)})")),
        runner.Ring("second", (sys.executable, "-c", "print('said')")),
    )
    monkeypatch.setattr(runner, "RINGS", rings)
    monkeypatch.setattr(sys, "argv", ["run_tests.py"])

    assert runner.main() == code

    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == tally
    assert "    said" not in lines


def test_a_ring_that_does_not_exist_is_named_with_those_that_do():
    done = subprocess.run(
        [sys.executable, RUNNER, "untit"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "untit is not a ring. The rings are: servers, lint" in done.stderr
