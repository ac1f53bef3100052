"""Export: files that are whole or not there, and values that come back as they were or are refused by name."""

import json
import os
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.datastore.arrow_schema import conform_batch
from foldstore.datastore.exact_cast import same_values
from foldstore.datastore.export.file import write_file
from foldstore.datastore.ingest.source import open_source
from foldstore.errors import AlreadyExistsError, ExportError, FoldstoreError, UsageError

# Arrow does not parse the first second that 64 bits of nanoseconds hold: a text of it is refused.
_FIRST_NS = -(2**63) + 10**9

FLAT = {
    "bool": pa.array([True, False, None]),
    "int8": pa.array([-128, 127, None], pa.int8()),
    "int64": pa.array([2**63 - 1, -(2**63), None]),
    "uint64": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "float16": pa.array([0.1, float("-inf"), None], pa.float16()),
    "float32": pa.array([0.1, float("nan"), None], pa.float32()),
    "float64": pa.array([5e-324, float("inf"), None]),
    "decimal128": pa.array([Decimal("-1.20"), Decimal("99999999.99"), None], pa.decimal128(10, 2)),
    "decimal256": pa.array([Decimal("-1.20"), Decimal(10) ** 55, None], pa.decimal256(60, 2)),
    "string": pa.array(["", 'NA "x", \n é', None]),
    "large_string": pa.array(["a\0b\r", "", None], pa.large_string()),
    "dictionary": pa.array(["NA", None, ""]).dictionary_encode(),
    "date32": pa.array([-700_000, 2_900_000, None], pa.int32()).cast(pa.date32()),
    "date64": pa.array([86_400_000, -86_400_000, None], pa.int64()).cast(pa.date64()),
    "time32[s]": pa.array([86_399, 0, None], pa.time32("s")),
    "time64[ns]": pa.array([86_399_999_999_999, 1, None], pa.time64("ns")),
    "timestamp[s]": pa.array([-(10**10), 10**10, None], pa.timestamp("s")),
    "timestamp[ns]": pa.array([_FIRST_NS, 2**63 - 1, None], pa.timestamp("ns")),
    "timestamp[us, old zone]": pa.array([-(10**16), 1, None], pa.timestamp("us", "Europe/Berlin")),
    "timestamp[ms, +05:30]": pa.array([1, -1, None], pa.timestamp("ms", "+05:30")),
    "duration": pa.array([2**63 - 1, -1, None], pa.duration("us")),
    "null": pa.nulls(3),
}
NESTED = {
    "binary": pa.array([b"\xff\0", b"", None]),
    "fixed_binary": pa.array([b"ab", b"\0\0", None], pa.binary(2)),
    "list": pa.array([[1.5, None], [], None], pa.list_(pa.float32())),
    "fixed_list": pa.array([[1, 2], [3, None], None], pa.list_(pa.int8(), 2)),
    "struct": pa.array([{"a": 1, "b": [""]}, {"a": None, "b": None}, None]),
    "map": pa.array([[(1, "x"), (1, None)], [], None], pa.map_(pa.int16(), pa.string())),
    "list of instants": pa.array([[1, None], [-(10**16)], None], pa.list_(pa.timestamp("us", "Europe/Berlin"))),
    "struct of decimals": pa.array([{"d": Decimal("1.50")}, None, {"d": None}], pa.struct({"d": pa.decimal128(5, 2)})),
    "map of binaries": pa.array([[("k", b"\xff")], None, []], pa.map_(pa.string(), pa.binary())),
}
FORMATS = ("parquet", "csv", "tsv", "jsonl", "arrow", "arrows")


def joined(column):
    return pa.concat_arrays([pa.nulls(0, column.type), *column.unify_dictionaries().chunks])


def equal(first, second):
    pairs = zip(first.columns, second.columns, strict=True)
    return first.schema == second.schema and all(same_values(joined(a), joined(b)) for a, b in pairs)


