"""Which server the Sentinels call the master, by the newest word of a majority."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.maint_notifications import MaintNotificationsConfig

from quorate.core.errors import StoreRefused, StoreUnavailable
from quorate.core.lifecycle import Tasks

from .address import Address
from .fleet_urls import FleetUrl, Spot

ASK_WITHIN_S = 1.0
LEFT_S = 10.0
"""For so long who was master may still be told of by Sentinels that were not asked: a
switch by an operator's word is known to one of them first."""

State = dict[str, Any]
"""What a Sentinel says of the master, as redis-py tells it."""


class SentinelServer:
    """The master of one service, by the word of its Sentinels. Loop by loop.

    Sentinels without a password are asked without one; those that want one get that of
    the data servers.
    """

    def __init__(self, url: FleetUrl, within_s: float = ASK_WITHIN_S) -> None:
        self.url = url
        self._within_s = min(within_s, ASK_WITHIN_S)
        self.spot = url.spots[0]
        self._address: Address | None = None
        self._judge = Sentinel([])  # type: ignore[no-untyped-call]
        self._wants_password: set[Spot] = set()
        self._epoch = 0
        self._left: tuple[Spot, int, float] | None = None

    @property
    def address(self) -> Address:
        if self._address is None:
            raise RuntimeError("resolve() has not yet been awaited")
        return self._address

    async def resolve(self) -> Address:
        """Where the master is, by the newest configuration that a majority knows of.

        A switch is decided by a majority, so among the answers of any majority is one
        of somebody who took part in the last. Raises `StoreUnavailable` while there is
        no master, or no Sentinel answers; `StoreRefused` if they know no such service.
        """
        tasks = Tasks()
        answers: list[dict[str, State]] = []
        failures: list[str] = []
        try:
            asking = {tasks.spawn(self._ask(spot), "ask") for spot in self.url.spots}
            while asking and len(answers) * 2 <= len(self.url.spots):
                done, asking = await asyncio.wait(
                    asking, return_when=asyncio.FIRST_COMPLETED
                )
                for answer in [task.result() for task in done]:
                    if isinstance(answer, str):
                        failures.append(answer)
                    else:
                        answers.append(answer)
        finally:
            await tasks.close()
        if not answers:
            raise StoreUnavailable(
                f"No Sentinel of {self.url.service} answers.",
                "; ".join(failures),
                "Are they running, and are the addresses right?",
            )
        return self.point_to(self._master(answers))

    def point_to(self, spot: Spot) -> Address:
        """The master is there."""
        shared = self.url.url
        self._address = Address(self.url.server_url(spot), "sentinel", shared)
        self.spot = spot
        return self._address

    def switched_to(self, spot: Spot) -> None:
        """A Sentinel has told of a switch; those behind it do not lead back."""
        if spot != self.spot:
            until = asyncio.get_running_loop().time() + LEFT_S
            self._left = (self.spot, self._epoch, until)
        self.point_to(spot)

    async def close(self) -> None:
        return None

    def sentinel_url(self, spot: Spot) -> str:
        """The URL of one Sentinel, with a password if it is known to want one."""
        return self.url.sentinel_url(spot, known=spot in self._wants_password)

    async def _ask(self, spot: Spot) -> dict[str, State] | str:
        """What the Sentinel knows of its masters, or why it says nothing."""
        try:
            try:
                return await self._masters(spot)
            except AuthenticationError:
                if not self.url.who or spot in self._wants_password:
                    raise
            self._wants_password.add(spot)
            return await self._masters(spot)
        except (RedisError, OSError, TimeoutError) as error:
            return f"{spot}: {error or type(error).__name__}"

    async def _masters(self, spot: Spot) -> dict[str, State]:
        client: Redis = Redis.from_url(
            self.sentinel_url(spot),
            protocol=2,
            socket_timeout=self._within_s,
            socket_connect_timeout=self._within_s,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        async with client, asyncio.timeout(self._within_s):
            masters = await client.sentinel_masters()
            return cast("dict[str, State]", masters)

    def _master(self, answers: list[dict[str, State]]) -> Spot:
        service = self.url.service
        states = [answer[service] for answer in answers if service in answer]
        if not states:
            known = sorted({name for answer in answers for name in answer})
            raise StoreRefused(
                f"The Sentinels know no service {service!r}.",
                f"They know {', '.join(known) or 'none'}.",
                "Check the name behind the hosts in the URL.",
            )
        newest = max(state["config-epoch"] for state in states)
        for state in states:
            if state["config-epoch"] == newest and self._judge.check_master_state(
                state, service
            ):
                spot = Spot(state["ip"], state["port"])
                if self._is_behind(spot, newest):
                    return self.spot
                self._epoch = newest
                return spot
        raise StoreUnavailable(
            f"{service} has no master right now.",
            "The Sentinels say that it is down and no other is chosen yet.",
            "It usually passes within seconds.",
        )

    def _is_behind(self, spot: Spot, epoch: int) -> bool:
        """Is this still what was before the last switch?"""
        if self._left is None:
            return False
        before, its_epoch, until = self._left
        is_known = spot == before and epoch <= its_epoch
        return is_known and asyncio.get_running_loop().time() < until
