"""Stores of every format that was released open, read the same, verify, and go on; newer ones are refused in words."""

import importlib.util
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

import foldstore
from foldstore.errors import StoreFormatError

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = sorted(path.name for path in GOLDEN.glob("format-*"))


def _load_make():
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FORMATS)
def golden(request, tmp_path):
    """A copy of a golden store that may be written."""
    target = tmp_path / "golden"
    shutil.copytree(GOLDEN / request.param, target)
    return target


def test_there_is_a_golden_store():
    assert FORMATS[0] == "format-0001"


def test_a_golden_store_reads_as_it_was_written(golden):
    expected = json.loads((golden / "expected.json").read_text())
    digest = _load_make()._digest
    with foldstore.connect(golden) as store:
        found = {version.address: digest(version) for each in store.datasets() for version in each.versions()}
        assert found == expected
        found = store.verify()
        assert found.faults == ()


def test_a_golden_store_goes_on(golden):
    make = _load_make()
    with foldstore.connect(golden) as store:
        orders = store.dataset("orders")
        before = orders.latest.to_arrow()
        known = max(version.number for version in orders.versions())
        after = orders.append(make._rows(80, 90))
        assert after.number == known + 1
        assert after.to_arrow().slice(0, before.num_rows).equals(before)
        assert store.view("large-orders").to_arrow().num_rows > 0
        assert orders.version("5").find_split("halves").part("train").num_rows > 0
        assert store.verify().faults == ()
        assert store.dataset("things").append({"x": [2.5], "s": ["b"]}).num_rows == 4
    with foldstore.connect(golden) as store:
        assert store.version(after.address).num_rows == before.num_rows + 10  # its drift keeps it in quarantine
        assert store.dataset("things").latest.to_arrow()["s"].to_pylist() == ["a", "", None, "b"]


def test_a_split_of_a_golden_store_means_what_it_meant(golden):
    with foldstore.connect(golden) as store:
        split = store.split("orders@5#halves")
        assert split.train.to_arrow(["id"])["id"].to_pylist() == [
            0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 13, 17, 18, 19, 21, 22, 26, 30, 33, 34, 35, 37, 41, 42, 43, 46, 48, 50, 52,
            55, 56, 58,
        ]  # fmt: skip
        assert split.test.num_rows == 28


def test_a_catalog_of_a_newer_format_is_refused_in_words(golden):
    database = sqlite3.connect(golden / "catalog.db")
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.close()
    with pytest.raises(StoreFormatError, match="has format 9999; this Foldstore knows formats up to") as caught:
        foldstore.connect(golden)
    assert "newer Foldstore" in caught.value.hint
    database = sqlite3.connect(golden / "catalog.db")
    assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
    database.close()


def test_a_folder_of_a_newer_format_is_refused_in_words(golden):
    identity = json.loads((golden / "store.json").read_text())
    (golden / "store.json").chmod(0o644)
    (golden / "store.json").write_text(json.dumps({**identity, "format": 2}))
    with pytest.raises(StoreFormatError, match="another format than this Foldstore knows") as caught:
        foldstore.connect(golden)
    assert "newer Foldstore" in caught.value.hint
