"""One instance of the consultation service: a small HTTP server that registers itself.

    QUORATE_URL=… python -m examples.consultations.service NAME PORT_FILE RECORDS_URL

Its health is the health of what it needs: while the patient records do not answer, the
node's own check says so, and discovery everywhere shows this instance as unhealthy.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
from aiohttp import web

import quorate
from quorate.health import HealthCheckConfig
from quorate.registry import ServiceInfo

from .records import health, serve

SERVICE = "consultation"
RECORDS_TIMEOUT_S = 0.5
WORK_S = 0.02

ADVICE = {
    "high": "Come in now; we are expecting you.",
    "normal": "We see you this week; until then rest and drink enough.",
    "low": "Done. You find the paper in your mailbox.",
}


class Instance:
    """What this process answers."""

    def __init__(
        self, name: str, records_url: str, http: aiohttp.ClientSession
    ) -> None:
        self._name = name
        self._records_url = records_url
        self._http = http

    async def profile(self, request: web.Request) -> web.Response:
        """The patient's history, from the records."""
        user_id = request.match_info["user_id"]
        timeout = aiohttp.ClientTimeout(total=RECORDS_TIMEOUT_S)
        try:
            async with self._http.get(
                f"{self._records_url}/records/{user_id}", timeout=timeout
            ) as answer:
                answer.raise_for_status()
                return web.json_response(await answer.json())
        except (TimeoutError, aiohttp.ClientError) as error:
            raise web.HTTPServiceUnavailable(
                text=f"the patient records do not answer: {type(error).__name__}"
            ) from error

    async def consult(self, request: web.Request) -> web.Response:
        """Advice for one request, given the patient's history."""
        asked = await request.json()
        await asyncio.sleep(WORK_S)
        advice = ADVICE[asked["urgency"]]
        if asked["profile"]["allergies"]:
            advice += f" Noted: allergic to {', '.join(asked['profile']['allergies'])}."
        return web.json_response({"advice": advice, "instance": self._name})


async def main(name: str, port_file: Path, records_url: str) -> None:
    async with (
        aiohttp.ClientSession() as http,
        quorate.connect(os.environ["QUORATE_URL"]) as node,
    ):
        instance = Instance(name, records_url, http)
        app = web.Application()
        app.router.add_get("/health", health)
        app.router.add_get("/profile/{user_id}", instance.profile)
        app.router.add_post("/consult", instance.consult)
        node.health.register_http_checker(
            "patient_records",
            f"{records_url}/health",
            config=HealthCheckConfig(interval=0.5, timeout=RECORDS_TIMEOUT_S),
        )

        async def announce(port: int) -> None:
            await node.registry.register(
                ServiceInfo(
                    id=name,
                    name=SERVICE,
                    version="1.0",
                    endpoint=f"http://127.0.0.1:{port}",
                    metadata={"pid": str(os.getpid())},
                )
            )

        await serve(app, port_file, on_ready=announce)
        await node.registry.deregister(name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
