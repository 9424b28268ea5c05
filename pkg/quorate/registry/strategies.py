"""The shipped ways to balance, under the names that users choose them by.

Each makes a picker for every new list of instances; used alone, `select(services)`
picks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from quorate.core.clock import Chance, fresh_chance

from .balancing.at_random import RandomPicker
from .balancing.least_request import LeastRequestPicker
from .balancing.picker import AskingPicker, LoadBalanceStrategy, Picker
from .balancing.records import Memory
from .balancing.round_robin import RoundRobinPicker
from .balancing.weighted import SmoothWeightedPicker
from .model import ServiceInfo

Pickers = type[
    RoundRobinPicker | RandomPicker | SmoothWeightedPicker | LeastRequestPicker
]


class ShippedStrategy:
    """A strategy whose pickers are of one kind."""

    pickers: Pickers

    def __init__(self, chance: Chance | None = None) -> None:
        self._memory = Memory(chance or quick_chance(), monotonic)
        self._services: tuple[ServiceInfo, ...] = ()
        self._picker: Picker | None = None

    def picker(self, services: Sequence[ServiceInfo], memory: Memory) -> Picker:
        """A picker for this list; `memory` is what survives from list to list."""
        return self.pickers(services, memory)

    def select(self, services: Sequence[ServiceInfo]) -> ServiceInfo | None:
        """One of `services`; None if there are none."""
        listed = tuple(services)
        if self._picker is None or listed != self._services:
            self._services = listed
            self._picker = self.picker(listed, self._memory)
            self._memory.prune(service.id for service in listed)
        return self._picker.pick(None, ())


class RoundRobinStrategy(ShippedStrategy):
    """Everybody in turn."""

    pickers = RoundRobinPicker


class RandomStrategy(ShippedStrategy):
    """Whoever chance picks."""

    pickers = RandomPicker


class WeightedRoundRobinStrategy(ShippedStrategy):
    """In turn, as often as `ServiceInfo.weight` says, evenly spread."""

    pickers = SmoothWeightedPicker


class LeastRequestStrategy(ShippedStrategy):
    """The less busy one of two that chance picks; shuns those that fail."""

    pickers = LeastRequestPicker


def make_picker(
    strategy: LoadBalanceStrategy, services: Sequence[ServiceInfo], memory: Memory
) -> Picker:
    """A picker for this list, whether the strategy is shipped or a user's own."""
    if isinstance(strategy, ShippedStrategy):
        return strategy.picker(services, memory)
    return AskingPicker(services, strategy)


def quick_chance() -> Chance:
    """Chance that is cheap to ask, seeded by the system's."""
    return Chance(fresh_chance().getrandbits(128))
