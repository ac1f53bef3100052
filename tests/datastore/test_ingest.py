"""Ingest: files and Arrow speakers in, values exact; what cannot be read is named, nothing is left behind."""

import datetime as dt
import decimal

import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from foldstore.errors import ColumnNotFoundError, FoldstoreError, IngestError, SchemaMismatchError, UsageError

ROWS = {"id": [1, 2, 3], "name": ["a", None, "c"], "x": [0.5, None, float("inf")]}


@pytest.fixture
def dataset(store):
    return store.create_dataset("things")


@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather", "csv"])
def test_a_file_of_each_kind_gives_its_rows(dataset, tmp_path, ending):
    table = pa.table(ROWS)
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        pq.write_table(table, path)
    elif ending == "csv":
        path.write_text("id,name,x\n1,a,0.5\n2,NA,\n3,c,inf\n")
    elif ending == "arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        pyarrow.feather.write_feather(table, path)  # compressed, as the function does by default
    version = dataset.append(path)
    assert version.to_arrow().to_pydict() == ROWS
    assert version.record.properties["source"]["file"] == path.name
    assert dataset.append(str(path)).num_rows == 6


@pytest.mark.parametrize(
    "data",
    [
        ROWS,
        pa.table(ROWS),
        pl.DataFrame(ROWS),
        pa.table(ROWS).to_reader(),
        pa.table(ROWS).to_batches(),
        iter(pa.table(ROWS).to_batches()),
        pa.record_batch(pa.table(ROWS).to_batches()[0]),
    ],
    ids=["dict", "table", "polars", "reader", "list of batches", "iterator", "record batch"],
)
def test_whatever_speaks_arrow_gives_its_rows(dataset, data):
    assert dataset.append(data).to_arrow().to_pydict() == ROWS


def test_a_view_of_a_version_can_be_appended_elsewhere(store, dataset):
    dataset.append(ROWS)
    other = store.create_dataset("other")
    assert other.append(store.view("things").where("id > 1")).to_arrow()["id"].to_pylist() == [2, 3]
    assert other.append(dataset.latest).num_rows == 5


def test_a_csv_month_fits_parquet_months(store, sample):
    flights = store.create_dataset("flights", key=["carrier", "flight", "origin", "time_hour"])
    flights.append(sample / "flights" / "flights_2013-02.parquet")
    version = flights.append(sample / "flights_2013-01.csv")
    other = store.create_dataset("january").append(sample / "flights" / "flights_2013-01.parquet")
    assert version.arrow_schema == other.arrow_schema
    assert version.to_arrow().slice(24_951).equals(other.to_arrow())


def test_types_and_null_tokens_are_declared(dataset, tmp_path):
    path = tmp_path / "zips.csv"
    path.write_text('zip,n\n01234,1\n?,2\n"?",?\n')
    version = dataset.append(path, types={"zip": "string"}, null_tokens=["?"])
    assert version.to_arrow().to_pydict() == {"zip": ["01234", None, "?"], "n": [1, 2, None]}
    assert version.record.properties["source"]["null_tokens"] == ["?"]
    with pytest.raises(ColumnNotFoundError, match="'zipp'"):
        dataset.append(path, types={"zipp": "string"}, null_tokens=["?"])
    with pytest.raises(UsageError, match="'strin' is not a type"):
        dataset.append(path, types={"zip": "strin"})


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("id,name\n1,a\n2\n", 3, None),
        ("id,name\n1,a\n2,b,c\n", 3, None),
        ("id,name\n1,a\nzwei,b\n", 3, "id"),
    ],
    ids=["too few", "too many", "no number"],
)
def test_a_broken_csv_row_is_named_by_file_line_and_column(store, tmp_path, text, line, column):
    dataset = store.create_dataset("n")
    dataset.append({"id": [0], "name": ["z"]})
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(IngestError, match=rf"'broken.csv', line {line}") as caught:
        dataset.append(path)
    assert caught.value.code == "broken-row"
    assert (caught.value.facts["line"], caught.value.facts["column"]) == (line, column)
    assert dataset.latest.number == 1
    assert store.verify().passed


def test_a_broken_row_far_behind_the_sniffed_block_leaves_nothing(store, tmp_path):
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("id,text\n")
        file.writelines(f"{n},{'x' * 40}\n" for n in range(500_000))
        file.write("half,x\n")
    dataset = store.create_dataset("n")
    with pytest.raises(IngestError, match=r"line 500002, column 'id'"):
        dataset.append(path)
    assert dataset.versions() == []
    assert not list((store.root / "staging").iterdir())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"id,name\n\xff\xfe,\xe9\n", b"\x00" * 100])
@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv"])
def test_a_file_that_is_not_what_its_ending_says_is_an_error(dataset, tmp_path, content, ending):
    path = tmp_path / f"bad.{ending}"
    path.write_bytes(content)
    try:
        dataset.append(path)
    except FoldstoreError as error:
        assert error.code in ("ingest-failed", "broken-row", "schema-mismatch")  # noqa: PT017
        assert dataset.versions() == []
    else:
        assert ending == "csv"  # a few bytes may be a header without rows


def test_a_missing_file_says_what_is_there(dataset, sample):
    with pytest.raises(IngestError, match="There is no file") as caught:
        dataset.append(sample / "plane.csv")
    assert caught.value.code == "file-not-found"
    assert "planes.csv" in caught.value.hint


@pytest.mark.parametrize("data", [7, None, b"bytes", "no_such.ending", [1, 2], [], {"a": [1], "b": [1, 2]}, object()])
def test_what_cannot_be_ingested_is_refused(dataset, data):
    with pytest.raises(FoldstoreError):
        dataset.append(data)
    assert dataset.versions() == []


