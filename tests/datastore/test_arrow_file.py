"""Arrow, Feather and Parquet files: both IPC forms are read, and damaged ones are errors, never a crash."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from foldstore.errors import IngestError, SchemaMismatchError

TABLE = pa.table(
    {
        "i": pa.array([1, None, 3] * 40),
        "s": pa.array(["a", None, "ccc"] * 40),
        "d": pa.array(["x", "y", None] * 40).dictionary_encode(),
        "l": pa.array([[1, 2], None, []] * 40),
        "t": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}] * 40),
        "m": pa.array([[("k", 1)], None, []] * 40, pa.map_(pa.string(), pa.int64())),
        "z": pa.array([1, 2, None] * 40, pa.timestamp("us", "Europe/Berlin")),
        "b": pa.array([True, None, False] * 40),
        "v": pa.array(["longer than a view holds inside", None, "b"] * 40, pa.string_view()),
        "n": pa.nulls(120),
        "w": pa.array([[1], None, [2, 3]] * 40, pa.list_view(pa.int64())),
        "r": pa.RunEndEncodedArray.from_arrays(pa.array([100, 120], pa.int32()), pa.array([7, None])),
        "f": pa.array([[1, 2], None, [3, 4]] * 40, pa.list_(pa.int8(), 2)),
    }
)


def write_ipc(path, kind, compression=None):
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(path, TABLE.schema, options=options) as writer:
        writer.write_table(TABLE, max_chunksize=50)


@pytest.fixture
def dataset(store):
    return store.create_dataset("rows")


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("ending", ["arrow", "feather", "ipc", "arrows"])
def test_both_forms_of_arrow_are_read_whatever_the_ending(dataset, tmp_path, ending, kind, compression):
    path = tmp_path / f"rows.{ending}"
    write_ipc(path, kind, compression)
    version = dataset.append(path)
    assert version.to_arrow().to_pydict() == TABLE.to_pydict()
    assert version.record.properties["source"]["format"] == ("arrow" if kind == "file" else "arrow stream")


def test_feather_of_version_1_is_refused_in_words(dataset, tmp_path):
    (tmp_path / "old.feather").write_bytes(b"FEA1" + b"\0" * 60 + b"FEA1")
    with pytest.raises(IngestError, match="is a Feather file of version 1, which is not read"):
        dataset.append(tmp_path / "old.feather")


@pytest.mark.parametrize(
    ("head", "looks"),
    [
        (b"PK\x03\x04", "ZIP archive"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"ARROW1\0\0", "Arrow IPC file"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"\xff\xff\xff\xff", "Arrow IPC stream"),
    ],
)
@pytest.mark.parametrize("ending", ["parquet", "arrow", "csv", "jsonl"])
def test_a_file_that_is_not_what_its_name_says_is_said_to_look_like_what_it_is(dataset, tmp_path, ending, head, looks):
    path = tmp_path / f"odd.{ending}"
    path.write_bytes(head + b"\0" * 40)
    with pytest.raises(IngestError) as caught:
        dataset.append(path)
    if {"ARROW1": "arrow", "PAR1": "parquet", "\xff\xff": "arrow"}.get(head[:6].decode("latin-1").rstrip("\0")[:6]):
        assert caught.value.code in ("not-its-name", "ingest-failed")
    if caught.value.code == "not-its-name":
        assert looks in caught.value.message
    else:
        assert (ending, looks.split()[0]) in [("arrow", "Arrow"), ("parquet", "Parquet")]
    assert dataset.versions() == []


def test_parquet_keeps_nested_dictionary_decimal_and_zoned_columns(dataset, tmp_path):
    table = TABLE.drop_columns(["v", "w", "r"])
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=50)
    found = dataset.append(tmp_path / "rows.parquet").to_arrow()
    assert found.to_pydict() == table.to_pydict()
    assert found.schema.field("z").type == pa.timestamp("us", "Europe/Berlin")
    assert pa.types.is_dictionary(found.schema.field("d").type)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["a", "A"], "duplicate-column"),
        (["a", "a"], "duplicate-column"),
        (["a", ""], "invalid-column-name"),
        (["a", "x" * 10_000_000], "invalid-column-name"),
        ([f"c{n}" for n in range(100_000)], "too-many-columns"),
    ],
    ids=["case", "twice", "empty", "10 MB", "100,000"],
)
@pytest.mark.parametrize("ending", ["arrow", "parquet", "csv", "jsonl"])
def test_columns_that_cannot_be_kept_have_a_code_in_every_format(dataset, tmp_path, ending, names, code):
    path = tmp_path / f"odd.{ending}"
    if ending in ("arrow", "parquet"):
        if ending == "parquet" and len(names) > 1_000:
            pytest.skip("pyarrow takes a minute to write it")
        table = pa.Table.from_arrays([pa.array([1])] * len(names), names=names)
        if ending == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
    elif ending == "csv":
        path.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    else:
        path.write_text("{" + ",".join(f'"{name}":1' for name in names) + "}\n")
    if ending == "jsonl" and names == ["a", "a"]:
        with pytest.raises(IngestError, match="'a' occurs twice"):
            dataset.append(path)
        return
    with pytest.raises(SchemaMismatchError) as caught:
        dataset.append(path)
    assert caught.value.code == code
    assert len(str(caught.value)) < 1_000
    assert dataset.versions() == []


FUZZ = """
import random, sys
from pathlib import Path
import foldstore
from foldstore.errors import FoldstoreError

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
whole = {path: path.read_bytes() for path in sorted(folder.glob("whole.*"))}
refused = kept = 0
with foldstore.connect(folder / f"store{seed}") as store:
    for number in range(int(sys.argv[3])):
        source, data = chance.choice(sorted(whole.items()))
        data = bytearray(data)
        if chance.random() < 0.25:
            del data[chance.randrange(len(data)):]
        else:
            for _ in range(chance.choice([1, 1, 2, 8, 40])):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path = folder / f"damaged{seed}{source.suffix}"
        path.write_bytes(data)
        dataset = store.create_dataset(f"d{number}")
        try:
            dataset.append(path).to_arrow().to_batches()
            kept += 1
        except FoldstoreError as error:
            assert dataset.versions() == [], error
            refused += 1
