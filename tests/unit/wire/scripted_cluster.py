"""Nodes that share the slots as a Cluster's do, and do exactly what a test tells them.

Each node answers a call for its own slots with the last word, and any other with where
to go. A test moves slots about, lets nodes lag behind, fall silent or vanish.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from redis.crc import key_slot
from tests.unit.wire.scripted_server import (
    Command,
    ScriptedServer,
    array,
    bulk,
    echo,
    message,
    number,
)

from quorate.core.clock import Clock, SystemClock
from quorate.core.events import Emit, silent
from quorate.wire.calls import Calls
from quorate.wire.cluster_calls import ClusterCalls
from quorate.wire.cluster_inbox import ClusterInbox
from quorate.wire.inbox import Inbox, Moved
from quorate.wire.topology import Topology

SLOTS = 16384


def name_of(node: ScriptedServer) -> str:
    return f"127.0.0.1:{node.port}"


def slot_in(command: Command) -> int | None:
    """The slot of the first word with a tag."""
    tagged = [word for word in command if b"{" in word]
    return key_slot(tagged[0]) if tagged else None


class ScriptedCluster:
    """`async with ScriptedCluster(3) as cluster`: three nodes with a third each."""

    def __init__(self, nodes: int = 3) -> None:
        self.nodes = [ScriptedServer() for _ in range(nodes)]
        self.owners = [self.nodes[slot * nodes // SLOTS] for slot in range(SLOTS)]
        self.told = list(self.owners)
        """What CLUSTER SLOTS says; a test may let it lag behind."""

        self.asks: dict[int, ScriptedServer] = {}
        self.unstable: set[int] = set()
        self.done: list[tuple[ScriptedServer, Command]] = []
        self.answer: Callable[[ScriptedServer, Command], bytes | None] = (
            lambda _, command: echo(command)
        )
        for node in self.nodes:
            node.answer = self._answers_of(node)

    @property
    def names(self) -> list[str]:
        return [name_of(node) for node in self.nodes]

    def owner(self, key: str) -> ScriptedServer:
        return self.owners[key_slot(key.encode())]

    def other(self, key: str) -> ScriptedServer:
        """A node that does not have the key."""
        return next(node for node in self.nodes if node is not self.owner(key))

    def move(self, key: str, to: ScriptedServer, *, told: bool = True) -> None:
        """The slot of `key` is at `to` now. Who has subscribed there is told so."""
        slot = key_slot(key.encode())
        self.owners[slot] = to
        if told:
            self.told[slot] = to

    def take_over(self, lost: ScriptedServer, heir: ScriptedServer) -> None:
        """`heir` has all slots of `lost`, and everybody knows."""
        for slot, owner in enumerate(self.owners):
            if owner is lost:
                self.owners[slot] = self.told[slot] = heir

    def publish(self, channel: str, body: bytes) -> int:
        """To who has subscribed at the owner; how many were reached."""
        reached = 0
        for talk in self.owner(channel).talks:
            if talk.is_open and [b"SSUBSCRIBE", channel.encode()] in talk.heard:
                said = message(channel.encode(), body).replace(
                    b"$7\r\nmessage", b"$8\r\nsmessage"
                )
                talk.send(said)
                reached += 1
        return reached

    def heard(self, word: bytes) -> list[tuple[ScriptedServer, Command]]:
        """Commands that begin so, node by node."""
        return [
            (node, command)
            for node in self.nodes
            for command in node.heard
            if command[0] == word
        ]

    def topology(self, timeout_s: float = 1.0, clock: Clock | None = None) -> Topology:
        by_name = {name_of(node): node for node in self.nodes}

        def open_calls(name: str) -> Calls:
            dialer = by_name[name].dialer(timeout_s=timeout_s)
            return Calls(dialer, timeout_s=timeout_s, dialect="sharded", resends=False)

        return Topology(self.names, open_calls, clock or SystemClock())

    def calls(self, timeout_s: float = 1.0) -> ClusterCalls:
        return ClusterCalls(
            self.topology(timeout_s), timeout_s=timeout_s, clock=SystemClock()
        )

    def inbox(self, topology: Topology, emit: Emit = silent) -> ClusterInbox:
        by_name = {name_of(node): node for node in self.nodes}

        def open_inbox(name: str, emit: Emit, moved: Moved) -> Inbox:
            return Inbox(
                by_name[name].dialer(timeout_s=1.0),
                timeout_s=1.0,
                emit=emit,
                clock=SystemClock(),
                moved=moved,
            )

        return ClusterInbox(topology, open_inbox, emit=emit, clock=SystemClock())

    def _answers_of(self, node: ScriptedServer) -> Callable[[Command], bytes | None]:
        def answer(command: Command) -> bytes | None:
            match command:
                case [b"CLUSTER", b"SLOTS"]:
                    return self._slots()
                case [b"ASKING"]:
                    return b"+OK\r\n"
                case [b"SUNSUBSCRIBE", channel]:
                    return array(bulk(b"sunsubscribe"), bulk(channel), number(0))
            refusal = self._refusal(node, command)
            if refusal is not None:
                return refusal
            if command[0] == b"SSUBSCRIBE":
                return array(bulk(b"ssubscribe"), bulk(command[1]), number(1))
            self.done.append((node, command))
            return self.answer(node, command)

        return answer

    def _refusal(self, node: ScriptedServer, command: Command) -> bytes | None:
        slot = slot_in(command)
        if slot is None:
            return None
        owner = self.owners[slot]
        assert node.asked is not None
        asked = node.asked.heard[-2:-1] == [[b"ASKING"]]
        if node is not owner and not (asked and self.asks.get(slot) is node):
            return f"-MOVED {slot} {name_of(owner)}\r\n".encode()
        if slot in self.unstable:
            return b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
        to = self.asks.get(slot)
        if to is not None and to is not node and command[0] != b"SSUBSCRIBE":
            return f"-ASK {slot} {name_of(to)}\r\n".encode()
        return None

    def _slots(self) -> bytes:
        rows, first = [], 0
        for slot in range(1, SLOTS + 1):
            if slot == SLOTS or self.told[slot] is not self.told[first]:
                node = self.told[first]
                place = array(bulk(b"127.0.0.1"), number(node.port), bulk(b"id"))
                rows.append(array(number(first), number(slot - 1), place))
                first = slot
        return array(*rows)

    async def __aenter__(self) -> ScriptedCluster:
        for node in self.nodes:
            await node.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in self.nodes:
            await node.__aexit__(kind, error, trace)
