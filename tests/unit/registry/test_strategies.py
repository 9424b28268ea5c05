import random
from collections import Counter

import pytest

from quorate.registry.strategies import (
    LeastRequestStrategy,
    RandomStrategy,
    RoundRobinStrategy,
    WeightedRoundRobinStrategy,
)

ALL = [
    RoundRobinStrategy,
    RandomStrategy,
    WeightedRoundRobinStrategy,
    LeastRequestStrategy,
]


@pytest.mark.parametrize("kind", ALL)
def test_a_strategy_selects_one_of_the_services(kind, an_instance):
    services = [an_instance(name) for name in "abc"]
    strategy = kind()

    chosen = Counter(strategy.select(services).id for _ in range(300))

    assert set(chosen) == set("abc")
    assert strategy.select([]) is None


def test_round_robin_keeps_its_place_between_selections(an_instance):
    strategy = RoundRobinStrategy(random.Random(1))
    services = [an_instance(name) for name in "abc"]

    chosen = [strategy.select(list(services)).id for _ in range(6)]

    assert chosen[:3] == chosen[3:]
    assert set(chosen) == set("abc")


def test_weights_are_kept_between_selections(an_instance):
    strategy = WeightedRoundRobinStrategy()
    services = [an_instance("a", weight=5), an_instance("b"), an_instance("c")]

    assert "".join(strategy.select(services).id for _ in range(7)) == "aabacaa"
