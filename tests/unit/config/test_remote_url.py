"""What can be asked over HTTP, and what cannot."""

from __future__ import annotations

import pytest

from quorate.config.sources.remote import RemoteSource, check_http_url
from quorate.core.errors import InvalidUrl


@pytest.mark.parametrize(
    "url", ["http://h/config", "https://h:8443/a?b=c", "http://[::1]:80/"]
)
def test_a_web_address_may_be_asked(url):
    assert check_http_url(url) == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (None, "must be text"),
        ("", "Only http"),
        ("config", "Only http"),
        ("ftp://h/", "Only http"),
        ("file:///etc/passwd", "Only http"),
        ("http://", "no host"),
        ("http://h:0/", "port 0"),
        ("http://h:99999/", "not a valid URL"),
        ("http://[::1/", "not a valid URL"),
        ("http://me:hunter2@h/", "user or password"),
        ("http://h/a b", "spaces"),
        ("http://h/\x01", "control"),
    ],
)
def test_anything_else_is_refused(url, told):
    with pytest.raises(InvalidUrl) as refused:
        check_http_url(url)

    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_source_is_named_without_its_secrets():
    assert RemoteSource("http://h/?token=abc", 5).name == "http://h/?token=****"
