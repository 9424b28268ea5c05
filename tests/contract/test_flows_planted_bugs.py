"""Each promise of flows and schedules goes red on the bug it is there for.

A bug is a change to one script. The contract test that guards against it is run against
the changed script and must fail; a bug that nobody notices fails this test.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from types import ModuleType

import pytest
from tests.contract import test_flows as flows
from tests.contract import test_held_tasks as held
from tests.contract import test_schedules as schedules
from tests.contract.broker_place import Party

from quorate.core.errors import StoreRefused
from quorate.queue.redis import broker
from quorate.queue.redis import flows as flow_store
from quorate.queue.redis import held as held_store
from quorate.queue.redis import schedules as schedule_store
from quorate.wire.redis import Wire, open_wire


@dataclass(frozen=True)
class Bug:
    """What is wrong, where, and which test must notice."""

    name: str
    place: tuple[ModuleType, str]
    right: str
    wrong: str
    guard: Callable[..., Awaitable[None]]


EXCHANGE = (broker, "_EXCHANGE")
BUGS = [
    Bug(
        "two that decided the same are both taken",
        (schedule_store, "_MOVE"),
        "elseif before ~= given[2] then",
        "elseif false then",
        schedules.test_any_number_of_keepers_fire_once,
    ),
    Bug(
        "a repeated request is told that it came too late",
        (schedule_store, "_MOVE"),
        "if before == given[3] then\n  return 2\nelseif",
        "if",
        schedules.test_a_firing_that_was_lost_on_the_way_is_repeated_and_counts_once,
    ),
    Bug(
        "a schedule does not move on when it has fired",
        (schedule_store, "_MOVE"),
        "redis.call('ZADD', base .. 'cronz', given[4], given[1])",
        "redis.call('ZADD', base .. 'cronz', 'NX', given[4], given[1])",
        schedules.test_what_is_due_is_put_in_and_moves_on,
    ),
    Bug(
        "a dead letter counts as a task that is not over",
        (schedule_store, "_LOOK"),
        "and not redis.call('ZSCORE', base .. 'dead', last)",
        "",
        schedules.test_a_task_that_was_set_aside_does_not_hold_the_next_up,
    ),
    Bug(
        "whoever settles sets off, whoever has the task",
        EXCHANGE,
        "      stale[#stale + 1] = id\n",
        "      stale[#stale + 1] = id\n"
        "      ends_of[#ends_of + 1] = id\n"
        "      ends_of[#ends_of + 1] = 'd'\n"
        "      ends_of[#ends_of + 1] = string.sub(body, 2)\n"
        "      settled = settled + 1\n      mine[settled] = '-'\n",
        flows.test_a_claim_that_was_given_to_another_sets_nothing_off,
    ),
    Bug(
        "a failure sets the next step off",
        EXCHANGE,
        "(kind == 'c' and letter == 'd')",
        "kind == 'c'",
        flows.test_a_step_that_fails_calls_the_rest_off,
    ),
    Bug(
        "the rest of a chain is not called off",
        EXCHANGE,
        "    elseif kind == 'c' then\n      end_of(string.sub(link, 2), id)\n",
        "",
        flows.test_a_step_that_fails_calls_the_rest_off,
    ),
    Bug(
        "the last step begins one member early",
        EXCHANGE,
        "redis.call('HLEN', key) - 3 >= tonumber(facts[1])",
        "redis.call('HLEN', key) - 2 >= tonumber(facts[1])",
        flows.test_the_last_step_begins_when_all_have_ended,
    ),
    Bug(
        "a failed member counts as done",
        EXCHANGE,
        "if facts[1] and letter ~= 'd' and facts[2] == 's' then",
        "if false then",
        flows.test_one_failure_calls_a_group_off,
    ),
    Bug(
        "links of tasks that are over come back",
        (flow_store, "_PUT_IN"),
        "if not is_known(given[at]) then",
        "if true then",
        flows.test_asking_for_the_same_chain_again_changes_nothing,
    ),
    Bug(
        "tasks of all services are taken up together",
        EXCHANGE,
        "return 9005000000000000 + sum",
        "return 9005000000000000",
        held.test_each_service_has_tasks_of_its_own_and_lanes_are_kept,
    ),
    Bug(
        "nobody knows that tasks wait",
        EXCHANGE,
        "redis.call('SADD', base .. 'held', number)",
        "",
        held.test_what_is_set_aside_is_not_claimed_before_it_is_taken_up,
    ),
    Bug(
        "a service is forgotten while tasks wait for it",
        (held_store, "_TAKE_UP"),
        "if #found < tonumber(ARGV[3]) then",
        "if true then",
        held.test_many_are_taken_up_a_few_at_a_time,
    ),
]


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
@pytest.mark.parametrize("redis_url", ["memory"], indirect=True)
async def test_a_planted_bug_is_noticed(
    bug: Bug, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = bug.place
    script = getattr(module, name)
    assert bug.right in script.bare, "the script does not read like that any more"
    bare = script.bare.replace(bug.right, bug.wrong)
    sha = hashlib.sha1(bare.encode(), usedforsecurity=False).hexdigest()
    changed = replace(script, bare=bare, bare_sha=sha)
    monkeypatch.setattr(module, name, changed)

    makers = {"ann": "ann", "bob": "bob"}
    maker = schedules.Keeper if bug.guard.__module__ == schedules.__name__ else Party
    given: dict[str, object] = {
        each: maker(wire, called) for each, called in makers.items()
    }
    given |= {"wire": wire, "end": flows.died}
    wanted = inspect.signature(bug.guard).parameters
    with pytest.raises((AssertionError, ValueError, StoreRefused)):
        await bug.guard(**{each: given[each] for each in wanted})
