"""How often a failing task is tried, and how long it rests in between. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from quorate.core.errors import InvalidInput
from quorate.resilience.backoff import Backoff, exponential


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """Another patience with one kind of error: attempts in all, and the rests.

    None takes the policy's own. An attempt that runs too long raises `TaskTimeout`.
    """

    error: type[Exception]
    attempts: int | None = None
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        _check_kind(self.error)
        if self.attempts is not None:
            _check_attempts(self.attempts)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failing task is tried, and how long it rests in between.

    `attempts` counts the first one too. The rest is drawn evenly between nothing and
    the backoff's ceiling (full jitter). Errors named by `give_up_on` are not retried;
    for others `rules` may say otherwise.
    """

    attempts: int = 5
    backoff: Backoff = field(default_factory=lambda: exponential(1.0, 600.0))
    give_up_on: tuple[type[Exception], ...] = ()
    rules: tuple[ErrorRule, ...] = ()

    def for_error(self, error: BaseException) -> RetryPolicy:
        """The policy for this error: the first rule that fits it counts."""
        for rule in self.rules:
            if isinstance(error, rule.error):
                attempts = rule.attempts or self.attempts
                backoff = rule.backoff or self.backoff
                return RetryPolicy(attempts, backoff, self.give_up_on)
        return self

    def __post_init__(self) -> None:
        _check_attempts(self.attempts)
        if not isinstance(self.give_up_on, tuple):
            raise InvalidInput(
                f"give_up_on = {self.give_up_on!r} cannot be used.",
                "It is a tuple of classes.",
                "Give for instance give_up_on=(ValueError, KeyError).",
            )
        for kind in self.give_up_on:
            _check_kind(kind)


def _check_attempts(attempts: object) -> None:
    if not isinstance(attempts, int) or attempts < 1:
        raise InvalidInput(
            f"A task cannot be tried {attempts!r} times.",
            "It is a whole number, and the first attempt counts too.",
            "Give attempts=1 for no retries.",
        )


def _check_kind(kind: object) -> None:
    """Refuse here what would fail with the first error."""
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        raise InvalidInput(
            f"{kind!r} is not a kind of error.",
            "Errors are told apart by their classes.",
            "Name the class, such as ValueError.",
        )
