"""Places where a fault run may strike: before and after each durable step.

Costs one `if` while nothing is armed. `quorate.testing.failpoints` arms them, in this
process or, through the environment, in a child.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Strike = Callable[[str], Awaitable[None]]

_strike: Strike | None = None


def is_armed() -> bool:
    """For where even an empty `await` would be felt: ask this first."""
    return _strike is not None


async def failpoint(name: str) -> None:
    """Do nothing, unless a fault run has armed failpoints."""
    if _strike is not None:
        await _strike(name)


def arm(strike: Strike | None) -> None:
    """Let `strike` be awaited at every failpoint; None disarms."""
    global _strike
    _strike = strike
