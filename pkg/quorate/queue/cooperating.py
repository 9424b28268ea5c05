"""What a queue manager heeds of the rest of the system, while workers run.

It knows neither the configuration nor the registry: whoever wires them together hands
in functions that answer at once.
"""

from __future__ import annotations

from .held import IsUp
from .lookup import Lookup
from .tuning import TuningOf
from .workforce import Workforce


class Cooperating:
    """Live configuration, and tasks that wait for a service."""

    _workforce: Workforce
    _lookup: Lookup

    @property
    def known_queues(self) -> tuple[str, ...]:
        """The queues that this process is concerned with."""
        return self._lookup.queues

    def tune(self, tuning_of: TuningOf) -> None:
        """Work as `tuning_of(queue)` says, from now on. Call it again after a change.

        What runs goes on: fewer places are reached as tasks end. It concerns the
        workers of this process; worker processes have a node of their own.
        """
        self._workforce.tune(tuning_of)

    def heed_services(self, is_up: IsUp) -> None:
        """Set tasks aside whose service is down, and take them up when it is back.

        `is_up(service)` answers from memory: None while it is not known.
        """
        self._workforce.heed_services(is_up)
