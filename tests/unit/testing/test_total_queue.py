"""What was put in is done, and nothing else is."""

from __future__ import annotations

from tests.unit.testing.histories import op

from quorate.testing.total_queue import tally


def test_a_queue_that_does_everything_once_is_valid() -> None:
    history = [op("enqueue", 1, 2, id=f"t{n}") for n in range(3)]
    history += [op("complete", 5, 6, id=f"t{n}") for n in range(3)]

    count = tally([*history, op("nemesis", 1, 9)])

    assert count.verdict(most_duplicates=0).is_valid
    assert (count.enqueued, count.done) == (3, 3)


def test_a_lost_task_is_seen() -> None:
    count = tally([op("enqueue", 1, 2, id="a"), op("enqueue", 1, 2, id="b")])

    assert count.lost == ("a", "b")
    assert str(count.verdict()) == "invalid over 2 operations: 2 lost: a, b"


def test_a_task_that_nobody_enqueued_is_seen() -> None:
    count = tally([op("complete", 1, 2, id="ghost"), op("complete", 1, None, id="b")])

    assert count.unexpected == ("b", "ghost")
    assert count.verdict().ruling == "invalid"


def test_duplicates_are_counted_and_limited() -> None:
    history = [op("enqueue", 1, 2, id="a")]
    history += [op("complete", n, n, id="a") for n in (5, 6, 7)]

    count = tally(history)

    assert count.duplicated == ("a",)
    assert count.duplicates == 2
    assert count.verdict(most_duplicates=2).is_valid
    assert count.verdict(most_duplicates=1).ruling == "invalid"


def test_an_unknown_enqueue_may_be_done_or_not() -> None:
    count = tally(
        [
            op("enqueue", 1, None, id="a"),
            op("enqueue", 1, None, id="b"),
            op("complete", 3, 4, id="a"),
        ]
    )

    assert count.recovered == ("a",)
    assert count.verdict(most_duplicates=0).is_valid


def test_a_task_of_which_nobody_knows_is_not_called_done() -> None:
    count = tally([op("enqueue", 1, 2, id="a"), op("complete", 3, None, id="a")])

    assert count.uncertain == ("a",)
    assert count.verdict().ruling == "unknown"


def test_an_unknown_completion_is_no_duplicate() -> None:
    count = tally(
        [
            op("enqueue", 1, 2, id="a"),
            op("complete", 3, None, id="a"),
            op("complete", 5, 6, id="a"),
        ]
    )

    assert count.verdict(most_duplicates=0).is_valid
