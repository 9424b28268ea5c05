"""A node whose locks are on Consul and whose other capabilities are on Redis."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable

import pytest
from tests.consul_server import ConsulServer
from tests.servers import Server

from quorate.backend import Backend
from quorate.core.errors import (
    InvalidUrl,
    LockLostError,
    OutcomeUnknown,
    StaleTokenError,
    StoreRefused,
    StoreUnavailable,
)
from quorate.core.fence import current_fence
from quorate.locks.door import get_lock_manager
from quorate.locks.manager import LockManager
from quorate.node import Node, connect
from quorate.settings import load_settings


def node(server: Server, consul_url: str, namespace: str) -> Node:
    settings = load_settings(None, {"QUORATE_NAMESPACE": namespace})
    return connect(server.url, locks=consul_url, settings=settings)


async def test_a_write_under_a_lock_on_consul_is_fenced_in_the_configuration(
    private_server, consul_url, namespace
):
    async with (
        node(private_server, consul_url, namespace) as ann,
        node(private_server, consul_url, namespace) as bob,
    ):
        async with ann.locks.acquire_lock("plan"):
            stale = current_fence()
            await ann.config.set("plan.step", 1)
        async with bob.locks.acquire_lock("plan"):
            await bob.config.set("plan.step", 2)

        with pytest.raises(StaleTokenError):
            await ann.config.set("plan.step", 3, fence=stale)


async def test_the_rest_goes_on_when_consul_is_gone(
    private_server, private_consul, namespace
):
    async with node(private_server, private_consul.url, namespace) as ann:
        async with ann.locks.acquire_lock("a"):
            pass
        private_consul.kill()

        with pytest.raises((StoreUnavailable, OutcomeUnknown)):
            async with ann.locks.acquire_lock("a"):
                pass
        await ann.config.set("still", "here")


@pytest.mark.parametrize("name", ["registry", "queue", "config"])
def test_what_cannot_stand_on_consul_is_refused_before_anything_is_opened(name):
    with pytest.raises(InvalidUrl, match=f"{name} cannot stand on consul://"):
        connect("memory://x", **{name: "consul://localhost"})


async def test_a_manager_by_itself_stands_on_consul(consul_url, namespace):
    manager = await get_lock_manager(consul_url, namespace=namespace)

    async with manager, manager.acquire_lock("a") as grant:
        assert grant.valid_for() > 0

    assert grant.is_lost


async def test_what_is_no_consul_is_named(private_server):
    with pytest.raises((StoreRefused, StoreUnavailable)) as raised:
        await get_lock_manager(f"consul://127.0.0.1:{private_server.port}")

    assert str(private_server.port) in str(raised.value)


NEEDED = """
key_prefix "team/" { policy = "write" }
session_prefix "" { policy = "write" }
service_prefix "quorate-session" { policy = "write" }
"""


@pytest.fixture
def guarded(start_consul: Callable[..., ConsulServer]) -> tuple[ConsulServer, str]:
    """A Consul that denies what is not allowed, and its manager's token."""
    token = str(uuid.uuid4())
    server = start_consul(
        settings={
            "acl": {
                "enabled": True,
                "default_policy": "deny",
                "tokens": {"master": token, "agent": token},
            }
        },
        token=token,
    )
    return server, token


def token_for(server: ConsulServer, rules: str) -> str:
    """A token that may do what `rules` allow."""
    name = uuid.uuid4().hex
    server.ask("/v1/acl/policy", method="PUT", body={"Name": name, "Rules": rules})
    made = server.ask(
        "/v1/acl/token", method="PUT", body={"Policies": [{"Name": name}]}
    )
    assert isinstance(made, dict)
    return str(made["SecretID"])


async def test_a_token_needs_no_more_rights_than_are_documented(guarded):
    server, _ = guarded
    token = token_for(server, NEEDED)
    url = f"consul://{token}@127.0.0.1:{server.port}/team"

    async with Backend(url) as backend:
        locks = LockManager.over(backend.server, backend.session)
        await locks.start()
        async with locks.acquire_lock("a"):
            assert len((await locks.explain("a")).holders) == 1
        await locks.stop()


@pytest.mark.parametrize("right", ["key_prefix", "session_prefix", "service_prefix"])
async def test_a_right_that_lacks_is_named_and_no_token_is_told(guarded, right):
    server, _ = guarded
    token = token_for(
        server, "\n".join(line for line in NEEDED.splitlines() if right not in line)
    )
    url = f"consul://{token}@127.0.0.1:{server.port}/team"

    async with Backend(url) as backend:
        locks = LockManager.over(backend.server, backend.session)
        await locks.start()
        with pytest.raises(StoreRefused, match="key_prefix write") as raised:
            async with asyncio.timeout(10), locks.acquire_lock("a"):
                pass
        await locks.stop()

    assert token not in str(raised.value) + repr(backend.server.address)


async def test_the_session_shows_among_the_services_with_its_check(
    private_consul, namespace
):
    async with Backend(private_consul.url, namespace=namespace) as backend:
        name = await backend.session.join(backend.server.root)
        health = private_consul.ask("/v1/health/service/quorate-session")

        (row,) = [row for row in health if row["Service"]["ID"] == name]
        checks = {check["CheckID"]: check for check in row["Checks"]}
        assert checks[f"{name}:lease"]["Status"] == "passing"
        assert row["Service"]["Tags"] == [namespace]
        # A service's own check: what else runs on this machine stays healthy.
        assert checks[f"{name}:lease"]["ServiceID"] == name

    assert json.dumps(private_consul.ask("/v1/agent/checks")) == "{}"


async def test_a_lock_of_a_closed_manager_is_lost_and_free(consul_url, namespace):
    ann = await get_lock_manager(consul_url, namespace=namespace)
    bob = await get_lock_manager(consul_url, namespace=namespace)
    block = ann.acquire_lock("a", on_loss="flag")
    await block.__aenter__()

    await ann.close()
    async with bob.acquire_lock("a", wait_s=1.0):
        pass

    with pytest.raises(LockLostError):
        await block.__aexit__(None, None, None)
    await bob.close()
