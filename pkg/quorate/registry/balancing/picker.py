"""The port of all ways to pick, and the one that asks a user's own strategy.

A picker is made for one list of instances and never changes its list; a change of the
list makes a new picker, and what must survive is in `Memory`. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from quorate.core.errors import InvalidInput
from quorate.registry.model import ServiceInfo

from .records import Memory


class Picker(Protocol):
    """Picks out of the list that it was made for."""

    def pick(self, key: str | None, exclude: Collection[str]) -> ServiceInfo | None:
        """An instance whose id is not in `exclude`; None if there is none.

        `key` is for pickers that send equal keys to the same instance.
        """
        ...


class LoadBalanceStrategy(Protocol):
    """A user's own way to pick. The list is never empty."""

    def select(self, services: Sequence[ServiceInfo]) -> ServiceInfo | None:
        """One of `services`, or None if none will do."""
        ...


class PickerMaker(Protocol):
    """A strategy that makes pickers, as the shipped ones do."""

    def picker(self, services: Sequence[ServiceInfo], memory: Memory) -> Picker:
        """A picker for this list."""
        ...


class AskingPicker:
    """Asks a user's strategy every time, and does not trust its answer."""

    def __init__(
        self, services: Sequence[ServiceInfo], strategy: LoadBalanceStrategy
    ) -> None:
        self._services = tuple(services)
        self._strategy = strategy

    def pick(self, key: str | None, exclude: Collection[str]) -> ServiceInfo | None:
        services = without(self._services, exclude)
        chosen = self._strategy.select(services) if services else None
        if chosen is not None and chosen not in services:
            raise InvalidInput(
                f"{type(self._strategy).__name__} picked {chosen!r}, "
                "which it was not offered.",
                fix="select() must return one of the services it is given, or None.",
            )
        return chosen


def without(
    services: tuple[ServiceInfo, ...], exclude: Collection[str]
) -> tuple[ServiceInfo, ...]:
    """The services whose ids are not in `exclude`."""
    if not exclude:
        return services
    return tuple(service for service in services if service.id not in exclude)
