"""JSON lines: exact values of every kind, types sniffed and shown, faults by file, line and column."""

import datetime as dt
import gzip
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.ingest.json_columns import json_column
from foldstore.datastore.ingest.json_lines import open_json_lines
from foldstore.errors import ColumnNotFoundError, FoldstoreError, IngestError, SchemaMismatchError, UsageError


@pytest.fixture
def dataset(store):
    return store.create_dataset("rows")


@pytest.fixture
def append(dataset, tmp_path):
    def _append(content, **options):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return dataset.append(path, **options).to_arrow()

    return _append


def test_types_are_sniffed_and_kept_with_the_version(dataset, append):
    found = append(
        '{"a": 1, "b": {"c": [1.5, null]}, "d": "2020-01-01"}\n\n{"b": null, "a": null, "d": "x", "e": true}\n'
    )
    assert found.to_pydict() == {
        "a": [1, None], "b": [{"c": [1.5, None]}, None], "d": ["2020-01-01", "x"], "e": [None, True],
    }  # fmt: skip
    source = dataset.latest.record.properties["source"]
    assert source["types"] == {"a": "int64", "b": "struct<c: list<item: double>>", "d": "string", "e": "bool"}
    assert (source["format"], source["encoding"]) == ("json lines", "utf-8")


def test_the_types_of_the_dataset_and_declared_ones_decide(dataset, append):
    dataset.append(
        pa.table(
            {
                "when": pa.array([0], pa.timestamp("ns", "Europe/Paris")),
                "price": pa.array([Decimal("1.25")], pa.decimal128(10, 2)),
                "raw": [b"\xff"],
                "kind": pa.array(["x"]).dictionary_encode(),
                "small": pa.array([1], pa.int8()),
            }
        )
    )
    line = '{"when": "2020-01-01T00:00:00.000000001Z", "price": 0.10, "raw": "/w==", "kind": "y", "small": 2}\n'
    found = append(line).slice(1)
    assert found.schema == dataset.version(1).arrow_schema
    assert found["price"].to_pylist() == [Decimal("0.10")]
    assert found["when"].cast(pa.int64()).to_pylist() == [1_577_836_800_000_000_001]
    assert found["raw"].to_pylist() == [b"\xff"]
    assert found["kind"].to_pylist() == ["y"]


def test_declared_types_go_before_sniffing(append):
    types = {"d": "date32", "n": "decimal128(30, 0)", "m": "map<string, int64>"}
    found = append('{"d": "2020-02-29", "n": 123456789012345678901234567890, "m": {"k": 1}}\n', types=types)
    assert found.to_pylist() == [
        {"d": dt.date(2020, 2, 29), "n": Decimal(123456789012345678901234567890), "m": [("k", 1)]}
    ]
    with pytest.raises(ColumnNotFoundError, match="'x'"):
        append('{"d": 1}\n', types={"x": "int64"})


BROKEN = [
    ('{"a": 1}\n{"a": \n', 2, None, "character"),
    ('{"a": 1}\n[1]\n', 2, None, "no JSON object"),
    ('{"a": 1}\n{"a": 1, "a": 2}\n', 2, None, "'a' occurs twice"),
    ('{"a": {"b": 1}}\n{"a": {"b": 1, "b": 2}}\n', 2, None, "'b' occurs twice"),
    ('{"a": 1}\n{"a": 9223372036854775808}\n{"a": -1}\n', 2, "a", "is no int64"),
    ('{"a": 18446744073709551616}\n', 1, "a", "does not fit 64 bits"),
    ('{"a": 1}\n{"a": "x"}\n', 2, "a", "'x' is no int64"),
    ('{"a": 1}\n{"a": true}\n', 2, "a", "True is no int64"),
    ('{"a": 9007199254740993}\n{"a": 1.5}\n', 2, "a", ""),
    ('{"a": [1]}\n{"a": [1, "x"]}\n', 2, "a", ""),
    ('{"a": 1}{"a": 2}\n', 1, None, "character 9: Extra data"),
    ('{"a": "\\ud800"}\n', 1, "a", ""),
    ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n", 1, None, "nested too deeply"),
    ('{"a": ' + "9" * 5_000 + "}\n", 1, None, "Exceeds the limit"),
]