def there_and_back(table, path):
    write_file(table.schema, table.to_batches(), path)
    source = open_source(path, table.schema)
    return pa.Table.from_batches([conform_batch(batch, table.schema) for batch in source.batches], table.schema)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_type_that_a_format_holds_comes_back_into_a_dataset(store, tmp_path, ending):
    arrays = FLAT if ending in ("csv", "tsv") else {**FLAT, **NESTED}
    table = pa.table({name: arrays[name] for name in arrays})
    before = store.create_dataset("before").append(table)
    before.export(tmp_path / f"rows.{ending}")
    after = store.create_dataset("after")
    after.append(before.arrow_schema.empty_table())  # the dataset's types
    found = after.append(tmp_path / f"rows.{ending}")
    assert equal(found.to_arrow(), before.to_arrow())


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("kind", FLAT)
def test_a_column_alone_comes_back_from_text(tmp_path, kind, ending):
    table = pa.table({"v": FLAT[kind]})
    assert equal(there_and_back(table, tmp_path / f"v.{ending}"), table)


FLAT_TYPES = st.sampled_from([array.type for name, array in FLAT.items()])
TYPES = st.recursive(
    FLAT_TYPES.filter(lambda kind: not pa.types.is_dictionary(kind)) | st.sampled_from([pa.binary(), pa.binary(2)]),
    lambda inner: (
        st.builds(pa.list_, inner)
        | st.builds(lambda kind: pa.list_(kind, 2), inner)
        | st.builds(lambda a, b: pa.struct([("a", a), ("b", b)]), inner, inner)
        | st.builds(pa.map_, st.sampled_from([pa.string(), pa.int32(), pa.timestamp("ns")]), inner)
    ),
    max_leaves=3,
)
_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # the seconds of the years 1 to 9999
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def values(kind):
    """Return a strategy of values that a format of text can hold."""
    return st.none() | filled(kind)


def filled(kind):
    t = pa.types
    if t.is_list(kind):
        return st.lists(values(kind.value_type), max_size=3)
    if t.is_fixed_size_list(kind):
        return st.lists(values(kind.value_type), min_size=2, max_size=2)
    if t.is_struct(kind):
        return st.fixed_dictionaries({field.name: values(field.type) for field in kind})
    if t.is_map(kind):
        return st.lists(st.tuples(filled(kind.key_type), values(kind.item_type)), max_size=2)
    return flat(kind)


def flat(kind):
    t = pa.types
    if t.is_dictionary(kind) or t.is_string(kind) or t.is_large_string(kind):
        return st.text(st.characters(exclude_categories=("Cs",)), max_size=4) | st.sampled_from(
            ["NA", '"', ",\n", "\r"]
        )
    if t.is_boolean(kind):
        return st.booleans()
    if t.is_floating(kind):
        return st.floats(width=kind.bit_width)
    if t.is_decimal(kind):
        return st.decimals(-(10**6), 10**6, places=kind.scale)
    if t.is_null(kind):
        return st.none()
    if t.is_binary(kind) or t.is_fixed_size_binary(kind):
        size = kind.byte_width if t.is_fixed_size_binary(kind) else 3
        return st.binary(min_size=size if t.is_fixed_size_binary(kind) else 0, max_size=size)
    return ticks(kind)


