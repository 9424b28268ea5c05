"""Sessions on Consul: entered with their check, renewed, watched, given up."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.fake_consul import FakeConsul, Told

from quorate.core.errors import OutcomeUnknown, StoreRefused, StoreUnavailable
from quorate.testing.clock import ManualClock, settle
from quorate.wire.consul_calls import ConsulCalls
from quorate.wire.consul_sessions import (
    AGAIN_S,
    IDLE_S,
    SEEN_WITHIN_S,
    ConsulSessions,
    Roster,
    SessionWatch,
)

TAG, NAME = "shop", "vm-1-abc.1"


class Scene:
    """Sessions over a fake Consul."""

    def __init__(self, clock: ManualClock) -> None:
        self.consul = FakeConsul()
        self.calls = ConsulCalls(self.consul)  # type: ignore[arg-type]
        self.roster = Roster()
        self.clock = clock
        self.sessions = ConsulSessions(self.calls, self.roster, "shop", clock)
        self.gone: list[str] = []
        self.watch = SessionWatch(self.calls, self.roster, self.gone.append, clock)


@pytest.fixture
def scene(clock: ManualClock) -> Scene:
    return Scene(clock)


async def test_it_is_entered_with_a_check_that_passes(scene):
    assert await scene.sessions.join(TAG, NAME, 15_000)

    (session,) = scene.consul.sessions.values()
    assert scene.consul.checks == {f"{NAME}:lease": "passing"}
    assert session["Name"] == NAME
    assert session["ServiceChecks"] == [{"ID": f"{NAME}:lease"}]
    assert session["Behavior"] == "delete"
    assert session["LockDelay"] == "1ms"
    assert scene.roster.id_of(NAME) == session["ID"]


async def test_no_check_of_the_agents_sight_can_end_it_while_it_is_trusted(scene):
    await scene.sessions.join(TAG, NAME, 15_000)

    (session,) = scene.consul.sessions.values()
    assert session["NodeChecks"] == []
    assert session["TTL"] == "15s"


@pytest.mark.parametrize(
    ("ttl_ms", "consul_ttl"), [(500, "10s"), (10_000, "10s"), (10_001, "11s")]
)
async def test_consuls_own_clock_never_runs_out_before_the_lease(
    scene, ttl_ms, consul_ttl
):
    await scene.sessions.join(TAG, NAME, ttl_ms)

    (session,) = scene.consul.sessions.values()
    assert session["TTL"] == consul_ttl


async def test_entering_waits_until_the_servers_have_heard_of_the_check(scene):
    scene.consul.unseen_checks = 2

    joining = asyncio.ensure_future(scene.sessions.join(TAG, NAME, 1_000))
    while not joining.done():
        await settle()
        await scene.clock.advance(0.05)

    assert await joining


async def test_entering_gives_up_when_the_servers_hear_nothing(scene):
    scene.consul.unseen_checks = 10_000

    joining = asyncio.ensure_future(scene.sessions.join(TAG, NAME, 1_000))
    while not joining.done():
        await settle()
        await scene.clock.advance(SEEN_WITHIN_S / 10)

    with pytest.raises(StoreUnavailable, match="have not heard of its check"):
        await joining
    assert scene.roster.newest() is None


async def test_a_refusal_for_lack_of_rights_is_told_at_once(scene):
    scene.consul.fail("/v1/session/create", StoreRefused("no", "403 denied"))

    with pytest.raises(StoreRefused):
        await scene.sessions.join(TAG, NAME, 1_000)


async def test_renewing_is_two_calls(scene):
    await scene.sessions.join(TAG, NAME, 15_000)
    before = len(scene.consul.asked)

    alive, _, first_end_s, dead = await scene.sessions.renew(TAG, NAME, 15_000)

    assert alive
    assert (first_end_s, dead) == (None, 0)
    assert len(scene.consul.asked) - before == 2


async def test_a_session_that_consul_has_ended_is_not_renewed(scene):
    await scene.sessions.join(TAG, NAME, 15_000)
    scene.consul.end("session-1")

    assert (await scene.sessions.renew(TAG, NAME, 15_000))[0] is False
    assert scene.roster.id_of(NAME) is None
    assert (await scene.sessions.renew(TAG, NAME, 15_000))[0] is False


@pytest.mark.parametrize("how", ["404", "500"])
async def test_a_check_that_the_agent_has_forgotten_is_the_end_of_the_session(
    scene, how
):
    await scene.sessions.join(TAG, NAME, 15_000)
    if how == "404":
        scene.consul.checks.clear()
    else:
        scene.consul.fail(
            "/v1/agent/check/pass",
            StoreRefused("no", '500 CheckID "x" does not have associated TTL'),
        )

    assert (await scene.sessions.renew(TAG, NAME, 15_000))[0] is False


async def test_a_renewal_that_is_not_answered_or_not_allowed_is_no_end(scene):
    await scene.sessions.join(TAG, NAME, 15_000)

    for error in (OutcomeUnknown("?"), StoreRefused("no", "403 denied")):
        scene.consul.fail("/v1/agent/check/pass", error)
        with pytest.raises(type(error)):
            await scene.sessions.renew(TAG, NAME, 15_000)

    assert (await scene.sessions.renew(TAG, NAME, 15_000))[0] is True


async def test_ending_leaves_neither_session_nor_check(scene):
    await scene.sessions.join(TAG, NAME, 15_000)

    assert await scene.sessions.end(TAG, NAME) is True
    assert await scene.sessions.end(TAG, NAME) is False

    assert scene.consul.sessions == {}
    assert scene.consul.checks == {}


async def test_there_is_nothing_to_sweep(scene):
    assert await scene.sessions.dead(TAG) == []
    assert await scene.sessions.bury(TAG, NAME, []) is True


async def test_closing_closes_the_connections(scene):
    await scene.sessions.close()

    assert scene.consul.is_closed


async def test_the_watch_sleeps_while_there_is_no_session_and_is_woken_by_the_first(
    scene,
):
    woken: list[bool] = []
    scene.roster.entered = lambda: woken.append(True)

    assert await scene.watch.tick() == IDLE_S
    await scene.sessions.join(TAG, NAME, 15_000)

    assert woken == [True]


async def test_the_watch_tells_once_that_consul_has_ended_the_session(scene):
    await scene.sessions.join(TAG, NAME, 15_000)
    await scene.watch.tick()
    looking = asyncio.ensure_future(scene.watch.tick())
    await settle()
    assert not looking.done()

    await scene.consul.change("/v1/session/destroy/session-1", None)
    await looking

    assert scene.gone == [NAME]
    assert await scene.watch.tick() == IDLE_S


async def test_the_watch_tells_nothing_of_a_session_that_was_given_up(scene):
    await scene.sessions.join(TAG, NAME, 15_000)
    await scene.watch.tick()
    looking = asyncio.ensure_future(scene.watch.tick())
    await settle()

    await scene.sessions.end(TAG, NAME)
    await looking

    assert scene.gone == []


async def test_the_watch_turns_to_the_newest_session(scene):
    await scene.sessions.join(TAG, NAME, 15_000)
    await scene.watch.tick()
    await scene.sessions.join(TAG, "vm-1-abc.2", 15_000)
    await scene.watch.tick()

    scene.consul.end("session-2")
    await scene.watch.tick()

    assert scene.gone == ["vm-1-abc.2"]


async def test_a_watch_without_an_answer_looks_again_and_believes_nothing(scene):
    await scene.sessions.join(TAG, NAME, 15_000)
    scene.consul.fail("/v1/session/info", StoreUnavailable("gone"))

    assert await scene.watch.tick() == AGAIN_S
    assert scene.gone == []


async def test_an_answer_that_comes_at_once_is_not_asked_for_in_a_circle(scene):
    await scene.sessions.join(TAG, NAME, 15_000)
    scene.consul.answers["/v1/session/info/session-1"] = Told(
        200, {"X-Consul-Index": "99"}, '[{"ID": "session-1"}]'
    )

    assert await scene.watch.tick() > 0.0
