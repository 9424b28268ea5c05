"""Each promise of guards and of dead letters goes red on the bug it is there for."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from types import ModuleType

import pytest
from tests.contract import test_broker_dead_letters as graves
from tests.contract import test_broker_guards as guards
from tests.contract import test_broker_rates as rates
from tests.contract.broker_place import Party, died
from tests.contract.test_broker_planted_bugs import Bug, with_bug

from quorate.queue.redis import admin, auditor, broker, dead_letters
from quorate.queue.views import Which
from quorate.wire.redis import Wire, open_wire

BUGS = [
    # unique keys
    Bug(
        "a unique key is not looked at",
        "_ENQUEUE",
        "if holder and holder ~= id then\n        return holder",
        "if false then\n        return holder",
        guards.test_a_second_task_of_a_key_is_answered_with_the_first,
    ),
    Bug(
        "the holder of a key is not looked for among its companions",
        "_ENQUEUE",
        "if holder and not here[holder]",
        "if holder",
        guards.test_one_call_may_hold_a_key_twice,
    ),
    Bug(
        "a key is kept when its task is over",
        "_EXCHANGE",
        "word.kind == 'u' and word.first < 2 and over[id]",
        "word.kind == 'u' and word.first < 0 and over[id]",
        guards.test_a_key_is_free_when_its_task_is_done,
    ),
    Bug(
        "a key is free as soon as its task fails",
        "_EXCHANGE",
        "word.first < 2 and over[id]",
        "word.first < 2",
        guards.test_a_key_stays_with_a_task_that_is_tried_again,
    ),
    Bug(
        "a key until started is kept",
        "_EXCHANGE",
        "elseif word.first == 0 then",
        "elseif false then",
        guards.test_a_key_until_started_is_free_when_a_worker_has_it,
    ),
    Bug(
        "somebody else's key is freed",
        "_EXCHANGE",
        "and redis.call('HGET', base .. 'uniq', word.label) == id then",
        "then",
        guards.test_the_end_of_one_task_does_not_free_the_key_of_the_next,
    ),
    Bug(
        "a window ends with its task",
        "_ENQUEUE",
        "redis.call('SET', base .. 'once:' .. word.label, id, 'PX', word.second)",
        "redis.call('SET', base .. 'once:' .. word.label, id, 'PX', 1)",
        guards.test_a_window_lasts_whatever_becomes_of_the_task,
    ),
    Bug(
        "a cancelled task keeps its key",
        "_CANCEL",
        "unguard(new_guards(base), {id}, {[id] = true})",
        "unguard(new_guards(base), {id}, {})",
        guards.test_a_key_is_free_when_its_task_was_cancelled_or_is_dead,
    ),
    Bug(
        "the poisoned keep their keys",
        "_TAKE_BACK",
        "unguard(guards, freed, over)",
        "unguard(guards, freed, {})",
        guards.test_a_task_that_kills_its_workers_frees_its_key,
    ),
    Bug(
        "a key belongs to a task that is nowhere",
        "_ENQUEUE",
        "redis.call('HEXISTS', base .. 'job', holder) == 0",
        "false",
        guards.test_a_key_whose_task_is_nowhere_is_free,
    ),
    # slots
    Bug(
        "a slot has no limit",
        "_EXCHANGE",
        "return gate.taken < limit and #gate.parked == 0",
        "return true",
        guards.test_so_many_of_a_key_run_and_nobody_behind_them_waits,
    ),
    Bug(
        "a slot is not given back",
        "_EXCHANGE",
        "if redis.call('HDEL', base .. 'slot:' .. word.label, id) == 1 then",
        "if false then",
        guards.test_the_next_comes_with_the_exchange_that_frees_the_slot,
    ),
    Bug(
        "nobody is let in when a slot is given back",
        "_EXCHANGE",
        "woken = woken + fill(guards, word.label, word.first)",
        "woken = woken + 0",
        guards.test_the_next_comes_with_the_exchange_that_frees_the_slot,
    ),
    Bug(
        "lanes do not count at a slot",
        "_EXCHANGE",
        "guards.at + lane * 60000000 + guards.count",
        "guards.at + guards.count",
        guards.test_who_waits_for_a_slot_is_served_by_lane_and_age,
    ),
    Bug(
        "who has no place may stand before who waits",
        "_EXCHANGE",
        "guards.count = guards.count + 1",
        "guards.count = guards.count - 1",
        guards.test_who_waits_for_a_slot_is_served_by_lane_and_age,
    ),
    Bug(
        "the dead keep their slots",
        "_EXCHANGE",
        "lives = ends and tonumber(ends) > guards.at / 1000",
        "lives = true",
        guards.test_a_slot_is_free_again_as_soon_as_its_session_is_dead,
    ),
    Bug(
        "the living lose their slots",
        "_EXCHANGE",
        "lives = ends and tonumber(ends) > guards.at / 1000",
        "lives = false",
        guards.test_who_waits_for_a_slot_is_served_by_lane_and_age,
    ),
    Bug(
        "who claims in the same call counts as dead",
        "_EXCHANGE",
        "ids[#ids + 1] = not gate.new[id] and id or nil",
        "ids[#ids + 1] = id",
        guards.test_so_many_of_a_key_run_and_nobody_behind_them_waits,
    ),
    Bug(
        "nobody is let in for the dead",
        "_TAKE_BACK",
        "count = unguard(guards, freed, over)",
        "count = 0",
        guards.test_who_waits_for_the_slot_of_the_dead_is_let_in,
    ),
    Bug(
        "a claim that went back keeps its slot",
        "_ROLL_CALL",
        "unguard(guards, freed, {}) + ",
        "",
        guards.test_a_slot_is_free_when_a_claim_goes_back_that_nobody_knows_of,
    ),
    Bug(
        "a cancelled task stays in its line",
        "_CANCEL",
        "local place = gate and 'park:' .. gate or 'due'",
        "local place = 'due'",
        guards.test_it_is_told_who_else_waits_after_a_cancellation,
    ),
    Bug(
        "who was let in and cancelled keeps his place",
        "_CANCEL",
        "local woken = unguard(new_guards(base), {id}, {[id] = true})",
        "local woken = 0",
        guards.test_a_task_cancelled_on_its_way_to_its_slot_lets_the_next_in,
    ),
    Bug(
        "who was let in to a closed lane keeps his place",
        "_EXCHANGE",
        "lives = tonumber(string.sub(token, 2)) < guards.open",
        "lives = true",
        guards.test_who_was_let_in_to_a_lane_that_is_not_served_blocks_nobody,
    ),
    Bug(
        "parked tasks count as lost",
        "_MEND",
        "(gate and redis.call('ZSCORE', base .. 'park:' .. gate,\n"
        "        candidate .. ':' .. id))",
        "false",
        guards.test_a_judge_leaves_parked_tasks_where_they_are,
    ),
    # rates
    Bug(
        "a rate is not charged",
        "_EXCHANGE",
        "gate.tat = gate.tat + gate.interval",
        "gate.tat = gate.tat",
        rates.test_a_burst_comes_at_once_and_the_rest_is_told_to_come_later,
    ),
    Bug(
        "the next is due at once",
        "_EXCHANGE",
        "gate.burst + math.floor((guards.at - gate.tat) / gate.interval)",
        "gate.burst + math.ceil((guards.at - gate.tat) / gate.interval)",
        rates.test_a_rate_that_is_used_up_stays_so,
    ),
    Bug(
        "who waits is not remembered to be waiting",
        "_EXCHANGE",
        "arm(guards, name, (guards.at + again_in) / 1000)\n      end",
        "\n      end",
        rates.test_the_rest_comes_in_order_and_not_too_soon,
    ),
    Bug(
        "a closed slot costs a turn",
        "_EXCHANGE",
        "    if not closed then\n      gate.tat",
        "    if true then\n      gate.tat",
        rates.test_a_slot_that_is_taken_costs_no_turn,
    ),
    Bug(
        "who was cancelled on the way is waited for",
        "_EXCHANGE",
        "if envelopes[n] and not owners[n] and not gates[n] and lane < guards.open "
        "then",
        "if not owners[n] then",
        rates.test_who_was_let_in_and_cancelled_keeps_nobody_from_coming,
    ),
    Bug(
        "a queue has no rate",
        "_EXCHANGE",
        "return math.min(total, room), math.min(others, room), room < total",
        "return total, others, false",
        rates.test_a_queue_gives_no_more_than_its_rate,
    ),
    Bug(
        "a queue's rate is charged for what was asked",
        "_EXCHANGE",
        "queue.tat + claimed * queue.interval",
        "queue.tat + 3 * queue.interval",
        rates.test_what_a_queue_lacks_is_not_charged,
    ),
    Bug(
        "workers are rung while the rate says wait",
        "_EXCHANGE",
        "if short and string.find(flags, 'b', 1, true) then",
        "if string.find(flags, 'b', 1, true) then",
        rates.test_nobody_is_rung_while_the_rate_says_wait,
    ),
    Bug(
        "a name that begins alike is limited too",
        "_EXCHANGE",
        '\'^{"v":%d+,"n":"([^"]*)"\'',
        '\'^{"v":%d+,"n":"(....)\'',
        rates.test_tasks_of_one_name_are_limited_and_others_pass,
    ),
    Bug(
        "a slower rate of before holds on",
        "_EXCHANGE",
        "if gate.tat > guards.at + gate.burst * gate.interval then",
        "if false then",
        rates.test_a_new_rate_is_for_those_who_wait_already,
    ),
    Bug(
        "the name of a guarded task is not found",
        "_EXCHANGE",
        "#words > 0 and string.find(envelope, '\\n', 1, true) + 1 or 1",
        "1",
        rates.test_guarded_tasks_have_a_name_too,
    ),
    # pauses
    Bug(
        "a pause of a name is not heeded",
        "_EXCHANGE",
        "if guards.rules.p[task] then",
        "if false then",
        rates.test_tasks_of_one_name_are_paused_and_resumed_live,
    ),
    Bug(
        "nobody is let in when a pause ends",
        "_SET_GATE",
        "redis.call('ZADD', base .. 'alarms', now, name)",
        "",
        rates.test_tasks_of_one_name_are_paused_and_resumed_live,
    ),
    Bug(
        "a second wave overtakes the first",
        "_EXCHANGE",
        "  if guests > 0 then",
        "  if false then",
        rates.test_many_who_wait_for_the_end_of_a_pause_all_come,
    ),
    Bug(
        "nobody is rung when a rule changes",
        "_SET_GATE",
        "ring(base, ARGV[1], idle * 8, true)",
        "",
        rates.test_idle_workers_are_rung_when_a_rule_changes,
    ),
    # dead letters
    Bug(
        "a replay takes no unique key",
        "_REVIVE",
        "take_unique(base, id, envelope, {})",
        "nil",
        guards.test_a_replay_takes_the_key_again_or_is_left_out,
    ),
    Bug(
        "a replay has no pace",
        "_REVIVE",
        "at = at + interval",
        "at = at",
        graves.test_a_replay_at_a_rate_comes_one_after_the_other_in_order,
    ),
    Bug(
        "the second part of a replay begins with the first",
        "_REVIVE",
        "tonumber(redis.call('HGET', base .. 'cfg', 'replayed') or 0)",
        "0",
        graves.test_a_replay_that_was_cut_off_goes_on_where_it_was,
    ),
    Bug(
        "dead letters are kept for ever",
        "_EXCHANGE",
        "arm(guards, 'dead', now + guards.dead_ms)",
        "",
        graves.test_dead_letters_are_kept_for_a_while_and_no_longer,
    ),
]

MODULES: dict[str, ModuleType] = {
    "_REVIVE": dead_letters,
    "_SET_GATE": admin,
    "_MEND": auditor,
}


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
    module = MODULES.get(bug.script, broker)
    script = with_bug(getattr(module, bug.script), bug)
    monkeypatch.setattr(module, bug.script, script)
    for contract in (guards, rates, graves):
        monkeypatch.setattr(contract, "WITHIN_S", 0.7)
    given = {"wire": wire, "ann": Party(wire, "ann"), "bob": Party(wire, "bob")}
    choices = {"guards": guards.FINISHED, "which": Which(), "ids": "", "ending": died}
    wanted = inspect.signature(bug.guard).parameters

    with pytest.raises((AssertionError, TimeoutError, ValueError)):
        await bug.guard(**{name: (given | choices)[name] for name in wanted})
