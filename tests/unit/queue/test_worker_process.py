"""The entry of a worker process, without a process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from types import SimpleNamespace

import pytest

from quorate import worker as module
from quorate.core.errors import InvalidInput, InvalidSettings
from quorate.core.lifecycle import RoleFailed
from quorate.core.shape import tree_of
from quorate.lease.events import SessionJoined
from quorate.lease.lease import LeaseTerms
from quorate.queue.counts import QueueCounts
from quorate.queue.handlers import Handlers
from quorate.queue.model import QueueConfig
from quorate.queue.orders import DRAIN, HURRY, HandlerOrder, Orders, order_of
from quorate.settings.tree import Settings

prepared: list[str] = []
die_with = module.die_with


@pytest.fixture(autouse=True)
def nobody_dies(monkeypatch):
    """The watch over the supervisor would end this very process."""
    monkeypatch.setattr(module, "die_with", lambda *_: None)


async def work(payload):
    return payload


async def prepare() -> None:
    prepared.append("waited")


def prepare_at_once() -> None:
    prepared.append("at once")


def orders(**changes) -> Orders:
    handler = Handlers().add("work", work)
    given = {
        "url": "redis://h", "namespace": "t", "terms": LeaseTerms(),
        "config": QueueConfig(grace_s=0.1), "handlers": (order_of(handler),),
    } | changes  # fmt: skip
    return Orders(**given)


class FakeQueue:
    """What a worker process needs of a queue manager."""

    def __init__(self) -> None:
        self.handlers: dict[str, object] = {}
        self.working = asyncio.Event()
        self.gate = asyncio.Event()
        self.hurried = False

    async def register_task_handler(self, name, function, **options):
        self.handlers[name] = (function, options)

    async def start_workers(self, *, in_process, plan):
        assert in_process
        self.plan = plan
        self.working.set()

    async def stop_workers(self):
        await self.gate.wait()

    def hurry(self):
        self.hurried = True
        self.gate.set()

    def counts(self):
        return QueueCounts(*range(11))

    def measured(self):
        return {"work": [1.0]}


@pytest.fixture
def queue(monkeypatch) -> FakeQueue:
    queue = FakeQueue()

    class Opened:
        def __init__(self, *_):
            pass

        async def __aenter__(self):
            return queue

        async def __aexit__(self, *_):
            return None

    monkeypatch.setattr(module, "opened", Opened)
    return queue


class Parent:
    """The other end of the line."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(sock=self.ours)

    async def says(self, line: bytes) -> None:
        self.writer.write(line)
        await self.writer.drain()

    async def hears(self) -> dict:
        async with asyncio.timeout(3):
            return json.loads(await self.reader.readline())


@pytest.fixture
async def parent():
    parent = Parent()
    await parent.open()
    yield parent
    parent.writer.close()


async def test_it_works_by_its_orders_until_the_supervisor_is_gone(queue, parent):
    serving = asyncio.ensure_future(module.serve(parent.theirs))
    await parent.says(orders().line())

    assert "ready" in await parent.hears()
    beat = (await parent.hears())["beat"]
    assert (beat["done_total"], beat["running"]) == (2, 9)
    assert queue.handlers["work"][0] is work
    queue.gate.set()
    parent.writer.close()

    async with asyncio.timeout(3):
        assert await serving == 0


async def test_sigterm_drains_and_a_second_one_hurries(queue, parent):
    serving = asyncio.ensure_future(module.serve(parent.theirs))
    await parent.says(orders().line())
    await queue.working.wait()

    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    assert not queue.hurried
    signal.raise_signal(signal.SIGTERM)

    async with asyncio.timeout(3):
        assert await serving == 0
    assert queue.hurried


async def test_the_supervisors_word_drains_and_hurries(queue, parent):
    serving = asyncio.ensure_future(module.serve(parent.theirs))
    await parent.says(orders(queues=("mail",), modules=("json",)).line())
    await queue.working.wait()

    await parent.says(DRAIN)
    await asyncio.sleep(0.02)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.02)
    await parent.says(DRAIN)
    await asyncio.sleep(0.02)
    was_hurried = queue.hurried
    await parent.says(HURRY)

    async with asyncio.timeout(3):
        assert await serving == 0
    assert not was_hurried
    assert queue.hurried
    assert queue.plan.queues == ("mail",)


