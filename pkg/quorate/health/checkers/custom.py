"""A user's own function as a check."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from quorate.core.errors import InvalidInput
from quorate.health.model import CheckResult, failed, passed

Answer = CheckResult | bool | str | None
Ask = Callable[[], Awaitable[Answer]] | Callable[[], Answer]


class CustomHealthChecker:
    """Calls `ask`, best an async function without arguments.

    `None`, `True` and a text mean that it works, the text being the message; `False`
    or an error that it does not; a `CheckResult` says it in full. A plain function is
    called on the event loop, so it must not wait for anything.
    """

    def __init__(self, ask: Ask) -> None:
        if not callable(ask):
            raise InvalidInput(
                f"{ask!r} cannot be called.",
                fix="Pass an async function without arguments.",
            )
        self._ask = ask

    async def check(self) -> CheckResult:
        answer = self._ask()
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, CheckResult):
            return answer
        if answer is None or answer is True:
            return passed()
        if isinstance(answer, str):
            return passed(answer)
        if answer is False:
            return failed("it says no")
        return failed(f"it answered with a {type(answer).__name__}")
