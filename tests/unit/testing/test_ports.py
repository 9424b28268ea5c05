"""A port for a server of the tests is nobody else's."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.ports import BLOCK, LOWEST, PROPOSED_FROM, Ports


@pytest.fixture
def ports() -> Iterator[Ports]:
    with closing(Ports()) as ports:
        yield ports


def test_a_port_is_given_again_only_after_all_others(ports: Ports):
    given = [ports.next() for _ in range(100)]

    assert len(set(given)) == 100


def test_two_processes_never_get_the_same_port(ports: Ports):
    with closing(Ports()) as other:
        ours = {ports.next() // BLOCK for _ in range(BLOCK)}
        theirs = {other.next() // BLOCK for _ in range(BLOCK)}

    assert not ours & theirs


def test_a_port_on_which_somebody_listens_is_left_out(ports: Ports):
    port = ports.next()
    with socket.create_server(("127.0.0.1", port + 1)):
        assert port + 1 not in {ports.next() for _ in range(BLOCK)}


def test_no_port_is_in_the_range_that_connections_take():
    with closing(Ports(PROPOSED_FROM)) as ports:
        assert all(LOWEST < ports.next() < PROPOSED_FROM for _ in range(BLOCK))
