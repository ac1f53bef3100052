"""Law 5: sealed cells are nowhere in the store but in its sealed area, and a crash cannot change that."""

import os
import struct
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.catalog import page_switch, seals
from foldstore.datastore.seal_rewrite import take_nulls
from foldstore.datastore.sealing import SealOptions, open_companion, open_sealed, seal_cells
from foldstore.datastore.storage import open_storage
from foldstore.errors import ConflictError, CorruptObjectError, NotFoundError, RefusedError, UsageError
from foldstore.store import Store
from tests import killing

STEPS = [
    "seal-begun",
    "seal-copied",
    "seal-linked",
    "seal-flipped",
    "seal-removed",
    "seal-recorded",
    "seal-scrubbed",
]
SECRET = 0x1EA1ED0000000000
SEALER = """
import numpy as np
from foldstore.datastore.sealing import SealOptions, seal_cells

dataset = storage.catalog.find_dataset("trips")
rows = {1: np.arange(100) >= 50}
seal_cells(storage, dataset, rows, ["label", "hint", "word", "real"], options=SealOptions(actor="victim"))
print("sealed")
"""
OPTIONS = SealOptions(actor="steward")
COLUMNS = ["label", "hint", "word", "real"]
MASK = np.arange(100) >= 50


def _rows(first=0, secret=SECRET):
    ids = list(range(first, first + 100))
    return {
        "id": ids,
        "label": [secret + i for i in ids],
        "hint": pa.array([f"HINT{secret + i:x}" for i in ids]).dictionary_encode(),
        "word": [f"WORD{secret + i:x}" for i in ids],
        "real": [float(secret + i * 4096) for i in ids],
    }


def _needles(ids, secret=SECRET):
    found = []
    for i in ids:
        found += [struct.pack("<q", secret + i), f"{secret + i:x}".encode(), struct.pack("<d", secret + i * 4096)]
    return found


def _bytes_of(folder, *, sealed=False):
    files = [p for p in folder.rglob("*") if p.is_file() and (sealed or "sealed" not in p.relative_to(folder).parts)]
    return b"".join(p.read_bytes() for p in files)


def _traces(folder, ids, secret=SECRET):
    everything = _bytes_of(folder)
    return [needle for needle in _needles(ids, secret) if needle in everything]


@pytest.fixture
def trips(store):
    """Three versions: two appends and a column that is computed from the label."""
    dataset = store.create_dataset("trips", key=["id"])
    dataset.append(_rows())
    dataset.append(_rows(first=100))
    dataset.add_columns({"twice": "label * 2"})
    return dataset


@pytest.fixture
def storage(folder, trips):
    opened = open_storage(folder)
    yield opened
    opened.close()


def _seal(storage, rows=None, columns=COLUMNS, **more):
    dataset = storage.catalog.find_dataset("trips")
    options = replace(OPTIONS, **more)
    return seal_cells(storage, dataset, {1: MASK} if rows is None else rows, columns, options=options)


def test_sealed_cells_are_null_in_every_version_and_other_cells_are_what_they_were(store, storage, trips):
    before = {v.number: v.to_arrow() for v in trips.versions()}
    before = {number: table.to_pylist() for number, table in before.items()}
    ids = {v.number: v.version_id for v in trips.versions()}
    _seal(storage)
    with foldstore.connect(store.root) as fresh:
        for version in fresh.dataset("trips").versions():
            assert version.version_id == ids[version.number]
            for old, new in zip(before[version.number], version.to_arrow().to_pylist(), strict=True):
                hidden = dict.fromkeys(COLUMNS) if 50 <= old["id"] < 100 else {}
                assert new == {**old, **hidden}
            query = f'SELECT count(label) AS n, count(DISTINCT word) AS w FROM "trips@{version.number}"'
            assert fresh.sql(query).rows() == [(version.num_rows - 50, version.num_rows - 50)]
        assert fresh.verify().passed


