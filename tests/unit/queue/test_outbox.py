"""Tasks on disk: nothing promised is lost, in whatever moment the process dies."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.unit.queue.fakes import FakeBroker

from quorate.core.clock import Chance
from quorate.core.errors import OutcomeUnknown, QueueError, StoreUnavailable
from quorate.core.fence import Fence, enter_fence, leave_fence
from quorate.core.lifecycle import Tasks
from quorate.queue.events import OutboxEmptied, OutboxFilling
from quorate.queue.model import QueueConfig, Task
from quorate.queue.outbox import Outbox
from quorate.queue.outbox_file import HEAD, Held, OutboxFile, left_behind
from quorate.queue.ports import Parcel
from quorate.queue.producer import Producer
from quorate.testing.clock import ManualClock
from quorate.testing.heard import Heard


def a_task(number: int, queue: str = "q") -> Held:
    return Held(queue, Parcel(f"t{number}", 1, 0.0, b'{"v":1}\n%d' % number))


def tasks(*numbers: int, queue: str = "q") -> list[Held]:
    return [a_task(number, queue) for number in numbers]


def die(file: OutboxFile) -> Path:
    """Its process is gone; nothing was tidied up."""
    os.close(file._handle)
    return file.path


def all_of(file: OutboxFile) -> list[Held]:
    return file.first(1000, 10**9)[0]


# -- the file --------------------------------------------------------------------------


def test_what_was_appended_is_there_after_the_process_died(tmp_path):
    file = OutboxFile.create(tmp_path / "new")
    file.append(tasks(1, 2))
    file.append(tasks(3))

    again = OutboxFile.adopt(die(file))

    assert again is not None
    assert (again.waiting, all_of(again)) == (3, tasks(1, 2, 3))


def test_a_parcel_is_read_as_it_was_written(tmp_path):
    held = Held("a/b", Parcel("é", 2, 0.0, b"\x00\n\xff", 1_800_000_000.5))
    file = OutboxFile.create(tmp_path)
    file.append([held])

    assert all_of(file) == [held]


def test_a_file_is_for_its_owner_alone(tmp_path):
    file = OutboxFile.create(tmp_path / "new")

    assert file.path.stat().st_mode & 0o777 == 0o600
    assert OutboxFile.adopt(file.path) is None
    assert left_behind(tmp_path / "new", file.path) == []


def test_what_was_sent_is_not_sent_again(tmp_path):
    file = OutboxFile.create(tmp_path)
    file.append(tasks(1, 2, 3))
    some, end = file.first(2, 10**9)
    file.sent(end, len(some))

    again = OutboxFile.adopt(die(file))

    assert some == tasks(1, 2)
    assert (again.waiting, all_of(again)) == (1, tasks(3))


def test_an_empty_file_starts_anew_and_is_removed_when_closed(tmp_path):
    file = OutboxFile.create(tmp_path)
    file.append(tasks(1))
    file.sent(file.first(1, 10**9)[1], 1)

    assert file.size_bytes == HEAD.size
    file.append(tasks(2))
    assert all_of(file) == tasks(2)
    file.sent(file.first(1, 10**9)[1], 1)
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_empty_stays(tmp_path):
    file = OutboxFile.create(tmp_path)
    file.append(tasks(1))
    file.close()

    assert OutboxFile.adopt(file.path).waiting == 1


@pytest.mark.parametrize("kept", range(0, 38, 3))
def test_a_record_that_was_half_written_is_cut_off(tmp_path, kept):
    file = OutboxFile.create(tmp_path)
    file.append(tasks(1))
    whole = file.size_bytes
    file.append(tasks(2))
    path = die(file)
    os.truncate(path, whole + kept)

    again = OutboxFile.adopt(path)
    again.append(tasks(3))

    assert all_of(again) == tasks(1, 3)


def test_garbage_at_the_end_is_cut_off(tmp_path):
    file = OutboxFile.create(tmp_path)
    file.append(tasks(1))
    with die(file).open("ab") as raw:
        raw.write(b"\xff" * 100)

    assert all_of(OutboxFile.adopt(file.path)) == tasks(1)


def test_without_its_head_everything_is_sent_again(tmp_path):
    file = OutboxFile.create(tmp_path)
    file.append(tasks(1, 2))
    file.sent(file.first(1, 10**9)[1], 1)
    path = die(file)
    with path.open("r+b") as raw:
        raw.write(b"\x00" * HEAD.size)

    assert all_of(OutboxFile.adopt(path)) == tasks(1, 2)


def test_a_death_between_emptying_and_noting_it_is_harmless(tmp_path):
    file = OutboxFile.create(tmp_path)
    file.append(tasks(1, 2, 3))
    file.sent(file.first(2, 10**9)[1], 2)
    path = die(file)
    os.truncate(path, HEAD.size)

    again = OutboxFile.adopt(path)
    assert again.waiting == 0
    again.append(tasks(4))
    assert all_of(again) == tasks(4)


def test_one_batch_is_of_one_queue_and_bounded(tmp_path):
    file = OutboxFile.create(tmp_path)
    file.append([*tasks(1, 2), *tasks(3, queue="other"), *tasks(4)])

    assert file.first(10, 10**9)[0] == tasks(1, 2)
    assert file.first(1, 10**9)[0] == tasks(1)
    assert file.first(10, 1)[0] == tasks(1)


# -- the role --------------------------------------------------------------------------


class Store(FakeBroker):
    """A broker that knows ids."""

    async def enqueue(self, parcels, fence=None):
        self._check()
        new = [parcel for parcel in parcels if parcel.id not in self.envelopes]
        await super().enqueue(new, fence)
        return [parcel in new for parcel in parcels]

    @property
    def got(self) -> list[str]:
        return list(self.lanes[1])


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def outbox(tmp_path, store, heard, clock):
    outbox = Outbox(tmp_path, 100_000, lambda _: store, heard.emit, clock, Chance(1))
    outbox._file = OutboxFile.create(tmp_path)
    yield outbox
    await outbox.stop()


@pytest.fixture
def producer(store, outbox, clock) -> Producer:
    producer = Producer(lambda _: store, QueueConfig(), Tasks(), clock)
    producer.outbox = outbox
    return producer


async def test_while_the_server_is_there_nothing_touches_the_disk(
    producer, outbox, store
):
    task = await producer.enqueue(Task(name="work"))

    assert (store.got, outbox.waiting) == ([task], 0)


async def test_while_it_is_away_tasks_wait_on_the_disk_and_follow_in_order(
    producer, outbox, store, heard
):
    store.away = True
    ids = [await producer.enqueue(Task(name="work")) for _ in range(3)]
    ids += await producer.enqueue_many([Task(name="work") for _ in range(300)])
    assert outbox.waiting == 303
    assert await outbox.tick() < 1.0
    store.away = False

    late = await producer.enqueue(Task(name="work"))
    await outbox.tick()

    assert store.got == [*ids, late]
    assert outbox.waiting == 0
    assert heard.count(OutboxFilling) == 1
    assert heard.all(OutboxEmptied)[0].tasks == 304
    direct = await producer.enqueue(Task(name="work"))
    assert store.got[-1] == direct


async def test_an_unknown_outcome_is_made_known(producer, outbox, store, monkeypatch):
    """The server had it, the answer was lost: the same id again changes nothing."""
    real = store.enqueue

    async def lose_the_answer(parcels, fence=None):
        await real(parcels, fence)
        raise OutcomeUnknown("lost")

    monkeypatch.setattr(store, "enqueue", lose_the_answer)
    task = await producer.enqueue(Task(name="work"))
    monkeypatch.undo()

    await outbox.tick()

    assert store.got == [task]


async def test_a_delay_goes_on_while_a_task_waits_on_the_disk(
    producer, outbox, store, clock
):
    store.away = True
    await producer.enqueue(Task(name="work", delay_s=60.0))

    ((held,), _) = outbox._file.first(1, 10**9)

    assert (held.parcel.delay_s, held.parcel.at) == (0.0, clock.now() + 60.0)


async def test_a_crowd_shares_one_write(producer, outbox, store, monkeypatch):
    store.away = True
    writes = []
    real = OutboxFile.append
    monkeypatch.setattr(
        OutboxFile, "append", lambda file, held: (writes.append(held), real(file, held))
    )
    await asyncio.gather(
        *(outbox.hold("q", [a_task(number).parcel]) for number in range(50))
    )

    assert len(writes) == 1
    assert outbox.waiting == 50


async def test_it_is_bounded_and_says_so_to_everybody(producer, outbox, store):
    store.away = True
    outbox._most_bytes = 1000

    done = await asyncio.gather(
        *(producer.enqueue(Task(name="work", payload="x" * 200)) for _ in range(10)),
        return_exceptions=True,
    )
    more = await asyncio.gather(
        *(
            outbox.hold("q", [a_task(n).parcel._replace(envelope=b"x" * 2000)])
            for n in (1, 2)
        ),
        return_exceptions=True,
    )

    assert all(isinstance(each, StoreUnavailable) for each in done)
    assert [type(each) for each in more] == [QueueError, QueueError]
    assert outbox.waiting == 0


async def test_a_disk_that_fails_is_told_of_and_leaves_nothing_half(
    outbox, monkeypatch
):
    def fail(_handle):
        raise OSError(5, "Input/output error")

    await outbox.hold("q", [a_task(1).parcel])
    monkeypatch.setattr("quorate.queue.outbox_file.os.fdatasync", fail)
    with pytest.raises(QueueError, match="Input/output"):
        await outbox.hold("q", [a_task(2).parcel])
    monkeypatch.undo()

    await outbox.hold("q", [a_task(3).parcel])
    assert all_of(outbox._file) == tasks(1, 3)


async def test_nothing_is_kept_under_a_lock(producer, outbox, store):
    """Its right to write may be over when the server is back."""
    store.away = True
    before = enter_fence(Fence("lock", 1, "s", "{t}"))
    try:
        with pytest.raises(StoreUnavailable):
            await producer.enqueue(Task(name="work"))
    finally:
        leave_fence(before)

    assert outbox.waiting == 0


async def test_what_others_left_behind_is_sent_and_removed(outbox, store, tmp_path):
    other = OutboxFile.create(tmp_path)
    other.append(tasks(1, 2))
    die(other)
    alive = OutboxFile.create(tmp_path)
    alive.append(tasks(3))

    await outbox.tick()

    assert store.got == ["t1", "t2"]
    assert {path.name for path in tmp_path.iterdir()} == {
        outbox._file.path.name,
        alive.path.name,
    }


async def test_an_interrupted_sending_goes_on_where_it_was(outbox, store):
    await outbox.hold("q", [a_task(n).parcel for n in range(300)])
    real, sent = store.enqueue, 0

    async def once(parcels, fence=None):
        nonlocal sent
        sent += 1
        if sent == 2:
            raise StoreUnavailable("gone again")
        return await real(parcels, fence)

    store.enqueue = once
    await outbox.tick()
    assert outbox.waiting == 300 - 256

    await outbox.tick()

    assert store.got == [f"t{n}" for n in range(300)]


async def test_a_folder_that_cannot_be_used_is_named(tmp_path, store, clock):
    (tmp_path / "file").write_text("")
    outbox = Outbox(
        tmp_path / "file" / "in it",
        1000,
        lambda _: store,
        Heard().emit,
        clock,
        Chance(1),
    )

    with pytest.raises(QueueError, match="in it"):
        await outbox.start()
