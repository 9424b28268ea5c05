"""Each promise of the queue's scripts goes red on the bug it is there for.

A bug is a change to one script. The contract test that guards against it is run against
the changed script and must fail; a bug that nobody notices fails this test.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from tests.contract import test_broker as contract
from tests.contract.broker_place import Party

from quorate.queue.redis import broker
from quorate.wire.redis import Wire, open_wire
from quorate.wire.scripts import Script

Guard = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Bug:
    """What is wrong, where, and which test must notice."""

    name: str
    script: str
    right: str
    wrong: str
    guard: Guard


BUGS = [
    Bug(
        "a completion is not fenced",
        "_EXCHANGE",
        "if owner ~= claim and string.sub(owner or '', 1, -2)",
        "if not owner and string.sub(owner or '', 1, -2)",
        contract.test_nobody_settles_the_task_of_another,
    ),
    Bug(
        "the token is not compared",
        "_EXCHANGE",
        "if owner ~= claim and string.sub(owner or '', 1, -2) ~= "
        "string.sub(claim, 1, -2) then",
        "if string.match(owner or '', '^(.-)|') ~= string.match(claim, '^(.-)|') then",
        contract.test_a_completion_with_an_old_token_of_the_same_session_is_refused,
    ),
    Bug(
        "a dead session may claim",
        "_EXCHANGE",
        "if not ends or tonumber(ends) <= now then",
        "if false then",
        contract.test_a_dead_session_settles_and_claims_nothing,
    ),
    Bug(
        "the last answer is not remembered",
        "_EXCHANGE",
        "elseif tonumber(ARGV[3]) == last then",
        "elseif false then",
        contract.test_a_repeated_exchange_gives_the_same_claims_and_settles_once,
    ),
    Bug(
        "an overtaken exchange claims as well",
        "_EXCHANGE",
        "if tonumber(ARGV[3]) < last then",
        "if false then",
        contract.test_an_exchange_that_was_overtaken_does_nothing,
    ),
    Bug(
        "tasks are popped before anybody owns them",
        "_EXCHANGE",
        "    redis.call('SADD', base .. 'mine:' .. session, unpack(names))\n",
        "",
        contract.test_tasks_of_a_dead_session_go_back_to_the_front_with_a_crash,
    ),
    Bug(
        "the sweeper is not told whom to look after",
        "_EXCHANGE",
        "  redis.call('SADD', KEYS[3], session)\n",
        "",
        contract.test_the_index_has_a_session_as_long_as_it_has_claims,
    ),
    Bug(
        "tokens begin anew",
        "_EXCHANGE",
        "math.max(tonumber(cfg[3] or 0) + 1, guards.at)",
        "1",
        contract.test_tokens_grow_from_claim_to_claim,
    ),
    Bug(
        "reserved places take anything",
        "_EXCHANGE",
        "lane == 0 and total or math.min(total, others)",
        "total",
        contract.test_reserved_places_take_only_urgent_tasks,
    ),
    Bug(
        "a paused queue is served",
        "_EXCHANGE",
        "(cfg[2] or shed >= 3) and 0 or 3 - shed",
        "3 - shed",
        contract.test_a_paused_queue_gives_nothing_and_still_settles,
    ),
    Bug(
        "who lets a task rest is not told when to come again",
        "_EXCHANGE",
        "local due = guards.rest and math.ceil(guards.rest) or -1",
        "local due = -1",
        contract.test_who_lets_a_task_rest_is_told_when_to_come_again,
    ),
    Bug(
        "everything that is due is promoted at once",
        "_EXCHANGE",
        "'-inf', now, 'LIMIT', 0, 100)",
        "'-inf', now)",
        contract.test_promotion_is_bounded_and_tells_that_there_is_more,
    ),
    Bug(
        "a cancelled task in its lane is run",
        "_CANCEL",
        "redis.call('HDEL', base .. 'job', id)\n",
        "",
        contract.test_a_waiting_task_is_cancelled_at_once,
    ),
    Bug(
        "an id is put in twice",
        "_ENQUEUE",
        "    known[n] = waiting[n]\n",
        "    known[n] = false\n",
        contract.test_enqueueing_the_same_id_twice_changes_nothing,
    ),
    Bug(
        "what is over is forgotten at once",
        "_ENQUEUE",
        "if not known[n] and over[n] then",
        "if false then",
        contract.test_a_finished_task_is_not_put_in_again_while_it_is_remembered,
    ),
    Bug(
        "the living are taken from",
        "_TAKE_BACK",
        "if ends and tonumber(ends) > now then",
        "if false then",
        contract.test_a_living_session_is_not_cleaned,
    ),
    Bug(
        "a crash is not counted",
        "_TAKE_BACK",
        "crashes = crashes + 1",
        "crashes = crashes",
        contract.test_a_task_that_kills_every_worker_is_set_aside,
    ),
    Bug(
        "who has not begun is blamed as well",
        "_TAKE_BACK",
        "if begun == '1' then",
        "if begun then",
        contract.test_who_has_not_begun_is_not_blamed,
    ),
    Bug(
        "a roll call takes what is still on its way",
        "_ROLL_CALL",
        "elseif ahead == 1 then",
        "elseif false then",
        contract.test_a_claim_in_an_answer_that_was_not_had_is_left_alone,
    ),
    Bug(
        "an overtaken roll call acts",
        "_ROLL_CALL",
        "if ahead > 1 then",
        "if false then",
        contract.test_a_roll_call_that_was_overtaken_does_nothing,
    ),
    Bug(
        "what nobody knows of stays claimed",
        "_ROLL_CALL",
        "if not known[id] then",
        "if false then",
        contract.test_a_claim_that_nobody_knows_of_goes_back,
    ),
]


@pytest.fixture
async def wire(redis_url: str, namespace: str) -> AsyncIterator[Wire]:
    wire = await open_wire(redis_url, namespace=namespace)
    yield wire
    await wire.stop()


@pytest.mark.parametrize("redis_url", ["memory"], indirect=True)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
async def test_the_bug_is_noticed(
    bug: Bug, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: Script = getattr(broker, bug.script)
    monkeypatch.setattr(broker, bug.script, with_bug(script, bug))
    monkeypatch.setattr(contract, "WITHIN_S", 0.5)
    given = {
        "wire": wire,
        "ann": Party(wire, "ann"),
        "bob": Party(wire, "bob"),
        "keep_s": 60.0,
    }
    wanted = inspect.signature(bug.guard).parameters

    with pytest.raises((AssertionError, TimeoutError, ValueError)):
        await bug.guard(**{name: given[name] for name in wanted})


def with_bug(script: Script, bug: Bug) -> Script:
    assert script.text.count(bug.right) == 1, f"{bug.name}: the script has changed"
    text = script.text.replace(bug.right, bug.wrong)
    bare = script.bare.replace(bug.right, bug.wrong)
    return replace(script, text=text, sha=sha1(text), bare=bare, bare_sha=sha1(bare))


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
