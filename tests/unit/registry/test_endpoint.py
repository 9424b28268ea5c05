import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidUrl
from quorate.registry.endpoint import Endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://10.0.0.7:8080/api", Endpoint("http", "10.0.0.7", 8080, "/api")),
        ("http://reports", Endpoint("http", "reports", 80)),
        ("https://reports", Endpoint("https", "reports", 443)),
        ("reports:8080", Endpoint("", "reports", 8080)),
        ("[::1]:8080", Endpoint("", "::1", 8080)),
        ("grpc://reports:50051", Endpoint("grpc", "reports", 50051)),
    ],
)
def test_an_endpoint_is_taken_apart(text, expected):
    assert Endpoint.parse(text) == expected


def test_an_address_has_the_brackets_that_it_needs():
    assert Endpoint.parse("http://[::1]:80/x").address == "[::1]:80"
    assert Endpoint.parse("http://reports:80/x").address == "reports:80"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not empty"),
        (None, "not empty"),
        (b"a:1", "not empty"),
        ("reports", "no port"),
        ("reports:0", "no port"),
        ("grpc://reports", "no port"),
        ("reports:65536", "out of range"),
        ("reports:http", "Port could not be cast"),
        (":8080", "no host"),
        ("http://:8080", "no host"),
        ("http://user:secret@reports:80", "credentials"),
        ("http://reports:80/?q=1", "query"),
        ("http://reports:80/#top", "query"),
        ("http://re ports:80", "spaces"),
        ("http://reports:80/\n", "control characters"),
        ("http://[::1:80", "Invalid"),
        ("http://" + "x" * 600 + ":80", "over 512"),
    ],
)
def test_what_cannot_be_dialled_is_refused(text, why):
    with pytest.raises(InvalidUrl, match=why):
        Endpoint.parse(text)


def test_credentials_are_not_repeated_in_the_error():
    with pytest.raises(InvalidUrl) as caught:
        Endpoint.parse("http://user:secret@reports:80")

    assert "secret" not in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    try:
        endpoint = Endpoint.parse(text)
    except InvalidUrl:
        return
    assert endpoint.host
    assert 0 < endpoint.port < 65536
