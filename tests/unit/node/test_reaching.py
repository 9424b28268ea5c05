"""What the reactions' hands fetch and do where a backend cannot do everything."""

from __future__ import annotations

from types import SimpleNamespace

from quorate.queue.capabilities import EVERYTHING, TRANSPORT_ONLY
from quorate.reaching import NodeHands


class FakeQueue:
    def __init__(self, capabilities) -> None:
        self._place = SimpleNamespace(capabilities=capabilities)

    def place(self):
        return self._place

    async def shed_level(self):
        return 1


def hands_with(capabilities) -> NodeHands:
    nothing = SimpleNamespace()
    return NodeHands(nothing, nothing, nothing, FakeQueue(capabilities), nothing)


async def test_a_queue_that_all_workers_look_at_has_a_shed_level():
    assert await hands_with(EVERYTHING).shed_level() == 1


async def test_a_queue_that_nobody_can_tell_anything_has_none():
    assert await hands_with(TRANSPORT_ONLY).shed_level() is None
