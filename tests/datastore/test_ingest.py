"""Ingest: files and Arrow speakers in, values exact; what cannot be read is named, nothing is left behind."""

import datetime as dt
import decimal

import duckdb
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
        assert error.code in ("ingest-failed", "not-its-name", "wrong-encoding", "invalid-column-name")  # noqa: PT017
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
        with pytest.raises(SchemaMismatchError, match="olumn 'n' comes as") as caught:
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
    with pytest.raises(SchemaMismatchError, match="column 'x' is missing") as caught:
        dataset.append({"id": [1], "name": ["x"]})
    assert caught.value.code == "column-missing"


def test_extension_types_are_refused(dataset):
    with pytest.raises(SchemaMismatchError, match="extension type"):
        dataset.append(pa.table({"u": pa.array([b"0" * 16], pa.uuid())}))


def test_an_all_null_column_takes_the_first_type_that_comes(dataset):
    dataset.append({"a": [1], "b": [None]})
    version = dataset.append({"a": [2], "b": ["x"]})
    assert version.to_arrow().to_pydict() == {"a": [1, 2], "b": [None, "x"]}


class TestListsOfValues:
    """A dict of lists holds exactly the values that were given, or is refused."""

    @pytest.mark.parametrize(
        ("kept", "values"),
        [
            (pa.int32(), [1.9]),
            (pa.int8(), [300]),
            (pa.float32(), [0.1]),
            (pa.timestamp("s"), [dt.datetime(2020, 1, 1, 0, 0, 0, 5)]),  # noqa: DTZ001
            (pa.timestamp("us"), [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]),
            (pa.timestamp("us", "UTC"), [dt.datetime(2020, 1, 1)]),  # noqa: DTZ001
            (pa.date32(), [dt.datetime(2020, 1, 1, 5)]),  # noqa: DTZ001
            (pa.decimal128(5, 1), [decimal.Decimal("1.25")]),
            (pa.struct({"a": pa.int64()}), [{"a": 1, "b": 2}]),
            (pa.list_(pa.int32()), [[1, 2.5]]),
            (pa.map_(pa.string(), pa.int64()), [[("k", 1.5)]]),
            (pa.list_(pa.int64(), 2), [[1, 2, 3]]),
            (pa.bool_(), [2]),
            (pa.string(), [b"x"]),
        ],
        ids=str,
    )
    def test_a_value_that_the_column_cannot_hold_is_refused(self, dataset, kept, values):
        dataset.append(pa.table({"v": pa.nulls(1, kept)}))
        with pytest.raises(FoldstoreError, match="'v'"):
            dataset.append({"v": values})
        assert dataset.latest.number == 1

    @pytest.mark.parametrize(
        ("kept", "values"),
        [
            (pa.int32(), [1, None]),
            (pa.float64(), [1, 2]),
            (pa.float32(), [0.5, float("inf")]),
            (pa.uint64(), [2**64 - 1]),
            (pa.int32(), [None, None]),
            (pa.int32(), []),
            (pa.decimal128(10, 2), [decimal.Decimal("1.5"), 2]),
            (pa.decimal128(10, 2), [3]),
            (pa.timestamp("s"), [dt.datetime(2020, 1, 1)]),  # noqa: DTZ001
            (pa.timestamp("ms", "Europe/Paris"), [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]),
            (pa.time32("s"), [dt.time(1, 2)]),
            (pa.struct({"a": pa.int8(), "b": pa.string()}), [{"a": 1, "b": None}, None]),
            (pa.map_(pa.string(), pa.int64()), [[("k", 1)], None]),
            (pa.list_(pa.float32(), 2), [[1, 2], None]),
            (pa.dictionary(pa.int32(), pa.string()), ["a", None]),
            (pa.large_string(), ["x"]),
            (pa.binary(2), [b"ab"]),
        ],
        ids=str,
    )
    def test_values_that_fit_take_the_datasets_type(self, dataset, kept, values):
        dataset.append(pa.table({"v": pa.nulls(1, kept)}))
        version = dataset.append({"v": values})
        assert version.arrow_schema.field("v").type == kept
        assert version.to_arrow()["v"].to_pylist()[1:] == values

    def test_a_struct_may_leave_fields_out(self, dataset):
        dataset.append({"v": [{"a": 1, "b": "x"}]})
        assert dataset.append({"v": [{"a": 2}]}).to_arrow()["v"].to_pylist()[1] == {"a": 2, "b": None}

    @pytest.mark.parametrize(
        "values",
        [
            [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)],  # noqa: DTZ001
            [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5)],  # noqa: DTZ001
            ["a", b"b"],
            [2**53 + 1, 0.5],
            [1, "a"],
            ["\ud800"],
            [2**70],
            [...],
            "text",
            5,
            {"a": 1},
        ],
        ids=str,
    )
    def test_values_of_several_kinds_are_refused(self, dataset, values):
        with pytest.raises(IngestError, match="Column 'v'"):
            dataset.append({"v": values})
        assert dataset.versions() == []

    def test_two_names_that_are_written_alike_are_refused(self, dataset):
        with pytest.raises(SchemaMismatchError, match="'5' and '5'"):
            dataset.append({5: [1], "5": [2]})


def _bad_text(kind=None):
    offsets, data = pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")
    return pa.Array.from_buffers(pa.string(), 1, [None, offsets, data])


@pytest.mark.parametrize("source", ["table", "batches", "reader", "dict", "arrow", "parquet", "nested", "view"])
def test_text_that_is_not_utf8_is_refused_by_its_columns_name(dataset, tmp_path, source):
    bad = _bad_text()
    if source == "nested":
        bad = pa.StructArray.from_arrays([pa.ListArray.from_arrays([0, 1], bad)], names=["s"])
    table = pa.table({"fine": ["x"], "bad": bad})
    path = tmp_path / f"bad.{source}"
    if source == "parquet":
        pq.write_table(table, path)
    elif source == "arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    data = {
        "batches": table.to_batches(),
        "reader": table.to_reader(),
        "dict": {"fine": ["x"], "bad": bad},
        "arrow": path,
        "parquet": path,
        "view": pa.table({"fine": ["x"], "bad": bad.cast(pa.binary()).cast(pa.binary_view()).view(pa.string_view())})
        if source == "view"
        else None,
    }.get(source, table)
    with pytest.raises(IngestError, match=r"'bad'|UTF-?8") as caught:
        dataset.append(data)
    assert "Nothing was committed" in caught.value.hint
    assert dataset.versions() == []


def test_offsets_that_run_backwards_are_refused(dataset):
    offsets = pa.py_buffer(b"\0\0\0\0\3\0\0\0\2\0\0\0")
    bad = pa.Array.from_buffers(pa.binary(), 2, [None, offsets, pa.py_buffer(b"abc")])
    with pytest.raises(IngestError, match="'v'"):
        dataset.append(pa.table({"v": bad}))
    assert dataset.versions() == []


def test_a_stream_that_fails_while_it_is_read_is_an_error_that_names_it(dataset):
    lazy = duckdb.sql("SELECT CAST(x AS INTEGER) AS x FROM (VALUES ('1'), ('b')) t(x)")
    with pytest.raises(IngestError, match="duckdb"):
        dataset.append(lazy)
    with pytest.raises(IngestError, match=r"polars.*i128"):
        dataset.append(pl.DataFrame({"n": pl.Series([1], dtype=pl.Int128)}))
    assert dataset.versions() == []


def test_python_objects_of_polars_are_refused(dataset):
    with pytest.raises(FoldstoreError):
        dataset.append(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}))
    assert dataset.versions() == []
