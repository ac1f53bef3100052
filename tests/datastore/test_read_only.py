"""A store that nobody may write to can be read, and refuses every change in words."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import foldstore
from foldstore.errors import FoldstoreError, NotFoundError, RefusedError, StoreError

GOLDEN = Path(__file__).parents[1] / "golden" / "format-0001"
KILLED = """
import os, signal, sys
import foldstore
store = foldstore.connect(sys.argv[1])
store.dataset("n").append({"n": [4]})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def made(folder):
    with foldstore.connect(folder) as store:
        store.create_dataset("n", key=["n"]).append({"n": [1, 2, 3]})
        store.view("n@1").where("n > 1").save("large")
    return folder


@pytest.fixture
def locked(made):
    """A store in a folder without the right to write, where the user is not root."""
    paths = [made, *(path for path in made.rglob("*") if path.is_dir())]
    for path in paths:
        path.chmod(0o555)
    yield made
    for path in paths:
        path.chmod(0o755)


def _tree(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_store_that_is_opened_to_be_read_reads_and_writes_nothing(made):
    before = _tree(made)
    with foldstore.connect(made, read_only=True) as store:
        assert store.dataset("n").latest.to_arrow()["n"].to_pylist() == [1, 2, 3]
        assert store.view("large").to_arrow().num_rows == 2
        assert store.sql("SELECT sum(n) FROM n").rows() == [(6,)]
        assert store.dataset("n").latest.profile().columns["n"].minimum == 1
        assert store.verify().passed
    left = {name for name in _tree(made) if not name.startswith("catalog.db-")}
    assert left == {name for name in before if not name.startswith("catalog.db-")}


def test_every_change_is_refused_with_one_code(made):
    with foldstore.connect(made, read_only=True) as store:
        changes = [
            lambda: store.create_dataset("more"),
            lambda: store.dataset("n").append({"n": [4]}),
            lambda: store.dataset("n").add_columns({"m": "n + 1"}),
            lambda: store.view("n").save("all"),
            lambda: store.dataset("n").latest.split("halves", train=0.5, test=0.5),
            lambda: store.dataset("n").set_schema(store.dataset("n").latest.profile().infer_schema()),
        ]
        for change in changes:
            with pytest.raises(RefusedError, match="read only") as caught:
                change()
            assert caught.value.code == "read-only"
    with foldstore.connect(made) as store:
        assert len(store.dataset("n").versions()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_can_be_read(locked):
    with foldstore.connect(locked, read_only=True) as store:
        assert store.dataset("n").latest.num_rows == 3
    with pytest.raises(FoldstoreError) as caught:
        foldstore.connect(locked)
    assert "read_only=True" in caught.value.hint


def test_a_file_that_nobody_writes_is_read_without_anything_beside_it(made, monkeypatch):
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    with foldstore.connect(made, read_only=True) as store:
        assert store.dataset("n").latest.num_rows == 3
        assert not list(made.glob("catalog.db-*"))


def test_what_lies_in_the_log_of_a_killed_writer_is_read_too(made):
    done = subprocess.run([sys.executable, "-c", KILLED, str(made)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (made / "catalog.db-wal").stat().st_size > 0
    with foldstore.connect(made, read_only=True) as store:
        assert store.dataset("n").latest.to_arrow()["n"].to_pylist() == [1, 2, 3, 4]


def test_a_writer_at_work_is_seen(made):
    with foldstore.connect(made, read_only=True) as reader, foldstore.connect(made) as writer:
        writer.dataset("n").append({"n": [4]})
        assert reader.dataset("n").latest.num_rows == 4


def test_an_older_format_is_not_migrated(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "old")
    kept = (tmp_path / "old" / "catalog.db").read_bytes()
    with pytest.raises(StoreError, match="has format 0001") as caught:
        foldstore.connect(tmp_path / "old", read_only=True)
    assert caught.value.code == "read-only"
    assert (tmp_path / "old" / "catalog.db").read_bytes() == kept


def test_no_store_is_made_where_there_is_none(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        foldstore.connect(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_the_environment_can_say_so(made, monkeypatch):
    monkeypatch.setenv("FOLDSTORE_READ_ONLY", "1")
    with foldstore.connect(made) as store:
        with pytest.raises(RefusedError):
            store.create_dataset("more")
        with pytest.raises(NotFoundError):
            store.dataset("more")
