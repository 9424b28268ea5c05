"""How picks spread: the acceptance list of the research, points 17 to 19."""

import random
from collections import Counter
from itertools import count

import pytest

from quorate.core.errors import InvalidInput
from quorate.registry.balancing.at_random import RandomPicker
from quorate.registry.balancing.least_request import LeastRequestPicker
from quorate.registry.balancing.picker import AskingPicker
from quorate.registry.balancing.records import Memory
from quorate.registry.balancing.round_robin import RoundRobinPicker
from quorate.registry.balancing.weighted import SmoothWeightedPicker

ALL = [RoundRobinPicker, RandomPicker, SmoothWeightedPicker, LeastRequestPicker]


class Hands:
    """A clock that is only read."""

    time = 0.0


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def memory(hands):
    return Memory(random.Random(42), lambda: hands.time)


@pytest.fixture
def services(an_instance):
    return [an_instance(name) for name in "abcdefghij"]


def spread(picker, picks, key=None, exclude=()):
    return Counter(picker.pick(key, exclude).id for _ in range(picks))


def test_round_robin_differs_by_one_at_most(services, memory):
    picker = RoundRobinPicker(services, memory)
    counts = Counter()

    for _ in range(1003):
        counts[picker.pick(None, ()).id] += 1
        assert max(counts.values()) - min(counts[s.id] for s in services) <= 1


def test_round_robin_begins_anywhere(services):
    firsts = Counter(
        RoundRobinPicker(services, Memory(random.Random(seed), lambda: 0.0))
        .pick(None, ())
        .id
        for seed in range(1000)
    )

    assert len(firsts) == 10
    assert max(firsts.values()) < 200


def test_round_robin_goes_on_where_it_stood_when_the_list_changes(an_instance, memory):
    first = RoundRobinPicker([an_instance(n) for n in "abc"], memory)
    while first.pick(None, ()).id != "b":
        pass

    second = RoundRobinPicker([an_instance(n) for n in "abcd"], memory)
    without_next = RoundRobinPicker([an_instance(n) for n in "abd"], memory)

    assert second.pick(None, ()).id == "c"
    assert without_next.pick(None, ()).id == "d"


@pytest.mark.parametrize("picker", [RoundRobinPicker, SmoothWeightedPicker])
def test_a_thousand_changes_of_the_list_favour_nobody(picker, services, memory):
    counts = Counter()

    for number in range(1000):
        listed = services if number % 2 else services[:9]
        counts[picker(listed, memory).pick(None, ()).id] += 1

    steady = [counts[service.id] for service in services[:9]]
    assert max(counts.values()) <= 1.5 * 1000 / 10
    assert max(steady) - min(steady) <= 10


@pytest.mark.parametrize("picker", ALL)
def test_a_thousand_random_changes_of_the_list_favour_nobody(picker, services, memory):
    chance = random.Random(3)
    counts = Counter()

    for _ in range(1000):
        listed = chance.sample(services, chance.randint(5, 10))
        counts[picker(listed, memory).pick(None, ()).id] += 1

    assert max(counts.values()) <= 1.5 * 1000 / 10


def test_smooth_weights_five_one_one_go_a_a_b_a_c_a_a(an_instance, memory):
    listed = [an_instance("a", weight=5), an_instance("b"), an_instance("c")]
    picker = SmoothWeightedPicker(listed, memory)

    rounds = ["".join(picker.pick(None, ()).id for _ in range(7)) for _ in range(3)]

    assert rounds == ["aabacaa"] * 3


def test_smooth_weights_are_exact_in_every_round(an_instance, memory):
    weights = {"a": 7, "b": 3, "c": 2, "d": 1}
    picker = SmoothWeightedPicker(
        [an_instance(name, weight=weight) for name, weight in weights.items()], memory
    )

    for _ in range(20):
        assert spread(picker, 13) == weights


def test_random_is_within_four_sigma(services, memory):
    counts = spread(RandomPicker(services, memory), 100_000)

    assert all(abs(counts[s.id] - 10_000) <= 380 for s in services)


