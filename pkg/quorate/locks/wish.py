"""What a caller of `acquire_lock` wants, checked before anything is done. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import get_args

from quorate.core.errors import InvalidInput
from quorate.core.names import check_name

from .model import (
    ELECTION,
    LockConfig,
    LockType,
    OnLoss,
    check_priority,
    check_replicas,
    check_seconds,
    check_timeout,
    check_wait,
)

NAMES_KNOWN = 4096
_ON_LOSS = get_args(get_args(OnLoss)[0])


@dataclass(slots=True)
class Wish:
    """One lock for one block. `owner` "" is the running task. Seconds.

    Nobody changes it; it is not frozen because that costs more than all the rest of it.

    `at_least_for_s`: the lock stays taken so long even if the block is over before.
    `template`: what it is counted as.
    `weight` of `permits`: what is wanted of a semaphore, whose `lock_type` is SHARED.
    `replicas`: so many must have the grant.

    What follows from these is worked out once: it is asked for at every step of a lock.
    `shared`: others may hold it too. `may_join`: a reader like any other, who may share
    a claim with others of its process. `asks_itself`: it stands in the server's line,
    not behind others of its process. `is_try`: only tried, it never waits.
    """

    name: str
    lock_type: LockType
    wait_s: float | None = None
    timeout_s: float | None = None
    label: str = ""
    on_loss: OnLoss = "cancel"
    owner: str = ""
    at_least_for_s: float = 0.0
    priority: int = 0
    weight: int = 0
    permits: int = 0
    template: str = "(block)"
    replicas: int = 0
    shared: bool = field(init=False, repr=False, compare=False)
    may_join: bool = field(init=False, repr=False, compare=False)
    asks_itself: bool = field(init=False, repr=False, compare=False)
    is_try: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.shared = shared = self.lock_type is LockType.SHARED
        self.may_join = shared and not (
            self.weight
            or self.timeout_s is not None
            or self.at_least_for_s
            or self.replicas
            or self.priority
        )
        self.asks_itself = shared or self.name.startswith(ELECTION)
        self.is_try = self.wait_s == 0

    def suits(self, other: Wish) -> bool:
        """A place in line that was taken for this wish will do for `other`."""
        return self.timeout_s == other.timeout_s and self.replicas >= other.replicas


def check_told(told: object, what: str) -> None:
    """Refuse what cannot be called with the reason of a loss, there and then."""
    if not callable(told) or inspect.iscoroutinefunction(told):
        raise InvalidInput(
            f"{what} = {told!r} cannot be used.",
            "It is called at the moment of the loss, where nothing can be awaited.",
            "Use 'cancel', 'flag', or a plain function that takes the reason."
            if what == "on_loss"
            else "Give a plain function that takes the reason.",
        )


def checked_wish(
    config: LockConfig,
    name: str,
    lock_type: LockType,
    *,
    wait_s: float | None,
    timeout_s: float | None,
    label: str,
    on_loss: OnLoss,
    owner: str = "",
    at_least_for_s: float = 0.0,
    priority: int = 0,
    replicas: int | None = None,
) -> Wish:
    """A wish that can be fulfilled, what is left open filled in from `config`.

    Raises `InvalidName`, `InvalidInput`.
    """
    if not isinstance(lock_type, LockType):
        raise InvalidInput(
            f"{lock_type!r} is not a kind of lock.",
            fix=f"Use one of {', '.join(f'LockType.{t.name}' for t in LockType)}.",
        )
    if on_loss != "cancel" and on_loss not in _ON_LOSS:
        check_told(on_loss, "on_loss")
    if wait_s is None:
        wait_s = config.wait_s
    else:
        check_wait(wait_s)
    if priority != 0:
        check_priority(priority)
    if at_least_for_s != 0.0:
        check_seconds(at_least_for_s, "at_least_for_s")
    if timeout_s is not None:
        check_timeout(timeout_s)
    if replicas is not None:
        check_replicas(replicas)
    return Wish(
        check_name(name, "lock"),
        lock_type,
        wait_s,
        config.timeout_of(timeout_s),
        check_name(label, "label") if label else "",
        on_loss,
        check_name(owner, "owner") if owner else "",
        at_least_for_s,
        priority,
        replicas=config.replicas if replicas is None else replicas,
    )


def plain_wishes(config: LockConfig) -> Callable[[str], Wish]:
    """Wishes of which nothing but the name is said: each name is checked once.

    They raise `InvalidName`.
    """
    plain = partial(
        checked_wish,
        config,
        lock_type=LockType.EXCLUSIVE,
        wait_s=None,
        timeout_s=None,
        label="",
        on_loss="cancel",
    )
    return lru_cache(NAMES_KNOWN)(plain)
