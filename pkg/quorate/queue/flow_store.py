"""What chains and groups need of the server that keeps them."""

from __future__ import annotations

from typing import Protocol

from .flow import Plan


class FlowStore(Protocol):
    """Tasks that come after one another, in one queue."""

    async def put_in(self, plan: Plan) -> int:
        """Put all of them in; how many were not known before. Safe to repeat.

        From then on the server sets each off, or calls it off, in the step in which
        what it waits for ends.
        """
        ...
