"""What happens in the example, in order: traffic, a death, a sickness, a recovery.

Nothing here waits for a fixed time: each step begins when what it needs has been seen,
as an event or as a state.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import quorate
from quorate.config.events import ConfigChanged
from quorate.core.events import Event
from quorate.health import HealthCheckConfig
from quorate.health.events import HealthChanged
from quorate.queue import TaskPriority
from quorate.registry.events import InstanceGone

from . import handlers
from .fleet import Fleet
from .intake import Request
from .ledger import Ledger
from .report import Marks
from .service import SERVICE
from .view import Lines, Picture

DEGRADED_MODE = "service.degraded_mode"
TASK = "process_medical_request"
INSTANCES = ("clinic-1", "clinic-2", "clinic-3")
VICTIM = "clinic-2"
LOOK_S = 0.25
STEP_S = 60.0
DONE_S = 180.0


class Plan(Protocol):
    """What the command line asked for."""

    workers: int
    rate: float
    picture: str | None


@dataclass
class Story:
    """One run of the example."""

    node: quorate.Node
    fleet: Fleet
    ledger: Ledger
    requests: list[Request]
    plan: Plan
    picture: Picture
    lines: Lines | None
    marks: Marks = field(default_factory=Marks)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self) -> Marks:
        """From the first process to the last result."""
        stop_listening = self.node.listen(self._hear)
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch())
                await self._open()
                arrivals = group.create_task(self._arrive())
                await self._kill_an_instance()
                await self._take_the_records_away()
                await arrivals
                await self._until(self._all_done, DONE_S, "every request has a result")
                self.marks.finished = time.monotonic()
                self._phase("done")
                watcher.cancel()
        finally:
            stop_listening()
        return self.marks

    async def _open(self) -> None:
        self._phase("starting the processes")
        port = await self.fleet.start(
            "records", "examples.consultations.records", "PORT_FILE"
        )
        records_url = f"http://127.0.0.1:{port}"
        async with asyncio.TaskGroup() as group:
            for name in INSTANCES:
                group.create_task(
                    self.fleet.start(
                        name,
                        "examples.consultations.service",
                        name,
                        "PORT_FILE",
                        records_url,
                    )
                )
        self.node.health.register_http_checker(
            "patient_records",
            f"{records_url}/health",
            config=HealthCheckConfig(interval=0.5, timeout=0.5, rise=2, fall=2),
        )
        await self.node.queue.register_task_handler(
            TASK, handlers.process_medical_request
        )
        await self.node.queue.start_workers(
            worker_count=self.plan.workers,
            prepare=("examples.consultations.handlers:open_clinic",),
        )
        await self.node.registry.wait_for(
            SERVICE, lambda snapshot: len(snapshot.instances) == 3, within_s=STEP_S
        )

    async def _arrive(self) -> None:
        """Requests come in at the rate that was asked for."""
        self._phase("requests come in")
        self.marks.started = time.monotonic()
        for number, request in enumerate(self.requests):
            due = self.marks.started + number / self.plan.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.node.queue.enqueue_task(
                TASK, request.payload, priority=request.priority, task_id=request.id
            )

    async def _kill_an_instance(self) -> None:
        await self._until(lambda: self._share_done(0.15), DONE_S, "some results")
        self._phase(f"kill -9 {VICTIM}")
        self.marks.killed = time.monotonic()
        self.fleet.signal(VICTIM, signal.SIGKILL)
        self._note("SIGKILL", "red", instance=VICTIM, pid=self.fleet.pid(VICTIM))
        await self._until(
            lambda: self.marks.death_noticed is not None, STEP_S, "the death is noticed"
        )

    async def _take_the_records_away(self) -> None:
        await self._until(lambda: self._share_done(0.3), DONE_S, "more results")
        self._phase("the patient records stand still")
        self.marks.stopped = time.monotonic()
        self.fleet.signal("records", signal.SIGSTOP)
        self._note("SIGSTOP", "red", process="records")
        await self._until(
            lambda: self.marks.degraded is not None, STEP_S, "degraded mode begins"
        )
        await self._until(lambda: self.picture.shed == 1, STEP_S, "low lane is shed")
        if self.plan.picture:
            self.picture.save(Path(self.plan.picture))
        self._phase("the patient records go on")
        self.marks.continued = time.monotonic()
        self.fleet.signal("records", signal.SIGCONT)
        self._note("SIGCONT", "green", process="records")
        await self._until(
            lambda: self.marks.recovered is not None, STEP_S, "degraded mode ends"
        )
        self._phase("back to normal")

    def _hear(self, event: Event) -> None:
        """Facts of this process's node, as they happen."""
        now, marks = time.monotonic(), self.marks
        match event:
            case InstanceGone() if marks.killed and not marks.death_noticed:
                marks.death_noticed = now
            case HealthChanged(new="unhealthy") if marks.stopped:
                marks.sickness_noticed = marks.sickness_noticed or now
            case ConfigChanged(keys=keys) if DEGRADED_MODE in keys:
                self.picture.degraded = self.node.config.get(DEGRADED_MODE)
                if self.picture.degraded:
                    marks.degraded = now
                elif marks.degraded:
                    marks.recovered = now
        self.changed.set()
        style = {"warning": "yellow", "error": "red"}.get(type(event).level, "")
        self._note(event.name, style, **event.facts())

    async def _watch(self) -> None:
        """Keep the picture true, and its counters, until the story ends."""
        while True:
            await self._look()
            self.changed.set()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        picture = self.picture
        picture.total, picture.done = len(self.requests), await self.ledger.count()
        snapshot = await self.node.registry.snapshot(SERVICE)
        listed = {
            each.id: {
                "pid": each.metadata.get("pid", ""),
                "health": "suspect" if each.suspect else each.state.value,
                "endpoint": each.endpoint,
            }
            for each in snapshot.instances
        }
        gone = {
            name: {**facts, "health": "gone"}
            for name, facts in picture.instances.items()
            if name not in listed
        }
        picture.instances = {**gone, **listed}
        stats = await self.node.queue.stats()
        picture.shed = stats.shed_level
        picture.workers = self.node.queue.worker_pids
        picture.lanes = {
            priority.value: {
                "ready": stats.ready[priority],
                "running": stats.running[priority],
                "oldest_s": stats.oldest_age_s[priority] or 0.0,
            }
            for priority in TaskPriority
        }
        for commit in await self.node.config.history(DEGRADED_MODE, limit=1):
            picture.cause = f"{commit.comment} (revision {commit.revision})"
        picture.locks = [
            (line.name, ", ".join(line.holders), line.waiting)
            for line in await self.node.locks.ls()
        ]

    async def _until(
        self, holds: Callable[[], bool], within_s: float, what: str
    ) -> None:
        """Wait until the state is as told; fail loudly if it never is."""
        try:
            async with asyncio.timeout(within_s):
                while not holds():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError as error:
            raise TimeoutError(f"waited {within_s:g} s until {what}") from error

    def _share_done(self, share: float) -> bool:
        return self.picture.done >= share * len(self.requests)

    def _all_done(self) -> bool:
        return self.picture.done >= len(self.requests)

    def _phase(self, name: str) -> None:
        self.picture.phase = name
        self._note(f"── {name}", "bold")

    def _note(self, what: str, style: str = "", **facts: object) -> None:
        shown = " ".join(
            f"{name}={_short(value)}" for name, value in facts.items() if value != ""
        )
        self.picture.note(f"{what}  {shown}".rstrip(), style)
        if self.lines is not None:
            self.lines.write(what, facts)


def _short(value: object) -> str:
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def ledger_at(folder: Path) -> Ledger:
    return Ledger(folder / "ledger.db")
