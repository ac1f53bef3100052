import io
import json
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.datastore.stream.text import read_arrow, read_csv_text, read_json_lines
from foldstore.errors import IngestError


class Slow(io.BytesIO):
    """Hands out a few bytes at a time, as a pipe may."""

    def read1(self, _size=-1):
        return super().read1(3)


def _stream(monkeypatch, folder, data, *words):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    return run(["stream", "clicks", "--store", str(folder), *words])


def test_json_lines_become_versions(folder, store, monkeypatch, capsys):
    data = b'{"page": "home", "ms": 1}\n\n{"page": "help"}\n{"page": "news", "ms": 3}'
    assert _stream(monkeypatch, folder, data, "--create", "--every-rows", "2", "-m", "web") == 0
    assert store.dataset("clicks").latest.to_arrow().to_pydict() == {
        "page": ["home", "help", "news"],
        "ms": [1, None, 3],
    }
    assert store.dataset("clicks").latest.record.message == "web"
    said = capsys.readouterr()
    assert "3 rows in" in said.err
    assert not said.out


def test_csv_and_arrow_become_versions_too(folder, store, monkeypatch):
    assert _stream(monkeypatch, folder, b'zip,n\r\n02139,1\r\nNA,"2"\r\n', "--create", "-f", "csv") == 0
    store.create_dataset("arrows")
    table = pa.table({"n": [1, 2, 3]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sink.getvalue().to_pybytes())))
    assert run(["stream", "arrows", "--store", str(folder), "-f", "arrows"]) == 0
    assert store.dataset("arrows").latest.num_rows == 3
    assert store.dataset("clicks").latest.to_arrow().to_pydict() == {"zip": [2139, None], "n": [1, 2]}


@pytest.mark.parametrize(
    ("line", "code"), [(b'{"ms": \n', 3), (b"[1]\n", 3), (b'{"ms": NaN}\n', 3), (b'{"ms": 2, "x": 1}\n', 2)]
)
def test_what_came_before_a_broken_line_is_kept(folder, store, monkeypatch, capsys, line, code):
    _stream(monkeypatch, folder, b'{"ms": 1}\n', "--create")
    assert _stream(monkeypatch, folder, b'{"ms": 2}\n' + line) == code
    if code == 3:
        assert "line 2" in capsys.readouterr().err
        assert store.dataset("clicks").latest.num_rows == 2


def test_options_that_do_not_fit_are_refused(folder, store, monkeypatch, capsys):
    assert _stream(monkeypatch, folder, b"") == 2
    store.create_dataset("clicks")
    assert _stream(monkeypatch, folder, b"", "--keep-age", "soon") == 2
    assert _stream(monkeypatch, folder, b"", "--name", "../up") == 2
    assert _stream(monkeypatch, folder, b"no stream", "-f", "arrows") == 3


def test_a_quarantined_cut_exits_with_1(folder, store, monkeypatch):
    clicks = store.create_dataset("clicks")
    clicks.append({"ms": [1]})
    clicks.set_schema(foldstore.DataSchema.from_yaml("keys: []\ncolumns:\n  ms: {type: int64, nullable: false}\n"))
    assert _stream(monkeypatch, folder, b'{"ms": null}\n') == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_and_what_was_read_is_committed(folder, store, number, code):
    clicks = store.create_dataset("clicks")
    words = [sys.executable, "-m", "foldstore", "stream", "clicks", "--store", str(folder), "--every-seconds", "900"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b'{"ms": 1}\n{"ms": 2}\n')
        process.stdin.flush()
        until = time.monotonic() + 60
        while time.monotonic() < until and not _has_rows(folder):
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == code, process.stderr.read()
    assert clicks.latest.to_arrow()["ms"].to_pylist() == [1, 2]


def _has_rows(folder):
    return any(path.stat().st_size > 300 for path in folder.glob("ephemeral/*/*.segment"))


def test_pieces_do_not_depend_on_how_they_arrive():
    records = [{"n": n, "text": "x" * n} for n in range(5)]
    lines = "\n".join(map(json.dumps, records)).encode()
    assert [each for piece in read_json_lines(Slow(lines)) for each in piece] == records
    text = b'n,text\n1,"two\nlines, ""quoted"""\n2,\n3,""\n'
    found = pa.concat_tables(read_csv_text(Slow(text), lambda: pa.schema({"text": pa.string()})))
    assert found.to_pydict() == {"n": [1, 2, 3], "text": ['two\nlines, "quoted"', None, ""]}


@pytest.mark.parametrize("text", [b"n\n1,2\n", b"n,m\n1\n", b"n\n\xff\xfe,x\n", b"\xff\n1\n"])
def test_a_broken_row_of_csv_is_told(text):
    with pytest.raises(IngestError) as caught:
        list(read_csv_text(io.BytesIO(text), lambda: None))
    assert caught.value.code == "broken-row"


def test_an_arrow_stream_that_ends_too_soon_is_told():
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema({"n": pa.int64()})) as writer:
        writer.write_batch(pa.record_batch({"n": [1]}))
    with pytest.raises(IngestError):
        list(read_arrow(io.BytesIO(sink.getvalue().to_pybytes()[:-60])))
