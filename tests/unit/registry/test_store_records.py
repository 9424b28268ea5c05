"""An instance as texts in a store, and back."""

from __future__ import annotations

import pytest

from quorate.core.errors import InvalidInput
from quorate.registry.model import AdminState, ServiceInfo
from quorate.registry.records import (
    MAX_HEALTH_BYTES,
    document_of,
    health_text,
    read_admin,
    read_health,
    read_instance,
)
from quorate.verdict.model import HealthState, HealthStatus


def an_instance(**fields: object) -> ServiceInfo:
    return ServiceInfo(id="a", name="s", endpoint="h:1", **fields)  # type: ignore[arg-type]


def test_the_document_has_what_stays_the_same_in_one_order() -> None:
    one = an_instance(metadata={"x": "1", "y": "2"}, registered_at=5.0)
    other = an_instance(
        metadata={"y": "2", "x": "1"},
        health=HealthStatus(HealthState.UNHEALTHY),
        admin_state=AdminState.DRAINING,
        revision=9,
    )

    assert document_of(one) == document_of(other)


def test_health_travels_with_its_details_if_they_are_few() -> None:
    health = HealthStatus(HealthState.DEGRADED, "slow", 12.5, {"p99": "900 ms"})

    assert read_health(b"degraded " + health_text(health)) == health


def test_too_much_to_say_is_cut_and_never_refused() -> None:
    text = health_text(
        HealthStatus(HealthState.DEGRADED, "x" * 9999, 1.0, {"y": "z" * 9999})
    )

    found = read_health(b"degraded " + text)

    assert len(text) <= MAX_HEALTH_BYTES
    assert (len(found.message), found.details) == (1024, {})


def test_words_of_a_later_version_are_read_with_care() -> None:
    assert read_health(b"splendid {}").status is HealthState.UNKNOWN
    assert read_health(b"healthy").status is HealthState.HEALTHY
    assert read_admin(b"quarantined because") is AdminState.MAINTENANCE
    assert read_admin(b"draining deploy 7") is AdminState.DRAINING


@pytest.mark.parametrize(
    "texts",
    [
        (b"not JSON", b"p.1 5 1", b"healthy {}", b"active "),
        (b"[]", b"p.1 5 1", b"healthy {}", b"active "),
        (b'{"id": ""}', b"p.1 5 1", b"healthy {}", b"active "),
        (document_of(an_instance()), b"p.1 5", b"healthy {}", b"active "),
        (document_of(an_instance()), b"p.1 x 1", b"healthy {}", b"active "),
        (document_of(an_instance()), b"p.1 5 1", b"healthy [", b"active "),
        (document_of(an_instance()), b"p.1 5 1", b"healthy 7", b"active "),
        (document_of(an_instance()), b"p.1 5 1", b"healthy {}", b"\xff"),
    ],
)
def test_what_is_no_instance_is_refused_as_such(texts: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidInput):
        read_instance(*texts, suspect=False)
