"""Each story of a Cluster is seen red on the bug that it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.wire.cluster_stories import (
    Story,
    a_call_waits_while_its_slot_is_in_between,
    a_moved_call_is_done_once_and_its_place_is_learnt,
    a_node_that_is_gone_is_looked_for,
    a_silent_node_that_has_lost_its_slots_is_left,
    each_call_goes_to_the_node_of_its_key,
    what_is_asked_elsewhere_is_asked_right_after_asking,
    what_is_lost_with_a_node_is_not_done_twice,
)
from tests.unit.wire.scripted_cluster import ScriptedCluster

import quorate.wire.cluster_calls as module
from quorate.core.clock import SystemClock
from quorate.core.errors import QuorateError
from quorate.wire.cluster_calls import ClusterCalls
from quorate.wire.scripts import Script
from quorate.wire.topology import Topology

RED = (AssertionError, pytest.fail.Exception, QuorateError, TimeoutError)


class LooksAtTheLastKey(ClusterCalls):
    """The slot is that of whatever stands last."""

    async def call(self, script: Script, keys: Sequence[str], args: Any) -> Any:
        def send(name: str, asking: bool) -> Any:
            return self.topology.node(name).call(script, keys, args, asking=asking)

        return await self.route(0, send, again=script.idempotent)


class NeverLearns(Topology):
    """A redirection is followed and forgotten."""

    def learn(self, slot: int, name: str) -> None:
        return None


class TakesAskingForMoved(ClusterCalls):
    """Asked once elsewhere, always elsewhere, and without asking."""

    async def _redirected(self, *what: Any) -> tuple[str, bool]:
        name, _ = await super()._redirected(*what)
        return name, False


class HasNoPatience(module.Patience):
    """What is in between is given up at once."""

    async def pause(self, slot: int) -> None:
        raise module._restless(slot)


class SendsEverythingAgain(ClusterCalls):
    """What may have happened is done once more."""

    async def route(self, slot: int, send: Any, *, again: bool) -> Any:
        return await super().route(slot, send, again=True)


class SendsNothingAgain(ClusterCalls):
    """Even what could safely be sent again is given up."""

    async def route(self, slot: int, send: Any, *, again: bool) -> Any:
        return await super().route(slot, send, again=False)


class GoesByTheFirstMap(Topology):
    """The map of the start is the map for ever."""

    async def refresh(self) -> None:
        if not self.map.owners:
            await super().refresh()


@pytest.mark.parametrize(
    ("story", "broken"),
    [
        (each_call_goes_to_the_node_of_its_key, LooksAtTheLastKey),
        (a_moved_call_is_done_once_and_its_place_is_learnt, NeverLearns),
        (what_is_asked_elsewhere_is_asked_right_after_asking, TakesAskingForMoved),
        (a_call_waits_while_its_slot_is_in_between, HasNoPatience),
        (what_is_lost_with_a_node_is_not_done_twice, SendsEverythingAgain),
        (what_is_lost_with_a_node_is_not_done_twice, SendsNothingAgain),
        (a_node_that_is_gone_is_looked_for, GoesByTheFirstMap),
        (a_silent_node_that_has_lost_its_slots_is_left, GoesByTheFirstMap),
    ],
    ids=lambda value: value.__name__,
)
async def test_the_story_goes_red(
    story: Story, broken: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedCluster(3) as cluster:
        good = cluster.topology(5.0)
        topology, kind = good, ClusterCalls
        if issubclass(broken, Topology):
            topology = broken(cluster.names, good._open_calls, SystemClock())
        elif issubclass(broken, ClusterCalls):
            kind = broken
        else:
            monkeypatch.setattr(module, "Patience", broken)
        calls = kind(topology, timeout_s=5.0, clock=SystemClock())

        with pytest.raises(RED):
            async with asyncio.timeout(4):
                await story(cluster, calls)

        await calls.close()
        await good.close()
