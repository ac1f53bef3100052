"""What a gated dataset may and may not publish."""

import threading

import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import FoldstoreError, InvalidSchemaError, SchemaMismatchError
from foldstore.types import Severity, Status
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.schema import DataSchema


def _gated(store, rows, **more):
    dataset = store.create_dataset("d", **more)
    dataset.append(rows)
    dataset.set_schema(dataset.latest.profile().infer_schema())
    return dataset


def test_a_schema_that_leaves_the_key_out_is_refused(store):
    dataset = _gated(store, {"k": [1, 2]}, key=["k"])
    with pytest.raises(InvalidSchemaError, match="keys are") as raised:
        dataset.set_schema(DataSchema(columns={"k": ColumnSchema(type="int64")}))
    assert raised.value.hint == "Write keys: ['k'] in the schema."
    with pytest.raises(InvalidSchemaError, match="keys are") as raised:
        dataset.set_schema(DataSchema(columns={"x": ColumnSchema(type="int64")}))
    assert raised.value.hint.startswith("Describe the column 'k', which tells rows apart, and write keys")
    again = dataset.append({"k": [2]})
    assert again.status is Status.QUARANTINED
    assert [anomaly.code for anomaly in again.report.anomalies if anomaly.severity is Severity.ERROR] == [
        "duplicate_key"
    ]


def test_a_change_of_type_never_wipes_the_rows_that_are_there(store):
    dataset = _gated(store, {"x": list(range(30))})
    quarantined = dataset.append({"x": ["a"]})
    assert quarantined.status is Status.QUARANTINED
    dataset.set_schema(dataset.schema.accept(quarantined.report.anomalies))
    with pytest.raises(SchemaMismatchError, match="A column keeps its type") as caught:
        dataset.append({"x": ["a"]})
    assert caught.value.code == "type-mismatch"
    assert dataset.latest.to_arrow()["x"].to_pylist() == list(range(30))


def test_a_quarantined_version_is_read_by_naming_it_and_is_in_nobody_s_way(store):
    dataset = _gated(store, {"x": list(range(30))})
    bad = dataset.append({"y": [1]})
    assert bad.status is Status.QUARANTINED
    assert {a.code for a in bad.report.anomalies} >= {"column_missing", "column_new"}
    assert bad.to_arrow().to_pydict() == {"x": [*range(30), None], "y": [None] * 30 + [1]}
    assert dataset.latest.number == 1
    assert store.sql("SELECT count(*) FROM d").rows() == [(30,)]
    assert store.sql('SELECT count(*) FROM "d@2"').rows() == [(31,)]
    good = dataset.append({"x": [3]})
    assert (good.number, good.status, good.num_rows) == (3, Status.PUBLISHED, 31)
    assert good.record.parent_id == dataset.version(1).version_id
    assert good.arrow_schema.names == ["x"]


def test_a_stored_version_is_judged_as_its_candidate_was(store):
    dataset = _gated(store, {"x": list(range(30)), "z": list(range(30))})
    bad = dataset.append({"x": [None] * 20})
    assert {(a.code, a.column) for a in bad.validate(rows="added").anomalies} == {
        (a.code, a.column) for a in bad.report.anomalies
    }


def test_a_schema_set_while_a_commit_is_judged_is_not_passed_by(folder):
    with foldstore.connect(folder) as store:
        dataset = _gated(store, {"x": list(range(400))})
        strict = dataset.schema.with_column("x", domain=None, severity={"constant_column": Severity.ERROR})
        released = threading.Event()

        def meddle(step):
            if step == "judged" and not released.is_set():
                released.set()
                with foldstore.connect(folder) as other:
                    other.dataset("d").set_schema(strict)

        from dataclasses import replace

        dataset._storage = replace(dataset._storage, on_step=meddle)
        version = dataset.append({"x": [1] * 50})
        assert released.is_set()
        assert version.report.schema_id == strict.id


@pytest.mark.parametrize(
    "call",
    [
        lambda s, d: d.set_schema("x"),
        lambda s, d: d.latest.validate("x"),
        lambda s, d: d.latest.drift("x"),
        lambda s, d: d.latest.to_arrow([5]),
        lambda s, d: d.latest.to_arrow([]),
        lambda s, d: d.latest.to_arrow("x"),
        lambda s, d: d.latest.validate(rows="some"),
        lambda s, d: d.append({"x": [1]}, message=None),
        lambda s, d: d.append({"x": [1]}, message="\ud800"),
        lambda s, d: d.append({"x": [1]}, author=7),
        lambda s, d: d.append({"x": [1]}, properties={"a": float("nan")}),
        lambda s, d: d.append({"x": [1]}, properties={"a": {1, 2}}),
        lambda s, d: d.append({"x": [1]}, idempotency_key=7),
        lambda s, d: s.create_dataset("e", key=None),
        lambda s, d: s.create_dataset("e", key=[1]),
        lambda s, d: s.create_dataset("e", key=["a", "a"]),
        lambda s, d: s.create_dataset("e", derive=["x"]),
        lambda s, d: s.create_dataset("e", event_time=7),
        lambda s, d: foldstore.connect(None),
        lambda s, d: foldstore.connect("a\0b"),
        lambda s, d: foldstore.connect("x" * 5000),
        lambda s, d: foldstore.connect("postgresql://x"),
        lambda s, d: foldstore.connect(s.root / "new", catalog_url="mysql://x/y"),
        lambda s, d: foldstore.connect(s.root / "new", catalog_url="no url"),
        lambda s, d: d.version(None),
        lambda s, d: d.version(-1),
        lambda s, d: s.view("d@2"),
    ],
)
def test_wrong_arguments_are_errors_of_the_family_and_change_nothing(store, call):
    dataset = store.create_dataset("d")
    dataset.append(pa.table({"x": [1, 2]}))
    with pytest.raises(FoldstoreError) as caught:
        call(store, dataset)
    assert caught.value.code
    assert [d.name for d in store.datasets()] == ["d"]
    assert dataset.latest.number == 1


def test_a_closed_store_says_so(folder):
    store = foldstore.connect(folder)
    store.close()
    with pytest.raises(FoldstoreError, match="The store is closed"):
        store.datasets()


def test_a_folder_and_a_catalog_of_different_stores_are_not_mixed(folder, tmp_path):
    foldstore.connect(folder).close()
    foldstore.connect(tmp_path / "other").close()
    (tmp_path / "other" / "catalog.db").unlink()
    (folder / "catalog.db").rename(tmp_path / "other" / "catalog.db")
    with pytest.raises(FoldstoreError, match="belongs to another store"):
        foldstore.connect(tmp_path / "other")


def test_damaged_bytes_are_replaced_when_the_same_data_comes_again(store):
    rows = {"n": list(range(100))}
    store.create_dataset("one").append(rows)
    (victim,) = (store.root / "objects").rglob("*.arrow")
    data = bytearray(victim.read_bytes())
    data[-100] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(data)
    store.create_dataset("two").append(rows)
    assert store.verify().passed