def ticks(kind):
    t = pa.types
    if t.is_integer(kind):
        low = 0 if t.is_unsigned_integer(kind) else -(2 ** (kind.bit_width - 1))
        return st.integers(low, low + 2**kind.bit_width - 1)
    if t.is_date32(kind):
        return st.integers(_FIRST // 86_400, _LAST // 86_400)
    if t.is_date64(kind):
        return st.integers(_FIRST // 86_400, _LAST // 86_400).map(lambda day: day * 86_400_000)
    scale = _TICKS[kind.unit]
    if t.is_time(kind):
        return st.integers(0, 86_400 * scale - 1)
    low, high = (_FIRST_NS, 2**63 - 1) if t.is_duration(kind) or kind.unit == "ns" else (_FIRST, _LAST)
    return st.integers(low * (scale if abs(low) < 2**60 else 1), high * (scale if abs(high) < 2**60 else 1))


def make(kind, rows):
    if pa.types.is_dictionary(kind):
        return pa.array(rows, pa.string()).dictionary_encode().cast(kind)
    if pa.types.is_date64(kind):
        return pa.array(rows, pa.int64()).cast(kind)
    return pa.array(rows, kind)


@st.composite
def tables(draw, kinds):
    chosen = draw(st.lists(kinds, min_size=1, max_size=3))
    chunks = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    columns = []
    for kind in chosen:
        parts = [make(kind, draw(st.lists(values(kind), min_size=rows, max_size=rows))) for rows in chunks]
        columns.append(pa.chunked_array(parts, kind))
    return pa.table(columns, names=[f"c {place}, \"'" for place in range(len(chosen))])


@pytest.mark.parametrize("ending", FORMATS)
@given(data=st.data())
@settings(max_examples=60)
def test_what_is_exported_and_ingested_is_what_it_was(tmp_path_factory, ending, data):
    kinds = FLAT_TYPES if ending in ("csv", "tsv") else TYPES | FLAT_TYPES
    table = data.draw(tables(kinds))
    if ending == "jsonl" and not table.num_rows:
        return  # without a line there are no names
    path = tmp_path_factory.mktemp("export") / f"rows.{ending}"
    found = there_and_back(table, path)
    assert equal(found, table), (found.to_pydict(), table.to_pydict())


@pytest.mark.parametrize(
    ("ending", "column", "why"),
    [
        ("csv", pa.array([[1]]), "list<item: int64>"),
        ("csv", pa.array([b"x"]), "binary"),
        ("csv", pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "interval"),
        ("jsonl", pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "interval"),
        ("parquet", pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "interval"),
        ("parquet", pa.array([Decimal(100)], pa.decimal128(10, -2)), "negative"),
        ("parquet", pa.array([{}], pa.struct([])), "struct"),
        ("csv", pa.array([2**62], pa.timestamp("s")), "out of range"),
        ("jsonl", pa.array([[2**31 - 5]], pa.list_(pa.date32())), "out of range"),
        ("parquet", pa.array([2**62], pa.timestamp("s")), "timestamp"),
        ("parquet", pa.array([[2**62]], pa.list_(pa.timestamp("s"))), "timestamp"),
        ("parquet", pa.array([86_400_000 * 10**11]).cast(pa.date64()), "date"),
        ("csv", pa.array([1], pa.int64()).cast(pa.date64()), ""),
        ("jsonl", pa.array([-(2**63) + 1], pa.timestamp("ns")), ""),
    ],
)
def test_what_a_format_cannot_hold_is_refused_by_name_and_nothing_is_left(tmp_path, ending, column, why):
    table = pa.table({"fine": [1], "odd": column})
    with pytest.raises(UsageError, match="Column 'odd'") as caught:
        write_file(table.schema, table.to_batches(), tmp_path / f"x.{ending}")
    assert caught.value.code == "not-exportable"
    assert caught.value.hint
    assert why in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_text_and_null_are_told_apart_in_csv(store, tmp_path):
    version = store.create_dataset("t").append({"a": ["", None, "NA"], "n": [1, None, 3]})
    version.export(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == '"a","n"\n"",1\n,\n"NA",3\n'


def test_json_lines_keep_digits_and_name_what_json_lacks(store, tmp_path):
    table = pa.table({"n": [2**53 + 1], "x": [float("nan")], "f": pa.array([0.1], pa.float32()), "é": ["ü\n"]})
    store.create_dataset("t").append(table).export(tmp_path / "t.jsonl")
    assert (tmp_path / "t.jsonl").read_text() == '{"n":9007199254740993,"x":"NaN","f":0.1,"é":"ü\\n"}\n'


class TestFiles:
    """Files appear whole or not at all."""

    @pytest.fixture
    def version(self, store):
        dataset = store.create_dataset("t")
        dataset.append({"n": list(range(6)), "t": list("abcdef")})
        return dataset.append({"n": list(range(6, 10)), "t": list("ghij")})

    def test_a_file_that_is_there_is_kept_unless_it_may_be_overwritten(self, version, tmp_path):
        path = tmp_path / "x.csv"
        path.write_text("mine")
        with pytest.raises(AlreadyExistsError, match="already a file"):
            version.export(path)
        assert path.read_text() == "mine"
        assert version.export(path, overwrite=True) == [path]
        assert path.read_text().startswith('"n","t"\n')

    def test_a_file_that_comes_meanwhile_is_kept(self, tmp_path):
        def rows():
            (tmp_path / "x.csv").write_text("theirs")
            yield pa.record_batch({"n": [1]})

        with pytest.raises(AlreadyExistsError):
            write_file(pa.schema({"n": pa.int64()}), rows(), tmp_path / "x.csv")
        assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
        assert (tmp_path / "x.csv").read_text() == "theirs"

    @pytest.mark.parametrize("ending", FORMATS)
    def test_a_failure_leaves_the_old_file_and_nothing_else(self, tmp_path, ending):
        def rows():
            yield pa.record_batch({"n": [1]})
            raise KeyboardInterrupt

        path = tmp_path / f"x.{ending}"
        path.write_text("old")
        with pytest.raises(KeyboardInterrupt):
            write_file(pa.schema({"n": pa.int64()}), rows(), path, overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        assert path.read_text() == "old"

    @pytest.mark.parametrize("ending", FORMATS)
    def test_rows_are_cut_into_files_and_read_as_one_folder(self, store, version, tmp_path, ending):
        (tmp_path / "out").mkdir()
        written = version.export(tmp_path / "out" / f"part.{ending}", rows_per_file=4)
        assert [path.name for path in written] == [f"part-0000{n}.{ending}" for n in (1, 2, 3)]
        copy = store.create_dataset("copy").append(tmp_path / "out")
        assert copy.to_arrow().to_pydict() == version.to_arrow().to_pydict()

    def test_a_failure_takes_the_files_before_it_away(self, tmp_path):
        def rows():
            yield pa.record_batch({"n": [1, 2, 3]})
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_file(pa.schema({"n": pa.int64()}), rows(), tmp_path / "x.csv", rows_per_file=1)
        assert list(tmp_path.iterdir()) == []

    def test_what_is_asked_wrongly_is_an_error_of_ours(self, version, tmp_path):
        with pytest.raises(UsageError, match="no ending of a known format"):
            version.export(tmp_path / "x.xlsx")
        with pytest.raises(UsageError, match="not a format"):
            version.export(tmp_path / "x.csv", format="excel")
        with pytest.raises(UsageError, match="rows_per_file"):
            version.export(tmp_path / "x.csv", rows_per_file=0)
        with pytest.raises(FoldstoreError, match="no column 'm'"):
            version.export(tmp_path / "x.csv", columns=["m"])
        with pytest.raises(ExportError, match="cannot be written") as caught:
            version.export(tmp_path / "nowhere" / "x.csv")
        assert caught.value.code == "export-failed"
        assert list(tmp_path.glob("x*")) == []

    def test_progress_is_told_the_rows_done_and_in_all(self, version, tmp_path):
        told = []
        version.export(tmp_path / "x.parquet", progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (10, 10)

    def test_an_export_is_no_hidden_file_of_another_mode(self, version, tmp_path):
        mask = os.umask(0o022)
        os.umask(mask)
        version.export(tmp_path / "x.csv")
        assert (tmp_path / "x.csv").stat().st_mode & 0o777 == 0o666 & ~mask

    def test_dictionaries_of_many_fragments_are_one_in_a_file(self, store, tmp_path):
        dataset = store.create_dataset("d")
        for words in (["a", "b"], ["c", "a"], [None, "d"]):
            dataset.append(pa.table({"w": pa.array(words).dictionary_encode()}))
        for ending in ("arrow", "arrows", "parquet"):
            dataset.latest.export(tmp_path / f"x.{ending}")
            found = store.create_dataset(f"again_{ending}").append(tmp_path / f"x.{ending}").to_arrow()
            assert found["w"].to_pylist() == ["a", "b", "c", "a", None, "d"]
            assert pa.types.is_dictionary(found.schema.field("w").type)


def test_views_and_answers_are_exported_too(store, tmp_path):
    store.create_dataset("t").append({"n": [1, 2, 3], "x": [0.5, 1.5, 2.5]})
    store.view("t").where("n > 1").export(tmp_path / "v.parquet", columns=["x"])
    assert pq.read_table(tmp_path / "v.parquet").to_pydict() == {"x": [1.5, 2.5]}
    store.sql("SELECT sum(n) AS s, [1, 2] AS l FROM t").export(tmp_path / "s.jsonl")
    assert json.loads((tmp_path / "s.jsonl").read_text())["l"] == [1, 2]
    with pytest.raises(FoldstoreError, match="differ by case alone"):
        store.sql("SELECT 1 AS a, 2 AS a").export(tmp_path / "twice.csv")


def test_parquet_files_of_other_programs_are_small_and_whole(store, tmp_path):
    version = store.create_dataset("t").append({"n": list(range(10_000))})
    version.export(tmp_path / "x.parquet")
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert pc.sum(pq.read_table(tmp_path / "x.parquet")["n"]).as_py() == sum(range(10_000))
    assert foldstore.__version__
