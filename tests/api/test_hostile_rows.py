"""Rows that nobody in good faith sends: the server lives, says what is wrong, and keeps nothing of them."""

import io
import resource
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import foldstore
from foldstore.api.app import create_app
from foldstore.api.request_body import ROW_ENDINGS, Limits
from foldstore.api.tokens import TokenVault
from tests.api.conftest import assert_problem, client_of
from tests.api.hostile import FURTHER

STREAM, FILE, PARQUET, CSV, LINES = ROW_ENDINGS
PATH = "/v1/datasets/people/versions"


def written(table, *, file=False, compression=None):
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_file if file else pa.ipc.new_stream
    with make(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def in_parquet(table, **how):
    sink = io.BytesIO()
    pq.write_table(table, sink, **how)
    return sink.getvalue()


PLAIN = pa.table({"id": pa.array([7, 8], pa.int64()), "age": [1, 2], "city": ["x", "y"]})
NESTED = pa.table(
    {
        "id": pa.array([7, 8], pa.int64()),
        "city": pa.array(["x", None]).dictionary_encode(),
        "deep": pa.DictionaryArray.from_arrays(pa.array([0, None]), pa.array([["a"], ["b"]], pa.list_(pa.string()))),
        "list": pa.array([[{"a": 1, "b": ["c"]}], None]),
        "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        "view": pa.array(["a longer text than twelve bytes", None], pa.string_view()),
        "wide": pa.array([b"ab", None], pa.binary(2)),
        "flag": [True, None],
    }
)
SEEDS = [
    (STREAM, written(PLAIN)),
    (STREAM, written(PLAIN, compression="zstd")),
    (STREAM, written(NESTED)),
    (STREAM, written(NESTED, compression="lz4")),
    (FILE, written(PLAIN, file=True)),
    (FILE, written(NESTED, file=True, compression="zstd")),
    (PARQUET, in_parquet(PLAIN)),
    (PARQUET, in_parquet(PLAIN, compression="zstd", use_dictionary=False)),
    (CSV, b"id,age,city\n7,1,x\n8,2,y\n"),
    (LINES, b'{"id": 7, "age": 1, "city": "x"}\n{"id": 8, "age": 2, "city": "y"}\n'),
]
GIANT = [2**31 - 1, 2**31, 2**32 - 1, 2**62, -1, -(2**31), 0]


@pytest.fixture
def store(folder):
    with foldstore.connect(folder, author="owner") as store:
        store.create_dataset("people", key=["id"]).append({"id": [1, 2], "age": [34, 51], "city": ["Oslo", "Bern"]})
        yield store


def editor_of(store, **limits):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store, limits=Limits(**limits))
    return client_of(app, vault.create("editor", author="t")[0])


@pytest.fixture
def editor(store):
    return editor_of(store)


@st.composite
def damaged(draw):
    """Rows in a form that is taken: cut, with bits flipped, with giant numbers in it, with parts twice or away."""
    kind, whole = draw(st.sampled_from(SEEDS))
    body = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(body) - 1, 0)))
        change = draw(st.sampled_from(["cut", "bit", "bit", "bit", "byte", "number", "long", "twice", "away", "more"]))
        if change == "cut":
            del body[place:]
        elif change == "bit" and body:
            body[place] ^= 1 << draw(st.integers(0, 7))
        elif change == "byte" and body:
            body[place] = draw(st.integers(0, 255))
        elif change in ("number", "long"):
            at, value = place // 8 * 8, draw(st.sampled_from(GIANT))
            size = 4 if change == "number" else 8
            body[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
        elif change == "twice":
            body[place:place] = body[place : place + draw(st.integers(1, 64))]
        elif change == "away":
            del body[place : place + draw(st.integers(1, 64))]
        else:
            body += draw(st.binary(max_size=20))
    return draw(st.sampled_from([kind, kind, kind, *ROW_ENDINGS])), bytes(body)


def test_damaged_rows_are_refused_or_read_whole(store, editor):
    people = store.dataset("people")

    @settings(max_examples=150 * FURTHER, suppress_health_check=[HealthCheck.too_slow])
    @given(sent=damaged())
    def law(sent):
        kind, body = sent
        before = people.latest.number
        answer = editor.post(f"{PATH}?operation=upsert", content=body, headers={"content-type": kind})
        after = people.latest
        if answer.status_code == 201:
            assert after.number == before + 1
            after.to_arrow().validate(full=True)
        else:
            assert answer.status_code in {400, 409, 413, 422}
            assert "foldstore-" not in assert_problem(answer, answer.status_code)["detail"]
            assert after.number == before

    law()


def zeros(count, *, file=False):
    """A few kilobytes that take eight bytes a row."""
    table = pa.table({"id": pa.array(np.zeros(count, np.int64))})
    return written(table, file=file, compression="zstd")


@pytest.mark.parametrize("file", [False, True])
def test_rows_that_grow_beyond_the_limit_are_refused_before_they_do(store, editor, file):
    bomb = zeros((1 << 27) + 1, file=file)  # a gigabyte and eight bytes
    assert len(bomb) < 1 << 17
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = editor.post(PATH, content=bomb, headers={"content-type": FILE if file else STREAM})
    assert_problem(answer, 413, "body-too-large")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 200 << 10
    assert store.dataset("people").latest.number == 1


def test_a_dictionary_that_grows_is_seen_too(store):
    values = pa.array(np.zeros(1 << 24, np.int64))
    table = pa.table({"id": pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), values)})
    small = editor_of(store, max_rows_memory=1 << 26)
    body = written(table, compression="zstd")
    assert_problem(small.post(PATH, content=body, headers={"content-type": STREAM}), 413, "body-too-large")


@pytest.mark.parametrize("length", [2**40, 2**62, 2**63 - 1, -2, 17, 0])
def test_a_buffer_that_lies_about_its_length_is_refused(store, editor, length):
    table = pa.table({"id": pa.array(np.zeros(1000, np.int64)), "age": [0] * 1000, "city": ["x"] * 1000})
    body = written(table, compression="zstd")
    honest = struct.pack("<q", 8000)
    assert honest in body
    answer = editor.post(
        PATH, content=body.replace(honest, struct.pack("<q", length)), headers={"content-type": STREAM}
    )
    assert answer.status_code in {413, 422}
    assert store.dataset("people").latest.number == 1


def test_parquet_that_grows_is_refused(store):
    table = pa.table({"id": np.zeros(1 << 22, np.int64)})
    bomb = in_parquet(table, compression="zstd", use_dictionary=False, row_group_size=1 << 22)
    small = editor_of(store, max_rows_memory=1 << 24)
    assert_problem(small.post(PATH, content=bomb, headers={"content-type": PARQUET}), 413, "body-too-large")


def test_python_in_the_metadata_is_not_run(store, editor, tmp_path):
    """Extension types once held pickles."""
    field = pa.field(
        "id",
        pa.int64(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.",
        },
    )
    table = pa.table([[9], [1], ["x"]], schema=pa.schema([field, ("age", pa.int64()), ("city", pa.string())]))
    answer = editor.post(PATH, content=written(table), headers={"content-type": STREAM})
    assert answer.status_code in {201, 422}
    assert not (tmp_path / "ran").exists()
