"""Picks the instance for a call, and learns from how the call went.

A new snapshot makes a new picker, swapped in at once; what is known of each instance
stays. While the registry is away the last snapshot serves on, and every choice says
how old that is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType

from quorate.core.clock import Chance, Clock, SystemClock
from quorate.core.errors import InvalidInput, NobodyHome
from quorate.core.events import Emit, silent

from .balancing.picker import LoadBalanceStrategy
from .balancing.records import Memory
from .balancing.routable import Routable, RoutingTerms, routable
from .events import BalancerCalmed, BalancerPanicked
from .model import ServiceInfo, Snapshot
from .strategies import LeastRequestStrategy, make_picker, quick_chance


@dataclass(frozen=True, slots=True)
class InstanceLoad:
    """What a balancer knows of one instance. `busy_s` is the sum of call times."""

    in_flight: int
    picked: int
    succeeded: int
    failed: int
    cancelled: int
    busy_s: float
    success: float


@dataclass(frozen=True, slots=True)
class BalancerStats:
    """A balancer at one moment; `by_id` has the listed instances."""

    service: str
    revision: int
    fit: int
    judged: int
    panic: bool
    nobody_home: int
    by_id: dict[str, InstanceLoad]


class LoadBalancer:
    """Balances the calls to one service.

    `strategy` is a shipped one (least request of two by default) or your own object
    with `select(services)`. Feed it with `update(snapshot)`.
    """

    def __init__(
        self,
        strategy: LoadBalanceStrategy | None = None,
        *,
        terms: RoutingTerms | None = None,
        emit: Emit = silent,
        clock: Clock | None = None,
        chance: Chance | None = None,
    ) -> None:
        self._strategy = strategy or LeastRequestStrategy()
        if not callable(getattr(self._strategy, "select", None)):
            raise InvalidInput(
                f"{strategy!r} is not a strategy: it has no select(services).",
                fix="Pass an object such as RoundRobinStrategy().",
            )
        self._terms = terms or RoutingTerms()
        self._emit = emit
        self._clock = clock or SystemClock()
        self._memory = Memory(chance or quick_chance(), self._clock.monotonic)
        self._snapshot: Snapshot | None = None
        self._routable = Routable((), (), 0, 0, panic=False)
        self._picker = make_picker(self._strategy, (), self._memory)
        self._nobody_home = 0

    @property
    def snapshot(self) -> Snapshot | None:
        """The list that calls are balanced over; None before the first `update`."""
        return self._snapshot

    def update(self, snapshot: Snapshot) -> bool:
        """Balance over this list from now on.

        False, and nothing changes, if it is older than the list in use. Raises
        `InvalidInput` for another service's list.
        """
        before = self._snapshot
        if before is not None:
            if before.name != snapshot.name:
                raise InvalidInput(
                    f"This balancer serves {before.name!r}, not {snapshot.name!r}.",
                    fix="Use one balancer for each service.",
                )
            same_history = before.epoch == snapshot.epoch
            if same_history and snapshot.revision < before.revision:
                return False
        self._snapshot = snapshot
        if before is None or before.instances != snapshot.instances:
            self._rebuild(snapshot)
        return True

    def choose(
        self, key: str | None = None, exclude: Collection[str] = ()
    ) -> ServiceInfo:
        """An instance to call now. Never waits.

        Ids in `exclude` were tried already: they are taken only if there is nobody
        else. Raises `NobodyHome`, which says how old the list is.
        """
        chosen = self._picker.pick(key, exclude)
        if chosen is None and exclude:
            chosen = self._other(key, exclude)
        if chosen is None:
            self._nobody_home += 1
            raise self._nobody()
        return chosen

    def acquire(self, key: str | None = None, exclude: Collection[str] = ()) -> Choice:
        """`async with balancer.acquire() as choice:` call `choice.endpoint`.

        The block is measured. It counts as success if it ends, as failure if it raises
        or says `choice.fail()`, and as nothing if it is cancelled.
        """
        return Choice(self, key, exclude)

    def stats(self) -> BalancerStats:
        """Counts of the listed instances, and how many of them are fit."""
        snapshot, now = self._snapshot, self._clock.monotonic()
        by_id = {}
        for instance_id in snapshot.by_id if snapshot else ():
            record = self._memory.record(instance_id)
            by_id[instance_id] = InstanceLoad(
                record.in_flight,
                record.picked,
                record.succeeded,
                record.failed,
                record.cancelled,
                record.busy_s,
                record.success(now),
            )
        return BalancerStats(
            service=snapshot.name if snapshot else "",
            revision=snapshot.revision if snapshot else 0,
            fit=self._routable.fit,
            judged=self._routable.judged,
            panic=self._routable.panic,
            nobody_home=self._nobody_home,
            by_id=by_id,
        )

    def _rebuild(self, snapshot: Snapshot) -> None:
        before, now = self._routable, routable(snapshot.instances, self._terms)
        self._picker = make_picker(self._strategy, now.services, self._memory)
        self._routable = now
        self._memory.prune(snapshot.by_id)
        if now.panic != before.panic:
            kind = BalancerPanicked if now.panic else BalancerCalmed
            self._emit(kind(service=snapshot.name, fit=now.fit, judged=now.judged))

    def _other(self, key: str | None, exclude: Collection[str]) -> ServiceInfo | None:
        """When all that are fit were tried: somebody else, or one of them again."""
        for service in self._routable.reserve:
            if service.id not in exclude:
                return service
        return self._picker.pick(key, ())

    def _nobody(self) -> NobodyHome:
        snapshot = self._snapshot
        if snapshot is None:
            return NobodyHome(
                "Nobody is home: no list of instances has been loaded yet.",
                fix="Wait for discovery before the first call.",
            )
        now = self._clock.monotonic()
        states = [
            s.admin_state.value + " and " + s.state.value for s in snapshot.instances
        ]
        counts = {state: states.count(state) for state in sorted(set(states))}
        listed = ", ".join(f"{n} {state}" for state, n in counts.items()) or "none"
        stale = snapshot.stale_since
        away = (
            "" if stale is None else f", the registry is away since {now - stale:.1f} s"
        )
        return NobodyHome(
            f"Nobody is home at {snapshot.name!r}: no instance is fit to be called.",
            f"Instances listed: {listed}. The list is {snapshot.age_s(now):.1f} s old "
            f"(revision {snapshot.revision}{away}).",
            "Start an instance, or look at why those that are listed are not fit.",
        )


class Choice:
    """One call to one instance. `service` is known inside the `async with` block."""

    __slots__ = (
        "_balancer", "_exclude", "_failed", "_key", "_started_at",
        "panic", "service", "snapshot_age_s",
    )  # fmt: skip

    service: ServiceInfo
    snapshot_age_s: float
    panic: bool

    def __init__(
        self, balancer: LoadBalancer, key: str | None, exclude: Collection[str]
    ) -> None:
        self._balancer = balancer
        self._key = key
        self._exclude = exclude
        self._failed = False

    @property
    def endpoint(self) -> str:
        """Where to call."""
        return self.service.endpoint

    def fail(self) -> None:
        """Count the call as failed although it raised nothing (an HTTP 500, say)."""
        self._failed = True

    async def __aenter__(self) -> Choice:
        balancer = self._balancer
        self.service = balancer.choose(self._key, self._exclude)
        self._started_at = now = balancer._clock.monotonic()
        balancer._memory.record(self.service.id).begin()
        self.panic = balancer._routable.panic
        snapshot = balancer._snapshot
        self.snapshot_age_s = snapshot.age_s(now) if snapshot else 0.0
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        record = self._balancer._memory.record(self.service.id)
        if kind is not None and not issubclass(kind, Exception):
            record.cancel()
            return
        now = self._balancer._clock.monotonic()
        succeeded = kind is None and not self._failed
        record.end(now - self._started_at, succeeded=succeeded, now=now)
