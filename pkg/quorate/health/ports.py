"""What a checker is. Users write their own: one method is enough."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .model import CheckResult


@runtime_checkable
class HealthChecker(Protocol):
    """Looks once. May raise: that is a failure with the error as its message.

    Its deadline is kept by whoever runs it, by cancellation: let that pass.
    """

    async def check(self) -> CheckResult:
        """What is found now."""
        ...


@runtime_checkable
class ClosableChecker(Protocol):
    """A checker that keeps something open between two looks."""

    async def close(self) -> None:
        """Close it. Must not wait for the target."""
        ...
