"""What the page on the queue under fault says, apart from what was found."""

from __future__ import annotations

HEAD = """# The queue under fault: what was harmed, and what it did

*Written by the run itself; do not edit. Made by `{command}`
on {date}, commit `{commit}`, {machine}.*

Real servers, real worker processes, real signals. Each run goes through the same
phases: start, traffic with faults, heal, quiesce, drain, check. Who puts a task in
writes it down with what the server said; each worker writes down every attempt, and
every effect before the server hears of it, in a file that outlives it. The checker
counts what Jepsen's `total-queue` counts: a confirmed task without an effect is *lost*,
an effect without a task *unexpected*, both are faults; effects beyond the first are
*duplicates*, allowed by *at least once*, counted, and bounded. At the end nothing may
be left in the queue, and its own audit has to find nothing to repair. *Valid* means
that all of this held; *unknown* counts as a failure.
"""

WORDS = """
## What the words mean

- **run more than once**: a worker died or lost its session after the effect and before
  the server had heard of it. At least once promises no less; a handler that must not
  repeat its effect fences it with `context.token`, as Q3 does.
- **completions refused as late**: another worker had the task by then.
- **two attempts at once**: with a lease that cannot be excluded for a process that
  stands still or is cut off. What it then writes is refused, by the server and by any
  resource that checks the token.
- **persistence**: with `always` nothing that was confirmed may be lost. With `everysec`
  up to a second of it may, by the promise of that setting, when the machine dies; here
  only the server's process is killed. A **failover** loses what the replica had not
  heard of; it is counted, not judged.
- **Q10 with a clock that jumps**: a delayed task is due by the server's clock. Set an
  hour ahead it calls all of them due, and they come early: once, and none is lost.
  What is put in while it is ahead is due when it is there again, an hour late.
- **Q13**: a task that needs longer than RabbitMQ's `consumer_timeout` cannot be done
  there. It is taken away once; from then on its attempts end before that, and it
  becomes a dead letter that says so. Before 3.12 no client can learn that time
  beforehand.
"""
