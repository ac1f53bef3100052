"""Streams: what was acknowledged is in a version or in the log, once, in order, whatever happens in between."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.commit import load_head
from foldstore.datastore.files import LocalFiles, LogFile
from foldstore.datastore.gate import OpenGate
from foldstore.datastore.storage import open_storage
from foldstore.datastore.stream.cut import Cutter
from foldstore.datastore.stream.limits import check_limits, parse_age, parse_size
from foldstore.datastore.stream.log import open_log, stream_folder
from foldstore.datastore.stream.merge import find_run
from foldstore.datastore.stream.window import Window, count_old, count_over, window_from_dict
from foldstore.datastore.stream.writer import RowStream
from foldstore.errors import ConflictError, CorruptObjectError, SchemaMismatchError, StoreError, UsageError
from foldstore.stream import StreamOptions, StreamWriter

STEPS = ["stream-logged", "stream-sealed", "stream-cut", "stream-dropped", "linked", "flipped", "recorded"]
VICTIM = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from foldstore.datastore.commit import load_head
from foldstore.datastore.gate import OpenGate
from foldstore.datastore.storage import open_storage
from foldstore.stream import StreamOptions, StreamWriter

met = 0

def stop(step):
    global met
    if step == sys.argv[2]:
        met += 1
        if met == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

storage = replace(open_storage(Path(sys.argv[1])), on_step=stop)
dataset = storage.catalog.find_dataset("ticks")
stream = StreamWriter(storage, dataset, OpenGate(), "victim", StreamOptions(every_rows=3))
for n in range(10):
    stream.write({"n": [n]})
    print(n, flush=True)
stream.close()
print("closed", flush=True)
"""
LIMITS = {"every_rows": 3, "every_seconds": None, "max_pending_rows": None, "keep_age": None, "keep_bytes": None}


def rows_of(dataset):
    return dataset.latest.to_arrow()["n"].to_pylist()


def wait_for_failure(stream):
    until = time.monotonic() + 60
    while stream.status().failure is None:
        assert time.monotonic() < until
        time.sleep(0.01)


def segments_of(folder):
    return sorted((folder / "ephemeral").rglob("*.segment"))


@pytest.fixture
def ticks(store):
    return store.create_dataset("ticks")


@pytest.mark.parametrize(
    ("step", "time_of_death"), [*((step, 1) for step in STEPS), *((step, 2) for step in STEPS[:4])]
)
def test_a_writer_killed_at_any_step_leaves_exactly_the_acknowledged_rows_to_the_next(
    folder, store, ticks, step, time_of_death
):
    done = subprocess.run(
        [sys.executable, "-c", VICTIM, str(folder), step, str(time_of_death)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    acknowledged = [int(line) for line in done.stdout.split() if line.isdigit()]
    with ticks.stream(every_rows=3) as stream:
        # The write under way may be there: it was on the disk and the writer died before it could say so.
        under_way = stream.status().rows - len(acknowledged)
        assert under_way in (0, 1)
        stream.write({"n": [100]})
    assert rows_of(ticks) == [*range(len(acknowledged) + under_way), 100]
    assert store.verify().passed
    assert len(segments_of(folder)) == 1


def test_a_writer_that_nobody_kills_commits_every_row(folder, ticks):
    done = subprocess.run([sys.executable, "-c", VICTIM, str(folder), "-", "0"], capture_output=True, check=True)
    assert done.stdout.endswith(b"closed\n")
    assert rows_of(ticks) == list(range(10))
    assert [v.num_rows for v in ticks.versions()] == [3, 6, 9, 10]


def test_a_commit_that_was_not_known_to_have_succeeded_is_not_repeated(folder, store, ticks, monkeypatch):
    stream = ticks.stream(every_rows=2)
    monkeypatch.setattr(stream._rows._log, "drop", lambda _segment: (_ for _ in ()).throw(StoreError("gone")))
    stream.write({"n": [1, 2]})
    with pytest.raises(StoreError) as caught:
        stream.flush()
    assert caught.value.code == "stream-stalled"
    with pytest.raises(UsageError):
        stream.take_failed()  # it is a version: taken out, it would be written twice
    stream._rows.abandon()
    with ticks.stream():
        pass
    assert rows_of(ticks) == [1, 2]
    assert len(ticks.versions()) == 1


def _row_stream(storage, dataset, **more):
    log = open_log(storage, dataset.id, "main", "main")
    limits = check_limits(durability="segment", **{**LIMITS, **more})
    cutter = Cutter(
        storage=storage, dataset=dataset, gate=OpenGate(), limits=limits, name="main", branch="main", author="tester"
    )
    return RowStream(log, cutter, on_cut=None, on_step=storage.on_step, monotonic=lambda: 0.0, background=False)


class Killed(BaseException):
    """Stands for the end of the process."""


ACTS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 4)),
    st.tuples(st.just("flush"), st.just("-")),
    st.tuples(st.just("reopen"), st.just("-")),
    st.tuples(st.just("crash"), st.sampled_from(STEPS)),
    st.tuples(st.just("tear"), st.integers(1, 60)),
)


