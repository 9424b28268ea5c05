"""`quorate worker` without processes: its table, its first look, its reload."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from quorate.cli import crew_view
from quorate.cli import worker as module
from quorate.cli.crew_view import CrewView, Rate, crew
from quorate.cli.main import app
from quorate.cli.reload import Changes
from quorate.cli.shown import Shown
from quorate.cli.worker import Shift, Wanted
from quorate.core.errors import InvalidInput
from quorate.queue import rehearsal
from quorate.queue.counts import WorkerTally
from quorate.queue.events import WorkerLost
from quorate.queue.rehearsal import Found, rehearse
from quorate.queue.sights import WorkerSight, WorkerState
from quorate.queue.workforce import WorkPlan
from quorate.settings.tree import Settings

TASKS = """
from quorate.queue import async_task

@async_task(queue="mail")
async def send(to: str) -> None: ...
"""


class FakeQueue:
    """Stands for the queue of a node."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def start_workers(self, count: int, *, plan: WorkPlan) -> None:
        self.calls.append(f"start {count} {','.join(plan.modules)}")
        self.started.set()
        await self.gate.wait()

    async def stop_workers(self) -> None:
        self.calls.append("stop")

    def hurry(self) -> None:
        self.calls.append("hurry")

    def workers(self) -> tuple[WorkerSight, ...]:
        tally = WorkerTally(done_total=7, running=2)
        working = WorkerState.WORKING
        return (WorkerSight(number=0, state=working, tally=tally, pid=42, age_s=3),)


class FakeNode:
    def __init__(self) -> None:
        self.queue = FakeQueue()
        self.listeners: list = []

    def listen(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


@pytest.fixture
def node(monkeypatch) -> FakeNode:
    node = FakeNode()
    monkeypatch.setattr(module, "connect", lambda *_, **__: node)
    return node


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch) -> str:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "cli_tasks.py").write_text(TASKS)
    return "cli_tasks"


def shift(tasks: str, folder: Path, *, reload: bool = False) -> Shift:
    wanted = Wanted(
        url="redis://h", settings=Settings(), plan=WorkPlan(modules=(tasks,)),
        processes=2, reload=reload, folder=folder, is_plain=True,
    )  # fmt: skip
    return Shift(wanted, Shown(as_json=False))


async def test_modules_are_tried_in_a_process_of_their_own(tasks: str):
    found = await rehearse([tasks])

    assert found == Found({"cli_tasks.send": "mail"})
    assert found.queues == ("mail",)
    assert tasks not in sys.modules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import this_is_missing", "this_is_missing"),
        ("def f(:", "SyntaxError"),
        ("import os; os._exit(9)", "exit code 9"),
    ],
)
async def test_a_fault_in_a_module_is_told(tasks: str, tmp_path, text: str, said: str):
    (tmp_path / "cli_tasks.py").write_text(text)

    with pytest.raises(InvalidInput, match="cannot be imported") as refused:
        await rehearse([tasks])

    assert said in refused.value.why


def test_a_look_finds_what_is_to_be_prepared_too():
    assert "tasks" in rehearsal.look(["json"], ["json:loads"])
    assert "names no function" in str(rehearsal.look([], ["nothing"]))


async def test_it_works_until_it_is_told_and_then_drains(node, tasks, tmp_path):
    shift_ = shift(tasks, tmp_path)
    running = asyncio.ensure_future(shift_.run())
    await node.queue.started.wait()

    shift_._stop()
    await running

    assert node.queue.calls == ["start 2 cli_tasks", "stop"]


async def test_a_second_word_hurries(node, tasks, tmp_path):
    shift_ = shift(tasks, tmp_path)
    shift_._node = node

    shift_._stop()
    shift_._stop()

    assert node.queue.calls == ["hurry"]


async def test_a_start_is_given_up_when_it_is_told_to_stop(node, tasks, tmp_path):
    node.queue.gate.clear()
    shift_ = shift(tasks, tmp_path)
    running = asyncio.ensure_future(shift_.run())
    await node.queue.started.wait()

    shift_._stop()
    await running

    assert node.queue.calls == ["start 2 cli_tasks", "stop"]


