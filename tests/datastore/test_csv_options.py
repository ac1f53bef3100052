"""CSV as other programs write it: delimiters, encodings, quotes, names and tokens, declared or found and shown."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.ingest.csv_file import open_csv
from foldstore.datastore.ingest.file import open_path
from foldstore.datastore.ingest.type_name import type_named
from foldstore.errors import AlreadyExistsError, FoldstoreError, IngestError, SchemaMismatchError, UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dataset(store):
    return store.create_dataset("rows")


@pytest.fixture
def append(dataset, tmp_path):
    def _append(content, name="rows.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return dataset.append(path, **options).to_arrow().to_pydict()

    return _append


@pytest.mark.parametrize(
    ("content", "delimiter", "wanted"),
    [
        ("a;b\n1,5;x\n", ";", {"a": ["1,5"], "b": ["x"]}),
        ("a\tb\n1\tx, y\n", "\t", {"a": [1], "b": ["x, y"]}),
        ("a|b|c\n1|2|3\n", "|", {"a": [1], "b": [2], "c": [3]}),
        ("a,b\n1,x;y\n2,z;w\n", ",", {"a": [1, 2], "b": ["x;y", "z;w"]}),
        ('a;b\n"1;2";"x\ny"\n', ";", {"a": ["1;2"], "b": ["x\ny"]}),
        ("only\n1\n", ",", {"only": [1]}),
        ('"name; of it"\nx\n', ",", {"name; of it": ["x"]}),
    ],
)
def test_the_delimiter_is_found_and_shown(dataset, append, content, delimiter, wanted):
    assert append(content) == wanted
    assert dataset.latest.record.properties["source"]["delimiter"] == delimiter


def test_what_is_declared_goes_before_what_is_found(append):
    assert append("a;b\n1;2\n", delimiter=",") == {"a;b": ["1;2"]}
    with pytest.raises(IngestError, match="line 2: Expected 1 columns, got 2"):
        append("a\n1,2\n", delimiter=",")


def test_the_ending_tsv_means_tabs(append):
    assert append("a\tb,c\n1\t2,3\n", name="rows.tsv") == {"a": [1], "b,c": ["2,3"]}


@pytest.mark.parametrize(
    ("content", "options", "encoding"),
    [
        ("\ufeffa,b\n1,ß\n".encode("utf-16-le"), {}, "utf-16-le"),
        ("\ufeffa,b\n1,ß\n".encode("utf-16-be"), {}, "utf-16-be"),
        ("a,b\n1,ß\n".encode("utf-8-sig"), {}, "utf-8"),
        ("a,b\n1,ß\n".encode("utf-8-sig"), {"encoding": "UTF8"}, "utf-8"),
        ("a,b\n1,ß\n".encode("cp1252"), {"encoding": "cp1252"}, "cp1252"),
        ("a,b\n1,ß\n".encode("latin-1"), {"encoding": "latin-1"}, "iso8859-1"),
        ("a,b\n1,ß\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, "utf-16-le"),
    ],
)
def test_the_encoding_is_found_by_its_mark_or_declared(dataset, append, content, options, encoding):
    assert append(content, **options) == {"a": [1], "b": ["ß"]}
    assert dataset.latest.record.properties["source"]["encoding"] == encoding


def test_text_that_is_not_utf_8_names_its_line_and_how_to_declare_it(dataset, append):
    with pytest.raises(IngestError, match=r"line 3: this is not UTF-8 text") as caught:
        append(b"a,b\n1,x\n2,\xdf\n")
    assert 'encoding="cp1252"' in caught.value.hint
    assert caught.value.code == "wrong-encoding"
    with pytest.raises(IngestError, match="not UTF-16-LE text"):
        append(b"\xff\xfea,b\n1\n\xd8", encoding="utf-16-le")
    assert dataset.versions() == []


def test_a_file_without_a_header_is_given_names(dataset, append):
    assert append("1,x\n2,y\n", columns=["n", "t"]) == {"n": [1, 2], "t": ["x", "y"]}
    assert dataset.latest.record.properties["source"]["header"] is False
    with pytest.raises(IngestError, match="line 1: Expected 3 columns, got 2"):
        append("1,x\n", columns=["n", "t", "u"])
    with pytest.raises(SchemaMismatchError):
        append("1,x\n", columns=["n", "N"])


def test_quotes_and_tokens_are_declared(append):
    found = append(
        "a,b,c\n'x, y',ja,-\n\"z,nein,1\n", quote="'", true_tokens=["ja"], false_tokens=["nein"], null_tokens=["-"]
    )
    assert found == {"a": ["x, y", '"z'], "b": [True, False], "c": [None, 1]}


def test_quotes_may_mean_nothing(append):
    assert append('a,b\n"x,y"\n', quote=None) == {"a": ['"x'], "b": ['y"']}


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ""}, {"delimiter": ";;"}, {"delimiter": "€"}, {"delimiter": "\n"}, {"delimiter": 5},
        {"quote": "''"}, {"encoding": "utf-9"}, {"encoding": "rot13"}, {"encoding": 5}, {"columns": []},
        {"columns": "a,b"}, {"columns": [1]}, {"true_tokens": "ja"}, {"on_broken_row": "skip"},
        {"quarantine_to": "x"}, {"on_broken_row": "quarantine", "quarantine_to": 5}, {"header": False},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_are_wrong_are_refused(dataset, append, options):
    with pytest.raises(UsageError):
        append("a\n1\n", **options)
    assert dataset.versions() == []


def test_a_compressed_file_is_read(append, tmp_path):
    assert append(gzip.compress(b"a,b\n1,x\n"), name="rows.csv.gz") == {"a": [1], "b": ["x"]}
    with pytest.raises(IngestError, match="is not a gzip file"):
        append(b"a,b\n1,x\n", name="plain.csv.gz")


BROKEN = 'a,b,c\n1,x,2020-01-01\n2\n"3","two\nlines",2020-01-01\nz,y,2020-01-02\n5,y,never\n6,y,2020-01-03,7\n7,y,\n'


def test_broken_rows_are_set_aside_counted_and_all_written(store, dataset, append, tmp_path):
    types = {"a": "int64", "b": "string", "c": "date32"}
    path = tmp_path / "broken.jsonl"
    found = append(BROKEN, types=types, on_broken_row="quarantine", quarantine_to=path)
    assert found["a"] == [1, 3, 7]
    kept = store.dataset("rows").latest.record.properties["source"]["broken_rows"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert kept == {"count": 4, "examples": rows}
    assert [(row["line"], row["column"], row["text"]) for row in rows] == [
        (3, None, "2"), (6, "a", "z,y,2020-01-02"), (7, "c", "5,y,never"), (8, None, "6,y,2020-01-03,7"),
    ]  # fmt: skip
    with pytest.raises(AlreadyExistsError, match="already a file"):
        append(BROKEN, types=types, on_broken_row="quarantine", quarantine_to=path)


def test_without_a_policy_the_first_of_them_is_an_error(dataset, append):
    with pytest.raises(IngestError, match="line 3: Expected 3 columns, got 1: 2"):
        append(BROKEN)
    with pytest.raises(IngestError, match="line 5, column 'a'"):  # behind a cell of two lines
        append('a,b\n1,"two\nlines"\n\nz,y\n', types={"a": "int64"})
    assert dataset.versions() == []


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["1", "x", '"2"', "", '"a\nb"']), st.sampled_from(["", ",", ",y"])), max_size=30
    )
)
def test_good_and_broken_rows_are_all_of_them(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("csv")
    lines = [a + b for a, b in rows]
    (folder / "r.csv").write_text("n,t\n" + "".join(f"{line}\n" for line in lines))
    source = open_csv(
        folder / "r.csv", None, types={"n": "int64"}, on_broken_row="quarantine", quarantine_to=folder / "b"
    )
    found = pa.Table.from_batches(source.batches, source.schema)
    good = [line for line, (a, b) in zip(lines, rows, strict=True) if b and a in ("1", "2", '"2"', "")]
    assert found["n"].to_pylist() == [
        int(line.partition(",")[0].strip('"')) if line[0] != "," else None for line in good
    ]
    broken = [json.loads(line) for line in (folder / "b").read_text().splitlines()] if (folder / "b").exists() else []
    assert [row["text"] for row in broken] == [line for line in lines if line and line not in good]
    text = (folder / "r.csv").read_text().splitlines()
    assert all(text[row["line"] - 1] == row["text"].split("\n")[0] for row in broken)


BYTES = st.lists(
    st.sampled_from([bytes([b]) for b in b'",;\n\r|{}[]:01.-ab\\\x00\xff\xc3 '] + [b"a,b\n", b'{"a":', b"1\n"])
)
WANTED = st.sampled_from(
    [None, pa.int8(), pa.decimal128(5, 2), pa.float16(), pa.timestamp("us", "UTC"), pa.time64("us")]
)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@given(content=BYTES, wanted=WANTED, policy=st.sampled_from(["error", "quarantine"]))
def test_any_bytes_are_rows_or_an_error_of_ours(tmp_path_factory, ending, content, wanted, policy):
    path = tmp_path_factory.getbasetemp() / f"any.{ending}"
    path.write_bytes(b"".join(content))
    target = pa.schema([("a", wanted)]) if wanted is not None else None
    try:
        source = open_path(path, target, on_broken_row=policy)
        for batch in source.batches:
            batch.validate(full=True)
            assert batch.schema == source.schema
    except FoldstoreError as error:
        assert error.hint  # noqa: PT017  # an error is one of two good outcomes


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("us", "Europe/Paris"), pa.decimal128(10, 2), pa.decimal256(60, 5), pa.list_(pa.int32()),
        pa.struct([("a", pa.timestamp("s", "UTC")), ("b", pa.list_(pa.field("x", pa.int8())))]), pa.binary(4),
        pa.map_(pa.string(), pa.struct([("k", pa.decimal128(5, 1))])), pa.list_(pa.float32(), 3),
        pa.dictionary(pa.int32(), pa.string()), pa.large_list(pa.date32()), pa.duration("ns"), pa.float16(),
    ],
    ids=str,
)  # fmt: skip
def test_a_type_is_declared_by_its_own_name(kind):
    assert type_named(str(kind), column="x") == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "list<",
        "list<int65>",
        "struct<a>",
        "map<int32>",
        "decimal(99, 1)",
        "a" * 10**6,
        None,
        5,
        "list<" * 999 + ">" * 999,
    ],
)
def test_what_is_no_type_is_refused(text):
    with pytest.raises(UsageError, match="is not a type"):
        type_named(text, column="x")


PEAK = """
import resource, sys
import foldstore
with foldstore.connect(sys.argv[1]) as store:
    dataset = store.create_dataset("big")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = dataset.append(sys.argv[2]).num_rows
    print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "big.csv"
    block = "".join(f'{n},{n / 7},"some words, {n}",2013-01-01 00:00:00\n' for n in range(100_000))
    with path.open("w") as file:
        file.write("n,x,text,day\n")
        for _ in range(40):
            file.write(block)
    size = path.stat().st_size >> 20
    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / "s", path], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows, grown = map(int, done.stdout.split())
    assert rows == 4_000_000
    assert size >= 200
    assert grown < 350, f"{grown} MB for a file of {size} MB"
