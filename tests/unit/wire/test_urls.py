"""URLs: what is taken, what is refused with a reason, and that no password is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidUrl
from quorate.wire.urls import LONGEST, check_redis_url, scheme_of

GOOD = [
    "redis://localhost",
    "redis://localhost/",
    "redis://localhost:6379",
    "redis://localhost:6379/",
    "redis://localhost:6379/0",
    "redis://localhost:6379/15",
    "redis://127.0.0.1:1",
    "redis://127.0.0.1:65535/3",
    "redis://[::1]:6379/1",
    "redis://[fe80::1]",
    "redis://:secret@localhost",
    "redis://user:secret@localhost:6379/2",
    "redis://user@localhost",
    "redis://user:p%40ss%2Fw%23rd@localhost",
    "redis://user@corp:secret@localhost",
    "redis://redis.prod.example.com:6380",
    "rediss://localhost:6380",
    "rediss://localhost?ssl_cert_reqs=none",
    "rediss://localhost?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem",
    "rediss://localhost/1?ssl_certfile=c.pem&ssl_keyfile=k.pem&ssl_password=x",
    "rediss://localhost?ssl_check_hostname=false",
]

BAD = [
    ("redis://", "names no host"),
    ("redis:///0", "names no host"),
    ("redis://:secret@", "names no host"),
    ("redis://:6379", "names no host"),
    ("redis://localhost:0", "port 0"),
    ("redis://localhost:65536", "not a valid URL"),
    ("redis://localhost:-1", "not a valid URL"),
    ("redis://localhost:port", "not a valid URL"),
    ("redis://[::1", "not a valid URL"),
    ("redis://localhost/x", "Redis databases are numbers"),
    ("redis://localhost/-1", "Redis databases are numbers"),
    ("redis://localhost/0/1", "Redis databases are numbers"),
    ("redis://localhost/1.5", "Redis databases are numbers"),
    ("redis://localhost/²", "Redis databases are numbers"),
    ("redis://localhost/٣", "Redis databases are numbers"),
    ("redis://localhost/%30", "Redis databases are numbers"),
    ("redis://localhost?db=1", "parameter 'db'"),
    ("redis://localhost?socket_timeout=1", "parameter 'socket_timeout'"),
    ("redis://localhost?timeout", "parameter 'timeout'"),
    ("redis://localhost?ssl_cert_reqs=none", "Only rediss:// takes parameters"),
    ("rediss://localhost?ssl_magic=1", "parameter 'ssl_magic'"),
    ("rediss://localhost?ssl_min_version=9", "parameter 'ssl_min_version'"),
    ("rediss://localhost?ssl_cert_reqs=maybe", "none, optional or required"),
    ("rediss://localhost?protocol=3", "parameter 'protocol'"),
    ("redis://local host", "a space or a control character"),
    ("redis://local\nhost", "a space or a control character"),
    ("redis://localhost\x00", "a space or a control character"),
    ("redis://localhost\u00a0", "a space or a control character"),
    (" redis://localhost", "does not begin with a scheme"),
    ("redis://localhost#frag", "Percent-encode"),
    ("redis://:pa/ss@localhost", "Percent-encode"),
    ("redis://:pa?ss@localhost", "Percent-encode"),
    ("redis://:pa#ss@localhost", "Percent-encode"),
    ("redis://user:12/ss@localhost:6379", "Percent-encode"),
    ("redis:/localhost", "has no '://'"),
    ("redis:localhost", "has no '://'"),
    ("localhost:6379", "has no '://'"),
    ("localhost", "has no '://'"),
    ("", "has no '://'"),
    ("://localhost", "does not begin with a scheme"),
    ("REDIS://localhost", "is not a backend"),
    ("reds://localhost", "Did you mean redis://"),
    ("redis+tls://localhost", "Did you mean redis"),
    ("embeded://", "Did you mean embedded://"),
    ("memorry://x", "Did you mean memory://"),
    ("http://localhost", "is not a backend"),
    ("unix:///tmp/redis.sock", "is not a backend"),
    (None, "must be text"),
    (6379, "must be text"),
    (b"redis://localhost", "must be text"),
    ("redis://" + "h" * LONGEST, "are allowed"),
]

TELLING = [
    "redis://user:hunter2@localhost/x",
    "redis://user:hunter2@localhost:0",
    "redis://user:hunter2@localhost:port",
    "redis://:hunter2/more@localhost",
    "redis://:hunter2?more@localhost",
    "redis://:hunter2#more@localhost",
    "redis://user:hunter2@",
    "redis://user:hunter2@localhost?db=1",
    "redis://user:hunter2@local host",
    "reds://user:hunter2@localhost",
    "redis:/user:hunter2@localhost",
    "user:hunter2@localhost:6379",
    "user:hunter2@localhost://x",
]


def check(url: object) -> object:
    scheme = scheme_of(url)
    assert isinstance(url, str)
    return check_redis_url(url) if scheme.startswith("redis") else scheme


@pytest.mark.parametrize("url", GOOD)
def test_it_is_taken_as_it_is(url: str) -> None:
    address = check_redis_url(url)

    assert (address.url, address.shared, address.kind) == (url, url, "redis")


@pytest.mark.parametrize(("url", "part"), BAD, ids=lambda value: ascii(value)[:50])
def test_it_is_refused_with_a_reason_and_a_fix(url: object, part: str) -> None:
    with pytest.raises(InvalidUrl) as refused:
        check(url)

    assert part in str(refused.value)
    assert refused.value.fix


@pytest.mark.parametrize("url", TELLING)
def test_no_refusal_tells_the_password(url: str) -> None:
    with pytest.raises(InvalidUrl) as refused:
        check(url)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "url", ["redis://x", "rediss://x", "embedded://", "memory://a"]
)
def test_the_scheme_is_told(url: str) -> None:
    assert scheme_of(url) == url.partition("://")[0]


@given(st.text(max_size=60))
def test_whatever_comes_is_taken_or_refused(rest: str) -> None:
    for url in (rest, f"redis://{rest}", f"rediss://h?{rest}"):
        try:
            address = check(url)
        except InvalidUrl:
            continue
        assert address
