"""What a broker can do beyond carrying tasks, and what is said where it cannot. Pure.

Redis can do all of it. RabbitMQ keeps messages and nothing else: whatever needs a place
to look something up is missing there, unless a Redis keeps the state beside it.
"""

from __future__ import annotations

from enum import Enum

from quorate.core.errors import MissingCapability

HYBRID = (
    "Keep the state in a Redis beside it: "
    'connect("redis://…", queue="amqp://…", queue_state="redis://…").'
)


class Capability(Enum):
    """One thing that not every broker can do; the value says what, in words."""

    RESULTS = "keep results and the states of single tasks"
    CANCEL = "cancel a task"
    DEDUPE = "know an id again when it is enqueued twice"
    FENCING = "refuse the completion of a task that was given to another worker"
    GUARDS = "keep tasks unique, or limit how many run or begin"
    EXPLAIN = "explain where a task is"
    PROGRESS = "keep how far a task has come"
    PAUSE = "pause a queue or shed lanes for all workers at once"
    AUDIT = "audit a queue"
    QUICK_DELAY = "delay by less than a second"
    OWNER_COUNTS = "count what runs in other processes"


EVERYTHING = frozenset(Capability)
"""What Redis can do."""

TRANSPORT_ONLY: frozenset[Capability] = frozenset()
"""What RabbitMQ alone can do of it."""


def lacking(capability: Capability) -> MissingCapability:
    """The error for something that RabbitMQ alone cannot do."""
    return MissingCapability(
        f"RabbitMQ alone cannot {capability.value}.",
        "It keeps messages, and nothing that could be looked up.",
        HYBRID,
    )


def too_long(limit_s: float, longest_s: float, what: str) -> MissingCapability:
    """The error for an attempt that the broker would interrupt."""
    return MissingCapability(
        f"{what} may run for {limit_s:g} s; here {longest_s:g} s are the most.",
        "Below 3.12 RabbitMQ takes a delivery away after the broker's consumer_timeout,"
        " of which no queue can be exempt; 30 min are assumed.",
        f"Give a shorter timeout_s. {HYBRID}",
    )