class Death:
    """Ends a stream at a step, when it has one."""

    step = None

    def __call__(self, step):
        if step == self.step:
            self.step = None
            raise Killed


@pytest.fixture(scope="module")
def mortal(tmp_path_factory):
    """A store whose streams die at a step; a dataset an example, for a store takes long to make."""
    folder = tmp_path_factory.mktemp("mortal") / "store"
    with foldstore.connect(folder) as store:
        death = Death()
        yield store, replace(store._storage, on_step=death), death
        assert store.verify().passed


@settings(max_examples=60)
@given(acts=st.lists(ACTS, max_size=10))
def test_any_sequence_of_writes_flushes_and_crashes_keeps_exactly_the_acknowledged_rows(acts, mortal):
    store, storage, death = mortal
    dataset = store.create_dataset(f"ticks-{len(store.datasets())}")
    folder = stream_folder(storage.root, dataset.record.id, "main", "main")
    stream, kept, next_row = _row_stream(storage, dataset.record), [], 0
    for act, how in acts:
        rows = list(range(next_row, next_row + (how if act == "write" else 1)))
        if act == "crash":
            death.step = how
        try:
            if act in ("write", "crash"):
                next_row += len(rows)
                stream.write(pa.table({"n": rows}))
                kept += rows
            if act in ("flush", "crash"):
                stream.flush()
        except Killed:
            kept += [] if kept[-1:] == rows[-1:] else rows  # on the disk, though it could not say so any more
        if act in ("reopen", "crash", "tear"):
            death.step = None
            stream.abandon()
            if act == "tear":
                path = max(folder.glob("*.segment"))
                path.write_bytes(path.read_bytes() + b"FSFRAME1"[: how % 9] + b"\0" * how)
            stream = _row_stream(storage, dataset.record)
    stream.close()
    assert (rows_of(dataset) if kept else []) == kept


