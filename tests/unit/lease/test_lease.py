"""Reasoning about a lease: its owner never trusts it longer than the server does."""

from __future__ import annotations

from math import floor, inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidSettings
from quorate.lease.lease import DRIFT, TTL_S_MAX, TTL_S_MIN, Lease, LeaseTerms

ttls = st.floats(TTL_S_MIN, TTL_S_MAX)
moments = st.floats(0, 1e7)
delays = st.floats(0, 100)
rates = st.floats(1 - DRIFT, 1 + DRIFT)


def server_end(received_at: float, ttl_s: float, rate: float, offset: float) -> float:
    """When the server ends the lease, in the owner's time.

    The server's clock stands `offset` apart and runs `rate` times as fast; it counts
    whole milliseconds, and gets the ttl as such.
    """
    by_server = floor((received_at * rate + offset) * 1000) + int(ttl_s * 1000)
    return (by_server / 1000 - offset) / rate


@given(moments, delays, ttls, rates, st.floats(-1e6, 1e6))
def test_trust_ends_before_the_server_can_end_the_lease(
    asked_at: float, delay_s: float, ttl_s: float, rate: float, offset: float
) -> None:
    lease = Lease(asked_at, ttl_s)

    end = server_end(asked_at + delay_s, ttl_s, rate, offset)

    assert lease.trusted_until < lease.valid_until
    assert lease.valid_until <= end + 1e-4  # what floats lose at such numbers
    assert lease.trusted_until < end


@given(moments, ttls, st.floats(-10, 1e4))
def test_trust_warning_and_what_is_left_agree(
    asked_at: float, ttl_s: float, later_s: float
) -> None:
    lease, now = Lease(asked_at, ttl_s), asked_at + later_s

    assert asked_at < lease.danger_at < lease.trusted_until
    assert lease.is_trusted(now) == (lease.left_s(now) > 0)
    assert 0 <= lease.left_s(now) <= max(0, lease.trusted_until - now)


@given(moments, ttls, st.lists(moments))
def test_a_renewal_never_shortens_a_lease_in_whatever_order_news_come(
    asked_at: float, ttl_s: float, renewals: list[float]
) -> None:
    lease = Lease(asked_at, ttl_s)

    for at in renewals:
        after = lease.renewed(at)
        assert after.trusted_until >= lease.trusted_until
        lease = after

    assert lease.asked_at == max([asked_at, *renewals])
    assert lease.ttl_s == ttl_s


def test_the_numbers_of_the_house() -> None:
    lease = Lease(0.0, 15.0)

    assert lease.valid_until == pytest.approx(14.848)
    assert lease.trusted_until == pytest.approx(14.098)
    assert lease.danger_at == pytest.approx(11.098)
    assert lease.is_trusted(14.097)
    assert not lease.is_trusted(14.099)


def test_a_short_lease_keeps_a_margin_that_a_loop_can_meet() -> None:
    lease = Lease(0.0, TTL_S_MIN)

    assert lease.valid_until - lease.trusted_until == pytest.approx(0.05)
    assert lease.trusted_until > 0.4


@pytest.mark.parametrize(
    ("terms", "parts"),
    [
        ({"ttl_s": 0.0}, ["ttl_s is 0", "renew_every_s is 5"]),
        ({"ttl_s": -1.0}, ["ttl_s is -1"]),
        ({"ttl_s": nan}, ["ttl_s is nan", "renew_every_s"]),
        ({"ttl_s": inf}, ["ttl_s is inf"]),
        ({"ttl_s": 4000.0}, ["ttl_s is 4000"]),
        ({"ttl_s": 9.0}, ["renew_every_s is 5"]),
        ({"renew_every_s": 0.0}, ["renew_every_s is 0", "retry_every_s is 1"]),
        ({"renew_every_s": nan}, ["renew_every_s is nan"]),
        ({"retry_every_s": 0.0}, ["retry_every_s is 0"]),
        ({"retry_every_s": 6.0}, ["retry_every_s is 6"]),
        ({"max_stall_s": 0.0}, ["max_stall_s is 0"]),
        ({"max_stall_s": inf}, ["max_stall_s is inf"]),
        ({"max_stall_s": nan}, ["max_stall_s is nan"]),
    ],
)
def test_terms_that_cannot_be_kept_are_refused_with_every_fault(
    terms: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(InvalidSettings) as refused:
        LeaseTerms(**terms)

    for part in parts:
        assert any(fault.startswith(part) for fault in refused.value.faults)


@given(ttls, st.floats(0.01, 0.5), st.floats(0.01, 1.0))
def test_terms_in_proportion_are_taken(
    ttl_s: float, renew: float, retry: float
) -> None:
    renew_every_s = ttl_s * renew

    terms = LeaseTerms(ttl_s, renew_every_s, renew_every_s * retry)

    assert not terms.somebody_is_late(ttl_s)
    assert terms.somebody_is_late(0.0)


def test_somebody_who_renews_in_time_is_not_late_and_who_misses_one_is() -> None:
    terms = LeaseTerms()

    assert not terms.somebody_is_late(terms.ttl_s - terms.renew_every_s)
    assert terms.somebody_is_late(terms.ttl_s - 2 * terms.renew_every_s)
