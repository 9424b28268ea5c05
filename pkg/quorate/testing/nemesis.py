"""Does harm by a plan: what, to whom, when and for how long, all from one seed.

The plan is made first, purely, and can be printed and saved beside the history, so that
a run that failed can be run again. Every fault ends by itself; at the end of the run,
however it comes, all is healed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from quorate.core.clock import Chance, Clock, SystemClock
from quorate.core.errors import InvalidInput
from quorate.core.lifecycle import to_the_end

from .history import Recorder, Running

HEAL_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NemesisOptions:
    """What the plan is made from. `faults` maps an action to those it may strike.

    A fault begins about every `every_s` seconds, after a calm of `calm_s`, and none
    is left at `duration_s`. An action with twice the weight comes twice as often.
    """

    duration_s: float
    faults: Mapping[str, tuple[str, ...]]
    every_s: float = 2.0
    calm_s: float = 1.0
    shortest_s: float = 0.2
    longest_s: float = 2.0
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One fault. `strength` from 0 to 1 is for the hand to read as it likes."""

    at_s: float
    action: str
    target: str
    lasts_s: float
    strength: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that a nemesis will do, with what it was made from."""

    seed: int
    options: NemesisOptions
    steps: tuple[Step, ...]

    def text(self) -> str:
        """Seed, options and steps as JSON; the same seed gives the same text."""
        return json.dumps(asdict(self), indent=1)

    def save(self, directory: Path) -> Path:
        """Write it down beside the history."""
        path = directory / "nemesis.json"
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text(), encoding="utf-8")
        return path


def plan(seed: int, options: NemesisOptions) -> Schedule:
    """The faults of one run. Pure: depends on nothing but its arguments.

    No target suffers two faults at the same time.
    """
    chance = Chance(seed)
    actions = [action for action, targets in options.faults.items() if targets]
    if not actions:
        raise InvalidInput("The nemesis has nobody to strike.", "`faults` is empty.")
    weights = [options.weights.get(action, 1.0) for action in actions]
    free_at: dict[str, float] = {}
    steps: list[Step] = []
    at_s = options.calm_s
    while at_s + options.shortest_s <= options.duration_s:
        action = chance.choices(actions, weights)[0]
        target = chance.choice(options.faults[action])
        lasts_s = chance.uniform(options.shortest_s, options.longest_s)
        lasts_s = min(lasts_s, options.duration_s - at_s)
        strength = chance.random()
        if free_at.get(target, 0.0) <= at_s:
            free_at[target] = at_s + lasts_s
            steps.append(Step(at_s, action, target, lasts_s, strength))
        at_s += chance.expovariate(1.0 / options.every_s)
    return Schedule(seed, options, tuple(steps))


class Hand(Protocol):
    """Does one kind of harm, and undoes it."""

    async def strike(self, target: str, strength: float) -> None: ...

    async def heal(self, target: str) -> None: ...


class Nemesis:
    """Carries a schedule out. `hands` maps each action to who does it."""

    def __init__(
        self,
        schedule: Schedule,
        hands: Mapping[str, Hand],
        *,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        missing = {step.action for step in schedule.steps} - hands.keys()
        if missing:
            raise InvalidInput(f"Nobody does {', '.join(sorted(missing))}.")
        self.schedule = schedule
        self._hands = hands
        self._clock = clock or SystemClock()
        self._recorder = recorder
        self._suffering: dict[str, tuple[Step, Running | None]] = {}

    async def run(self) -> None:
        """Strike and heal at the planned times; heal all at the end."""
        began = self._clock.monotonic()
        moments = [(step.at_s, True, step) for step in self.schedule.steps]
        moments += [
            (step.at_s + step.lasts_s, False, step) for step in self.schedule.steps
        ]
        moments.sort(key=lambda moment: moment[:2])
        try:
            for at_s, strikes, step in moments:
                await self._clock.sleep(began + at_s - self._clock.monotonic())
                await (self._strike(step) if strikes else self._heal(step.target))
        finally:
            await to_the_end(self._heal_all(), "heal all")

    async def _strike(self, step: Step) -> None:
        running = None
        if self._recorder is not None:
            running = self._recorder.invoke(
                "nemesis", {"action": step.action, "target": step.target}
            )
        self._suffering[step.target] = (step, running)
        await self._hands[step.action].strike(step.target, step.strength)

    async def _heal(self, target: str) -> None:
        if target not in self._suffering:
            return
        step, running = self._suffering[target]
        await self._hands[step.action].heal(target)
        del self._suffering[target]
        if running is not None:
            running.ok()

    async def _heal_all(self) -> None:
        """One that cannot be healed does not keep the others from it."""
        errors: list[Exception] = []
        async with asyncio.timeout(HEAL_WITHIN_S):
            for target in tuple(self._suffering):
                try:
                    await self._heal(target)
                except Exception as error:
                    errors.append(error)
        if errors:
            raise errors[0]
