import json

import pytest

from quorate.health.model import CheckGroup
from quorate.health.report import CheckReport, make_report
from quorate.verdict.model import HealthState, HealthStatus

H, D, U = HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY
S, X = HealthState.STARTING, HealthState.UNKNOWN


def a_check(name, state, *, critical=True, group=CheckGroup.READINESS):
    return CheckReport(
        name=name,
        status=HealthStatus(state, "because", 5.0, {"k": "v"}),
        critical=critical,
        group=group,
        reason="3 failures in a row",
        since=4.0,
        state_for_s=1.23456,
    )


@pytest.mark.parametrize(
    ("critical", "others", "expected"),
    [
        ([], [], H),
        ([H, H], [], H),
        ([H, D], [], D),
        ([D, S], [], S),
        ([S, X], [], X),
        ([X, U, H], [], U),
        ([H], [U], D),
        ([H], [X], D),
        ([H], [D], D),
        ([H], [S], H),
        ([S], [U], S),
        ([U], [H], U),
        ([], [U], D),
    ],
)
def test_the_whole_is_its_worst_critical_check_and_others_only_degrade_it(
    critical, others, expected
):
    checks = [a_check(f"c{n}", state) for n, state in enumerate(critical)]
    checks += [a_check(f"o{n}", s, critical=False) for n, s in enumerate(others)]

    assert make_report(checks, at=9.0).status is expected


def test_each_group_has_its_own_verdict():
    report = make_report(
        [a_check("self", H, group=CheckGroup.LIVENESS), a_check("db", U)], at=9.0
    )

    assert report.groups == {CheckGroup.LIVENESS: H, CheckGroup.READINESS: U}
    assert report.status is U


def test_causes_are_the_checks_that_make_it_so():
    report = make_report(
        [a_check("b", U), a_check("a", U), a_check("c", D), a_check("d", H)], at=9.0
    )

    assert report.causes == ("a", "b")
    assert make_report([a_check("a", H)], at=9.0).causes == ()
    assert make_report([a_check("a", U, critical=False)], at=9.0).causes == ("a",)


def test_a_report_is_told_as_plain_values():
    report = make_report([a_check("db", U)], at=9.0, disabled=["z", "y"])

    told = json.loads(json.dumps(report.to_dict()))

    assert told == {
        "status": "unhealthy",
        "groups": {"liveness": "healthy", "readiness": "unhealthy"},
        "checks": {
            "db": {
                "status": "unhealthy",
                "message": "because",
                "timestamp": 5.0,
                "details": {"k": "v"},
                "critical": True,
                "group": "readiness",
                "reason": "3 failures in a row",
                "since": 4.0,
                "state_for_s": 1.235,
                "flapping": False,
            }
        },
        "disabled": ["y", "z"],
        "timestamp": 9.0,
    }