def test_a_torn_end_is_dropped_and_damage_before_it_is_not(folder, ticks):
    stream = ticks.stream(every_seconds=None)
    for n in range(3):
        stream.write({"n": [n]})
    stream._rows.abandon()
    (path,) = segments_of(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    with pytest.raises(CorruptObjectError) as caught:
        ticks.stream()
    assert caught.value.code == "stream-damaged"
    path.write_bytes(whole[:-5])
    with ticks.stream():
        pass
    assert rows_of(ticks) == [0, 1]


@pytest.mark.parametrize("at", [0, 10, 30, 45])
def test_damage_to_the_header_of_a_log_with_rows_is_not_taken_for_a_new_log(folder, ticks, at):
    stream = ticks.stream(every_seconds=None)
    stream.write({"n": [1]})
    stream._rows.abandon()
    (path,) = segments_of(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(CorruptObjectError):
        ticks.stream()
    assert path.exists()


def test_a_missing_segment_is_damage(folder, ticks, monkeypatch):
    stream = ticks.stream(every_rows=1, max_pending_rows=10)
    monkeypatch.setattr(stream._rows, "_cut", lambda _segment: (_ for _ in ()).throw(ValueError("no")))
    stream.write({"n": [1]})
    with stream._rows._changed:
        stream._rows._log.append(pa.table({"n": [2]}))
        stream._rows._log.seal()
    stream._rows.abandon()
    segments_of(folder)[1].unlink()
    with pytest.raises(CorruptObjectError, match="missing"):
        ticks.stream()


def test_one_writer_at_a_time_has_a_stream(ticks):
    with ticks.stream() as first:
        with pytest.raises(ConflictError) as caught:
            ticks.stream()
        assert caught.value.code == "stream-busy"
        with ticks.stream("other") as other:
            other.write({"n": [1]})
            first.write({"n": [2]})
    assert sorted(rows_of(ticks)) == [1, 2]
    with ticks.stream() as again:
        assert again.status().rows == 1


def test_a_write_waits_for_room_or_says_that_there_is_none(ticks, monkeypatch):
    with ticks.stream(every_rows=2, max_pending_rows=4) as stream:
        real, go_on = stream._rows._cut, threading.Event()
        monkeypatch.setattr(stream._rows, "_cut", lambda segment: (go_on.wait(), real(segment))[1])
        stream.write({"n": [1, 2]})
        stream.write({"n": [3, 4]})
        for how in ({"block": False}, {"timeout": 0.01}):
            with pytest.raises(StoreError) as caught:
                stream.write({"n": [5]}, **how)
            assert caught.value.code == "stream-full"
        assert stream.status().pending_rows == 4
        with pytest.raises(StoreError) as caught:
            stream.flush(timeout=0.01)
        assert caught.value.code == "stream-late"
        threading.Timer(0.05, go_on.set).start()
        stream.write({"n": [5]})  # waits until the thread has made room
        assert go_on.is_set()
    assert rows_of(ticks) == [1, 2, 3, 4, 5]


def test_a_write_larger_than_the_room_is_taken_when_nothing_else_waits(ticks):
    with ticks.stream(every_rows=2, max_pending_rows=3) as stream:
        stream.write({"n": [0]})
        stream.write({"n": list(range(1, 50))})
    assert rows_of(ticks) == list(range(50))


def test_versions_are_cut_by_seconds_too(ticks):
    now = [100.0]
    with ticks.stream(every_seconds=10, monotonic=lambda: now[0]) as stream:
        stream.write({"n": [1]})
        stream.cut_when_due()
        assert stream.status().versions == 0
        assert stream.status().lag_seconds == 0
        now[0] += 10
        assert stream.status().lag_seconds == 10
        stream.write({"n": [2]})  # the first row is old: this one comes into the next version
        stream.flush()
    assert [v.num_rows for v in ticks.versions()] == [1, 2]


def test_the_thread_cuts_by_seconds_without_being_asked(ticks):
    cut = threading.Event()
    with ticks.stream(every_seconds=0.05, on_cut=lambda _version: cut.set()) as stream:
        stream.write({"n": [1]})
        assert cut.wait(20)
        assert rows_of(ticks) == [1]


def test_rows_in_a_version_are_what_durability_version_means(ticks):
    with ticks.stream(durability="version") as stream:
        stream.write({"n": [1]})
        assert rows_of(ticks) == [1]


class FailingFiles(LocalFiles):
    """Fails writes to logs when told to."""

    def __init__(self):
        super().__init__()
        self.failing = set()

    def create_log(self, path):
        if "create" in self.failing:
            raise OSError(28, "No space left on device")
        return FailingLog(path, self)


class FailingLog(LogFile):
    def __init__(self, path, files):
        super().__init__(path)
        self._files = files

    def write(self, data):
        if "write" in self._files.failing:
            super().write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        super().write(data)

    def sync(self):
        if "sync" in self._files.failing:
            raise OSError(5, "Input/output error")
        super().sync()


def _failing(store, dataset, **options):
    files = FailingFiles()
    storage = open_storage(store._storage.root)
    storage.objects.files = files
    return files, StreamWriter(storage, dataset.record, OpenGate(), "tester", StreamOptions(**options))


@pytest.mark.parametrize("act", ["write", "create"])
def test_a_write_that_the_disk_refuses_takes_nothing_and_the_next_may_succeed(store, ticks, act):
    files, stream = _failing(store, ticks, every_rows=2)
    stream.write({"n": [1]})
    files.failing.add(act)
    if act == "write":
        with pytest.raises(StoreError) as caught:
            stream.write({"n": [2]})
        assert "not taken" in caught.value.hint
    else:
        stream.write({"n": [2]})  # safe; the version behind it cannot be begun, which the next call says
        with pytest.raises(StoreError):
            stream.write({"n": [3]})
    files.failing.clear()
    stream.flush()
    stream.write({"n": [4]})
    stream.close()
    assert rows_of(ticks) == ([1, 4] if act == "write" else [1, 2, 4])


def test_a_log_that_cannot_be_brought_back_takes_nothing_more_and_loses_nothing(store, ticks):
    files, stream = _failing(store, ticks)
    stream.write({"n": [1]})
    files.failing.add("sync")
    with pytest.raises(StoreError) as caught:
        stream.write({"n": [2]})
    assert "not known" in caught.value.hint
    files.failing.clear()
    with pytest.raises(StoreError) as caught:
        stream.write({"n": [3]})
    assert caught.value.code == "stream-broken"
    stream._rows.abandon()
    with ticks.stream() as again:
        again.write({"n": [4]})
    assert [n for n in rows_of(ticks) if n != 2] == [1, 4]


def test_a_version_that_cannot_be_cut_is_told_at_the_next_call_and_can_be_taken_out(store):
    keyed = store.create_dataset("keyed", key=["n"])
    stream = keyed.stream(every_rows=2)
    stream.write({"n": [1, 2]})
    stream.write({"n": [2, 3]})
    with pytest.raises(StoreError) as caught:
        stream.flush()
    assert caught.value.facts["cause"] == "duplicate-key"
    with pytest.raises(StoreError, match="cuts no versions"):
        stream.write({"n": [4]})
    assert "n=2" in stream.status().failure
    with pytest.raises(StoreError):
        stream.close()
    again = keyed.stream(every_rows=2)  # it is still there
    with pytest.raises(StoreError):
        again.flush()
    assert again.take_failed().to_pydict() == {"n": [2, 3]}
    again.write({"n": [3]})
    again.close()
    assert rows_of(keyed) == [1, 2, 3]


def test_columns_are_fixed_by_the_first_write_and_refused_at_the_write(ticks):
    with ticks.stream() as stream:
        with pytest.raises(SchemaMismatchError):
            stream.write({"": [1]})
        stream.write({"n": [1], "note": [None]})
        for wrong, code in (
            ({"n": [2]}, "column-missing"),
            ({"n": [2], "note": ["x"], "m": [1]}, "column-new"),
            ({"n": ["two"], "note": ["x"]}, "type-mismatch"),
        ):
            with pytest.raises(SchemaMismatchError) as caught:
                stream.write(wrong)
            assert caught.value.code == code
        stream.write([{"n": 2, "note": "first text"}, {"n": 3}])  # a column of nulls takes the first type
        stream.write(pa.table({"note": ["x"], "n": pa.array([4], pa.int8())}))
        assert stream.arrow_schema == pa.schema({"n": pa.int64(), "note": pa.string()})
    assert ticks.latest.to_arrow().to_pydict() == {"n": [1, 2, 3, 4], "note": [None, "first text", None, "x"]}


def test_columns_outlive_a_crash_before_the_first_version(ticks):
    stream = ticks.stream()
    stream.write({"n": [1]})
    stream._rows.abandon()
    with ticks.stream() as again:
        with pytest.raises(SchemaMismatchError):
            again.write({"other": [1]})
        assert again.status().recovered_rows == 1


def test_a_derived_column_is_computed_and_a_missing_key_is_refused_at_once(store):
    doubled = store.create_dataset("doubled", key=["n"], derive={"twice": "n * 2"})
    with doubled.stream() as stream:
        with pytest.raises(LookupError):
            stream.write({"m": [1]})
        stream.write({"n": [1, 2]})
    assert doubled.latest.to_arrow()["twice"].to_pylist() == [2, 4]
    with doubled.stream() as stream:
        stream.write({"n": [3]})
    assert doubled.latest.to_arrow()["twice"].to_pylist() == [2, 4, 6]


def test_a_quarantined_cut_keeps_its_rows_and_the_stream_goes_on(ticks):
    ticks.append({"n": [1, 2, 3]})
    text = "keys: []\ncolumns:\n  n: {type: int64, nullable: false}\n"
    ticks.set_schema(foldstore.DataSchema.from_yaml(text))
    told = []
    with ticks.stream(on_cut=told.append) as stream:
        stream.write({"n": [None] * 5})
        stream.flush()
        stream.write({"n": [1]})
        stream.flush()
        assert stream.quarantined == 1
    assert [version.status for version in told] == ["quarantined", "published"]
    assert told[0].num_rows == 8
    assert rows_of(ticks) == [1, 2, 3, 1]


def test_a_callback_that_fails_is_told_and_loses_nothing(ticks):
    with ticks.stream(every_rows=1, on_cut=lambda _version: 1 / 0) as stream:
        stream.write({"n": [1]})
        wait_for_failure(stream)  # it is called behind the commit
        with pytest.raises(StoreError, match="ZeroDivisionError"):
            stream.write({"n": [2]})
        with pytest.raises(UsageError):
            stream.take_failed()
        stream._told = lambda _version: None
    assert set(rows_of(ticks)) == {1}


def test_a_callback_cannot_wait_for_the_thread_that_calls_it(ticks):
    stream = ticks.stream(every_rows=1, on_cut=lambda _version: stream.flush())
    stream.write({"n": [1]})
    wait_for_failure(stream)
    assert "cannot wait for itself" in stream.status().failure
    stream.close()
    assert rows_of(ticks) == [1]


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


def _on_clock(store, dataset, clock, **options):
    storage = replace(store._storage, clock=clock)
    return StreamWriter(storage, dataset.record, OpenGate(), "tester", StreamOptions(**options))


def test_rows_older_than_the_window_leave_the_newest_version(store, ticks):
    ticks.append({"n": [-1]})  # not the stream's: counts from the first cut that meets it
    clock = Clock()
    with _on_clock(store, ticks, clock, keep_age="1h") as stream:
        for n in range(6):
            stream.write({"n": [n]})
            stream.flush()
            clock.now += timedelta(minutes=20)
        assert rows_of(ticks) == [2, 3, 4, 5]
        clock.now += timedelta(days=1)
    with _on_clock(store, ticks, clock, keep_age="1h") as stream:  # the window outlives the writer
        stream.write({"n": [6]})
    assert rows_of(ticks) == [6]
    assert ticks.version(2).to_arrow()["n"].to_pylist() == [-1, 0]


def test_the_oldest_rows_leave_when_files_grow_too_large(store, ticks):
    with ticks.stream(every_rows=1) as stream:
        stream.write({"n": [0]})
    one = ticks.latest.record.bytes_added
    with ticks.stream(every_rows=1, keep_bytes=3 * one) as stream:
        for n in range(1, 6):
            stream.write({"n": [n]})
    assert rows_of(ticks) == [3, 4, 5]
    with ticks.stream(keep_bytes=1) as stream:
        stream.write({"n": [6]})
    assert rows_of(ticks) == [6]  # what a cut brings stays


@given(steps=st.lists(st.integers(1, 4_000), min_size=1, max_size=300))
def test_a_window_holds_few_marks_and_lets_nothing_go_too_early(steps):
    keep, now, window, born = timedelta(hours=1), datetime(2026, 1, 1, tzinfo=UTC), Window(), {}
    for fragment, seconds in enumerate(steps):
        born[fragment] = now
        window = window_from_dict(window.advance(list(born), now, keep).to_dict())
        now += timedelta(seconds=seconds)
    ids = list(born)
    gone = count_old(window.times(ids), now - keep)
    assert all(born[each] < now - keep for each in ids[:gone])
    # Late by at most the span of a mark.
    assert all(born[each] >= now - keep - keep / 32 for each in ids[gone:])
    assert len(window.marks) <= 130


def test_a_compacted_fragment_is_as_old_as_the_one_behind_it():
    start, hour = datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1)
    window = Window().advance([0], start, hour).advance([0, 1], start + hour, hour)
    compacted = 7  # a new id at an old place
    assert window.times([compacted, 1]) == [start + hour, start + hour]
    assert count_over([5, 5, 5], 10) == 1
    assert count_over([5], 0) == 1


def test_small_fragments_are_merged_as_they_pile_up(store, ticks):
    clock = Clock()
    with _on_clock(store, ticks, clock, every_rows=1, keep_age="1d") as stream:
        for n in range(70):
            stream.write({"n": [n]})
            stream.flush()
            clock.now += timedelta(seconds=1)
        assert rows_of(ticks) == list(range(70))
        head = load_head(store._storage, ticks.record)
        assert len(head.fragments) < 32
        merged = [version for version in ticks.versions() if version.record.operation == "compact"]
        assert [version.num_rows for version in merged] == [32, 63]
        clock.now += timedelta(days=1) - timedelta(seconds=60)
        stream.write({"n": [70]})
        stream.flush()
        # The last cut of the first merged fragment came 38 seconds before the end: no row leaves too early.
        assert rows_of(ticks)[-1] == 70
        assert set(range(10, 71)) <= set(rows_of(ticks))
        clock.now += timedelta(hours=23)
        stream.write({"n": [71]})
    assert rows_of(ticks) == [70, 71]
    assert store.verify().passed


def test_rows_of_different_parts_of_a_window_do_not_come_together():
    start, day = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
    times = [start] * 40 + [start + timedelta(hours=2)] * 40
    assert find_run([10] * 80, times, age=day, most=None) == (40, 512 << 10)
    assert find_run([10] * 80, times, age=None, most=None) == (80, 512 << 10)
    assert find_run([10] * 80, times, age=day, most=1_000) == (0, 0)
    assert find_run([10] * 40 + [1 << 20] * 31, [None] * 71, age=None, most=None) == (71, 8 << 20)
    assert find_run([10] * 31, [None] * 31, age=None, most=None) == (0, 0)


def test_ages_sizes_and_limits_are_read_as_people_write_them(ticks):
    assert parse_age("2w") == timedelta(days=14)
    assert parse_size("3 kB") == 3_000
    assert parse_size(5) == 5
    for wrong in ({"keep_age": "1 year"}, {"keep_age": "0d"}, {"keep_bytes": "-1"}, {"keep_bytes": True},
                  {"every_rows": 0}, {"every_rows": 5, "max_pending_rows": 4}, {"every_seconds": 0},
                  {"durability": "none"}, {"every_row": 1}):  # fmt: skip
        with pytest.raises(UsageError):
            ticks.stream(**wrong)
    with pytest.raises(UsageError):
        ticks.stream("../up")
    with ticks.stream():
        pass  # none of them holds the lock


def test_names_of_streams_are_no_paths(folder, ticks):
    with ticks.stream("clicks.web"):
        (made,) = (folder / "ephemeral").iterdir()
    assert made == stream_folder(folder, ticks.record.id, "main", "clicks.web")
    assert len(made.name) == 32
    assert set(made.name) <= set("0123456789abcdef")


def test_a_closed_stream_says_so(ticks):
    stream = ticks.stream()
    assert repr(stream) == "<StreamWriter 'main' into 'ticks': 0 rows, 0 pending>"
    assert stream.flush() is None
    stream.close()
    stream.close()
    with pytest.raises(UsageError) as caught:
        stream.write({"n": [1]})
    assert caught.value.code == "stream-closed"


def test_files_and_empty_writes(ticks, tmp_path):
    with ticks.stream() as stream:
        for wrong in ("rows.csv", tmp_path, [{}]):
            with pytest.raises(UsageError):
                stream.write(wrong)
        stream.write({"n": []})
    assert ticks.versions() == []


def test_threads_may_write_at_once(ticks):
    with ticks.stream(every_rows=10, max_pending_rows=20) as stream:
        threads = [
            threading.Thread(target=lambda k=k: [stream.write({"n": [k * 100 + i]}) for i in range(15)])
            for k in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = rows_of(ticks)
    assert sorted(found) == sorted(k * 100 + i for k in range(3) for i in range(15))
    assert [n for n in found if n < 100] == list(range(15))


def test_a_stream_into_a_branch_leaves_main_alone(ticks):
    ticks.append({"n": [1]})
    branch = ticks.create_branch("tail", ticks.latest)
    with (branch if branch is not None else ticks.branch("tail")).stream() as stream, ticks.stream():
        stream.write({"n": [2]})
    assert rows_of(ticks) == [1]
    assert ticks.version("tail").num_rows == 2