def deviation(picker, services, memory):
    """How unevenly calls are spread while ten of them are always under way."""
    counts, under_way = Counter(), []
    chance = random.Random(5)
    for _ in range(20_000):
        chosen = picker.pick(None, ())
        memory.record(chosen.id).begin()
        counts[chosen.id] += 1
        under_way.append(chosen.id)
        if len(under_way) > 10:
            done = under_way.pop(int(chance.random() * len(under_way)))
            memory.record(done).end(0.1, succeeded=True, now=0.0)
    mean = 20_000 / len(services)
    return (sum((counts[s.id] - mean) ** 2 for s in services) / len(services)) ** 0.5


def test_two_choices_deviate_no_more_than_chance(services):
    found = {}
    for kind in (RandomPicker, LeastRequestPicker):
        memory = Memory(random.Random(9), lambda: 0.0)
        found[kind] = deviation(kind(services, memory), services, memory)

    assert found[LeastRequestPicker] <= found[RandomPicker]


def test_two_choices_take_the_less_busy_one(an_instance, memory):
    picker = LeastRequestPicker([an_instance("a"), an_instance("b")], memory)
    memory.record("a").begin()

    assert spread(picker, 100) == {"b": 100}


def test_two_choices_are_always_two_different_ones(an_instance, memory):
    """Were they drawn independently, the busiest of three would still be picked."""
    picker = LeastRequestPicker([an_instance(name) for name in "abc"], memory)
    for _ in range(5):
        memory.record("a").begin()

    assert spread(picker, 500)["a"] == 0


def test_two_choices_mind_the_weights(an_instance, memory):
    picker = LeastRequestPicker([an_instance("a", weight=4), an_instance("b")], memory)
    for _ in range(2):
        memory.record("a").begin()

    assert spread(picker, 50) == {"a": 50}


def test_what_fails_fast_does_not_draw_the_calls(an_instance, memory, hands):
    """Four instances, 200 calls a second of 50 ms for 5 s; one fails within 1 ms."""
    picker = LeastRequestPicker([an_instance(name) for name in "abcd"], memory)
    counts, under_way, order = Counter(), [], count()

    for number in range(1000):
        hands.time = number / 200
        for call in [c for c in under_way if c[0] <= hands.time]:
            under_way.remove(call)
            memory.record(call[2]).end(0.05, succeeded=call[2] != "a", now=hands.time)
        chosen = picker.pick(None, ()).id
        counts[chosen] += 1
        memory.record(chosen).begin()
        takes_s = 0.001 if chosen == "a" else 0.05
        under_way.append((hands.time + takes_s, next(order), chosen))

    assert counts["a"] < 50
    assert counts["a"] > 0


def test_what_is_repaired_gets_calls_again(an_instance, memory, hands):
    picker = LeastRequestPicker([an_instance(name) for name in "ab"], memory)
    for _ in range(50):
        memory.record("a").begin()
        memory.record("a").end(0.1, succeeded=False, now=0.0)
    memory.record("b").begin()

    assert spread(picker, 20) == {"b": 20}
    hands.time = 10.0
    assert spread(picker, 20) == {"a": 20}


@pytest.mark.parametrize("kind", ALL)
def test_the_excluded_are_not_picked(kind, services, memory):
    picker = kind(services, memory)

    assert set(spread(picker, 200, exclude={"a", "b", "c"})) == set("defghij")


@pytest.mark.parametrize("kind", ALL)
def test_of_nobody_nobody_is_picked(kind, services, memory):
    assert kind([], memory).pick(None, ()) is None
    assert kind(services, memory).pick(None, {s.id for s in services}) is None


@pytest.mark.parametrize("kind", ALL)
def test_of_one_that_one_is_picked(kind, services, memory):
    assert spread(kind(services[:1], memory), 20) == {"a": 20}


class LongestId:
    def select(self, services):
        return max(services, key=lambda service: len(service.id))


class Stranger:
    def __init__(self, answer):
        self.answer = answer

    def select(self, services):
        return self.answer


def test_users_bring_their_own_strategy(an_instance):
    picker = AskingPicker([an_instance("a"), an_instance("long")], LongestId())

    assert picker.pick(None, ()).id == "long"
    assert picker.pick(None, {"long"}).id == "a"
    assert picker.pick(None, {"long", "a"}) is None


def test_a_strategy_that_picks_a_stranger_is_named(an_instance):
    picker = AskingPicker([an_instance("a")], Stranger(an_instance("z")))

    with pytest.raises(InvalidInput, match="Stranger picked"):
        picker.pick(None, ())
    assert AskingPicker([an_instance("a")], Stranger(None)).pick(None, ()) is None
