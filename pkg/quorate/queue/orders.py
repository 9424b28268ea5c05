"""What a supervisor tells a worker process, and what it hears from it: lines of JSON.

They go through a socket between the two, so that no password ever stands among the
arguments or in the environment, and so that each of them knows when the other is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import TypeGuard

from quorate.core import lifecycle
from quorate.core.codec import Json
from quorate.core.errors import InvalidInput
from quorate.core.events import Event
from quorate.lease import events as lease_events
from quorate.lease.lease import LeaseTerms
from quorate.resilience.backoff import Backoff, Growth, Jitter

from . import events as queue_events
from .handlers import Handler
from .model import LaneWeights, QueueConfig
from .patience import ErrorRule, RetryPolicy
from .references import reference_of, resolve

LONGEST_LINE = 4 * 1024 * 1024
DRAIN = b"drain\n"
HURRY = b"hurry\n"


@dataclass(frozen=True, slots=True)
class HandlerOrder:
    """A handler as `module:qualname`."""

    name: str
    reference: str
    timeout_s: float | None = None
    retry: Json = None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """All that a worker process must know.

    `modules` are imported first, for the tasks that they declare; `prepare` names
    functions to call then; `queues` are served instead of the configured ones; `outfit`
    is what the node around the worker is made of, or None if there is none. Both
    addresses may hold passwords.
    """

    url: str = field(repr=False)
    namespace: str
    terms: LeaseTerms
    config: QueueConfig
    handlers: tuple[HandlerOrder, ...]
    main: tuple[str | None, str | None] = (None, None)
    path: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    outfit: Json = field(default=None, repr=False)
    transport: str = field(default="", repr=False)

    def line(self) -> bytes:
        """The orders as they are sent."""
        facts = {
            "url": self.url,
            "namespace": self.namespace,
            "terms": asdict(self.terms),
            "config": _config_facts(self.config),
            "handlers": [asdict(handler) for handler in self.handlers],
            "main": self.main,
            "path": self.path,
            "prepare": self.prepare,
            "modules": self.modules,
            "queues": self.queues,
            "outfit": self.outfit,
            "transport": self.transport,
        }
        return _line(facts)


def read_main(line: bytes) -> tuple[tuple[str, ...], tuple[str | None, str | None]]:
    """Of the orders in `line` the module path, and what was started as main."""
    facts = json.loads(line)
    return tuple(facts["path"]), (facts["main"][0], facts["main"][1])


def read_orders(line: bytes, main: ModuleType | None) -> Orders:
    """The orders in `line`. Imports what they name."""
    facts = json.loads(line)
    return Orders(
        url=facts["url"],
        namespace=facts["namespace"],
        terms=LeaseTerms(**facts["terms"]),
        config=_config(facts["config"], main),
        handlers=tuple(HandlerOrder(**each) for each in facts["handlers"]),
        main=(facts["main"][0], facts["main"][1]),
        path=tuple(facts["path"]),
        prepare=tuple(facts["prepare"]),
        modules=tuple(facts["modules"]),
        queues=tuple(facts["queues"]),
        outfit=facts["outfit"],
        transport=facts["transport"],
    )


def order_of(handler: Handler) -> HandlerOrder:
    """A handler in words. Raises `InvalidInput` if it cannot be named."""
    retry = None if handler.retry is None else retry_facts(handler.retry)
    reference = reference_of(handler.function)
    return HandlerOrder(
        handler.name, reference, handler.timeout_s, retry, handler.service
    )


def retry_facts(policy: RetryPolicy) -> Json:
    """A retry policy in words; errors are named as `module:qualname`."""
    return {
        "attempts": policy.attempts,
        "backoff": _backoff_facts(policy.backoff),
        "give_up_on": [reference_of(error) for error in policy.give_up_on],
        "rules": [
            [
                reference_of(rule.error),
                rule.attempts,
                None if rule.backoff is None else _backoff_facts(rule.backoff),
            ]
            for rule in policy.rules
        ],
    }


def retry_of(facts: Json, main: ModuleType | None) -> RetryPolicy:
    """The retry policy again."""
    return RetryPolicy(
        facts["attempts"],
        _backoff(facts["backoff"]),
        tuple(_error(reference, main) for reference in facts["give_up_on"]),
        tuple(
            ErrorRule(
                _error(reference, main),
                attempts,
                None if backoff is None else _backoff(backoff),
            )
            for reference, attempts, backoff in facts["rules"]
        ),
    )


def _backoff_facts(backoff: Backoff) -> Json:
    return [backoff.base_s, backoff.cap_s, backoff.growth.value, backoff.jitter.value]


def _backoff(facts: Json) -> Backoff:
    base_s, cap_s, growth, jitter = facts
    return Backoff(base_s, cap_s, Growth(growth), Jitter(jitter))


def _error(reference: str, main: ModuleType | None) -> type[Exception]:
    found = resolve(reference, main)
    if not _is_error(found):
        raise InvalidInput(f"{reference} is not an error.")
    return found


def _is_error(found: object) -> TypeGuard[type[Exception]]:
    return isinstance(found, type) and issubclass(found, Exception)


def report(what: str, value: Json) -> bytes:
    """One line from a worker: ready, failed, session, beat or event."""
    return _line({what: value})


def event_report(event: Event) -> bytes | None:
    """An event as a line; None if the supervisor has no use for it."""
    if type(event).__name__ not in KNOWN_EVENTS:
        return None
    return report("event", [type(event).__name__, event.facts()])


def event_of(words: Json) -> Event | None:
    """The event in a line."""
    name, facts = words
    kind = KNOWN_EVENTS.get(name)
    return kind(**facts) if kind is not None else None


def _events_in(modules: Iterable[ModuleType]) -> Mapping[str, type[Event]]:
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    }


KNOWN_EVENTS = _events_in((queue_events, lease_events, lifecycle))
"""What a worker process tells its supervisor."""


def _config_facts(config: QueueConfig) -> Json:
    plain = {name: getattr(config, name) for name in QueueConfig.__slots__}
    plain["weights"] = config.weights.by_lane
    plain["retry"] = retry_facts(config.retry)
    return plain


def _config(facts: dict[str, Json], main: ModuleType | None) -> QueueConfig:
    known = dict(facts)
    known["queues"] = tuple(known["queues"])
    known["weights"] = LaneWeights(*known["weights"])
    known["retry"] = retry_of(known["retry"], main)
    return QueueConfig(**known)


def _line(facts: Json) -> bytes:
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"
