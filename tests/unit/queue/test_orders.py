"""What a supervisor tells a worker process, and what it hears from it."""

from __future__ import annotations

import json

import pytest

from quorate.core.errors import InvalidInput
from quorate.core.events import Event
from quorate.lease.events import SessionLost
from quorate.lease.lease import LeaseTerms
from quorate.queue.events import WorkerStarted
from quorate.queue.handlers import Handlers
from quorate.queue.model import LaneWeights, QueueConfig
from quorate.queue.orders import (
    Orders,
    event_of,
    event_report,
    order_of,
    read_main,
    read_orders,
    report,
    retry_facts,
    retry_of,
)
from quorate.queue.patience import ErrorRule, RetryPolicy
from quorate.resilience.backoff import Jitter, constant, linear

POLICY = RetryPolicy(
    7,
    linear(2.0, 20.0),
    (LookupError, InvalidInput),
    (ErrorRule(TimeoutError, attempts=2), ErrorRule(OSError, backoff=constant(1.0))),
)


async def work(payload):
    return payload


def test_orders_arrive_as_they_were_given():
    handlers = Handlers()
    handler = handlers.add("work", work, timeout_s=3.0, retry=POLICY)
    orders = Orders(
        url="redis://:secret@host:1",
        namespace="shop",
        terms=LeaseTerms(ttl_s=3.0, renew_every_s=1.0),
        config=QueueConfig(
            queues=("a", "b"), concurrency=5, weights=LaneWeights(3, 2, 1), retry=POLICY
        ),
        handlers=(order_of(handler),),
        main=(None, "/app/main.py"),
        path=("/app",),
        prepare=("app:begin",),
        outfit={"urls": {}},
    )

    assert read_orders(orders.line(), None) == orders
    assert read_main(orders.line()) == (("/app",), (None, "/app/main.py"))
    assert retry_of(orders.handlers[0].retry, None) == POLICY
    assert "secret" not in repr(orders)


def test_a_retry_policy_names_its_errors():
    facts = retry_facts(POLICY)

    assert facts["give_up_on"] == [
        "builtins:LookupError", "quorate.core.errors:InvalidInput",
    ]  # fmt: skip
    assert retry_of(json.loads(json.dumps(facts)), None) == POLICY
    assert retry_of(
        retry_facts(RetryPolicy(1, constant(2.0))), None
    ).backoff.jitter is (Jitter.NONE)


@pytest.mark.parametrize("name", ["builtins:len", "builtins:int"])
def test_what_is_no_error_is_not_given_up_on(name):
    facts = retry_facts(POLICY) | {"give_up_on": [name]}

    with pytest.raises(InvalidInput, match="is not an error"):
        retry_of(facts, None)


def test_events_of_the_queue_and_the_session_are_passed_on():
    event = SessionLost(session="s", tag="t", why="late")

    said = json.loads(event_report(event))

    assert event_of(said["event"]) == event
    assert event_of(["WorkerStarted", {"worker": 1, "pid": 2}]) == WorkerStarted(
        worker=1, pid=2
    )


class Private(Event):
    pass


def test_other_events_stay_in_the_process():
    assert event_report(Private()) is None
    assert event_of(["Private", {}]) is None


def test_a_report_is_one_line():
    assert report("ready", 7) == b'{"ready":7}\n'
