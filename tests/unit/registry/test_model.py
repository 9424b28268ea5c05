import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidInput, InvalidName
from quorate.registry.model import (
    AdminState,
    ServiceInfo,
    Snapshot,
    difference,
)
from quorate.verdict.model import HealthState, HealthStatus


def test_an_instance_goes_to_json_and_comes_back_the_same(an_instance):
    before = an_instance(
        "reports-1",
        HealthState.DEGRADED,
        version="1.2.3",
        metadata={"team": "care", "path": "/api"},
        last_check=12.5,
        registered_at=10.0,
        weight=5,
        zone="north",
        session="host-1-abc",
        incarnation=7,
        revision=41,
        admin_state=AdminState.DRAINING,
        suspect=True,
    )

    after = ServiceInfo.from_dict(json.loads(json.dumps(before.to_dict())))

    assert after == before


def test_fields_that_a_newer_writer_adds_are_left_out(an_instance):
    data = an_instance().to_dict() | {"colour": "blue"}

    assert ServiceInfo.from_dict(data) == an_instance()


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": None},
        {"health": "fine"},
        {"health": {"status": "splendid"}},
        {"admin_state": "asleep"},
        {"weight": "5"},
        {"metadata": [1]},
        {"registered_at": "yesterday"},
        {"last_check": "now"},
        {"revision": None},
        {"incarnation": "x"},
        {"endpoint": 17},
    ],
)
def test_what_is_not_an_instance_is_refused(an_instance, wrong):
    with pytest.raises(InvalidInput):
        ServiceInfo.from_dict(an_instance().to_dict() | wrong)


def test_an_instance_that_lacks_its_name_is_refused():
    with pytest.raises(InvalidInput, match="cannot be read: 'a'"):
        ServiceInfo.from_dict({"id": "a"})


def test_metadata_cannot_be_changed_from_outside(an_instance):
    metadata = {"team": "care"}
    instance = an_instance(metadata=metadata)

    metadata["team"] = "other"

    assert instance.metadata == {"team": "care"}
    with pytest.raises(TypeError):
        instance.metadata["team"] = "other"
    assert isinstance(hash(instance), int)


@pytest.mark.parametrize("wrong", ["", " a", "a\n", "x" * 256, 7])
def test_a_name_that_cannot_be_used_is_refused(an_instance, wrong):
    with pytest.raises(InvalidName, match="service"):
        an_instance(name=wrong)
    with pytest.raises(InvalidName, match="instance"):
        ServiceInfo(id=wrong, name="reports", endpoint="a:1")


@pytest.mark.parametrize("weight", [0, -1, 65_536, 1.5, True, "1"])
def test_a_weight_is_a_whole_number_above_nothing(an_instance, weight):
    with pytest.raises(InvalidInput, match="weight"):
        an_instance(weight=weight)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({f"k{n}": "v" for n in range(65)}, "65 pairs"),
        ({"": "v"}, "1 to 128"),
        ({"k" * 129: "v"}, "1 to 128"),
        ({"k y": "v"}, "1 to 128"),
        ({"k\n": "v"}, "1 to 128"),
        ({7: "v"}, "1 to 128"),
        ({"consul-x": "v"}, "belong to Consul"),
        ({"Consul-x": "v"}, "belong to Consul"),
        ({"k": 7}, "is a int"),
        ({"k": "v" * 513}, "over 512 bytes"),
        ({"k": "é" * 257}, "over 512 bytes"),
        ({"k": "a\nb"}, "control characters"),
        ({"k": "\ud800"}, "control characters"),
        ("text", "must be a mapping"),
    ],
)
def test_metadata_beyond_the_limits_is_refused(an_instance, metadata, why):
    with pytest.raises(InvalidInput, match=why):
        an_instance(metadata=metadata)


@pytest.mark.parametrize("field", ["version", "zone"])
@pytest.mark.parametrize("text", ["x" * 129, "a\nb", 7])
def test_short_texts_are_short_and_printable(an_instance, field, text):
    with pytest.raises(InvalidInput, match=f"as a {field}"):
        an_instance(**{field: text})


def test_a_suspect_is_unknown_whatever_its_last_health(an_instance):
    assert an_instance("a", HealthState.HEALTHY).state is HealthState.HEALTHY
    assert an_instance("a", HealthState.HEALTHY, suspect=True).state is (
        HealthState.UNKNOWN
    )


def test_a_newer_status_says_when_it_was_found(an_instance):
    status = HealthStatus(HealthState.UNHEALTHY, "refused", 99.0)

    changed = an_instance().with_health(status)

    assert changed.health == status
    assert changed.last_check == 99.0
    assert an_instance().address.port == changed.address.port


def test_a_snapshot_is_in_the_order_of_ids(an_instance):
    snapshot = Snapshot.of("reports", [an_instance("b"), an_instance("a")])

    assert [instance.id for instance in snapshot.instances] == ["a", "b"]
    assert snapshot.by_id["b"].id == "b"


def test_an_id_that_is_twice_is_refused(an_instance):
    with pytest.raises(InvalidInput, match="twice"):
        Snapshot.of("reports", [an_instance("a"), an_instance("a", weight=2)])


def test_a_foreign_instance_is_refused(an_instance):
    with pytest.raises(InvalidInput, match="not of 'reports'"):
        Snapshot.of("reports", [an_instance("a", name="orders")])


def test_a_snapshot_knows_its_age_and_since_when_it_is_stale(a_snapshot):
    snapshot = a_snapshot("a", loaded_at=10.0)

    stale = snapshot.gone_stale(now=15.0)

    assert snapshot.age_s(now=12.5) == 2.5
    assert snapshot.age_s(now=9.0) == 0.0
    assert snapshot.stale_since is None
    assert stale.stale_since == 15.0
    assert stale.gone_stale(now=20.0) is stale


def test_a_difference_names_what_is_new_gone_and_changed(an_instance, a_snapshot):
    before = a_snapshot("a", "b", "c")
    heavier = an_instance("b", weight=9)
    after = a_snapshot("a", heavier, "d")

    found = difference(before, after)

    assert [i.id for i in found.added] == ["d"]
    assert [i.id for i in found.removed] == ["c"]
    assert found.changed == ((an_instance("b"), heavier),)
    assert found


def test_nothing_changed_is_false(a_snapshot):
    assert not difference(a_snapshot("a"), a_snapshot("a"))
    assert [i.id for i in difference(None, a_snapshot("a")).added] == ["a"]


def test_a_status_that_cannot_be_read_is_refused():
    for data in (None, "healthy", {}, {"status": "healthy", "details": 7}):
        with pytest.raises(InvalidInput, match="not a health status"):
            HealthStatus.from_dict(data)


@given(
    st.builds(
        HealthStatus,
        st.sampled_from(HealthState),
        st.text(max_size=20),
        st.floats(0, 1e12),
        st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    )
)
def test_a_status_goes_to_plain_values_and_comes_back(status):
    assert HealthStatus.from_dict(status.to_dict()) == status
