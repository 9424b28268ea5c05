"""A history keeps what happened, even of a process that was killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count
from pathlib import Path

import pytest

from quorate.core.errors import (
    InvalidPayload,
    LockNotGranted,
    OutcomeUnknown,
    QuorateError,
    StoreUnavailable,
)
from quorate.testing.history import Recorder, read_history


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    ticks = count(1)
    return Recorder(tmp_path, "w1", now_ns=lambda: next(ticks))


def test_an_operation_is_read_as_it_was_written(
    recorder: Recorder, tmp_path: Path
) -> None:
    with recorder.operation("acquire", {"lock": "a"}) as op:
        op.ok(7)

    (operation,) = read_history(tmp_path).operations
    assert (operation.f, operation.args, operation.result) == (
        "acquire",
        {"lock": "a"},
        7,
    )
    assert (operation.called_ns, operation.returned_ns) == (1, 2)
    assert (operation.proc, operation.op_id) == ("w1", "w1-1")


@pytest.mark.parametrize(
    "error", [StoreUnavailable("x"), LockNotGranted("x")], ids=lambda e: e.reason
)
def test_an_error_that_rules_it_out_is_a_fail(
    recorder: Recorder, tmp_path: Path, error: QuorateError
) -> None:
    with pytest.raises(type(error)), recorder.operation("acquire"):
        raise error

    history = read_history(tmp_path)
    assert not history.operations
    assert len(history.failed) == 1


@pytest.mark.parametrize(
    "error",
    [OutcomeUnknown("x"), TimeoutError(), asyncio.CancelledError(), KeyError("bug")],
    ids=lambda e: type(e).__name__,
)
def test_any_other_error_leaves_the_outcome_open(
    recorder: Recorder, tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)), recorder.operation("acquire"):
        raise error

    (operation,) = read_history(tmp_path).operations
    assert not operation.is_known
    assert type(error).__name__ in operation.result


def test_a_block_without_a_word_leaves_the_outcome_open(
    recorder: Recorder, tmp_path: Path
) -> None:
    with recorder.operation("acquire"):
        pass

    assert not read_history(tmp_path).operations[0].is_known


def test_the_first_word_counts(recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), recorder.operation("acquire") as op:
        op.ok(1)
        raise TimeoutError

    assert read_history(tmp_path).operations[0].result == 1


def test_histories_of_several_processes_are_merged_by_time(tmp_path: Path) -> None:
    ticks = count(1)
    first, second = (
        Recorder(tmp_path, name, now_ns=lambda: next(ticks)) for name in ("a", "b")
    )

    slow, quick = second.invoke("put", {"key": "x"}), first.invoke("put", {"key": "y"})
    quick.ok()
    slow.ok()
    second.invoke("get").fail("refused")
    first.close()
    second.close()

    history = read_history(tmp_path)
    assert [(op.proc, op.called_ns, op.returned_ns) for op in history.operations] == [
        ("b", 1, 4),
        ("a", 2, 3),
    ]
    assert history.by(lambda op: op.args["key"]).keys() == {"x", "y"}
    assert len(history.of("put")) == 2
    assert history.failed[0].result == "refused"


def test_what_a_killed_process_has_begun_stays_open(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        recorder = Recorder(tmp_path, "victim")
        recorder.invoke("acquire").ok(1)
        recorder.invoke("release")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    acquired, released = read_history(tmp_path).operations
    assert acquired.is_known
    assert not released.is_known


def test_a_torn_last_line_is_left_out_and_counted(
    recorder: Recorder, tmp_path: Path
) -> None:
    recorder.invoke("acquire").ok()
    with (tmp_path / "w1.jsonl").open("a") as file:
        file.write('{"t_ns":9,"op_id":"w1-2"')

    history = read_history(tmp_path)

    assert len(history.operations) == 1
    assert history.torn == 1


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"t_ns":1}\n')

    with pytest.raises(InvalidPayload, match="is not a history"):
        read_history(tmp_path)


def test_two_recorders_of_one_process_do_not_share_a_file(tmp_path: Path) -> None:
    assert Recorder(tmp_path).proc != Recorder(tmp_path).proc
    with pytest.raises(FileExistsError):
        Recorder(tmp_path, Recorder(tmp_path).proc)


def test_the_clock_is_the_machine_s(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.invoke("acquire").ok()

    (operation,) = read_history(tmp_path).operations
    assert operation.returned_ns is not None
    assert 0 < operation.called_ns <= operation.returned_ns
