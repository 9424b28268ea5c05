"""Tasks that come after one another: chains, and groups with a last step. Pure.

All tasks of a flow are put in at once; those that wait for others rest until the script
that settles the last of these sets them off, so a step begins exactly when what it
waits for is settled, whoever dies meanwhile. Every id follows from the id of the flow:
to ask for the same flow again changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from quorate.core.codec import Json
from quorate.core.errors import InvalidInput
from quorate.core.ids import born_at, derived_id, new_task_id
from quorate.core.names import check_name

from .envelope import Before, Header, read_before
from .model import Task, check_tasks
from .ports import Parcel

OnFailure: TypeAlias = Literal["stop", "continue"]
"""What if a step ends in the dead letters or is cancelled: the rest is called off, or
goes on without its result."""

Member: TypeAlias = Task | Sequence[Task]
"""Of a group: a task, or a chain of its own."""

RESTING_AT = 9_000_000_000_000.0
"""The wall time of what waits for others: it is never reached."""

MOST_STEPS = 100
MOST_MEMBERS = 1000
UUID_LENGTH = 32


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A group as the server keeps it: the id of its last step, size and rule."""

    id: str
    size: int
    rule: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A flow, ready for the server. `ids` are those of its tasks, the last one last."""

    id: str
    queue: str
    parcels: tuple[Parcel, ...]
    links: dict[str, str] = field(default_factory=dict)
    group: GroupPlan | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(parcel.id for parcel in self.parcels)


Pack = Callable[[Task], Parcel]


def plan_chain(
    steps: Sequence[Task], pack: Pack, flow_id: str, on_failure: OnFailure
) -> Plan:
    """One after the other; the last has the id of the flow."""
    check_tasks(steps)
    _check(steps, MOST_STEPS, "steps", on_failure)
    _check_first(steps[0])
    names = [step_id(flow_id, number) for number in range(len(steps) - 1)]
    parcels, links = _chain(steps, [*names, flow_id], pack, on_failure)
    return Plan(flow_id, steps[0].queue, tuple(parcels), links)


def plan_group(
    members: Sequence[Member],
    collect: Task,
    pack: Pack,
    flow_id: str,
    on_failure: OnFailure,
) -> Plan:
    """All at once, then `collect`; it has the id of the flow."""
    chains = [_steps_of(member) for member in members]
    flat = [task for chain in chains for task in chain]
    if not all(chains):
        raise InvalidInput("A member of the group has no steps.")
    check_tasks([*flat, collect])
    _check([*flat, collect], MOST_MEMBERS, "tasks", on_failure)
    for chain in chains:
        _check_first(chain[0])
    letters = "g" if on_failure == "stop" else "o"
    last = _waiting(collect, flow_id, letters, pack)
    parcels, links = [], dict[str, str]()
    for index, chain in enumerate(chains, start=1):
        names = [step_id(flow_id, f"{index}.{number}") for number in range(len(chain))]
        some, between = _chain(chain, names, pack, "stop", is_followed=True)
        parcels += some
        links |= between | {names[-1]: f"g{index} {flow_id}"}
    ids = tuple(parcel.id for parcel in parcels)
    group = GroupPlan(flow_id, len(chains), on_failure[0], ids)
    return Plan(flow_id, collect.queue, (*parcels, last), links, group)


def step_id(flow_id: str, number: int | str) -> str:
    """The id of a step. It tells the age of the flow, if the flow's own id does."""
    name = f"{flow_id}/{number}"
    if len(flow_id) == UUID_LENGTH and flow_id[12] == "7":
        digest = hashlib.sha256(name.encode()).digest()
        return new_task_id(born_at(flow_id) + 0.0005, lambda count: digest[:count])
    return derived_id("quorate-flow", name)


def with_before(header: Header, payload: Json, envelope: bytes) -> Json:
    """The payload of a step that takes what came before it."""
    before = read_before(envelope)
    if "p" not in header.flow or not before:
        return payload
    value: Json = [_outcome(each) for each in before]
    if "o" not in header.flow:
        value = [each.result for each in before]
    if "f" in header.flow:
        value = before[0].result
    if header.is_call:
        return {"args": [value, *payload["args"][1:]], "kwargs": payload["kwargs"]}
    return value


def _outcome(before: Before) -> Json:
    return {
        "state": before.state.value,
        "result": before.result,
        "error": before.error,
    }


def _chain(
    steps: Sequence[Task],
    names: Sequence[str],
    pack: Pack,
    on_failure: OnFailure,
    *,
    is_followed: bool = False,
) -> tuple[list[Parcel], dict[str, str]]:
    rule = "c" if on_failure == "stop" else "C"
    parcels, links = [], {}
    for number, (step, name) in enumerate(zip(steps, names, strict=True)):
        is_last = number == len(steps) - 1
        letters = "" if is_last and not is_followed else "l"
        if number:
            parcels.append(_waiting(step, name, letters + "f", pack))
        else:
            parcels.append(pack(replace(step, id=name, flow=letters)))
        if not is_last:
            links[name] = f"{rule}{names[number + 1]}"
    return parcels, links


def _waiting(step: Task, name: str, letters: str, pack: Pack) -> Parcel:
    """A step that rests until it is set off, and takes what came before if it can."""
    takes = step.flow == "p" or (not step.is_call and step.payload is None)
    letters += "p" if takes else ""
    return pack(replace(step, id=name, flow=letters))._replace(at=RESTING_AT)


def _steps_of(member: object) -> list[Task]:
    if isinstance(member, Sequence):
        return list(member)
    check_tasks([member])
    return [member] if isinstance(member, Task) else []


def _check_first(step: Task) -> None:
    if step.flow:
        raise InvalidInput(
            f"{step.name} cannot come first.",
            "It wants the result of the step before it, and there is none.",
            "Make it with function.task(…) instead of function.step(…).",
        )


def _check(steps: Sequence[Task], most: int, what: str, on_failure: OnFailure) -> None:
    faults = []
    for step in steps:
        check_name(step.queue, "queue")
    if not 2 <= len(steps) <= most:
        faults.append(f"it has {len(steps)} {what}")
    if len({step.queue for step in steps}) > 1:
        faults.append(f"its tasks are of {sorted({step.queue for step in steps})}")
    for step in steps:
        if step.id is not None or step.at is not None or step.delay_s:
            faults.append(f"{step.name} has an id, a delay or a time of its own")
        if step.unique is not None:
            faults.append(f"{step.name} is unique: another task could take its place")
    if on_failure not in get_args(OnFailure):
        faults.append(f"on_failure = {on_failure!r}")
    if faults:
        raise InvalidInput(
            "These tasks cannot come after one another.",
            "; ".join(faults[:3]),
            f"Give 2 to {most} {what} of one queue: one script moves them. They begin "
            "when their time comes, and have ids that follow from flow_id; none may be "
            "left out because another task has its key.",
        )
