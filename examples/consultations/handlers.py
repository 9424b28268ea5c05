"""What a worker does with one request.

The patient's lock, so that two requests of one patient never overlap; the cache, so
that the history is fetched once; the balancer, so that a sick instance is avoided; and
the lock's token on the result, so that a worker that was overtaken writes no more.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import aiohttp

import quorate
from quorate.cache.cache import Cache
from quorate.core.errors import NobodyHome, StaleTokenError
from quorate.locks import LockType
from quorate.queue import TaskContext
from quorate.registry import LoadBalancer

from .ledger import Ledger
from .service import SERVICE

CALL_TIMEOUT_S = 2.0
TRIES = 3
PROFILE_TTL_S = 60.0


class Clinic:
    """What the handlers of one worker process share. The node keeps it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.profiles: Cache[dict[str, Any]] = Cache(1000, PROFILE_TTL_S)
        self.balancer: LoadBalancer = quorate.this_node().registry.balancer(SERVICE)
        self.http: aiohttp.ClientSession

    async def start(self) -> None:
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        self.http = aiohttp.ClientSession(timeout=timeout)
        await quorate.this_node().registry.discover(SERVICE)

    async def stop(self) -> None:
        await self.profiles.close()
        await self.http.close()

    async def profile(self, user_id: str) -> dict[str, Any]:
        """The patient's history, through any instance that answers."""
        return await self.call("GET", f"/profile/{user_id}")

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask the service; an instance that fails is not asked again for this."""
        tried: list[str] = []
        for attempt in range(TRIES):
            async with self.balancer.acquire(exclude=tried) as choice:
                tried.append(choice.service.id)
                try:
                    url = f"{choice.endpoint}{path}"
                    async with self.http.request(method, url, json=body) as answer:
                        answer.raise_for_status()
                        return dict(await answer.json())
                except (aiohttp.ClientError, TimeoutError):
                    choice.fail()
                    if attempt + 1 == TRIES:
                        raise
        raise NobodyHome(f"No instance of {SERVICE} answered.")


_clinics: list[Clinic] = []


async def open_clinic() -> None:
    """Each worker process calls this before its first task."""
    clinic = Clinic(Ledger(Path(os.environ["CONSULTATIONS_LEDGER"])))
    await quorate.this_node().keep(clinic)
    _clinics.append(clinic)


async def process_medical_request(
    payload: dict[str, Any], context: TaskContext
) -> dict[str, str]:
    """Answer one request and write the result under the patient's lock."""
    here, worker = _clinics[-1], str(os.getpid())
    request_id, user_id = payload["id"], payload["user_id"]
    outcome = "failed"
    locks = quorate.this_node().locks
    try:
        asked_at = time.monotonic()
        async with locks.acquire_lock(f"user:{user_id}", LockType.EXCLUSIVE) as grant:
            waited_s = time.monotonic() - asked_at
            profile = await here.profiles.get(user_id)
            from_cache = profile is not None
            if profile is None:
                profile = await here.profiles.get_or_load(
                    user_id, lambda: here.profile(user_id)
                )
            answer = await here.call(
                "POST", "/consult", {**payload, "profile": profile}
            )
            written = await here.ledger.write(
                {
                    "request_id": request_id,
                    "user_id": user_id,
                    "urgency": payload["urgency"],
                    "token": grant.token,
                    "attempt": context.attempt,
                    "worker": worker,
                    "lock_wait_s": waited_s,
                    "from_cache": int(from_cache),
                    "instance": answer["instance"],
                    "answer": answer["advice"],
                }
            )
            outcome = "written" if written else "repeated"
        return {"request": request_id, "instance": answer["instance"]}
    except StaleTokenError:
        outcome = "stale"
        raise
    finally:
        await here.ledger.ran(request_id, context.attempt, worker, outcome)
