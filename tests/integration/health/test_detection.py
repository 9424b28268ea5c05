"""How soon the manager notices, and what it does not mistake for a failure."""

import asyncio
import time

import pytest

from quorate.health import HealthCheckConfig, HealthCheckManager
from quorate.health.events import HealthChanged, HealthOverallChanged

CONFIG = HealthCheckConfig(interval=0.4, retry_interval=0.1, timeout=0.2, fall=3)
REFUSED_S = 0.4 * 1.1 + 2 * 0.1 * 1.1
BLACK_HOLE_S = 0.4 * 1.1 + 0.2 + 2 * (0.1 * 1.1 + 0.2)
BUSY_MACHINE_S = 0.3


class Target:
    """An HTTP service that can be made to hang or to refuse."""

    def __init__(self):
        self.hangs = False
        self.server = None
        self.port = 0
        self.writers = set()

    async def open(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def answer(self, reader, writer):
        self.writers.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if not self.hangs:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        except asyncio.CancelledError:
            return  # the test is over; asyncio would log it


@pytest.fixture
async def target():
    target = Target()
    await target.open()
    yield target
    target.close()


@pytest.fixture
async def manager(heard, target):
    manager = HealthCheckManager(emit=heard.emit)
    url = f"http://127.0.0.1:{target.port}/health"
    manager.register_http_checker("auth", url, config=CONFIG)
    await manager.start()
    await heard(HealthOverallChanged, new="healthy", within_s=5)
    yield manager
    await manager.stop()


@pytest.mark.parametrize(
    ("hangs", "bound_s"), [(False, REFUSED_S), (True, BLACK_HOLE_S)]
)
async def test_a_dead_target_is_found_within_its_bound_and_a_live_one_trusted_again(
    manager, target, heard, hangs, bound_s
):
    began = time.monotonic()
    if hangs:
        target.hangs = True
    else:
        target.close()
    await heard(HealthChanged, new="unhealthy", within_s=5)
    found_s = time.monotonic() - began

    target.hangs = False
    if not hangs:
        await target.open()
    await heard(HealthOverallChanged, old="unhealthy", new="healthy", within_s=5)

    assert found_s <= bound_s + BUSY_MACHINE_S
    assert manager.status.value == "healthy"


async def test_a_loop_that_stands_still_changes_no_verdict(manager, target, heard):
    """It stands still for more than three intervals and more than any timeout."""
    url = f"http://127.0.0.1:{target.port}/health"
    for number in range(20):
        manager.register_http_checker(f"t{number}", url, config=CONFIG)
    for number in range(20):
        await heard(HealthChanged, check=f"t{number}", new="healthy", within_s=5)
    changes = heard.count(HealthChanged)

    time.sleep(1.5)  # noqa: ASYNC251 - the stall is what is tested
    looks = manager.stats().checks["t0"].looks
    while manager.stats().checks["t0"].looks < looks + 3:
        manager.report()
        await asyncio.sleep(0.01)

    assert heard.count(HealthChanged) == changes
    assert manager.report().status.value == "healthy"


async def test_what_dies_during_a_stall_is_found_afterwards(manager, target, heard):
    time.sleep(1.0)  # noqa: ASYNC251 - the stall is what is tested
    target.close()
    began = time.monotonic()

    await heard(HealthChanged, new="unhealthy", within_s=5)

    assert time.monotonic() - began <= BLACK_HOLE_S + BUSY_MACHINE_S