async def test_a_module_without_tasks_is_refused(node, tasks, tmp_path):
    (tmp_path / "cli_tasks.py").write_text("")

    with pytest.raises(InvalidInput, match="declares no task"):
        await shift(tasks, tmp_path).run()


async def test_a_change_starts_the_workers_anew_and_a_fault_waits(
    node, tasks, tmp_path, monkeypatch
):
    file = tmp_path / "cli_tasks.py"
    file.write_text("import nothing_such")
    story = [(TASKS, ("a.py",)), ("import nothing_such", ("a.py",)), ("", ())]

    class FakeChanges:
        def __init__(self, *_):
            pass

        async def next(self):
            text, changed = story.pop(0)
            file.write_text(text)
            return changed

        async def close(self):
            return None

    monkeypatch.setattr(module, "Changes", FakeChanges)

    await shift(tasks, tmp_path, reload=True).run()

    assert node.queue.calls == ["start 2 cli_tasks", "stop", "stop"]


async def test_a_changed_file_is_named(tmp_path):
    told = asyncio.Event()
    changes = Changes(tmp_path, told)
    waiting = asyncio.ensure_future(changes.next())
    while not waiting.done():
        (tmp_path / "a.py").write_text("a = 1")
        await asyncio.wait([waiting], timeout=0.2)

    assert await waiting == ("a.py",)
    told.set()
    while await changes.next():
        pass
    await changes.close()
    assert changes._short("/elsewhere/b.py") == "/elsewhere/b.py"


async def test_a_terminal_shows_events_above_a_table(node, monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(crew_view, "Console", lambda: console)

    async with CrewView(node, Shown(as_json=False), is_plain=False) as view:
        for listener in node.listeners:
            listener(WorkerLost(worker=0, pid=41, exit_code=-9, rest_s=0.1))
        view.complain(InvalidInput("what", "why", "fix"))
        os.write(view.output, b"printed by a worker\n")
        while "printed by a worker" not in screen.getvalue():
            await asyncio.sleep(0.01)

    for said in ("worker.lost", "exit_code -9", "printed by a worker", "working", "42"):
        assert said in screen.getvalue()


def test_machines_get_json_lines(capsys):
    view = CrewView(FakeNode(), Shown(as_json=True), is_plain=True)

    view.say("draining", "at most 1 s")

    assert capsys.readouterr().out == '{"what": "draining", "about": "at most 1 s"}\n'


def test_a_rate_is_over_the_last_seconds_and_never_below_nothing():
    rate = Rate()

    rates = [rate.at(at, count) for at, count in [(0, 0), (1, 10), (4, 20), (20, 0)]]

    assert rates == [0.0, 10.0, 5.0, 0.0]


def test_a_post_between_two_processes_is_shown():
    sight = WorkerSight(number=3, state=WorkerState.RESTING, tally=WorkerTally())
    console = Console(file=io.StringIO(), width=100)

    console.print(crew((sight,), 0.0))

    assert "resting" in console.file.getvalue()


def test_options_become_settings(monkeypatch):
    made: list[Wanted] = []

    class FakeShift:
        def __init__(self, wanted, _):
            made.append(wanted)

        async def run(self):
            return None

    monkeypatch.setattr(module, "Shift", FakeShift)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = (
        "worker app.tasks -p 3 -c 5 --grace 2 --max-tasks 9 --max-memory 1 "
        "--queues a,b --url redis://x --prepare app:begin"
    )

    assert CliRunner().invoke(app, words.split()).exit_code == 0

    (wanted,) = made
    queue = wanted.settings.queue
    assert (wanted.url, wanted.processes) == ("redis://x", 3)
    assert (queue.concurrency, queue.grace_s) == (5, 2)
    assert (queue.recycle_after_tasks, queue.recycle_above_bytes) == (9, 2**20)
    assert wanted.plan == WorkPlan(
        modules=("app.tasks",), prepare=("app:begin",), queues=("a", "b")
    )
    assert wanted.settings.logging.level == "info"
    assert module._level(Settings(), is_plain=False) == "off"
