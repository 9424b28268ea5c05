"""`quorate queue`, over a server in this process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import quorate as library
from quorate.cli import queue_dead, queue_top
from quorate.cli.main import app
from quorate.core.errors import InvalidInput
from quorate.queue.model import PRIORITIES, TaskPriority
from quorate.queue.sights import WorkerReport
from quorate.queue.views import QueueStats, Which


async def fail(payload: object) -> None:
    raise ValueError(f"{payload} cannot be done")


@pytest.fixture
def url(namespace: str) -> str:
    return f"memory://{namespace}"


@pytest.fixture
def story(url: str) -> Iterator[list[str]]:
    """Two tasks that died, one that waits, one that is due later, one in `side`.

    A server in memory lives as long as somebody is there: a thread stays.
    """
    ids: list[str] = []
    ready, over = threading.Event(), threading.Event()

    async def live() -> None:
        async with library.connect(url) as node:
            queue = node.queue
            await queue.register_task_handler("fail", fail)
            await queue.start_workers(in_process=True)
            ids.append(await queue.enqueue_task("fail", 1, attempts=1))
            ids.append(await queue.enqueue_task("fail", 2, attempts=1))
            while (await queue.stats()).dead < 2:
                await asyncio.sleep(0.01)
            await queue.stop_workers()
            high = TaskPriority.HIGH
            ids.append(await queue.enqueue_task("fail", 3, priority=high))
            ids.append(await queue.enqueue_task("fail", 4, delay_s=600))
            ids.append(await queue.enqueue_task("fail", 5, queue="side"))
            while len(await queue.queues()) < 4:
                await asyncio.sleep(0.01)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    assert ready.wait(10)
    yield ids
    over.set()
    thread.join()


@pytest.fixture
def quorate(url: str):
    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["--url", url, "--json", *words])

    return run


def said(result: Result) -> object:
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def test_all_queues_are_listed(quorate, story):
    found = {each["queue"]: each for each in said(quorate("queue", "ls"))}

    # Other tests of this process may have declared tasks of other queues.
    assert set(found) >= {"default", "high_priority", "low_priority", "side"}
    assert found["default"]["ready"] == {"high": 1, "normal": 0, "low": 0}
    assert (found["default"]["scheduled"], found["default"]["dead"]) == (1, 2)


def test_a_queue_is_shown_with_its_lanes_and_workers(quorate, story, url):
    shown = said(quorate("queue", "show"))

    assert [lane["waiting"] for lane in shown["lanes"]] == [1, 0, 0]
    assert shown["workers"] == []
    table = CliRunner().invoke(app, ["--url", url, "queue", "show"]).output
    assert "Nobody works on it." in table
    table = CliRunner().invoke(app, ["--url", url, "queue", "ls"]).output
    assert "side" in table


def test_a_task_is_explained_wherever_it_is(quorate, story, url):
    *_, waits, later, side = story

    found = said(quorate("queue", "explain", waits))
    assert (found["lane"], found["state"], found["task"]) == ("high", "queued", "fail")
    assert "No worker works on this queue." in found["story"]
    assert "due in" in said(quorate("queue", "explain", later))["why"]
    assert said(quorate("queue", "explain", side))["queue"] == "side"
    words = CliRunner().invoke(app, ["--url", url, "queue", "explain", side]).output
    assert "No worker works on this queue." in words


def test_a_task_is_cancelled(quorate, story):
    *_, later, _ = story

    assert said(quorate("queue", "cancel", later))["state"] == "cancelled"
    assert quorate("queue", "cancel", "nothing").exit_code == 1


def test_a_queue_is_paused_and_resumed(quorate, story):
    def is_paused() -> bool:
        return said(quorate("queue", "show"))["paused"] == "yes"

    assert said(quorate("queue", "pause"))["paused"] == "everything"
    assert is_paused()
    assert said(quorate("queue", "pause", "--task", "fail"))["paused"] == "fail"
    assert said(quorate("queue", "resume"))["resumed"] == "everything"
    assert not is_paused()


def test_dead_letters_are_replayed_by_choice(quorate, story):
    first = story[0]
    letters = said(quorate("queue", "dlq"))
    assert {each["reason"] for each in letters} == {"exhausted"}
    choice = ("--reason", "exhausted", "--task", "fail", "--since", "1h")

    dry = said(quorate("queue", "replay", *choice, "--dry-run"))
    assert dry == {"would be replayed": 2}
    assert said(quorate("queue", "replay", first)) == {"replayed": 1}
    assert said(quorate("queue", "replay", *choice, "--rate", "5")) == {"replayed": 1}
    assert said(quorate("queue", "dlq")) == []


def test_dead_letters_are_not_forgotten_without_a_choice(quorate, story):
    assert isinstance(quorate("queue", "purge").exception, InvalidInput)
    assert said(quorate("queue", "purge", "--until", "7d")) == {"forgotten": 0}
    assert said(quorate("queue", "purge", "--all", "--dry-run")) == {
        "would be forgotten": 2
    }
    assert said(quorate("queue", "purge", "--all")) == {"forgotten": 2}


def test_an_audit_tells_what_it_mended(quorate, story, url):
    sound = said(quorate("queue", "audit"))
    assert sound == {"looked_at": 4, "mended": []}

    async def break_it() -> None:
        async with library.connect(url) as node:
            calls = node.backend(url).wire.calls
            tag = node.queue.place().tag
            await calls.command("RPUSH", f"{tag}:j:default:r2", "ghost")
            await calls.command("DEL", f"{tag}:j:default:r0")

    asyncio.run(break_it())

    mended = said(quorate("queue", "audit"))["mended"]
    assert {each["was"] for each in mended} == {
        "in a lane without a task", "was in no place; it waits again",
    }  # fmt: skip
    words = CliRunner().invoke(app, ["--url", url, "queue", "audit"]).output
    assert "4 tasks, each in exactly one place." in words


def test_top_looks_again_and_again(quorate, story, url):
    lines = quorate("queue", "top", "--every", "0.1", "--count", "2").output
    assert [len(json.loads(line)) >= 4 for line in lines.splitlines()] == [True] * 2

    words = ("queue", "top", "side", "--count", "1")
    picture = CliRunner().invoke(app, ["--url", url, *words]).output
    assert "side" in picture
    assert "Nobody works." in picture


def test_a_picture_shows_pauses_and_workers():
    empty = dict.fromkeys(PRIORITIES, 0)
    stats = QueueStats(
        queue="mail", ready=empty | {TaskPriority.LOW: 5}, running=empty,
        oldest_age_s=dict.fromkeys(PRIORITIES, 7.0), scheduled=1, dead=2,
        shed_level=1, paused=False, workers=1, rate=3.0,
    )  # fmt: skip
    crew = (WorkerReport(session="host-42-abc.1", running=3, places=8),)
    paused = replace(stats, queue="slow", paused=True)
    console = Console(width=140, record=True)

    glance = queue_top.Glance(0.0, (stats, paused), {"mail": crew})
    console.print(queue_top.drawn(glance))

    for words in ("mail (shed 1)", "slow (paused)", "host-42", "7.0 s", "█"):
        assert words in console.export_text(clear=False)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604_800)]
)
def test_spans_of_time_are_read(text: str, seconds: float):
    assert queue_dead.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "x", "5w"])
def test_what_is_no_span_of_time_is_refused(text: str):
    with pytest.raises(InvalidInput, match="span of time"):
        queue_dead.seconds(text)


def test_without_options_everything_is_chosen():
    assert queue_dead.chosen(None, "", "", "", "") == Which()