async def test_a_module_that_cannot_be_imported_is_told_with_its_place(
    queue, parent, tmp_path, monkeypatch
):
    (tmp_path / "broken_tasks.py").write_text("import this_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    serving = asyncio.ensure_future(module.serve(parent.theirs))
    await parent.says(orders(modules=("broken_tasks",)).line())

    failed = (await parent.hears())["failed"]

    assert "this_is_not_there" in failed
    assert "broken_tasks.py, line 1" in failed
    with pytest.raises(InvalidInput):
        await serving


async def test_a_supervisor_that_is_gone_at_once_is_no_error(parent):
    parent.writer.close()

    assert await module.serve(parent.theirs) == 0


async def test_what_cannot_begin_says_why(queue, parent):
    serving = asyncio.ensure_future(module.serve(parent.theirs))
    order = HandlerOrder("work", "no_such_module:work")
    await parent.says(orders(handlers=(order,)).line())

    failed = (await parent.hears())["failed"]

    assert "no_such_module" in failed
    with pytest.raises(InvalidInput):
        await serving


async def test_functions_to_prepare_are_called_first(queue, parent):
    prepared.clear()
    serving = asyncio.ensure_future(module.serve(parent.theirs))
    names = (f"{__name__}:prepare", f"{__name__}:prepare_at_once")
    await parent.says(orders(prepare=names).line())
    await queue.working.wait()

    assert prepared == ["waited", "at once"]
    queue.gate.set()
    parent.writer.close()
    await serving


def test_the_script_is_loaded_only_if_a_handler_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = tmp_path / "app.py"
    script.write_text("async def work(payload): ...\n")
    given = {"main": (None, str(script)), "path": (str(tmp_path),)}

    assert module.understand(orders(**given).line())[1] is None
    order = HandlerOrder("work", "__main__:work")
    _, main = module.understand(orders(handlers=(order,), **given).line())

    assert main.work
    assert str(tmp_path) in sys.path


async def test_the_line_passes_on_sessions_and_events(parent):
    reader, writer = await asyncio.open_connection(sock=parent.theirs)
    line = module.Line(reader, writer)

    line.hear(SessionJoined(session="s.1", tag="{t}"))
    line.hear(RoleFailed(role="r", error="e", failures=1, rest_s=0.1))

    assert await parent.hears() == {"session": ["{t}", "s.1"]}
    assert (await parent.hears())["event"][0] == "SessionJoined"
    assert (await parent.hears())["event"][0] == "RoleFailed"
    writer.close()


async def test_without_an_outfit_a_backend_is_opened(monkeypatch):
    made = {}

    class FakeBackend:
        def __init__(self, url, **options):
            made.update(url=url, **options)

        async def start(self):
            made["started"] = True

        async def stop(self):
            made["closed"] = True

    class FakeManager:
        def __init__(self, backend, config, transport):
            made.update(config=config, transport=transport)

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            return None

    monkeypatch.setattr(module, "Backend", FakeBackend)
    monkeypatch.setattr(module, "QueueManager", FakeManager)
    told = []

    async with module.opened(orders(), told.append):
        made["emit"](SessionJoined(session="s", tag="t"))

    assert (made["url"], made["namespace"], made["closed"]) == ("redis://h", "t", True)
    assert len(told) == 1


async def test_with_an_outfit_a_node_like_the_supervisors_is_opened(monkeypatch):
    made = {}

    class FakeNode:
        queue = "the queue"

        def listen(self, emit):
            made["emit"] = emit

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            made["closed"] = True

    def connect(**given):
        made.update(given)
        return FakeNode()

    monkeypatch.setattr(module, "connect", connect)
    settings = Settings(namespace="shop")
    outfit = {"urls": {"locks": "redis://l"}, "settings": tree_of(settings)}

    async with module.opened(orders(outfit=outfit), print) as queue:
        assert queue == "the queue"

    assert (made["locks"], made["settings"]) == ("redis://l", settings)
    assert made["closed"]


async def test_settings_of_another_version_are_refused():
    outfit = {"urls": {}, "settings": {"no_such_setting": 1}}

    with pytest.raises(InvalidSettings, match="cannot be used here"):
        async with module.opened(orders(outfit=outfit), print):
            pass


def test_it_dies_some_time_after_its_supervisor(monkeypatch):
    ours, theirs = socket.socketpair()
    done = []
    monkeypatch.setattr(module.time, "sleep", done.append)
    monkeypatch.setattr(module.os, "_exit", done.append)
    ours.close()

    die_with(theirs.fileno(), 2.0)

    assert done == [12.0, 1]
    theirs.close()


def test_it_is_not_started_by_hand(capsys):
    with pytest.raises(SystemExit):
        module.main([])
    with pytest.raises(InvalidInput, match="not the line"):
        module.main(["--line", "999"])

    assert "--line" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(None, 0), (InvalidInput("x"), 3)])
def test_the_exit_code_tells_whether_it_could_begin(monkeypatch, error, code):
    ours, theirs = socket.socketpair()

    def run(work):
        work.close()
        if error is not None:
            raise error
        return 0

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(run=run))
    before = signal.getsignal(signal.SIGINT)

    assert module.main(["--line", str(theirs.detach())]) == code

    signal.signal(signal.SIGINT, before)
    ours.close()