def test_sealed_values_are_in_no_file_of_the_store_but_the_sealed_ones(store, storage, folder, trips):
    for version in trips.versions():
        version.profile()
    # The column computed from the label is a label too; sealing all of them is what the pool does.
    assert len(_traces(folder, range(50, 100))) >= 150
    _seal(storage, columns=[*COLUMNS, "twice"])
    assert _traces(folder, range(50, 100)) == []
    assert len(_traces(folder, range(50))) >= 100
    assert all(needle in _bytes_of(folder, sealed=True) for needle in _needles(range(50, 100)))
    doubled = [struct.pack("<q", ((SECRET + i) * 2) & (2**63 - 1)) for i in range(50, 100)]
    assert not any(needle in _bytes_of(folder) for needle in doubled)


def test_neither_old_addresses_nor_profiles_nor_zones_of_the_old_files_are_left(storage, folder, trips):
    for version in trips.versions():
        version.profile()
    old = {path.stem for path in folder.joinpath("objects").rglob("*.arrow")}
    _seal(storage)
    new = {path.stem for path in folder.joinpath("objects").rglob("*.arrow")}
    everything = _bytes_of(folder, sealed=True)
    assert old - new
    assert not any(name.encode() in everything for name in old - new)
    assert not (folder / "staging").exists() or not list((folder / "staging").iterdir())


def test_sealed_cells_can_be_opened_again(storage):
    seal = _seal(storage)
    cells = open_sealed(storage, seal.id, ["label", "hint"])
    assert cells["row_id"].to_pylist() == [(1 << 32) | i for i in range(50, 100)]
    assert cells["label"].to_pylist() == [SECRET + i for i in range(50, 100)]
    assert cells["hint"].to_pylist() == [f"HINT{SECRET + i:x}" for i in range(50, 100)]
    assert seal.state == "sealed"
    assert seal.num_rows == 50
    with pytest.raises(NotFoundError):
        open_sealed(storage, "0" * 32)


def test_companions_are_kept_beside_the_cells(storage):
    seal = _seal(storage, companions={"order": pa.table({"n": [3, 1, 2]})})
    assert open_companion(storage, seal.id, "order").to_pydict() == {"n": [3, 1, 2]}


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_only_the_owner_may_read_the_sealed_area(storage, folder):
    seal = _seal(storage)
    file = folder / "sealed" / seal.id / "cells.arrow"
    assert oct(file.stat().st_mode & 0o777) == "0o400"
    assert oct(file.parent.stat().st_mode & 0o777) == "0o700"
    assert oct(file.parent.parent.stat().st_mode & 0o777) == "0o700"


def test_equal_cells_have_unequal_addresses_so_that_nobody_can_guess_them(storage, folder):
    seal = _seal(storage)
    with foldstore.connect(folder) as other:
        other.create_dataset("trips2", key=["id"]).append({**_rows(), "also": list(range(100))})
    dataset = storage.catalog.find_dataset("trips2")
    again = seal_cells(storage, dataset, {1: MASK}, COLUMNS, options=OPTIONS)
    assert open_sealed(storage, seal.id).equals(open_sealed(storage, again.id))
    assert seal.files["cells"].hash != again.files["cells"].hash


def test_a_damaged_sealed_file_is_found(store, storage, folder):
    seal = _seal(storage)
    file = folder / "sealed" / seal.id / "cells.arrow"
    file.chmod(0o600)
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(CorruptObjectError):
        open_sealed(storage, seal.id)
    assert [fault.what for fault in store.verify().faults] == ["seal"]


def test_handles_that_were_opened_before_see_nulls_too(folder, trips):
    with foldstore.connect(folder) as mine:
        version = mine.dataset("trips").latest
        assert version.to_arrow(["label"])["label"].null_count == 0
        dataset = mine._storage.catalog.find_dataset("trips")
        seal_cells(mine._storage, dataset, {1: MASK}, COLUMNS, options=OPTIONS)
        assert version.to_arrow(["label"])["label"].null_count == 50
        assert version.profile().columns["label"].nulls == 50
        assert mine.sql("SELECT count(label) FROM trips").rows() == [(150,)]


