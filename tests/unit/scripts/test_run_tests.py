"""The runner of the rings counts tests, and fails when anything did.

Rings run side by side, and each is told of in one piece. Whatever ends the runner ends
what it has started.
"""

import asyncio
import importlib.util
import os
import signal
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


async def test_a_ring_that_ends_badly_without_a_failing_test_has_failed(
    runner, monkeypatch
):
    async def run(_):
        return 2, "ERROR: cannot collect"

    monkeypatch.setattr(runner, "run", run)

    verdict = await runner.run_pytest(runner.Ring("unit", folder="tests/unit"))

    assert (verdict.passed, verdict.failed) == (0, 1)


async def test_a_ring_without_tests_is_named(runner, monkeypatch):
    ring = runner.Ring("moon", folder="tests/moon")

    monkeypatch.setattr(runner, "EMPTY_RING_FAILS", False)
    assert (await runner.run_pytest(ring)).failed == 0

    monkeypatch.setattr(runner, "EMPTY_RING_FAILS", True)
    verdict = await runner.run_pytest(ring)
    assert verdict.failed == 1
    assert verdict.note == "no tests yet in tests/moon/"


async def test_a_ring_that_hangs_is_killed_with_its_children(runner, monkeypatch):
    monkeypatch.setattr(runner, "RING_TIMEOUT_S", 0.2)
    hang = "import subprocess, sys; subprocess.run(['sleep', '60'])"

    code, output = await runner.run((sys.executable, "-c", hang))

    assert code == 1
    assert "did not end within 0.2 s" in output


async def test_what_a_ring_that_hangs_has_said_is_not_lost(runner, monkeypatch):
    monkeypatch.setattr(runner, "RING_TIMEOUT_S", 1.0)

    code, output = await runner.run(("sh", "-c", "echo said; sleep 60"))

    assert code == 1
    assert output.startswith("said\n")


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def wait_for(path: Path) -> str:
    """Python that waits until another ring has made this file."""
    return f"import os, time\nwhile not os.path.exists({str(path)!r}): time.sleep(0.01)"


async def test_rings_in_two_lanes_run_side_by_side_and_are_told_of_as_they_end(
    runner, tmp_path, capsys
):
    begun, done = tmp_path / "begun", tmp_path / "done"
    rings = (
        runner.Ring("long", python(f"open({str(begun)!r}, 'w'); {wait_for(done)}")),
        runner.Ring("short", python(wait_for(begun))),
        runner.Ring("next", python(f"open({str(done)!r}, 'w')")),
    )

    total = await runner.run_all(rings, 2, verbose=False)

    told = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert (total.passed, total.failed) == (3, 0)
    assert told == ["short", "next", "long"]


async def test_a_ring_that_is_to_be_first_has_ended_before_any_other_begins(
    runner, tmp_path
):
    done = tmp_path / "done"
    mark = f"import time; time.sleep(0.2); open({str(done)!r}, 'w')"
    rings = (
        runner.Ring("first", python(mark), first=True),
        *(runner.Ring(f"{n}", python(f"open({str(done)!r})")) for n in range(2)),
    )

    total = await runner.run_all(rings, 2, verbose=False)

    assert (total.passed, total.failed) == (3, 0)


async def test_in_one_lane_rings_run_one_after_the_other(runner, tmp_path, capsys):
    alone = tmp_path / "alone"
    work = f"import os; os.mkdir({str(alone)!r}); os.rmdir({str(alone)!r})"
    rings = tuple(runner.Ring(f"ring-{n}", python(work)) for n in range(3))

    total = await runner.run_all(rings, 1, verbose=False)

    told = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert (total.passed, total.failed) == (3, 0)
    assert told == ["ring-0", "ring-1", "ring-2"]


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_whatever_ends_the_runner_ends_the_rings_of_all_lanes(tmp_path, how, code):
    pipes = [tmp_path / "one", tmp_path / "two"]
    for pipe in pipes:
        os.mkfifo(pipe)
    held = [f"exec 9> {pipe}; echo begun >&9; sleep 60" for pipe in pipes]
    rings = [f"run_tests.Ring('held', ('sh', '-c', {each!r}))" for each in held]
    script = tmp_path / "script.py"
    script.write_text(
        f"import signal, sys; sys.path.insert(0, {str(RUNNER.parent)!r})\n"
        f"import run_tests; run_tests.RINGS = ({', '.join(rings)})\n"
        f"signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.argv[1:] = ['--lanes', '2']\n"
        f"sys.exit(run_tests.main())\n"
    )
    child = subprocess.Popen([sys.executable, script], stdout=subprocess.DEVNULL)
    try:
        with pipes[0].open() as first, pipes[1].open() as second:
            assert first.readline() == second.readline() == "begun\n"

            child.send_signal(how)

            assert child.wait(timeout=30) == code
            assert first.read() == second.read() == ""  # nobody holds them any more
    finally:
        child.kill()
        child.wait()


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


async def test_a_ring_that_is_stopped_while_it_begins_is_ended_with_its_children(
    runner, tmp_path
):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    hold = ("sh", "-c", f"exec 9> {pipe}; sleep 60 & sleep 60")
    beginning = asyncio.ensure_future(runner.run(hold))
    for _ in range(3):
        await asyncio.sleep(0)

    beginning.cancel()
    await asyncio.wait({beginning})

    assert beginning.cancelled()
    os.set_blocking(held, True)
    with os.fdopen(held) as first:
        assert first.read() == ""


def test_fewer_lanes_than_one_are_refused():
    done = subprocess.run(
        [sys.executable, RUNNER, "--lanes", "0"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "there cannot be 0 lanes" in done.stderr


def test_a_ring_that_does_not_exist_is_named_with_those_that_do():
    done = subprocess.run(
        [sys.executable, RUNNER, "untit"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "untit is not a ring. The rings are: servers, lint" in done.stderr
