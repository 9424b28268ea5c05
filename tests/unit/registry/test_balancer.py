import asyncio
import random

import pytest

from quorate.core.errors import InvalidInput, NobodyHome
from quorate.registry.balancer import LoadBalancer
from quorate.registry.balancing.routable import RoutingTerms
from quorate.registry.events import BalancerCalmed, BalancerPanicked
from quorate.registry.model import AdminState, Snapshot
from quorate.registry.strategies import LeastRequestStrategy, RoundRobinStrategy
from quorate.verdict.model import HealthState


@pytest.fixture
def events():
    return []


@pytest.fixture
def balancer(clock, events):
    return LoadBalancer(
        RoundRobinStrategy(), emit=events.append, clock=clock, chance=random.Random(1)
    )


def load_of(balancer, instance_id):
    return balancer.stats().by_id[instance_id]


async def test_a_call_that_ends_counts_as_success(balancer, a_snapshot, clock):
    balancer.update(a_snapshot("a", loaded_at=clock.monotonic() - 3.0))

    async with balancer.acquire() as choice:
        assert load_of(balancer, "a").in_flight == 1
        await clock.advance(0.5)

    assert choice.endpoint == choice.service.endpoint
    assert choice.snapshot_age_s == pytest.approx(3.0)
    assert not choice.panic
    load = load_of(balancer, "a")
    assert (load.in_flight, load.picked, load.succeeded) == (0, 1, 1)
    assert load.busy_s == pytest.approx(0.5)


async def test_a_call_that_raises_counts_as_failure(balancer, a_snapshot):
    balancer.update(a_snapshot("a"))

    with pytest.raises(ConnectionError):
        async with balancer.acquire():
            raise ConnectionError

    load = load_of(balancer, "a")
    assert (load.in_flight, load.failed) == (0, 1)
    assert load.success == pytest.approx(0.8)


async def test_a_call_may_be_declared_failed(balancer, a_snapshot):
    balancer.update(a_snapshot("a"))

    async with balancer.acquire() as choice:
        choice.fail()

    assert load_of(balancer, "a").failed == 1


async def test_a_cancelled_call_counts_as_nothing(balancer, a_snapshot):
    balancer.update(a_snapshot("a"))
    inside = asyncio.Event()

    async def call():
        async with balancer.acquire():
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(call())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task], timeout=1.0)

    load = load_of(balancer, "a")
    assert (load.in_flight, load.cancelled, load.failed) == (0, 1, 0)
    assert load.success == 1.0


async def test_a_call_ends_well_although_its_instance_is_gone_meanwhile(
    balancer, a_snapshot
):
    balancer.update(a_snapshot("a", "b"))

    async with balancer.acquire() as choice:
        gone = choice.service.id
        balancer.update(a_snapshot("c", revision=1))
    balancer.update(a_snapshot("a", "b", revision=2))

    load = load_of(balancer, gone)
    assert (load.in_flight, load.succeeded) == (0, 1)


def test_tried_ones_are_avoided_while_there_are_others(balancer, a_snapshot):
    balancer.update(a_snapshot("a", "b", "c"))

    chosen = {balancer.choose(exclude={"a", "b"}).id for _ in range(20)}

    assert chosen == {"c"}


def test_when_all_fit_ones_were_tried_others_are_taken(
    balancer, an_instance, a_snapshot
):
    unhealthy = an_instance("z", HealthState.UNHEALTHY)
    balancer.update(a_snapshot("a", unhealthy))

    assert balancer.choose(exclude=["a"]).id == "z"
    assert balancer.choose(exclude=["a", "z"]).id == "a"


def test_without_a_list_nobody_is_home(balancer):
    with pytest.raises(NobodyHome, match="no list of instances has been loaded"):
        balancer.choose()

    assert balancer.stats().nobody_home == 1


async def test_nobody_home_says_how_old_the_list_is(
    balancer, an_instance, a_snapshot, clock
):
    draining = an_instance("a", admin_state=AdminState.DRAINING)
    balancer.update(a_snapshot(draining, revision=17, loaded_at=clock.monotonic()))
    await clock.advance(4.0)
    balancer.update(balancer.snapshot.gone_stale(clock.monotonic()))
    await clock.advance(2.0)

    with pytest.raises(NobodyHome) as caught:
        async with balancer.acquire():
            pass

    assert "'reports'" in caught.value.what
    assert "1 draining and healthy" in caught.value.why
    assert "6.0 s old (revision 17" in caught.value.why
    assert "away since 2.0 s" in caught.value.why


def test_an_empty_list_says_so(balancer):
    balancer.update(Snapshot.of("reports"))

    with pytest.raises(NobodyHome, match="listed: none"):
        balancer.choose()


def test_panic_is_flagged_and_told_once(balancer, an_instance, a_snapshot, events):
    bad = [an_instance(name, HealthState.UNHEALTHY) for name in "bc"]
    balancer.update(a_snapshot("a", *bad))
    balancer.update(a_snapshot("a", *bad, revision=1))

    chosen = {balancer.choose().id for _ in range(6)}
    panicked = balancer.stats().panic
    balancer.update(a_snapshot("a", "b", "c", revision=2))

    assert chosen == {"a", "b", "c"}
    assert panicked
    assert events == [
        BalancerPanicked(service="reports", fit=1, judged=3),
        BalancerCalmed(service="reports", fit=3, judged=3),
    ]


async def test_a_choice_in_panic_says_so(balancer, an_instance, a_snapshot):
    balancer.update(a_snapshot(an_instance("a", HealthState.UNHEALTHY)))

    async with balancer.acquire() as choice:
        assert choice.panic


def test_an_older_list_is_not_taken(balancer, a_snapshot):
    assert balancer.update(a_snapshot("a", "b", epoch="e", revision=5))
    assert not balancer.update(a_snapshot("a", epoch="e", revision=4))
    assert set(balancer.stats().by_id) == {"a", "b"}

    assert balancer.update(a_snapshot("c", epoch="f", revision=1))
    assert set(balancer.stats().by_id) == {"c"}


def test_another_services_list_is_refused(balancer, a_snapshot):
    balancer.update(a_snapshot("a"))

    with pytest.raises(InvalidInput, match="serves 'reports', not 'orders'"):
        balancer.update(Snapshot.of("orders"))


def test_round_robin_goes_on_through_a_thousand_updates(balancer, a_snapshot):
    counts = dict.fromkeys("abcdefghij", 0)
    for number in range(1000):
        listed = "abcdefghij" if number % 2 else "abcdefghi"
        balancer.update(a_snapshot(*listed, revision=number))
        counts[balancer.choose().id] += 1

    assert max(counts.values()) <= 150


def test_least_request_is_the_default(clock):
    assert isinstance(LoadBalancer(clock=clock)._strategy, LeastRequestStrategy)


class Last:
    def select(self, services):
        return services[-1]


def test_users_bring_their_own_strategy(a_snapshot):
    balancer = LoadBalancer(Last(), terms=RoutingTerms())
    balancer.update(a_snapshot("a", "b", "c"))

    assert balancer.choose().id == "c"
    assert balancer.choose(exclude={"c"}).id == "b"


def test_what_is_no_strategy_is_refused():
    with pytest.raises(InvalidInput, match="not a strategy"):
        LoadBalancer("round robin")


def test_statistics_of_an_empty_balancer_are_empty(balancer):
    stats = balancer.stats()

    assert (stats.service, stats.revision, stats.by_id) == ("", 0, {})
