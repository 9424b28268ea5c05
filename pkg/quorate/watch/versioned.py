"""A value and its version: the state now, and whether another one is newer.

Versions only grow within an epoch. A new epoch means that the store lost or replaced
its history, so that its numbers say nothing about the old ones. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from quorate.core.errors import InvalidInput

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T_co]):
    """`value` as of `version`, in the history named `epoch`."""

    value: T_co
    version: int
    epoch: str = ""

    def __post_init__(self) -> None:
        if self.version < 0:
            raise InvalidInput(
                f"A version cannot be {self.version}.", "Versions are counted from 0."
            )

    def supersedes(self, other: Versioned[object] | None) -> bool:
        """Whether this is news to somebody who knows `other`.

        Another epoch always is: numbers of two histories cannot be compared.
        """
        if other is None or self.epoch != other.epoch:
            return True
        return self.version > other.version

    def then(self, value: U, version: int | None = None) -> Versioned[U]:
        """The next value of the same history; by default one version later.

        Raises `InvalidInput` for a version that is not later.
        """
        following = self.version + 1 if version is None else version
        if following <= self.version:
            raise InvalidInput(
                f"Version {following} cannot follow version {self.version}.",
                "Versions only grow within an epoch.",
                "Begin a new epoch if the history was lost.",
            )
        return Versioned(value, following, self.epoch)
