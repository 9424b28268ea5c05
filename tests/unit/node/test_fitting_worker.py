"""What is different in the node of a worker process."""

from __future__ import annotations

from dataclasses import replace

from quorate.fitting import log_settings, of_worker
from quorate.settings.tree import Settings


def test_a_worker_opens_no_page_and_leaves_to_its_supervisor_what_that_hears():
    settings = Settings()
    settings = replace(settings, metrics=replace(settings.metrics, enabled=True))

    fitted = of_worker(settings)

    assert not fitted.metrics.enabled
    logs = log_settings(fitted)
    assert {"task.died", "session.joined", "worker.lost"} <= logs.leave_out
    assert "lock.lost" not in logs.leave_out