@pytest.mark.parametrize("step", STEPS)
def test_a_seal_killed_at_any_step_is_whole_or_absent(folder, store, trips, step):
    killing.assert_killed(killing.run(SEALER, folder, step))
    sealed = STEPS.index(step) >= STEPS.index("seal-flipped")
    for opened in (Store(open_storage(folder), "reader"), foldstore.connect(folder)):  # only the second one recovers
        with opened:
            for version in opened.dataset("trips").versions():
                assert version.to_arrow(["label"])["label"].null_count == (50 if sealed else 0)
    assert store.verify().passed
    assert bool(_traces(folder, range(50, 100))) is not sealed
    storage = open_storage(folder)
    found = seals.list_seals(storage.catalog)
    assert [seal.state for seal in found] == (["sealed"] if sealed else [])
    assert [p.name for p in (folder / "sealed").iterdir() if p.name != "lock"] == [seal.id for seal in found]
    known = set(storage.catalog.list_object_ids())
    assert {path.stem for path in (folder / "objects").rglob("*.arrow")} == known
    if sealed:
        assert open_sealed(storage, found[0].id, ["label"]).num_rows == 50
    else:
        assert _seal(storage).state == "sealed"
        assert _traces(folder, range(50, 100)) == []


def test_a_seal_that_nobody_kills_is_acknowledged(folder, trips):
    done = killing.run(SEALER, folder, "-")
    assert (done.returncode, done.stdout) == (0, "sealed\n"), done.stderr


def test_a_seal_that_fails_leaves_the_store_as_it_was(folder, store, storage, monkeypatch):
    monkeypatch.setattr(seals, "flip_seal", lambda *_: (_ for _ in ()).throw(OSError("refused")))
    with pytest.raises(OSError, match="refused"):
        _seal(storage)
    assert seals.list_seals(storage.catalog) == []
    assert [path.name for path in (folder / "sealed").iterdir()] == ["lock"]
    assert store.verify().passed
    assert {path.stem for path in (folder / "objects").rglob("*.arrow")} == set(storage.catalog.list_object_ids())


def test_an_ambiguous_flip_is_looked_up_and_not_repeated(storage, monkeypatch):
    real = seals.flip_seal

    def flip_then_fail(*args):
        real(*args)
        raise OSError("the connection broke after COMMIT")

    monkeypatch.setattr(seals, "flip_seal", flip_then_fail)
    assert _seal(storage).state == "sealed"


def test_commit_objects_name_the_files_that_there_are(storage, folder):
    _seal(storage)
    named = set()
    for file in (folder / "commits").rglob("*.json"):
        for piece in file.read_text().split('"object":"')[1:]:
            named.add(piece.partition('"')[0])
    assert named == {path.stem for path in (folder / "objects").rglob("*.arrow")}
    assert len(list((folder / "commits").rglob("*.json"))) == 3


def test_new_columns_are_computed_from_nulls_and_appends_go_on(folder, storage):
    _seal(storage)
    with foldstore.connect(folder) as fresh:
        dataset = fresh.dataset("trips")
        assert dataset.add_columns({"more": "label + 1"}).to_arrow(["more"])["more"].null_count == 50
        assert dataset.append(_rows(first=200)).to_arrow(["label"])["label"].null_count == 50
        assert fresh.verify().passed
    more = [struct.pack("<q", SECRET + i + 1) for i in range(50, 99)]
    assert not any(needle in _bytes_of(folder) for needle in more)


def test_an_append_that_began_before_the_seal_builds_on_the_nulls(folder, storage, trips):
    from foldstore.datastore.append import Append
    from foldstore.datastore.commit import CommitOptions, commit_steps
    from foldstore.datastore.gate import OpenGate
    from foldstore.datastore.ingest.source import open_source

    with foldstore.connect(folder) as mine:
        mine.create_dataset("loose").append(_rows(first=500))
    dataset = storage.catalog.find_dataset("loose")
    other = open_storage(folder)

    def meddle(step):
        if step == "linked":
            seal_cells(other, dataset, {1: MASK}, COLUMNS, options=OPTIONS)

    source = open_source(_rows(first=300))
    slow = replace(storage, on_step=meddle)
    version = commit_steps(slow, dataset, [Append(source)], options=CommitOptions(author="t"), gate=OpenGate())
    assert version.number == 2
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("loose").latest.to_arrow(["label"])["label"].null_count == 50
        assert fresh.verify().passed
    assert _traces(folder, range(550, 600)) == []


