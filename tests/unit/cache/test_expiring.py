import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cache.expiring import ExpiringStore, StoreStats
from quorate.cache.policies import FirstInFirstOut, LeastRecentlyUsed, SoonestToExpire
from quorate.core.errors import InvalidInput


def a_store(max_size=3, policy=None):
    return ExpiringStore(max_size, policy or LeastRecentlyUsed())


def value_of(store, key, now=0.0):
    entry = store.get(key, now)
    return entry and entry.value


def test_what_was_put_is_found_until_its_time_is_over():
    store = a_store()
    store.put("a", 1, now=0.0, ttl_s=10.0)

    assert value_of(store, "a", now=9.9) == 1
    assert value_of(store, "a", now=10.0) is None
    assert len(store) == 0


def test_without_a_ttl_it_does_not_age():
    store = a_store()
    store.put("a", 1, now=0.0, ttl_s=None)

    assert value_of(store, "a", now=1e12) == 1


def test_putting_again_gives_it_a_new_time():
    store = a_store()
    store.put("a", 1, now=0.0, ttl_s=10.0)
    store.put("a", 2, now=5.0, ttl_s=10.0)
    store.put("b", 3, now=5.0, ttl_s=1.0)
    store.put("b", 4, now=5.0, ttl_s=None)

    assert value_of(store, "a", now=14.9) == 2
    assert value_of(store, "b", now=99.0) == 4


def test_the_one_too_many_drives_out_a_victim():
    store = a_store(max_size=2)
    store.put("a", 1, 0.0, None)
    store.put("b", 2, 0.0, None)
    store.get("a", 0.0)

    store.put("c", 3, 0.0, None)

    assert value_of(store, "b") is None
    assert value_of(store, "a") == 1
    assert value_of(store, "c") == 3


def test_putting_anew_drives_out_nobody():
    store = a_store(max_size=2)
    store.put("a", 1, 0.0, None)
    store.put("b", 2, 0.0, None)
    store.put("a", 3, 0.0, None)

    assert len(store) == 2
    assert store.stats().evictions == 0


def test_what_has_ended_goes_before_anybody_is_driven_out():
    store = a_store(max_size=2)
    store.put("old", 1, 0.0, None)
    store.put("ended", 2, 0.0, 1.0)

    store.put("new", 3, 5.0, None)

    assert value_of(store, "old", 5.0) == 1
    assert store.stats().evictions == 0
    assert store.stats().expirations == 1


@pytest.mark.parametrize(
    "policy", [LeastRecentlyUsed, FirstInFirstOut, SoonestToExpire]
)
def test_what_is_gone_already_is_not_driven_out_again(policy):
    store = a_store(max_size=2, policy=policy())
    store.put("discarded", 1, 0.0, 50.0)
    store.discard("discarded")
    store.put("ended", 1, 0.0, 1.0)

    for number in range(5):
        store.put(str(number), number, 2.0, 50.0)

    assert len(store) == 2
    assert store.stats().evictions == 3


def test_what_does_not_age_any_more_is_not_swept():
    store = a_store()
    store.put("a", 1, 0.0, 1.0)
    store.put("a", 2, 0.0, None)

    assert store.sweep(99.0) == 0
    assert value_of(store, "a", 99.0) == 2


def test_a_sweep_drops_a_few_at_a_time():
    store = a_store(max_size=100)
    for number in range(10):
        store.put(str(number), number, 0.0, 1.0)

    assert store.sweep(0.5) == 0
    assert store.sweep(2.0, at_most=4) == 4
    assert store.sweep(2.0) == 6
    assert len(store) == 0


def test_what_is_discarded_is_gone():
    store = a_store()
    store.put("a", 1, 0.0, 5.0)
    store.put("b", 1, 0.0, None)

    assert store.discard("a")
    assert not store.discard("a")
    store.clear()

    assert len(store) == 0
    assert store.stats().expirations == 0


def test_counts_add_up():
    store = a_store(max_size=2)
    for key in "abc":
        store.put(key, key, 0.0, 5.0)
    for key in "abcd":
        store.get(key, 1.0)
    store.get("b", 9.0)

    assert store.stats() == StoreStats(
        size=1, hits=2, misses=3, evictions=1, expirations=1
    )


class Mistaken(LeastRecentlyUsed):
    def victim(self):
        return "nobody"


def test_a_policy_that_names_nobody_is_named():
    store = a_store(max_size=1, policy=Mistaken())
    store.put("a", 1, 0.0, None)

    with pytest.raises(InvalidInput, match="Mistaken gave up 'nobody'"):
        store.put("b", 2, 0.0, None)


class Largest:
    """A user's own policy: the longest key goes first."""

    def __init__(self):
        self.keys = set()

    def stored(self, key, expires_at):
        self.keys.add(key)

    def used(self, key):
        pass

    def removed(self, key):
        self.keys.discard(key)

    def victim(self):
        return max(self.keys, key=len)


def test_users_bring_their_own_policy():
    store = a_store(max_size=2, policy=Largest())
    for key in ("a", "long", "b"):
        store.put(key, 1, 0.0, None)

    assert value_of(store, "long") is None
    assert value_of(store, "a") == 1


@pytest.mark.parametrize("ttl_s", [0, -1, float("inf"), float("nan")])
def test_a_time_that_makes_no_sense_is_refused(ttl_s):
    with pytest.raises(InvalidInput, match="cannot be kept"):
        a_store().put("a", 1, 0.0, ttl_s)


def test_a_store_of_nothing_is_refused():
    with pytest.raises(InvalidInput, match="cannot hold anything"):
        a_store(max_size=0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "get", "discard", "sweep"]),
        st.sampled_from("abcdefgh"),
        st.sampled_from([None, 1.0, 3.0, 7.0]),
        st.floats(0.0, 2.0),
    ),
    max_size=120,
)


@given(STEPS, st.sampled_from([LeastRecentlyUsed, FirstInFirstOut, SoonestToExpire]))
def test_it_never_finds_what_a_plain_table_would_not(steps, policy):
    store = ExpiringStore(4, policy())
    plain, now, asked = {}, 0.0, 0
    for number, (what, key, ttl_s, passes_s) in enumerate(steps):
        now += passes_s
        if what == "put":
            store.put(key, number, now, ttl_s)
            plain[key] = (number, None if ttl_s is None else now + ttl_s)
        elif what == "discard":
            store.discard(key)
            plain.pop(key, None)
        elif what == "sweep":
            store.sweep(now)
        else:
            asked += 1
            entry = store.get(key, now)
            if entry is not None:
                assert plain[key] == (entry.value, entry.expires_at)
                assert entry.expires_at is None or now < entry.expires_at
        assert len(store) <= 4
    stats = store.stats()
    assert stats.hits + stats.misses == asked
