"""URLs that name several servers: a Sentinel set, a Cluster. Checked part by part.

    redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/database]
    redis+cluster://[user:password@]host[:port][,host[:port]…][?stripes=64]

User and password are those of the data servers. `rediss+…` speaks TLS with all of
them. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from quorate.core.errors import InvalidUrl
from quorate.core.secret import masked_url

from .keys import MOST_STRIPES, STRIPES
from .urls import (
    CLUSTER,
    ENCODE,
    SENTINEL,
    SINGLE,
    UNSEEN,
    check_database,
    check_parameters,
    check_redis_url,
    scheme_of,
)

SENTINEL_PORT = 26379
CLUSTER_PORT = 6379
MOST_HOSTS = 64
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_NETLOC_END = re.compile(r"[/?#]")
_HOW = {
    SENTINEL: "Write it as redis+sentinel://host:port,host:port/service[/database].",
    CLUSTER: "Write it as redis+cluster://[user:password@]host:port,host:port.",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else self.shown

    @property
    def shown(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class FleetUrl:
    """What a URL of several servers says. `service` and `database`: Sentinel only."""

    url: str = field(repr=False)
    spots: tuple[Spot, ...]
    who: str = field(repr=False, default="")
    query: str = field(repr=False, default="")
    tls: bool = False
    service: str = ""
    database: str = "0"
    stripes: int = 0

    def server_url(self, spot: Spot) -> str:
        """The plain URL of one data server."""
        return self._url(spot, self.who, self.database)

    def sentinel_url(self, spot: Spot, *, known: bool) -> str:
        """The plain URL of one Sentinel, with user and password or without."""
        return self._url(spot, self.who if known else "", "0")

    def _url(self, spot: Spot, who: str, database: str) -> str:
        scheme = "rediss" if self.tls else "redis"
        query = f"?{self.query}" if self.query else ""
        return f"{scheme}://{who and f'{who}@'}{spot}/{database}{query}"


def check_url(url: object) -> str:
    """The scheme of a URL that `connect` can use. Raises `InvalidUrl` for any other."""
    scheme = scheme_of(url)
    assert isinstance(url, str)
    if scheme in SINGLE:
        check_redis_url(url)
    elif scheme in (*SENTINEL, *CLUSTER):
        read_fleet_url(url)
    return scheme


def read_fleet_url(url: str) -> FleetUrl:
    """The parts of a Sentinel's or Cluster's URL. Raises `InvalidUrl`."""
    shown = masked_url(url)
    if UNSEEN.search(url):
        raise InvalidUrl(
            f"{shown!r} has a space or a control character in it.", "", ENCODE
        )
    scheme = scheme_of(url)
    kind = SENTINEL if scheme in SENTINEL else CLUSTER
    behind = url.partition("://")[2]
    netloc = _NETLOC_END.split(behind, maxsplit=1)[0]
    parts = urlsplit(f"{scheme}://hosts{behind.removeprefix(netloc)}")
    if parts.fragment or "@" in f"{parts.path}{parts.query}":
        raise InvalidUrl(f"{shown} has a / ? or # before its hosts end.", "", ENCODE)
    who, _, hosts = netloc.rpartition("@")
    port = SENTINEL_PORT if kind is SENTINEL else CLUSTER_PORT
    spots = tuple(
        dict.fromkeys(_spot(host, port, shown, _HOW[kind]) for host in hosts.split(","))
    )
    if len(spots) > MOST_HOSTS:
        raise InvalidUrl(
            f"{shown} names {len(spots)} hosts; {MOST_HOSTS} are allowed.",
            "The others are found by asking one of them.",
            "Name three or so.",
        )
    tls = scheme.startswith("rediss")
    if kind is CLUSTER:
        stripes, query = _stripes(parts, shown)
        return FleetUrl(url, spots, who, query, tls, stripes=stripes)
    check_parameters(parts, shown)
    service, database = _service(parts, shown)
    return FleetUrl(url, spots, who, parts.query, tls, service, database)


def _spot(text: str, port: int, shown: str, how: str) -> Spot:
    try:
        parts = urlsplit(f"redis://{text}")
        host, port = parts.hostname or "", port if parts.port is None else parts.port
    except ValueError:
        raise InvalidUrl(
            f"{shown} is not a valid URL.",
            "One of its hosts or ports cannot be read.",
            f"{how} {ENCODE}",
        ) from None  # that error may quote a piece of the password
    if not host:
        raise InvalidUrl(f"{shown} names no host, or an empty one.", "", how)
    if port == 0:
        raise InvalidUrl(f"{shown} has port 0.", "", how)
    return Spot(host, port)


def _service(parts: SplitResult, shown: str) -> tuple[str, str]:
    service, _, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise InvalidUrl(
            f"{shown} names no service.",
            "The Sentinels watch over masters by name, often 'mymaster'.",
            _HOW[SENTINEL],
        )
    if not _SERVICE.fullmatch(service):
        raise InvalidUrl(
            f"{shown} has the service {unquote(service)!r}.",
            "Sentinel takes letters, digits, dots, hyphens and underscores.",
            _HOW[SENTINEL],
        )
    check_database(database, shown)
    return service, database or "0"


def _stripes(parts: SplitResult, shown: str) -> tuple[int, str]:
    """How many stripes, and the other parameters."""
    if parts.path not in ("", "/"):
        raise InvalidUrl(
            f"{shown} has {unquote(parts.path)!r} behind its hosts.",
            "A Cluster has one database.",
            _HOW[CLUSTER],
        )
    found = check_parameters(parts, shown, more=("stripes",))
    text = found.get("stripes", str(STRIPES))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_STRIPES):
        raise InvalidUrl(
            f"{shown} has stripes={text!r}.",
            f"Locks are spread over 1 to {MOST_STRIPES} stripes.",
            f"Leave it out for {STRIPES}.",
        )
    rest = [pair for pair in parts.query.split("&") if not pair.startswith("stripes=")]
    return int(text), "&".join(rest)
