"""Strikes at named places of the library: kill, sleep, stall, raise.

The library has a `failpoint(name)` before and after each durable step. A plan says
where to strike and when:

    queue.after_claim=kill@3; wire.before_send=sleep:0.2~0.1; lease.*=raise; seed=42

`@3` strikes at the third hit, `@3+` from the third on, `~0.1` at one hit of ten, and
neither at each hit. Names may have wildcards. `sleep:1` lets other tasks run, `stall:1`
blocks the whole event loop, `kill` is SIGKILL to this process.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, cast

from quorate.core.clock import Chance, Clock, SystemClock
from quorate.core.errors import InvalidSettings
from quorate.core.failpoint import arm

VARIABLE = "QUORATE_FAILPOINTS"

Action: TypeAlias = Literal["kill", "sleep", "stall", "raise"]
ACTIONS: tuple[Action, ...] = ("kill", "sleep", "stall", "raise")

_RULE = re.compile(
    r"(?P<point>[\w.*?\[\]-]+)\s*=\s*(?P<action>\w+)(:(?P<value>[\d.]+))?"
    r"(@(?P<nth>\d+)(?P<on>\+?)|~(?P<share>[\d.]+))?"
)


class FailpointError(Exception):
    """Raised by the action `raise`: an error that no code expects."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where, what, and at which hits. `nth` 0 means every hit."""

    point: str
    action: Action
    seconds: float = 0.0
    nth: int = 0
    onwards: bool = False
    share: float = 1.0

    def strikes(self, hit: int, chance: Chance) -> bool:
        """Whether to strike at the `hit`-th hit, counted from 1."""
        if self.nth:
            return hit == self.nth or (self.onwards and hit > self.nth)
        return self.share >= 1.0 or chance.random() < self.share


@dataclass(frozen=True, slots=True)
class Plan:
    """All rules, and the seed of their chance."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0


def parse(text: str) -> Plan:
    """The plan that `text` spells. Raises `InvalidSettings` with every fault in it."""
    rules: list[Rule] = []
    faults: list[str] = []
    seed = 0
    for part in filter(None, (piece.strip() for piece in re.split("[;\n]", text))):
        if found := re.fullmatch(r"seed\s*=\s*(\d+)", part):
            seed = int(found[1])
            continue
        try:
            rules.append(_rule(part))
        except ValueError as error:
            faults.append(f"{part!r}: {error}")
    if faults:
        raise InvalidSettings(
            f"The failpoints have {len(faults)} fault(s); none was armed.",
            "\n  ".join(faults),
            "Write them as point=action[:seconds][@nth[+] or ~share]; …",
        )
    return Plan(tuple(rules), seed)


class Failpoints:
    """Counts hits and strikes by a plan. `hits` and `struck` tell what happened."""

    def __init__(
        self,
        plan: Plan,
        *,
        clock: Clock | None = None,
        told: Callable[[str, str], None] | None = None,
        kill: Callable[[], None] | None = None,
    ) -> None:
        self.plan = plan
        self.hits: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self._chance = Chance(plan.seed)
        self._clock = clock or SystemClock()
        self._told = told
        self._kill = kill or _kill_this_process

    async def strike(self, name: str) -> None:
        """Called at every failpoint while armed."""
        self.hits[name] += 1
        for rule in self.plan.rules:
            if not fnmatchcase(name, rule.point):
                continue
            if rule.strikes(self.hits[name], self._chance):
                self.struck[name] += 1
                if self._told is not None:
                    self._told(name, rule.action)
                await self._do(rule, name)

    async def _do(self, rule: Rule, name: str) -> None:
        if rule.action == "kill":
            self._kill()
        elif rule.action == "sleep":
            await self._clock.sleep(rule.seconds)
        elif rule.action == "stall":
            time.sleep(rule.seconds)  # noqa: ASYNC251 - stalling the loop is the fault
        else:
            raise FailpointError(f"the failpoint {name} was told to raise")


@contextlib.contextmanager
def armed(
    text: str, *, told: Callable[[str, str], None] | None = None
) -> Iterator[Failpoints]:
    """Failpoints armed in this process for the length of the block."""
    failpoints = Failpoints(parse(text), told=told)
    arm(failpoints.strike)
    try:
        yield failpoints
    finally:
        arm(None)


def arm_from(environ: Mapping[str, str]) -> Failpoints | None:
    """Arm what `QUORATE_FAILPOINTS` in `environ` says, for the rest of this process.

    A child under test calls it by itself, `arm_from(os.environ)`: the library never
    looks at this variable, so that nobody arms a failpoint in production by accident.
    """
    text = environ.get(VARIABLE, "")
    if not text.strip():
        return None
    failpoints = Failpoints(parse(text))
    arm(failpoints.strike)
    return failpoints


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _rule(part: str) -> Rule:
    found = _RULE.fullmatch(part)
    if found is None:
        raise ValueError("is not point=action[:seconds][@nth[+] or ~share]")
    action = found["action"]
    if action not in ACTIONS:
        near = difflib.get_close_matches(action, ACTIONS, n=1)
        raise ValueError(
            f"{action} is not an action"
            + (f"; did you mean {near[0]}?" if near else f"; use {', '.join(ACTIONS)}")
        )
    timed = action in ("sleep", "stall")
    if timed != (found["value"] is not None):
        raise ValueError(
            f"{action} needs its seconds, as in {action}:0.5"
            if timed
            else f"{action} takes no seconds"
        )
    share = float(found["share"] or 1)
    if not 0 < share <= 1:
        raise ValueError("the share after ~ must be above 0 and at most 1")
    if found["nth"] == "0":
        raise ValueError("hits are counted from 1")
    return Rule(
        point=found["point"],
        action=cast("Action", action),
        seconds=float(found["value"] or 0),
        nth=int(found["nth"] or 0),
        onwards=found["on"] == "+",
        share=share,
    )
