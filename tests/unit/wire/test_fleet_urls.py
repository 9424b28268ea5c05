"""URLs of several servers: each part is taken or refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import InvalidUrl
from quorate.wire.fleet_urls import FleetUrl, Spot, check_url, read_fleet_url

S, C = "redis+sentinel://", "redis+cluster://"

GOOD = {
    f"{S}localhost/mymaster": (("localhost:26379",), "mymaster", "0"),
    f"{S}a:1,b:2,c/shop-1": (("a:1", "b:2", "c:26379"), "shop-1", "0"),
    f"{S}a/shop/3": (("a:26379",), "shop", "3"),
    f"{S}a/shop/": (("a:26379",), "shop", "0"),
    f"{S}a,a,a:26379/shop": (("a:26379",), "shop", "0"),
    f"{S}:pw@10.0.0.1:5,10.0.0.2:5/a.b_c": (
        ("10.0.0.1:5", "10.0.0.2:5"),
        "a.b_c",
        "0",
    ),
    f"{S}[::1]:7,h:8,[fe80::2]/shop": (
        ("[::1]:7", "h:8", "[fe80::2]:26379"),
        "shop",
        "0",
    ),
    f"{C}localhost": (("localhost:6379",), "", "0"),
    f"{C}a:7000,b:7001/": (("a:7000", "b:7001"), "", "0"),
    f"{C}user:p%40ss@a": (("a:6379",), "", "0"),
    f"{C}user@corp:pw@a": (("a:6379",), "", "0"),
}

BAD = [
    (f"{S}", "names no host"),
    (f"{S}/shop", "names no host"),
    (f"{S}a,/shop", "names no host, or an empty one"),
    (f"{S},a/shop", "names no host, or an empty one"),
    (f"{S}:secret@/shop", "names no host"),
    (f"{S}a:0/shop", "port 0"),
    (f"{S}a:65536/shop", "not a valid URL"),
    (f"{S}a:port,b/shop", "not a valid URL"),
    (f"{S}a,b:-1/shop", "not a valid URL"),
    (f"{S}[::1/shop", "not a valid URL"),
    (f"{S}a", "names no service"),
    (f"{S}a/", "names no service"),
    (f"{S}a//1", "names no service"),
    (f"{S}a/my master", "a space or a control character"),
    (f"{S}a/my%20master", "has the service 'my master'"),
    (f"{S}a/shöp", "has the service"),
    (f"{S}a/{'s' * 129}", "has the service"),
    (f"{S}a/shop/x", "Redis databases are numbers"),
    (f"{S}a/shop/-1", "Redis databases are numbers"),
    (f"{S}a/shop/1/2", "Redis databases are numbers"),
    (f"{S}a/shop?stripes=3", "parameter 'stripes'"),
    (f"{S}a/shop?ssl_cert_reqs=none", "Only rediss:// takes parameters"),
    (f"{S}a/shop#x", "Percent-encode"),
    (f"{S}:pa/ss@a/shop", "Percent-encode"),
    (f"{S}:pa?ss@a/shop", "Percent-encode"),
    (f"{S}a\n/shop", "a space or a control character"),
    (f"{S}{','.join(f'h{n}' for n in range(65))}/shop", "names 65 hosts"),
    (f"{C}a/1", "A Cluster has one database"),
    (f"{C}a/shop", "A Cluster has one database"),
    (f"{C}a?stripes=0", "1 to 1024 stripes"),
    (f"{C}a?stripes=1025", "1 to 1024 stripes"),
    (f"{C}a?stripes=-1", "1 to 1024 stripes"),
    (f"{C}a?stripes=x", "1 to 1024 stripes"),
    (f"{C}a?stripes=", "1 to 1024 stripes"),
    (f"{C}a?stripes=٣", "1 to 1024 stripes"),
    (f"{C}a?timeout=3", "parameter 'timeout'"),
    (f"{C}a?ssl_cert_reqs=none", "parameter 'ssl_cert_reqs'"),
    ("rediss+cluster://a?ssl_cert_reqs=maybe", "none, optional or required"),
    ("redis+sentinal://a/shop", "Did you mean redis+sentinel://"),
    ("redis+clusters://a", "Did you mean redis+cluster://"),
]

TELLING = [
    f"{S}user:hunter2@a:0/shop",
    f"{S}user:hunter2@a:port/shop",
    f"{S}user:hunter2@a",
    f"{S}:hunter2/more@a/shop",
    f"{S}user:hunter2@/shop",
    f"{C}user:hunter2@a/1",
    f"{C}user:hunter2@a?stripes=x",
    f"{C}user:hunter2@a b",
]


@pytest.mark.parametrize("url", GOOD)
def test_its_parts_are_read(url: str) -> None:
    spots, service, database = GOOD[url]

    found = read_fleet_url(url)

    assert tuple(map(str, found.spots)) == spots
    assert (found.service, found.database) == (service, database)
    assert check_url(url) == url.partition("://")[0]


@pytest.mark.parametrize(("url", "part"), BAD, ids=lambda value: ascii(value)[:50])
def test_it_is_refused_with_a_reason_and_a_fix(url: str, part: str) -> None:
    with pytest.raises(InvalidUrl) as refused:
        check_url(url)

    assert part in str(refused.value)
    assert refused.value.fix


@pytest.mark.parametrize("url", TELLING)
def test_no_refusal_tells_the_password(url: str) -> None:
    with pytest.raises(InvalidUrl) as refused:
        check_url(url)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_stripes_are_part_of_a_clusters_url() -> None:
    assert read_fleet_url(f"{C}a").stripes == 64
    assert read_fleet_url(f"{C}a?stripes=128").stripes == 128


def test_a_server_of_the_fleet_has_a_plain_url() -> None:
    sentinel = read_fleet_url(f"{S}me:pw@a,b/shop/2")
    spot = Spot("10.0.0.7", 7000)

    assert sentinel.server_url(spot) == "redis://me:pw@10.0.0.7:7000/2"
    assert sentinel.sentinel_url(spot, known=False) == "redis://10.0.0.7:7000/0"
    assert sentinel.sentinel_url(spot, known=True) == "redis://me:pw@10.0.0.7:7000/0"


def test_tls_and_its_parameters_hold_for_every_server() -> None:
    url = "rediss+cluster://a?ssl_ca_certs=/ca.pem&stripes=8&ssl_cert_reqs=required"

    found = read_fleet_url(url)

    assert found.stripes == 8
    assert found.server_url(Spot("::1", 7000)) == (
        "rediss://[::1]:7000/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required"
    )


def test_what_is_shown_of_it_tells_no_password() -> None:
    shown = repr(read_fleet_url(f"{C}me:hunter2@a"))

    assert "hunter2" not in shown
    assert isinstance(read_fleet_url(f"{C}a"), FleetUrl)


@pytest.mark.parametrize(
    "url", ["redis://a", "rediss://a", "memory://x", "embedded://"]
)
def test_urls_of_one_server_are_checked_too(url: str) -> None:
    assert check_url(url) == url.partition("://")[0]
    with pytest.raises(InvalidUrl):
        check_url("redis://")


@given(st.text(max_size=60))
def test_whatever_comes_is_taken_or_refused(rest: str) -> None:
    for scheme in (S, C, "rediss+cluster://h?"):
        try:
            found = read_fleet_url(scheme + rest)
        except InvalidUrl:
            continue
        assert found.spots
