from quorate.verdict.model import HealthState, HealthStatus, Outcome


def test_unhealthy_is_the_worst_and_healthy_the_best():
    states = sorted(HealthState, key=lambda state: state.badness)

    assert states[0] is HealthState.HEALTHY
    assert states[-1] is HealthState.UNHEALTHY
    assert len({state.badness for state in states}) == len(states)


def test_a_warning_is_an_answer():
    answering = {outcome for outcome in Outcome if outcome.answered}

    assert answering == {Outcome.SUCCESS, Outcome.WARNING}


def test_a_status_is_told_as_plain_values():
    status = HealthStatus(HealthState.DEGRADED, "slow", 12.5, {"code": "429"})

    assert status.to_dict() == {
        "status": "degraded",
        "message": "slow",
        "timestamp": 12.5,
        "details": {"code": "429"},
    }
    assert isinstance(hash(status), int)