def test_a_version_that_arrives_while_cells_are_sealed_is_sealed_too(folder, storage):
    def meddle(step, done=[]):  # noqa: B006  # remembers that it meddled
        if step == "seal-linked" and not done:
            done.append(step)
            with foldstore.connect(folder) as other:
                other.dataset("trips").append(_rows(first=400))

    seal = _seal(replace(storage, on_step=meddle))
    assert seal.state == "sealed"
    with foldstore.connect(folder) as fresh:
        versions = fresh.dataset("trips").versions()
        assert [v.to_arrow(["label"])["label"].null_count for v in versions] == [50] * 4
        assert fresh.verify().passed


def test_two_seals_at_once_are_refused_or_one_after_the_other(folder, storage):
    outcomes = []

    def seal():
        mine = open_storage(folder)
        try:
            outcomes.append(_seal(mine).num_rows)
        except ConflictError as error:
            outcomes.append(error.retry)

    threads = [threading.Thread(target=seal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 50 in outcomes
    assert set(outcomes) <= {50, True}


def test_a_second_seal_of_other_rows_adds_to_the_first(folder, storage):
    _seal(storage)
    second = _seal(storage, rows={1: np.arange(100) < 10, 2: np.arange(100) < 10})
    assert second.num_rows == 20
    assert open_sealed(storage, second.id)["label"].to_pylist() == [SECRET + i for i in [*range(10), *range(100, 110)]]
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("trips").latest.to_arrow(["label"])["label"].null_count == 70
    assert _traces(folder, [*range(10), *range(50, 110)]) == []


def test_rows_may_be_named_by_their_ids(storage):
    seal = _seal(storage, rows=np.array([(2 << 32) | 7, (1 << 32) | 3], dtype=np.uint64))
    assert open_sealed(storage, seal.id)["label"].to_pylist() == [SECRET + 3, SECRET + 107]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ({9: MASK}, COLUMNS, "Fragment 9"),
        ({1: MASK[:50]}, COLUMNS, "not 50"),
        (np.array([(1 << 32) | 100]), COLUMNS, "no row 100"),
        (np.array([0.5]), COLUMNS, "whole numbers"),
        ({1: MASK & False}, COLUMNS, "no row to seal"),
        ({1: MASK}, [], "no column"),
        ({1: MASK}, ["id"], "key column"),
        ({1: MASK}, ["labbel"], "no column 'labbel'"),
    ],
)
def test_what_cannot_be_sealed_is_refused_before_anything_is_done(folder, storage, rows, columns, message):
    with pytest.raises((UsageError, NotFoundError), match=message):
        _seal(storage, rows=rows, columns=columns)
    assert seals.list_seals(storage.catalog) == []


def test_a_file_that_another_dataset_holds_is_refused_with_the_addresses(folder, store, storage):
    store.create_dataset("copy").append(_rows())
    with pytest.raises(RefusedError, match="copy@1") as caught:
        _seal(storage)
    assert caught.value.code == "sealed-elsewhere"
    assert caught.value.facts["addresses"] == ["copy@1"]
    seal = _seal(storage, accept_shared=True)
    assert seal.state == "sealed"
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("trips").latest.to_arrow(["label"])["label"].null_count == 50
        assert fresh.dataset("copy").latest.to_arrow(["label"])["label"].null_count == 0
        assert fresh.verify().passed


