import random

from hypothesis import given
from hypothesis import strategies as st

from quorate.cache.deadlines import Deadlines
from quorate.cache.policies import FirstInFirstOut, LeastRecentlyUsed, SoonestToExpire


def drain(policy, number):
    order = []
    for _ in range(number):
        order.append(policy.victim())
        policy.removed(order[-1])
    return order


def fill(policy):
    policy.stored("a", 30.0)
    policy.stored("b", 10.0)
    policy.stored("c", None)
    policy.stored("d", 20.0)
    return policy


def test_lru_gives_up_what_was_not_wanted_for_longest():
    policy = fill(LeastRecentlyUsed())

    policy.used("a")
    policy.stored("c", None)

    assert drain(policy, 4) == ["b", "d", "a", "c"]


def test_fifo_gives_up_what_came_first_whatever_is_used():
    policy = fill(FirstInFirstOut())

    policy.used("a")
    policy.stored("b", 99.0)

    assert drain(policy, 4) == ["a", "b", "c", "d"]


def test_ttl_gives_up_what_ends_first_and_last_what_never_ends():
    policy = fill(SoonestToExpire())

    policy.used("b")
    policy.stored("d", 40.0)

    assert drain(policy, 4) == ["b", "a", "d", "c"]


def test_without_entries_there_is_no_soonest():
    assert Deadlines().soonest() is None


def test_what_was_replaced_does_not_pile_up():
    deadlines = Deadlines()

    for end in range(10_000):
        deadlines.set("always the same", 1e9 - end)

    assert len(deadlines) == 1
    assert len(deadlines._heap) <= 2 + 64
    assert deadlines.soonest() == (1e9 - 9_999, "always the same")


@given(st.integers(), st.integers(1, 300))
def test_the_soonest_is_always_the_smallest_that_is_left(seed, steps):
    chance = random.Random(seed)
    deadlines, plain = Deadlines(), {}
    for _ in range(steps):
        key = chance.choice("abcdefgh")
        if chance.random() < 0.3:
            deadlines.remove(key)
            plain.pop(key, None)
        else:
            plain[key] = chance.random()
            deadlines.set(key, plain[key])

        soonest = deadlines.soonest()
        assert (soonest is None) == (not plain)
        assert soonest is None or soonest[0] == min(plain.values())
