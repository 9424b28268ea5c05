import random

import pytest

from quorate.registry.balancing.records import GONE_KEPT, Memory, Record


def a_memory():
    return Memory(random.Random(1), lambda: 0.0)


def test_a_new_record_is_taken_for_good():
    assert Record().success(now=0.0) == 1.0


def test_failures_bring_success_down_to_a_floor():
    record = Record()

    for _ in range(3):
        record.begin()
        record.end(0.1, succeeded=False, now=0.0)
    after_three = record.success(now=0.0)
    for _ in range(50):
        record.begin()
        record.end(0.1, succeeded=False, now=0.0)

    assert after_three == pytest.approx(0.8**3)
    assert record.success(now=0.0) == 0.05
    assert record.failed == 53
    assert record.in_flight == 0
    assert record.busy_s == pytest.approx(5.3)


def test_success_recovers_while_nobody_calls():
    record = Record()
    for _ in range(50):
        record.begin()
        record.end(0.1, succeeded=False, now=0.0)

    later = [record.success(now) for now in (0.0, 5.0, 20.0, 100.0)]

    assert later == sorted(later)
    assert later[-1] > 0.99


def test_success_recovers_by_calls_that_go_well():
    record = Record()
    record.begin()
    record.end(0.1, succeeded=False, now=0.0)

    for _ in range(40):
        record.begin()
        record.end(0.1, succeeded=True, now=0.0)

    assert record.success(now=0.0) == 1.0
    assert record.succeeded == 40


def test_a_call_that_was_given_up_says_nothing():
    record = Record()
    record.begin()

    record.cancel()

    assert record.success(now=0.0) == 1.0
    assert (record.in_flight, record.picked, record.cancelled) == (0, 1, 1)


def test_records_of_the_gone_are_bounded_and_those_in_use_are_kept():
    memory = a_memory()
    memory.record("busy").begin()
    for number in range(GONE_KEPT + 50):
        memory.record(f"gone-{number}")
    memory.record("listed")

    memory.prune(["listed"])

    assert len(memory) == GONE_KEPT + 2
    assert memory.record("busy").in_flight == 1
    assert memory.record("listed").picked == 0


def test_a_record_survives_when_its_instance_is_not_listed_for_a_while():
    memory = a_memory()
    record = memory.record("a")

    memory.prune(["b"])
    memory.prune(["a", "b"])

    assert memory.record("a") is record
