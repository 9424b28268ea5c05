"""Each promise of the registry's scripts goes red on the bug it is there for.

A bug is a change to one script. The contract test that guards against it is run against
the changed script and must fail; a bug that nobody notices fails this test.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from tests.contract import test_registry_store as contract
from tests.contract.registry_place import Place

from quorate.registry import redis as backend
from quorate.testing.heard import Heard
from quorate.wire import sessions
from quorate.wire.redis import Wire
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
        "a heartbeat counts the revision up",
        "_RENEW",
        "  alive = 1",
        "  alive = 1\n  local revs = string.gsub(KEYS[1], ':S$', ':r:revs')\n"
        "  redis.call('HINCRBY', revs, 'orders', 1)",
        contract.test_renewing_a_session_changes_no_revision,
    ),
    Bug(
        "registering the same again is a revision",
        "_REGISTER",
        "if redis.call('HGET', key(service, 'inst'), id) == document then",
        "if false then",
        contract.test_registering_the_same_again_is_no_revision,
    ),
    Bug(
        "a dead session may register",
        "_REGISTER",
        "if not is_alive(session) then",
        "if false then",
        contract.test_who_has_no_living_session_can_write_nothing,
    ),
    Bug(
        "incarnations are not compared",
        "_REGISTER",
        "held > incarnation and is_alive(holder)",
        "false",
        contract.test_a_new_life_wins_over_a_living_one_with_the_same_id,
    ),
    Bug(
        "a later incarnation wins even when it is dead",
        "_REGISTER",
        "held > incarnation and is_alive(holder)",
        "held > incarnation",
        contract.test_an_older_life_may_come_back_when_the_later_one_is_dead,
    ),
    Bug(
        "coming back forgets what an operator decided",
        "_REGISTER",
        "if holder and incarnation == held then",
        "if false then",
        contract.test_a_session_under_its_next_name_takes_its_instance_along,
    ),
    Bug(
        "who was superseded stays in the index",
        "_REGISTER",
        "if holder and holder ~= session then",
        "if false then",
        contract.test_a_new_life_wins_over_a_living_one_with_the_same_id,
    ),
    Bug(
        "anybody may deregister",
        "_DEREGISTER",
        "elseif holder ~= session then",
        "elseif false then",
        contract.test_a_new_life_wins_over_a_living_one_with_the_same_id,
    ),
    Bug(
        "a new text of health is a revision",
        "_HEALTH",
        "if string.match(before, '^%S+') == state then",
        "if false then",
        contract.test_only_another_state_of_health_is_a_revision,
    ),
    Bug(
        "an operator hits whatever life there is",
        "_ADMIN",
        "elseif tonumber(ARGV[6]) > 0 and tonumber(ARGV[6]) ~= incarnation then",
        "elseif false then",
        contract.test_an_operator_drains_what_others_have_registered,
    ),
    Bug(
        "a change is not announced",
        "_DEREGISTER",
        "publish(service, revision)\nreturn",
        "return",
        contract.test_who_listens_hears_of_each_change_and_of_no_heartbeat,
    ),
    Bug(
        "a cut log is not noticed",
        "_CHANGES",
        "if #entries ~= revision - after then",
        "if false then",
        contract.test_a_gap_another_epoch_or_a_step_back_needs_a_snapshot,
    ),
    Bug(
        "another epoch is not noticed",
        "_CHANGES",
        "epoch ~= ARGV[2] or ",
        "",
        contract.test_a_gap_another_epoch_or_a_step_back_needs_a_snapshot,
    ),
    Bug(
        "a snapshot shows the dead as alive",
        "_SNAPSHOT",
        "is_alive(session) and 0 or 1",
        "0",
        contract.test_one_that_dies_alone_is_removed,
    ),
    Bug(
        "a massacre is believed",
        "_REMOVE_DEAD",
        "elseif at or is_crowd(service) then",
        "elseif at then",
        contract.test_many_that_vanish_at_once_stay_as_suspects,
    ),
    Bug(
        "only the dead count as vanished, not those that are late",
        "_REMOVE_DEAD",
        "at - now < tonumber(ARGV[4])",
        "at <= now",
        contract.test_the_first_of_many_is_doubted_when_the_others_only_miss_a_renewal,
    ),
    Bug(
        "who left on purpose counts as vanished",
        "_REMOVE_DEAD",
        "local on_purpose = ends(session) == 0",
        "local on_purpose = false",
        contract.test_who_ended_on_purpose_is_no_massacre,
    ),
    Bug(
        "who is about to be removed counts as vanished",
        "_REMOVE_DEAD",
        "(at > 0 and at - now < tonumber(ARGV[4]))",
        "(at - now < tonumber(ARGV[4]))",
        contract.test_who_ended_on_purpose_is_no_massacre,
    ),
    Bug(
        "a suspect stays for ever",
        "_REMOVE_DEAD",
        "if till and now >= tonumber(till) then",
        "if false then",
        contract.test_a_suspect_that_nobody_can_probe_goes_in_the_end,
    ),
    Bug(
        "everybody probes the same suspect",
        "_REMOVE_DEAD",
        "if next_probe and now < tonumber(next_probe) then",
        "if false then",
        contract.test_a_suspect_is_handed_to_one_prober_at_a_time,
    ),
    Bug(
        "the living are swept",
        "_REMOVE_DEAD",
        "if is_alive(session) then",
        "if false then",
        contract.test_a_living_session_loses_nothing_to_the_sweeper,
    ),
    Bug(
        "a late probe removes who has come back",
        "_SETTLE",
        "if holder ~= session or not at or is_alive(session) then",
        "if not holder then",
        contract.test_a_suspect_that_has_come_back_is_not_touched_by_a_late_probe,
    ),
]


@pytest.fixture
async def place(redis_url: str, namespace: str, heard: Heard) -> AsyncIterator[Place]:
    wire = Wire(redis_url, namespace=namespace)
    await wire.start()
    yield Place(wire, heard.emit)
    await wire.stop()


@pytest.mark.parametrize("redis_url", ["memory"], indirect=True)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
async def test_the_bug_is_noticed(
    bug: Bug, place: Place, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = sessions if bug.script == "_RENEW" else backend
    script: Script = getattr(home, bug.script)
    monkeypatch.setattr(home, bug.script, with_bug(script, bug))
    given = {"place": place, "heard": heard}
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
