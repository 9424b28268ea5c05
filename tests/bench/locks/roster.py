"""Who is measured: ours, its peers, and in which environment each of them lives."""

from __future__ import annotations

from tests.bench.entries import Entry

PEERS = "tests.bench.locks.peers"


OURS = Entry("ours", "**Quorate**", f"{PEERS}.ours", "own", "quorate")
OURS_PLAIN = Entry(
    "ours-asyncio", "Quorate, asyncio's own loop", OURS.module, "own", uvloop=False
)
REDIS_PY = Entry(
    "redis-py", "redis.asyncio Lock", f"{PEERS}.redis_py", distribution="redis"
)
REDIS_PY_EAGER = Entry(
    "redis-py-eager",
    "redis.asyncio Lock, sleep=0.002",
    REDIS_PY.module,
    options={"sleep_s": 0.002},
)
REDIS_PY_WIDE = Entry(
    "redis-py-wide",
    "redis.asyncio Lock, pool of 4,000",
    REDIS_PY.module,
    options={"pool": 4000},
)
POTTERY = Entry(
    "pottery",
    "pottery AIORedlock",
    f"{PEERS}.pottery_redlock",
    distribution="pottery",
)
POTTERY_WIDE = Entry(
    "pottery-wide",
    "pottery AIORedlock, pool of 4,000",
    POTTERY.module,
    options={"pool": 4000},
)
PYTHON_REDIS_LOCK = Entry(
    "python-redis-lock",
    "python-redis-lock",
    f"{PEERS}.python_redis_lock",
    distribution="python-redis-lock",
)
COREDIS = Entry(
    "coredis", "coredis Lock", f"{PEERS}.coredis_lock", distribution="coredis"
)
AIOREDLOCK = Entry(
    "aioredlock",
    "aioredlock",
    f"{PEERS}.aioredlock_lock",
    "peers-old",
    distribution="aioredlock",
)

PLAIN = (REDIS_PY, POTTERY, PYTHON_REDIS_LOCK, COREDIS, AIOREDLOCK)
"""Every peer, as its documentation shows it."""
