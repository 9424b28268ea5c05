"""What checkers refuse before they look, and what functions may answer."""

import sys

import pytest

from quorate.core.errors import InvalidInput, InvalidUrl, MissingCapability
from quorate.health.checkers.custom import CustomHealthChecker
from quorate.health.checkers.database import DatabaseHealthChecker
from quorate.health.checkers.http import HTTPHealthChecker
from quorate.health.checkers.redis import RedisHealthChecker
from quorate.health.checkers.tcp import TCPHealthChecker
from quorate.health.model import warned
from quorate.verdict.model import Outcome


@pytest.mark.parametrize(
    ("answer", "outcome", "message"),
    [
        (None, Outcome.SUCCESS, "ok"),
        (True, Outcome.SUCCESS, "ok"),
        ("all well", Outcome.SUCCESS, "all well"),
        (False, Outcome.FAILURE, "it says no"),
        (warned("slow"), Outcome.WARNING, "slow"),
        (17, Outcome.FAILURE, "it answered with a int"),
    ],
)
async def test_a_function_may_answer_in_many_ways(answer, outcome, message):
    async def ask():
        return answer

    for function in (ask, lambda: answer):
        result = await CustomHealthChecker(function).check()
        assert (result.outcome, result.message) == (outcome, message)


@pytest.mark.parametrize(
    "url", ["", "auth/health", "ftp://a/b", "http://", "http://a:x/", None, 7]
)
def test_what_is_not_a_web_address_is_refused(url):
    with pytest.raises(InvalidUrl):
        HTTPHealthChecker(url)


@pytest.mark.parametrize("expected", [0, 99, 600, [], [200, 1000]])
def test_what_is_no_status_is_refused(expected):
    with pytest.raises(InvalidInput, match="no status"):
        HTTPHealthChecker("http://localhost", expected)


@pytest.mark.parametrize(
    ("host", "port"), [("", 1), ("a", 0), ("a", 65_536), ("a", "80")]
)
def test_what_cannot_be_connected_to_is_refused(host, port):
    with pytest.raises(InvalidInput, match="cannot be connected to"):
        TCPHealthChecker(host, port)


def test_too_long_an_expectation_is_refused():
    with pytest.raises(InvalidInput, match="4097 bytes"):
        TCPHealthChecker("a", 1, expect=b"x" * 4097)


@pytest.mark.parametrize("url", ["", "http://localhost", "localhost:6379", None])
def test_what_is_not_a_redis_address_is_refused(url):
    with pytest.raises(InvalidUrl, match="not the URL of a Redis server"):
        RedisHealthChecker(url)


def test_what_is_no_role_is_refused():
    with pytest.raises(InvalidInput, match="'leader' is not a role"):
        RedisHealthChecker("redis://localhost", expect_role="leader")


@pytest.mark.parametrize(
    "url", ["", "mysql://a/b", "postgresql://", "postgresql://[a", None]
)
def test_what_is_not_a_database_address_is_refused(url):
    with pytest.raises(InvalidUrl):
        DatabaseHealthChecker(url)


def test_passwords_are_not_in_the_errors():
    for refuse in (HTTPHealthChecker, RedisHealthChecker, DatabaseHealthChecker):
        with pytest.raises(InvalidUrl) as caught:
            refuse("amqp://user:secret@host/x")
        assert "secret" not in str(caught.value)


def test_mongodb_is_said_to_be_missing():
    for url in ("mongodb://localhost/db", "mongodb+srv://a.b/db"):
        with pytest.raises(MissingCapability, match="custom checker"):
            DatabaseHealthChecker(url)


def test_without_psycopg_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(MissingCapability, match="quorate\\[postgres\\]"):
        DatabaseHealthChecker("postgresql://localhost/db")