def test_the_same_rows_in_another_fragment_are_sealed_with_them(folder, store):
    twice = store.create_dataset("twice")  # without a key the same file may be appended again
    twice.append(_rows())
    twice.append(_rows())
    storage = open_storage(folder)
    seal = seal_cells(storage, storage.catalog.find_dataset("twice"), {1: MASK}, COLUMNS, options=OPTIONS)
    assert seal.num_rows == 100
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("twice").latest.to_arrow(["label"])["label"].null_count == 100
    assert _traces(folder, range(50, 100)) == []


def test_rows_with_the_same_key_in_a_quarantined_version_are_sealed_too(folder, store):
    dataset = store.create_dataset("trips", key=["id"])
    dataset.append(_rows())
    dataset.set_schema(dataset.latest.profile().infer_schema())
    repeated = {name: values[40:60] for name, values in _rows().items()}
    assert dataset.append({**repeated, "word": [f"{word}!" for word in repeated["word"]]}).status == "quarantined"
    storage = open_storage(folder)
    assert _seal(storage).num_rows == 60
    with foldstore.connect(folder) as fresh:
        assert fresh.dataset("trips").version(2).to_arrow(["label"])["label"].null_count >= 10
    assert [n for n in _traces(folder, range(50, 60)) if len(n) == 8] == []


def test_what_a_failed_append_left_behind_is_removed_with_the_cells(folder, store, storage, trips):
    with pytest.raises(foldstore.FoldstoreError, match="more than once"):
        trips.append({**_rows(), "word": ["x"] * 100})
    assert len(list((folder / "objects").rglob("*.arrow"))) > len(storage.catalog.list_object_ids())
    _seal(storage)
    assert _traces(folder, range(50, 100)) == []


def test_what_a_killed_append_left_in_staging_is_removed_with_the_cells(folder, storage):
    from foldstore.datastore.catalog import commits
    from foldstore.types import utc_now

    dataset = storage.catalog.find_dataset("trips")
    commits.begin(storage.catalog, "d" * 32, dataset.id, None, utc_now)
    commits.abort(storage.catalog, "d" * 32)
    (storage.objects.stage("d" * 32) / "0.arrow").write_bytes(_needles([60])[0])
    _seal(storage)
    assert _traces(folder, range(50, 100)) == []


def test_a_seal_waits_for_nobody_and_the_next_open_cleans_what_a_reader_kept(folder, storage, monkeypatch):
    monkeypatch.setattr(page_switch, "_SCRUB_WAIT_MS", 50)
    reader = open_storage(folder)
    with reader.catalog.read() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM object").all()
        assert _seal(storage).state == "flipped"
    assert seals.list_seals(storage.catalog)[0].state == "flipped"
    with foldstore.connect(folder) as fresh:
        assert seals.list_seals(fresh._storage.catalog)[0].state == "sealed"
    assert _traces(folder, range(50, 100)) == []


TYPES = [
    pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.large_binary(), pa.date32(),
    pa.timestamp("us", "UTC"), pa.decimal128(30, 2), pa.list_(pa.int32()), pa.struct([("x", pa.int64())]),
]  # fmt: skip


@given(st.data())
def test_taking_nulls_changes_the_masked_places_alone(data):
    kind = data.draw(st.sampled_from(TYPES))
    size = data.draw(st.integers(0, 40))
    values = data.draw(st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=size, max_size=size))
    if pa.types.is_list(kind):
        array = pa.array([None if v is None else [v] * (v % 3) for v in values], kind)
    elif pa.types.is_struct(kind):
        array = pa.array([None if v is None else {"x": v} for v in values], kind)
    elif pa.types.is_boolean(kind):
        array = pa.array([None if v is None else bool(v % 2) for v in values], kind)
    elif pa.types.is_temporal(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        array = pa.array(values, width).cast(kind)
    elif pa.types.is_large_binary(kind):
        array = pa.array([None if v is None else str(v).encode() for v in values], kind)
    else:
        array = pa.array(values, pa.int64()).cast(kind)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=bool)
    taken = take_nulls(array, mask)
    assert taken.type == kind
    assert taken.to_pylist() == [None if m else v for v, m in zip(array.to_pylist(), mask, strict=True)]
