"""URLs, checked part by part before anything is opened. Pure."""

from __future__ import annotations

import difflib
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from quorate.core.errors import InvalidUrl

from .address import Address

SCHEMES = ("redis", "rediss", "embedded", "memory")
LATER = {
    "consul": "The Consul backend",
    "amqp": "The RabbitMQ backend",
    "redis+sentinel": "Sentinel",
    "redis+cluster": "Cluster",
}


def scheme_of(url: object) -> str:
    """The scheme of `url`. Raises `InvalidUrl` for everything `connect` cannot use."""
    fix = f"Use one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}."
    if not isinstance(url, str):
        raise InvalidUrl(f"A URL must be text, not {type(url).__name__}.", fix=fix)
    scheme, found, _ = url.partition("://")
    if not found:
        raise InvalidUrl(f"{masked(url)!r} is not a URL.", "It has no '://'.", fix)
    if scheme in SCHEMES:
        return scheme
    if scheme in LATER:
        raise InvalidUrl(
            f"{scheme}:// cannot be used yet.",
            f"{LATER[scheme]} is not part of this version.",
            fix,
        )
    near = difflib.get_close_matches(scheme, SCHEMES, n=1, cutoff=0.5)
    meant = f"Did you mean {near[0]}://? " if near else ""
    raise InvalidUrl(f"{scheme}:// is not a backend.", "", meant + fix)


def check_redis_url(url: str) -> Address:
    """The address in a `redis://` or `rediss://` URL. Raises `InvalidUrl`."""
    shown = masked(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidUrl(
            f"{shown} is not a valid URL.",
            str(error),
            "Write it as redis://[user:password@]host[:port][/database].",
        ) from error
    if not parts.hostname:
        raise InvalidUrl(
            f"{shown} names no host.", "", "Write it as redis://localhost:6379."
        )
    if port == 0:
        raise InvalidUrl(f"{shown} has port 0.", "", "Redis usually listens on 6379.")
    database = parts.path.strip("/")
    if database and not database.isdigit():
        raise InvalidUrl(
            f"{shown} has the database {unquote(database)!r}.",
            "Redis databases are numbers.",
            "Leave it out, or write /0.",
        )
    for name, _ in parse_qsl(parts.query):
        if not name.startswith("ssl_"):
            raise InvalidUrl(
                f"{shown} has the parameter {name!r}.",
                "Timeouts and limits are settings, not part of the address.",
                "Only ssl_… parameters may stand in the URL of a rediss:// server.",
            )
    return Address(url=url, kind="redis", shared=url)


def masked(url: str) -> str:
    """`url` for people: without its password, and without its query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        if parts.port:
            host = f"{host}:{parts.port}"
    except ValueError:
        return url.split("@")[-1]
    user = parts.username or ""
    if user or parts.password:
        host = f"{user}{':***' if parts.password else ''}@{host}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