@pytest.mark.parametrize(("text", "line", "column", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_line_that_cannot_be_kept_exactly_is_named(dataset, append, text, line, column, said):
    with pytest.raises(IngestError, match=f"'rows.jsonl', line {line}") as caught:
        append(text)
    assert (caught.value.code, caught.value.facts["line"], caught.value.facts["column"]) == ("broken-row", line, column)
    assert said in caught.value.message
    assert dataset.versions() == []


@pytest.mark.parametrize(
    ("kept", "value"),
    [
        (pa.int32(), "1.0"), (pa.int32(), "2147483648"), (pa.int64(), "true"), (pa.float64(), "9007199254740993"),
        (pa.float64(), '"x"'), (pa.float32(), "1e300"), (pa.bool_(), "1"), (pa.string(), "1"), (pa.binary(), '"?"'),
        (pa.decimal128(4, 2), "1.255"), (pa.date32(), '"2020-13-01"'), (pa.timestamp("s"), '"2020-01-01T00:00:00.5"'),
        (pa.timestamp("s", "UTC"), '"2020-01-01T00:00:00"'), (pa.time64("us"), '"24:00:00"'), (pa.duration("s"), "1.5"),
        (pa.struct({"a": pa.int64()}), '{"b": 1}'), (pa.list_(pa.int64(), 2), "[1]"), (pa.list_(pa.int8()), "[1, 300]"),
        (pa.map_(pa.int64(), pa.int64()), '{"1": 1}'), (pa.map_(pa.string(), pa.int8()), '[{"key": null, "value": 1}]'),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_its_type_cannot_hold_is_refused_in_a_later_line_too(dataset, append, kept, value):
    dataset.append(pa.table({"v": pa.nulls(1, kept)}))
    with pytest.raises(IngestError, match="line 2, column 'v'") as caught:
        append('{"v": null}\n{"v": ' + value + "}\n")
    assert caught.value.code == "broken-row"
    assert dataset.latest.number == 1


def test_broken_lines_are_set_aside(dataset, append, tmp_path):
    text = '{"a": 1}\n{"a": "x"}\nno\n{"a": 2}\n{"b": 1}\n'
    kept = append(text, types={"a": "int64"}, on_broken_row="quarantine", quarantine_to=tmp_path / "broken.jsonl")
    # A name that the first block has is a column.
    assert kept.to_pydict() == {"a": [1, 2, None], "b": [None, None, 1]}
    found = dataset.latest.record.properties["source"]["broken_rows"]
    assert found["count"] == 2
    rows = [json.loads(line) for line in (tmp_path / "broken.jsonl").read_text().splitlines()]
    assert [(row["line"], row["column"], row["text"]) for row in rows] == [(2 + 1, None, "no"), (2, "a", '{"a": "x"}')]


def test_a_name_behind_the_first_block_is_not_dropped(append):
    with pytest.raises(IngestError, match="column 'new'"):
        append('{"a": 1}\n' * 600_000 + '{"a": 1, "new": 2}\n')


def test_a_type_that_changes_behind_the_first_block_is_named(append):
    with pytest.raises(IngestError, match=r"line 600001, column 'a': 0.5 is no int64"):
        append('{"a": 1}\n' * 600_000 + '{"a": 0.5}\n')


@pytest.mark.parametrize("value", ["NaN", '"NaN"', "Infinity", '"-Infinity"', "1e400"])
def test_numbers_that_json_lacks_are_read_by_name(dataset, append, value):
    dataset.append({"x": [0.5]})
    assert append('{"x": ' + value + "}\n").num_rows == 2


def test_compressed_lines_and_other_encodings_are_read(store, tmp_path):
    lines = '{"a": "größe"}\n' * 3
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "b.ndjson").write_bytes(lines.encode("utf-16"))
    (tmp_path / "c.jsonl").write_bytes(lines.encode("cp1252"))
    dataset = store.create_dataset("d")
    assert dataset.append(tmp_path / "a.jsonl.gz").num_rows == 3
    assert dataset.append(tmp_path / "b.ndjson").num_rows == 6
    with pytest.raises(IngestError, match="line 1: this is not UTF-8") as caught:
        dataset.append(tmp_path / "c.jsonl")
    assert "cp1252" in caught.value.hint
    assert set(dataset.append(tmp_path / "c.jsonl", encoding="cp1252").to_arrow()["a"].to_pylist()) == {"größe"}
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines.encode() * 1_000)[:-20])
    with pytest.raises(IngestError, match="cannot be read"):
        dataset.append(tmp_path / "cut.jsonl.gz")


@pytest.mark.parametrize("content", ["", "\n\n", "{}\n", "[]", "null\n"])
def test_a_file_without_columns_is_an_error(dataset, append, content):
    with pytest.raises(FoldstoreError):
        append(content)
    assert dataset.versions() == []


def test_options_of_other_formats_are_refused(append):
    with pytest.raises(UsageError, match="no option 'delimiter' for JSON lines"):
        append('{"a": 1}\n', delimiter=";")
    with pytest.raises(SchemaMismatchError, match="cannot name a column"):
        append('{"": 1}\n')


JSON = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=3) | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(rows=st.lists(st.fixed_dictionaries({"a": JSON, "b": JSON}), min_size=1, max_size=4))
def test_what_is_read_is_what_was_written_or_an_error(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        source = open_json_lines(path, None)
        found = pa.Table.from_batches(source.batches, source.schema).to_pylist()
    except FoldstoreError:
        return
    for before, after in zip(rows, found, strict=True):
        for name, value in before.items():
            assert _same(value, after[name]), (value, after[name])


def _same(value, found):
    if isinstance(value, dict):  # a struct has the fields of all rows
        return isinstance(found, dict) and all(_same(value.get(name), each) for name, each in found.items())
    if isinstance(value, list):
        return isinstance(found, list) and len(value) == len(found) and all(map(_same, value, found))
    if isinstance(value, bool) or isinstance(found, bool):
        return value is found
    return value == found and (isinstance(value, str) == isinstance(found, str))


def test_a_column_of_lists_of_maps_is_read():
    kind = pa.list_(pa.map_(pa.int32(), pa.list_(pa.float32())))
    values = [[[{"key": 1, "value": [0.5]}, {"key": 1, "value": None}], None], None, []]
    assert json_column(values, kind).to_pylist() == [[[(1, [0.5]), (1, None)], None], None, []]
