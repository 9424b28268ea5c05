"""The nemesis does what its seed says, at the planned time, and heals everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quorate.core.errors import InvalidInput
from quorate.core.lifecycle import Tasks
from quorate.testing.clock import ManualClock
from quorate.testing.hands import Doing, Killing, Pausing, Poisoning
from quorate.testing.history import Recorder, read_history
from quorate.testing.nemesis import Nemesis, NemesisOptions, Schedule, Step, plan
from quorate.testing.proxy import FaultProxy
from quorate.testing.toxics import Latency

OPTIONS = NemesisOptions(
    duration_s=600,
    faults={"kill": ("w1", "w2", "w3"), "pause": ("w1", "redis"), "slow": ("link",)},
    weights={"kill": 3},
)


def test_the_same_seed_makes_the_same_plan() -> None:
    assert plan(7, OPTIONS).text() == plan(7, OPTIONS).text()
    assert plan(7, OPTIONS).steps != plan(8, OPTIONS).steps


def test_a_plan_keeps_to_its_options() -> None:
    steps = plan(7, OPTIONS).steps

    assert len(steps) > 100
    assert steps[0].at_s == OPTIONS.calm_s
    for step in steps:
        assert step.at_s + step.lasts_s <= OPTIONS.duration_s
        assert step.lasts_s <= OPTIONS.longest_s
        assert step.target in OPTIONS.faults[step.action]
        assert 0 <= step.strength < 1
    kills = sum(step.action == "kill" for step in steps)
    assert 0.45 < kills / len(steps) < 0.75


def test_no_target_suffers_two_faults_at_once() -> None:
    free_at: dict[str, float] = {}

    for step in plan(7, OPTIONS).steps:
        assert step.at_s >= free_at.get(step.target, 0)
        free_at[step.target] = step.at_s + step.lasts_s


def test_a_plan_is_saved_with_all_that_it_was_made_from(tmp_path: Path) -> None:
    saved = json.loads(plan(7, OPTIONS).save(tmp_path / "run").read_text())

    assert saved["seed"] == 7
    assert saved["options"]["longest_s"] == 2.0
    assert len(saved["steps"]) == len(plan(7, OPTIONS).steps)


def test_a_nemesis_without_victims_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nobody to strike"):
        plan(7, NemesisOptions(duration_s=9, faults={"kill": ()}))


def test_an_action_that_nobody_does_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Nobody does kill"):
        Nemesis(schedule(Step(1, "kill", "w1", 1, 0)), {})


def schedule(*steps: Step) -> Schedule:
    return Schedule(0, NemesisOptions(duration_s=60, faults={"harm": ("a",)}), steps)


class Diary:
    """A hand that only writes down what it would do."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self.lines: list[tuple[float, str, str]] = []
        self.fails = False

    async def strike(self, target: str, strength: float) -> None:
        self._write("strike", target)

    async def heal(self, target: str) -> None:
        self._write("heal", target)
        if self.fails:
            raise OSError(target)

    def _write(self, what: str, target: str) -> None:
        self.lines.append((self._clock.monotonic() - self._began, what, target))


async def test_faults_begin_and_end_at_the_planned_time(
    clock: ManualClock, tmp_path: Path
) -> None:
    diary, tasks = Diary(clock), Tasks()
    recorder = Recorder(tmp_path, "nemesis")
    steps = Step(1, "harm", "a", 1, 0), Step(3, "harm", "b", 2, 0)
    nemesis = Nemesis(schedule(*steps), {"harm": diary}, clock=clock, recorder=recorder)

    run = tasks.spawn(nemesis.run(), "nemesis")
    await clock.advance(60)

    assert diary.lines == [
        (1, "strike", "a"),
        (2, "heal", "a"),
        (3, "strike", "b"),
        (5, "heal", "b"),
    ]
    assert run.done()
    operations = read_history(tmp_path).of("nemesis")
    assert [op.args["target"] for op in operations] == ["a", "b"]
    assert all(op.is_known for op in operations)


async def test_a_nemesis_that_is_stopped_heals_what_it_did(clock: ManualClock) -> None:
    diary, tasks = Diary(clock), Tasks()
    steps = Step(1, "harm", "a", 9, 0), Step(2, "harm", "b", 9, 0)
    tasks.spawn(Nemesis(schedule(*steps), {"harm": diary}, clock=clock).run(), "run")
    await clock.advance(3)

    await tasks.close()

    assert [line[1:] for line in diary.lines[2:]] == [("heal", "a"), ("heal", "b")]


async def test_one_that_cannot_be_healed_does_not_keep_the_others_from_it(
    clock: ManualClock,
) -> None:
    diary, tasks = Diary(clock), Tasks()
    diary.fails = True
    steps = Step(1, "harm", "a", 2, 0), Step(2, "harm", "b", 9, 0)

    run = tasks.spawn(
        Nemesis(schedule(*steps), {"harm": diary}, clock=clock).run(), "run"
    )
    await clock.advance(60)

    assert isinstance(run.exception(), OSError)
    assert ("heal", "b") in [line[1:] for line in diary.lines]


class Victim:
    def __init__(self) -> None:
        self.suffered: list[str] = []

    def kill(self) -> None:
        self.suffered.append("kill")

    async def restart(self) -> None:
        self.suffered.append("restart")

    def pause(self) -> None:
        self.suffered.append("pause")

    def resume(self) -> None:
        self.suffered.append("resume")


async def test_hands_kill_and_pause_and_do_other_harm() -> None:
    victim, done = Victim(), []

    async def harm(target: str) -> None:
        done.append(f"harm {target}")

    async def help_up(target: str) -> None:
        done.append(f"help {target}")

    for hand in (Killing({"a": victim}), Pausing({"a": victim}), Doing(harm, help_up)):
        await hand.strike("a", 0.5)
        await hand.heal("a")

    assert victim.suffered == ["kill", "restart", "pause", "resume"]
    assert done == ["harm a", "help a"]


async def test_a_hand_poisons_a_link_as_strongly_as_planned() -> None:
    proxy = FaultProxy("tcp://127.0.0.1:9")
    hand = Poisoning({"link": proxy}, lambda strength: Latency(latency_s=strength))

    await hand.strike("link", 0.25)
    assert proxy.toxics == (Latency(latency_s=0.25),)
    await hand.heal("link")
    await hand.heal("link")

    assert proxy.toxics == ()