print(refused, kept)
"""


@pytest.fixture
def whole(tmp_path):
    for name, kind, compression in [
        ("whole.arrow", "file", None), ("whole.ipc", "file", "lz4"), ("whole.feather", "file", "zstd"),
        ("whole.arrows", "stream", None),
    ]:  # fmt: skip
        write_ipc(tmp_path / name, kind, compression)
    pq.write_table(TABLE.drop_columns(["v", "w", "r"]), tmp_path / "whole.parquet")
    return tmp_path


def test_damaged_files_are_refused_and_the_process_lives(whole):
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, whole, "7", "150"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    refused, kept = map(int, done.stdout.split())
    assert refused > 50
    assert refused + kept == 150


def test_what_stands_in_the_place_of_a_null_is_looked_at(dataset, tmp_path):
    # Arrow validates neither, and its cast and its unifying read outside their memory.
    view = bytearray(np.zeros(12, np.int32).tobytes())
    view[19] = 128
    views = pa.Array.from_buffers(pa.string_view(), 3, [pa.py_buffer(b"\5"), pa.py_buffer(bytes(view))])
    indices = pa.Array.from_buffers(
        pa.int32(), 3, [pa.py_buffer(b"\5"), pa.py_buffer(np.array([0, 2**30, 1], np.int32))]
    )
    codes = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    for column in (views, codes):
        with pytest.raises(IngestError, match="Column 'c' holds what is not"):
            dataset.append(pa.table({"c": column}))
    assert dataset.versions() == []


def test_a_damaged_stream_that_says_it_is_text_is_named_by_its_column(dataset, tmp_path):
    bad = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    table = pa.table({"fine": [1, 2], "text": bad})
    with pa.ipc.new_stream(tmp_path / "bad.arrows", table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(IngestError, match="Column 'text' holds what is not string"):
        dataset.append(tmp_path / "bad.arrows")


def test_the_default_of_feather_is_read(dataset, tmp_path):
    pyarrow.feather.write_feather(pa.table({"a": [1]}), tmp_path / "a.feather")
    assert dataset.append(tmp_path / "a.feather").num_rows == 1
