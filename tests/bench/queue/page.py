"""What is told of the queues: tables, the plot, and a window in one line."""

from __future__ import annotations

from tests.bench.figures import Figures
from tests.bench.panels import Panel
from tests.bench.queue import rabbit, tables
from tests.bench.queue.roster import BEST, OURS, PLAIN, WITH_ASYNCIO, WITH_BULK

TOLD = ("per_s", "client_cpu_us", "pickup_ms", "requests_per_s", "server_cpu_pct")

SHORT = {
    "ours": "Quorate",
    "taskiq-stream": "taskiq (stream)",
    "taskiq-list": "taskiq (list)",
    "saq-tuned": "saq, tuned",
    "streaq-tuned": "streaq, tuned",
    "arq-tuned": "arq, tuned",
    "docket-tuned": "docket, tuned",
    "dramatiq-tuned": "dramatiq, tuned",
}
PANELS = (
    Panel("one worker process, tasks/s", "one", "result.per_s", (OURS, *BEST)),
    Panel("two worker processes, tasks/s", "two", "result.per_s", (OURS, *BEST)),
    Panel(
        "one, 2 ms more round trip, tasks/s", "distance", "result.per_s", (OURS, *BEST)
    ),
    Panel("idle worker: pickup p50, ms", "pickup", "result.pickup_ms.p50",
          (OURS, *PLAIN), is_log=True),
    Panel("enqueue, 64 at once, tasks/s", "at-once", "result.per_s", WITH_ASYNCIO),
    Panel("enqueue, 100 a call, tasks/s", "bulk", "result.per_s", WITH_BULK),
)  # fmt: skip


def blocks(figures: Figures) -> dict[str, str]:
    """The tables, by their place on the page."""
    return {
        "one": tables.one(figures),
        "two": tables.two(figures),
        "busy": tables.busy(figures),
        "distance": tables.distance(figures),
        "enqueue": tables.enqueue(figures),
        "idle": tables.idle(figures),
        "rabbit": rabbit.rows(figures),
    }