ODD = {
    "nested": pa.array([{"a": [1, 2], "b": "x"}, None], pa.struct([("a", pa.list_(pa.int8())), ("b", pa.string())])),
    "list": pa.array([[1.5], None], pa.list_(pa.float32())),
    "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int16(), 2)),
    "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int32())),
    "decimal": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(10, 2)),
    "dictionary": pa.array(["a", "b"]).dictionary_encode(),
    "zoned": pa.array([1_577_836_800_000_000_001, None], pa.timestamp("ns", "Europe/Paris")),
    "naive": pa.array([-(2**63) + 1, None], pa.timestamp("ns")),
    "date": pa.array([dt.date(2020, 2, 29), None], pa.date32()),
    "time": pa.array([dt.time(1, 2), None], pa.time64("us")),
    "duration": pa.array([dt.timedelta(days=2), None], pa.duration("s")),
    "binary": pa.array([b"\x00", None], pa.binary()),
    "large": pa.array(["x", None], pa.large_string()),
    "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
    "null": pa.array([None, None], pa.null()),
    "half": pa.array([1.5, None], pa.float16()),
}


@pytest.mark.parametrize("kind", ODD)
def test_every_type_comes_back_as_it_was_and_can_be_profiled(dataset, kind):
    table = pa.table({"v": ODD[kind]})
    version = dataset.append(table)
    found = version.to_arrow()
    assert found.schema.field("v").type == ODD[kind].type
    assert found.equals(table)
    assert version.profile().columns["v"].rows == 2
    assert dataset.append(table).num_rows == 4


def test_views_and_run_ends_become_plain_arrays(dataset):
    table = pa.table(
        {
            "view": pa.array(["a", None], pa.string_view()),
            "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([7])),
        }
    )
    version = dataset.append(table)
    assert version.arrow_schema == pa.schema([("view", pa.string()), ("runs", pa.int64())])
    assert version.to_arrow().to_pydict() == {"view": ["a", None], "runs": [7, 7]}


def test_dictionaries_that_differ_between_batches_are_unified(dataset):
    batches = [
        pa.record_batch({"d": pa.array(["a", "b"]).dictionary_encode()}),
        pa.record_batch({"d": pa.array(["c", "a"]).dictionary_encode()}),
    ]
    assert dataset.append(batches).to_arrow()["d"].to_pylist() == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (pa.array([1, 2], pa.int64()), True),
        (pa.array([1.0, 2.0]), True),
        (pa.array([2**40]), False),
        (pa.array([1.5]), False),
        (pa.array(["1"]), False),
        (pa.array([None, None], pa.null()), True),
        (pa.array([True]), False),
    ],
    ids=str,
)
def test_numbers_change_their_width_only_when_every_value_fits(dataset, values, kept):
    dataset.append(pa.table({"n": pa.array([0], pa.int32())}))
    if kept:
        assert dataset.append(pa.table({"n": values})).arrow_schema.field("n").type == pa.int32()
    else:
        with pytest.raises(SchemaMismatchError, match="Column 'n' comes as") as caught:
            dataset.append(pa.table({"n": values}))
        assert caught.value.code == "type-mismatch"
        assert dataset.latest.num_rows == 1


def test_a_float_is_not_rounded_in_silence(dataset):
    dataset.append(pa.table({"x": pa.array([0.5], pa.float32())}))
    assert dataset.append({"x": [0.25]}).num_rows == 2
    with pytest.raises(SchemaMismatchError, match="would be rounded"):
        dataset.append(pa.table({"x": pa.array([0.1], pa.float64())}))
    wide = pa.table({"x": pa.array([2**24 + 1], pa.int64())})
    with pytest.raises(SchemaMismatchError):
        dataset.append(wide)


@pytest.mark.parametrize("names", [["a", "a"], ["a", "A"], [""], ["x\n"], ["y" * 2000], ["\u202ez"]], ids=ascii)
def test_columns_that_cannot_be_asked_for_are_refused(dataset, names):
    table = pa.Table.from_arrays([pa.array([1])] * len(names), names=names)
    with pytest.raises(SchemaMismatchError):
        dataset.append(table)


def test_odd_but_printable_column_names_work(dataset, store):
    names = ['with "quotes"', "select", "größe", "a b", "x;--", "$1", "'"]
    dataset.append(pa.Table.from_arrays([pa.array([n]) for n in range(len(names))], names=names))
    dataset.add_columns({"sum": '"with ""quotes""" + "a b" + "x;--" + "\'"'})
    assert dataset.latest.to_arrow()["sum"].to_pylist() == [0 + 3 + 4 + 6]
    assert store.sql('SELECT "select", "größe" FROM things').rows() == [(1, 2)]


def test_missing_and_new_columns_are_refused_with_a_hint(dataset):
    dataset.append(ROWS)
    with pytest.raises(SchemaMismatchError, match="no column 'nam'") as caught:
        dataset.append({"id": [1], "nam": ["x"], "x": [1.0]})
    assert "Did you mean 'name'?" in caught.value.hint
    with pytest.raises(SchemaMismatchError, match="The data has no column 'x'") as caught:
        dataset.append({"id": [1], "name": ["x"]})
    assert caught.value.code == "column-missing"


def test_extension_types_are_refused(dataset):
    with pytest.raises(SchemaMismatchError, match="extension type"):
        dataset.append(pa.table({"u": pa.array([b"0" * 16], pa.uuid())}))


def test_an_all_null_column_takes_the_first_type_that_comes(dataset):
    dataset.append({"a": [1], "b": [None]})
    version = dataset.append({"a": [2], "b": ["x"]})
    assert version.to_arrow().to_pydict() == {"a": [1, 2], "b": [None, "x"]}
