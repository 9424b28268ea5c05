"""The deadlines of one wire. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Deadlines of one wire, in seconds."""

    timeout_s: float = 5.0
    connect_timeout_s: float = 3.0

    def at_most(self, within_s: float) -> WireLimits:
        """The same, with no deadline longer than `within_s`."""
        return WireLimits(
            timeout_s=min(self.timeout_s, within_s),
            connect_timeout_s=min(self.connect_timeout_s, within_s),
        )
