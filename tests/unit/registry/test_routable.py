import pytest

from quorate.core.errors import InvalidInput
from quorate.registry.balancing.routable import RoutingTerms, routable
from quorate.registry.model import AdminState
from quorate.verdict.model import HealthState

H, D, U = HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY
S, X = HealthState.STARTING, HealthState.UNKNOWN


@pytest.fixture
def found(an_instance):
    def find(*states, terms=None, **fields):
        services = [
            an_instance(chr(97 + number), state, **fields)
            for number, state in enumerate(states)
        ]
        return routable(services, terms or RoutingTerms())

    return find


def ids(services):
    return "".join(service.id for service in services)


def test_the_healthy_are_called(found):
    result = found(H, H, H, U)

    assert ids(result.services) == "abc"
    assert (result.fit, result.judged, result.panic) == (3, 4, False)


def test_degraded_ones_join_when_the_healthy_are_too_few(found):
    assert ids(found(H, H, H, D).services) == "abc"
    assert ids(found(H, H, D, D).services) == "abcd"
    assert ids(found(H, D, U).services) == "ab"
    assert ids(found(D, D).services) == "ab"


def test_below_half_fit_everybody_is_called(found):
    result = found(H, U, U)

    assert ids(result.services) == "abc"
    assert result.panic
    assert (result.fit, result.judged) == (1, 3)


def test_at_half_fit_there_is_no_panic(found):
    result = found(H, U)

    assert ids(result.services) == "a"
    assert not result.panic


def test_panic_can_be_switched_off(found):
    calm = RoutingTerms(panic_below=0.0)

    assert ids(found(H, U, U, terms=calm).services) == "a"
    assert ids(found(U, U, terms=calm).services) == ""


def test_starting_ones_are_no_reason_to_panic_and_are_not_called(found):
    result = found(H, S, S, S)

    assert ids(result.services) == "a"
    assert not result.panic


def test_starting_ones_are_called_when_there_is_nobody_else(found):
    result = found(S, S)

    assert ids(result.services) == "ab"
    assert not result.panic


def test_unknown_ones_are_a_last_resort(found):
    calm = RoutingTerms(panic_below=0.0)

    assert ids(found(X, X, U, S, terms=calm).services) == "ab"
    assert ids(found(H, X, terms=calm).services) == "a"


def test_those_that_people_took_out_are_out(an_instance):
    services = [
        an_instance("a", H, admin_state=AdminState.DRAINING),
        an_instance("b", H, admin_state=AdminState.MAINTENANCE),
        an_instance("c", H),
    ]

    result = routable(services, RoutingTerms())

    assert ids(result.services) == "c"
    assert result.reserve == ()
    assert (result.fit, result.judged) == (1, 1)


def test_a_suspect_is_not_called_while_others_are_fit(an_instance):
    services = [an_instance("a"), an_instance("b"), an_instance("c", suspect=True)]

    assert ids(routable(services, RoutingTerms()).services) == "ab"


def test_the_reserve_is_everybody_else_the_best_first(found):
    result = found(H, H, H, U, X, D, S, terms=RoutingTerms(panic_below=0.0))

    assert ids(result.services) == "abcf"
    assert ids(result.reserve) == "ged"


def test_of_nobody_nobody_is_called(found):
    result = found()

    assert (result.services, result.reserve, result.panic) == ((), (), False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"overprovision": 0.9},
        {"overprovision": float("inf")},
        {"panic_below": -0.1},
        {"panic_below": 1.1},
        {"panic_below": float("nan")},
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidInput, match="cannot be used"):
        RoutingTerms(**wrong)
