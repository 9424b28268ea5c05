"""A worker process: `python -m quorate.worker`, started by a supervisor.

It reads its orders from the line to its supervisor, finds the handlers by their names,
opens a node (or a backend, where there is no node) with a session of its own, and works
until it is told to stop: by the supervisor, by SIGTERM, or because the supervisor is
gone. A second SIGTERM hurries it.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

from quorate.backend import Backend
from quorate.core.errors import InvalidInput, InvalidSettings
from quorate.core.events import Announcer, Emit
from quorate.core.lifecycle import Tasks, running
from quorate.core.shape import build
from quorate.node import connect
from quorate.queue.line import Line, Pulse
from quorate.queue.manager import QueueManager
from quorate.queue.orders import (
    HURRY,
    LONGEST_LINE,
    Orders,
    read_main,
    read_orders,
    retry_of,
)
from quorate.queue.references import load, load_main, resolve
from quorate.queue.workforce import WorkPlan
from quorate.settings.tree import Settings

BEYOND_GRACE_S = 10.0
CANNOT_BEGIN = 3
LAST_BREATH_S = 0.5
"""So long the interpreter may take to end: for what applications do at exit."""


async def serve(end: socket.socket) -> int:
    """Work by the orders that come through `end`. Returns the exit code."""
    reader, writer = await asyncio.open_connection(sock=end, limit=LONGEST_LINE)
    line = Line(reader, writer)
    words = await line.orders()
    if not words:
        return 0
    try:
        orders, main = understand(words)
        threading.Thread(
            target=die_with, args=(end.fileno(), orders.config.grace_s), daemon=True
        ).start()
        await work(orders, main, line)
    except Exception as error:
        line.say("failed", f"{type(error).__name__}: {error}")
        await line.close()
        raise
    await line.close()
    return 0


def understand(words: bytes) -> tuple[Orders, ModuleType | None]:
    """The orders, and the script that was started, loaded under another name."""
    path, (name, file) = read_main(words)
    sys.path.extend(entry for entry in path if entry not in sys.path)
    main = load_main(name, file) if _needs_main(words) else None
    return read_orders(words, main), main


async def work(orders: Orders, main: ModuleType | None, line: Line) -> None:
    """Open, work until told to stop, drain, close."""
    told, signalled, hurried = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def terminated() -> None:
        # One signal may come on top of the supervisor's word: both mean the same.
        (hurried if signalled.is_set() else signalled).set()
        told.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated)
    tasks = Tasks(line.hear)
    tasks.spawn(_heed(line, told, hurried), "supervisor's word")
    async with opened(orders, line.hear) as queue:
        await _prepare(orders, main, queue)
        plan = WorkPlan(queues=orders.queues)
        await queue.start_workers(in_process=True, plan=plan)
        line.say("ready", os.getpid())
        pulse = Pulse(line, queue)
        tasks.employ(pulse)
        await told.wait()
        tasks.spawn(_when_hurried(hurried, queue), "hurry")
        await queue.stop_workers()
        await pulse.tick()
    await tasks.close()


@asynccontextmanager
async def opened(orders: Orders, emit: Emit) -> AsyncIterator[QueueManager]:
    """The queue of a node like the supervisor's, or of a backend alone."""
    if orders.outfit is None:
        announcer = Announcer()
        announcer.listen(emit)
        opened_ = [
            Backend(
                url,
                namespace=orders.namespace,
                terms=orders.terms,
                emit=announcer.emit,
            )
            for url in (orders.url, orders.transport)
            if url
        ]
        async with running(*opened_):
            backend, *transport = opened_
            queue = QueueManager(
                backend, orders.config, transport=next(iter(transport), None)
            )
            async with queue:
                yield queue
        return
    urls = orders.outfit["urls"]
    settings, faults = build(Settings, orders.outfit["settings"])
    if faults:
        raise InvalidSettings(
            "The supervisor's settings cannot be used here.",
            "\n  ".join(map(str, faults)),
            "Is this process of the same version?",
        )
    node = connect(**urls, settings=settings)
    node.listen(emit)
    async with node:
        yield node.queue


async def _prepare(
    orders: Orders, main: ModuleType | None, queue: QueueManager
) -> None:
    for module in orders.modules:
        load(module)
    for order in orders.handlers:
        found = resolve(order.reference, main)
        retry = None if order.retry is None else retry_of(order.retry, main)
        await queue.register_task_handler(
            order.name,
            getattr(found, "run", found),
            timeout_s=order.timeout_s,
            retry=retry,
            service=order.service,
        )
    for reference in orders.prepare:
        waiting = resolve(reference, main)()
        if inspect.isawaitable(waiting):
            await waiting


async def _heed(line: Line, told: asyncio.Event, hurried: asyncio.Event) -> None:
    while word := await line.next_word():
        (hurried if word == HURRY else told).set()
    told.set()


async def _when_hurried(hurried: asyncio.Event, queue: QueueManager) -> None:
    await hurried.wait()
    queue.hurry()


def die_with(line: int, grace_s: float) -> None:
    """End this process, however busy it is, some time after its supervisor's end.

    Runs in a thread of its own: the event loop does this in time, unless it stands.
    """
    poll = select.poll()
    poll.register(line, 0)
    poll.poll()
    time.sleep(grace_s + BEYOND_GRACE_S)
    os._exit(1)


def leave_within(seconds: float, code: int) -> None:
    """End this process, even if a handler's thread never returns.

    The interpreter would wait for it, and the supervisor for the interpreter.
    """

    def leave() -> None:
        time.sleep(seconds)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    threading.Thread(target=leave, daemon=True, name="last breath").start()


def _needs_main(words: bytes) -> bool:
    return b'"__main__:' in words


def main(arguments: list[str] | None = None) -> int:
    """The process from beginning to end."""
    parser = argparse.ArgumentParser(
        prog="python -m quorate.worker",
        description="A worker process. It is started by QueueManager.start_workers().",
    )
    parser.add_argument(
        "--line",
        type=int,
        required=True,
        metavar="FD",
        help="the socket on which the supervisor gives its orders",
    )
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor passes it on
    try:
        end = socket.socket(fileno=given.line)
    except OSError as error:
        raise InvalidInput(
            f"{given.line} is not the line to a supervisor.",
            str(error),
            "Workers are started by QueueManager.start_workers().",
        ) from error
    try:
        return asyncio.run(_serve_and_leave(end))
    except InvalidInput:
        return CANNOT_BEGIN


async def _serve_and_leave(end: socket.socket) -> int:
    code = await serve(end)
    leave_within(LAST_BREATH_S, code)
    return code


if __name__ == "__main__":
    sys.exit(main())
