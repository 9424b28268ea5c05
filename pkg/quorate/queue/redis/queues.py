"""All queues of one Redis server, and the tidying up after dead sessions in them."""

from __future__ import annotations

import math

from quorate.core.errors import InvalidPayload, StoreError
from quorate.core.events import Emit
from quorate.queue.envelope import read_header
from quorate.queue.events import TaskDied, TasksTakenBack
from quorate.queue.model import DeadReason, QueueConfig
from quorate.queue.place import Place
from quorate.queue.ports import TakenBack
from quorate.wire.redis import Wire

from .admin import RedisQueueAdmin
from .broker import RedisBroker
from .crew import RedisCrew, directory_key
from .dead_letters import RedisDeadLetters
from .flows import RedisFlows
from .held import RedisHeldTasks
from .keys import QueueKeys, queues_of_key, with_claims_key
from .mailbox import Mailbox
from .results import RedisResults
from .schedules import RedisSchedules


class RedisQueues:
    """The queues of one server, opened when first needed.

    `home` is the id of this process's session there.
    """

    longest_attempt_s = math.inf

    def __init__(
        self, wire: Wire, config: QueueConfig, emit: Emit, home: str = ""
    ) -> None:
        self._home = home
        self._wire = wire
        self._config = config
        self._emit = emit
        self._places: dict[str, Place] = {}

    async def start(self) -> None:
        """Nothing to do: the wire is open."""

    async def stop(self) -> None:
        """Nothing to do."""

    def place(self, queue: str) -> Place:
        """The queue of this name."""
        found = self._places.get(queue)
        if found is None:
            calls, keys = self._wire.calls, QueueKeys(self._wire.keys, queue)
            broker = RedisBroker(calls, keys, self._config, self._home)
            found = self._places[queue] = Place(
                queue=queue,
                tag=keys.tag,
                broker=broker,
                claims=broker,
                results=RedisResults(calls, keys),
                dead_letters=RedisDeadLetters(calls, keys),
                admin=RedisQueueAdmin(calls, keys),
                crew=RedisCrew(calls, keys, directory_key(self._wire.keys)),
                schedules=RedisSchedules(calls, keys),
                flows=RedisFlows(calls, keys),
                held=RedisHeldTasks(calls, keys),
            )
        return found

    def mailbox(self, session_id: str) -> Mailbox:
        """Where this process hears of its tasks."""
        return Mailbox(self._wire.inbox, session_id)

    def index_key(self, tag: str) -> str:
        """The sessions with claims in any queue of `tag`."""
        return with_claims_key(tag)

    async def clean(self, tag: str, session: str) -> None:
        """Put back what a dead session has claimed in this tag. May be repeated."""
        key = queues_of_key(tag, session)
        names = await self._wire.calls.command("SMEMBERS", key)
        for name in sorted(names):
            await self._take_back(name.decode(), session)
        if not names:
            await self._wire.calls.command("SREM", with_claims_key(tag), session)

    async def _take_back(self, queue: str, session: str) -> None:
        claims = self.place(queue).claims
        tasks = crashed = 0
        taken = TakenBack(tasks=0, crashed=0, dead=(), left=1)
        while taken.left:
            taken = await claims.take_back(session)
            tasks += taken.tasks
            crashed += taken.crashed
            for task_id in taken.dead:
                name = await self._name_of(queue, task_id)
                self._emit(_poisoned(queue, name, task_id, self._config.crash_budget))
        if tasks:
            self._emit(
                TasksTakenBack(
                    queue=queue, session=session, tasks=tasks, crashed=crashed
                )
            )

    async def _name_of(self, queue: str, task_id: str) -> str:
        """The name of a dead letter's task; "" if it cannot be told now."""
        key = QueueKeys(self._wire.keys, queue).prefix + "job"
        try:
            envelope = await self._wire.calls.command("HGET", key, task_id)
            return read_header(envelope or b"")[0].name
        except (StoreError, InvalidPayload):
            return ""


def _poisoned(queue: str, name: str, task_id: str, crashes: int) -> TaskDied:
    return TaskDied(
        queue=queue,
        task=name,
        task_id=task_id,
        reason=DeadReason.POISON.value,
        error=f"{crashes} workers died while they ran it.",
        attempt=crashes,
    )
