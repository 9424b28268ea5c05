"""Who is measured with tasks: ours and its peers, with their defaults and tuned.

`tasks` is how many a window has: about a second of work. What is done with the other
options is in the file of each.
"""

from __future__ import annotations

from dataclasses import replace

from tests.bench.entries import Entry

PEERS = "tests.bench.queue.peers"
ARQ_HOME, SAQ_HOME, HOME = "queue-arq", "queue-saq", "queue-peers"

OURS = Entry(
    "ours", "**Quorate**", f"{PEERS}.ours", "own", "quorate", options={"tasks": 30_000}
)
OURS_WIDE = replace(
    OURS,
    key="ours-wide",
    title="Quorate, 256 at once",
    options={"tasks": 30_000, "concurrency": 256},
)
ARQ = Entry("arq", "arq", f"{PEERS}.arq_queue", ARQ_HOME, "arq", options={"tasks": 500})
ARQ_TUNED = replace(
    ARQ,
    key="arq-tuned",
    title="arq, 32 at once, polls every 10 ms, keeps no results",
    options={"tasks": 2_000, "concurrency": 32, "poll_s": 0.01},
)
SAQ = Entry(
    "saq", "saq", f"{PEERS}.saq_queue", SAQ_HOME, "saq", options={"tasks": 2_500}
)
SAQ_TUNED = replace(
    SAQ,
    key="saq-tuned",
    title="saq, 32 at once, keeps no results",
    options={"tasks": 3_000, "concurrency": 32},
)
TASKIQ_STREAM = Entry(
    "taskiq-stream", "taskiq, stream broker", f"{PEERS}.taskiq_stream", HOME,
    "taskiq-redis", options={"tasks": 4_000},
)  # fmt: skip
TASKIQ_STREAM_TUNED = replace(
    TASKIQ_STREAM,
    key="taskiq-stream-tuned",
    title="taskiq, stream broker, 100 fetched ahead",
    options={"tasks": 4_000, "prefetch": 100},
)
TASKIQ_LIST = Entry(
    "taskiq-list", "taskiq, list broker (loses what a dead worker had)",
    f"{PEERS}.taskiq_list", HOME, "taskiq", options={"tasks": 3_500},
)  # fmt: skip
STREAQ = Entry(
    "streaq", "streaq", f"{PEERS}.streaq_queue", HOME, "streaq",
    options={"tasks": 2_000},
)  # fmt: skip
STREAQ_TUNED = replace(
    STREAQ,
    key="streaq-tuned",
    title="streaq, 32 at once, 128 fetched ahead, keeps no results",
    options={"tasks": 2_000, "concurrency": 32, "prefetch": 128},
)
DOCKET = Entry(
    "docket", "docket", f"{PEERS}.docket_queue", HOME, "pydocket",
    options={"tasks": 160},
)  # fmt: skip
DOCKET_TUNED = replace(
    DOCKET,
    key="docket-tuned",
    title="docket, 32 at once, looks every 2 ms, keeps nothing",
    options={"tasks": 2_500, "concurrency": 32, "poll_s": 0.002},
)
DRAMATIQ = Entry(
    "dramatiq", "dramatiq, 8 threads", f"{PEERS}.dramatiq_queue", HOME, "dramatiq",
    options={"tasks": 2_500, "threads": 1},
)  # fmt: skip
DRAMATIQ_TUNED = replace(
    DRAMATIQ,
    key="dramatiq-tuned",
    title="dramatiq, 32 threads",
    options={"tasks": 8_000, "concurrency": 32, "threads": 1},
)
CELERY = Entry(
    "celery", "Celery, one at a time (solo)", f"{PEERS}.celery_queue", HOME, "celery",
    options={"tasks": 800, "threads": 1},
)  # fmt: skip
CELERY_FORKED = replace(
    CELERY,
    key="celery-prefork",
    title="Celery, a forked process for each processor (its default)",
    options={"tasks": 1_500, "prefork": 0, "threads": 1},
)
CELERY_TUNED = replace(
    CELERY,
    key="celery-tuned",
    title="Celery, 32 threads",
    options={"tasks": 800, "concurrency": 32, "threads": 1},
)

PLAIN = (*(TASKIQ_STREAM, TASKIQ_LIST, SAQ, STREAQ, ARQ, DOCKET, DRAMATIQ, CELERY),)
"""Every peer with its defaults."""

FORKED = (CELERY_FORKED,)
"""Works in processes of its own, so that it is only measured working."""

TUNED = (
    *(TASKIQ_STREAM_TUNED, SAQ_TUNED, STREAQ_TUNED, ARQ_TUNED, DOCKET_TUNED),
    *(DRAMATIQ_TUNED, CELERY_TUNED),
)

BEST = (
    *(TASKIQ_STREAM, TASKIQ_LIST, SAQ_TUNED, STREAQ_TUNED, ARQ_TUNED, DOCKET_TUNED),
    *(DRAMATIQ_TUNED, CELERY),
)
"""Every peer at its best, where it is measured once only."""

WITH_BULK = (OURS, STREAQ, DOCKET)
WITH_ASYNCIO = (OURS, TASKIQ_STREAM, TASKIQ_LIST, SAQ, STREAQ, ARQ, DOCKET)


def among(entries: tuple[Entry, ...], every: int = 4) -> tuple[Entry, ...]:
    """`entries` with ours before each few of them."""
    mixed: list[Entry] = []
    for at, entry in enumerate(entries):
        if not at % every:
            mixed.append(OURS)
        mixed.append(entry)
    return tuple(mixed)
