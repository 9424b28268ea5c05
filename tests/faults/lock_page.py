"""What the page on locks under fault says, apart from what was found."""

from __future__ import annotations

HEAD = """# Locks under fault: what was harmed, and what they did

*Written by the run itself; do not edit. Made by `{command}`
on {date}, commit `{commit}`, {machine}.*

Real servers, real worker processes, real signals. Each run goes through the same
phases: start, traffic with faults, heal, quiesce, drain, check. Every process writes
down what it asks and what it believes; the checker then looks for an order of all these
operations that a lock with one owner at a time and growing tokens could have had
(`quorate.testing.checker`). A fault may end a hold behind its owner's back: for exactly
the holds that a fault touched an *expire* may be assumed, and for no others. The
protected resource takes a step only from the latest grant it has seen; no add to it may
be lost, whatever its writers believed. *Valid* means that all of this held; *unknown*
would mean that the checker gave up, and counts as a failure.
"""

WORDS = """
## What the words mean

- **overlaps of belief**: how often a process still believed in its hold when the next
  had got the lock. With a lease that cannot be excluded for a process that stands
  still; what it may not do is write, and **fencing rejections** are where it tried.
- **lost locks told**: `LockLostError`s that callers got, instead of losing silently.
- **kill to next grant**: counted from the last death among the holder and those who
  stood in line before the next living owner.
- **persistence**: a server without it forgets who holds what; only a server that has
  written down every grant (`always`) is asked for a mutex, all for growing tokens
  and for a resource that accepts nothing stale.
- **careless holders**: half or a third of the holders of L3 to L6 and L11 are only told
  of a loss (`on_loss="flag"`) and write all the same: they are where the rejections of
  the fence come from.
- **L6, default and safe**: a failover may lose the last grants. By default a lock may
  then be believed in twice; the run counts it, and asks for growing tokens and a
  resource that accepts nothing stale. In the safe mode (`replicas=1`, `strict=True`,
  and `min-replicas-to-write 1` on the servers) it is judged as a mutex, and no fault is
  an excuse. It pays with time: nothing is granted for one ttl after each switch.
- L1, L8 and L10 ran alone; the others stood beside each other, four at a time.
"""
