"""URLs, checked part by part before anything is opened. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from quorate.core.errors import InvalidUrl
from quorate.core.secret import masked_url

from .address import Address

SINGLE = ("redis", "rediss")
SENTINEL = ("redis+sentinel", "rediss+sentinel")
CLUSTER = ("redis+cluster", "rediss+cluster")
RABBIT = ("amqp", "amqps")
SCHEMES = (*SINGLE, *SENTINEL, *CLUSTER, "embedded", "memory", "consul", *RABBIT)

LONGEST = 4096
TLS_PARAMETERS = (
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_ciphers",
    "ssl_keyfile",
    "ssl_password",
)
_HOW = "Write it as redis://[user:password@]host[:port][/database]."
ENCODE = (
    "Percent-encode what stands in user and password: / is %2F, # is %23, @ is %40."
)
UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,30}")


def scheme_of(url: object) -> str:
    """The scheme of `url`. Raises `InvalidUrl` for everything `connect` cannot use."""
    fix = f"Use one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}."
    if not isinstance(url, str):
        raise InvalidUrl(f"A URL must be text, not {type(url).__name__}.", fix=fix)
    if len(url) > LONGEST:
        raise InvalidUrl(
            f"The URL has {len(url)} characters; {LONGEST} are allowed.", fix=fix
        )
    scheme, found, _ = url.partition("://")
    if not found:
        raise InvalidUrl(f"{masked_url(url)!r} is not a URL.", "It has no '://'.", fix)
    if scheme in SCHEMES:
        return scheme
    if not _SCHEME.fullmatch(scheme):
        raise InvalidUrl("The URL does not begin with a scheme.", "", fix)
    near = difflib.get_close_matches(scheme, SCHEMES, n=1, cutoff=0.5)
    meant = f"Did you mean {near[0]}://? " if near else ""
    raise InvalidUrl(f"{scheme}:// is not a backend.", "", meant + fix)


def check_redis_url(url: str) -> Address:
    """The address in a `redis://` or `rediss://` URL. Raises `InvalidUrl`."""
    shown = masked_url(url)
    if UNSEEN.search(url):
        raise InvalidUrl(
            f"{shown!r} has a space or a control character in it.", "", ENCODE
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidUrl(
            f"{shown} is not a valid URL.",
            "Its host or its port cannot be read.",
            f"{_HOW} {ENCODE}",
        ) from None  # that error may quote a piece of the password
    if parts.fragment or "@" in f"{parts.path}{parts.query}":
        raise InvalidUrl(f"{shown} has a / ? or # before its host ends.", "", ENCODE)
    if not parts.hostname:
        raise InvalidUrl(f"{shown} names no host.", "", _HOW)
    if port == 0:
        raise InvalidUrl(f"{shown} has port 0.", "", "Redis usually listens on 6379.")
    check_database(parts.path.removeprefix("/"), shown)
    check_parameters(parts, shown)
    return Address(url=url, kind="redis", shared=url)


def check_database(database: str, shown: str) -> None:
    """The number of a database, or nothing."""
    if database and not (database.isascii() and database.isdigit()):
        raise InvalidUrl(
            f"{shown} has the database {unquote(database)!r}.",
            "Redis databases are numbers.",
            "Leave it out, or write /0.",
        )


def check_parameters(
    parts: SplitResult, shown: str, more: Collection[str] = ()
) -> dict[str, str]:
    """What follows the question mark: how to do TLS, and `more`."""
    tls = TLS_PARAMETERS if parts.scheme.startswith("rediss") else ()
    found = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in found.items():
        if name not in tls and name not in more:
            also = f" or {', '.join(more)}" if more else ""
            raise InvalidUrl(
                f"{shown} has the parameter {name!r}.",
                "Timeouts and limits are settings, not part of the address.",
                f"Only rediss:// takes parameters: {', '.join(TLS_PARAMETERS)}{also}.",
            )
        if name == "ssl_cert_reqs" and value not in ("none", "optional", "required"):
            raise InvalidUrl(
                f"{shown} has ssl_cert_reqs={value!r}.",
                "",
                "It is none, optional or required.",
            )
    return found
