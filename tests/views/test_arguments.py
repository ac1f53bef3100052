"""Whatever a verb or an end of a view is given, it takes it or says in words what is wrong."""

import contextlib

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.errors import FoldstoreError
from foldstore.views.view import View
from tests.views.table_source import TableSource

ANYTHING = [
    None, 1, -1, 1.5, float("nan"), True, "x", "", b"x", [], [1], [None], ["id"], {}, {"x": 1}, {1: 2}, set(), object(),
    np.array(["id", "g"]), np.array([1, 2]), np.array([]), np.array(1), np.int64(3), np.float64(0.5), pa.array([1]),
    10**30, "\ud800", "\0", [["id"]], range(3), "st", "m", "ls", "l",
]  # fmt: skip

CALLS = {
    "where": lambda v, z: v.where(z),
    "where_any": lambda v, z: v.where_any(z),
    "where_elements": lambda v, z: v.where_elements("l", "element = 'a'", at_least=z),
    "keep_elements": lambda v, z: v.keep_elements(z, "element = 'a'"),
    "select": lambda v, z: v.select(z),
    "expression": lambda v, z: v.select(x=z),
    "map": lambda v, z: v.map("s", z),
    "map to": lambda v, z: v.map("s", {"v1": z}),
    "map pairs": lambda v, z: v.map("l", [(z, "x")]),
    "enumerate": lambda v, z: v.enumerate(z),
    "labels": lambda v, z: v.enumerate("s", z),
    "explode": lambda v, z: v.explode("l", position=z),
    "limit": lambda v, z: v.limit(z),
    "sample": lambda v, z: v.sample(z),
    "stratify": lambda v, z: v.sample(0.1, stratify=z),
    "order_by": lambda v, z: v.order_by(z),
    "descending": lambda v, z: v.order_by("id", descending=z),
    "shuffle": lambda v, z: v.shuffle(z),
    "group_by": lambda v, z: v.sequences(z, "id"),
    "length": lambda v, z: v.sequences(["g"], "id", length=z).count(),
    "max_gap": lambda v, z: v.sequences(["g"], "id", max_gap=z).count(),
    "repeat": lambda v, z: v.repeat(z),
    "union": lambda v, z: v.union(z),
    "union columns": lambda v, z: v.union(v, columns=z),
    "blend": lambda v, z: v.blend(z),
    "blend rows": lambda v, z: v.blend({"id > 1": 1}, rows=z),
    "blend weight": lambda v, z: v.blend({"id > 1": z}),
    "balance": lambda v, z: v.balance(z),
    "balance weights": lambda v, z: v.balance("s", z),
    "rule": lambda v, z: v.blend([foldstore.Rule("id > 1", weight=z)]),
    "diff": lambda v, z: v.diff(z),
    "label": lambda v, z: v.select("id", "g").to_xy(z),
    "features": lambda v, z: v.to_xy("b", z),
    "batch_size": lambda v, z: v.loader(z),
    "loader columns": lambda v, z: v.loader(2, columns=z),
    "rank": lambda v, z: v.loader(2, rank=z),
    "even": lambda v, z: v.loader(2, even=z),
    "form": lambda v, z: v.loader(2, form=z),
    "fill": lambda v, z: v.loader(2, fill=z),
    "state_dict": lambda v, z: v.loader(2).state_dict(z),
    "load_state_dict": lambda v, z: v.loader(2).load_state_dict(z),
    "select_batches": lambda v, z: list(v.select_batches(z)),
    "select_batches rows": lambda v, z: list(v.select_batches(["id"], z)),
}
EXPORTS = {
    "path": lambda v, path, z: v.export(z if not isinstance(z, str) or not z.isalnum() else path),
    "columns": lambda v, path, z: v.export(path, columns=z, overwrite=True),
    "format": lambda v, path, z: v.export(path, format=z, overwrite=True),
    "overwrite": lambda v, path, z: v.export(path, overwrite=z),
    "rows_per_file": lambda v, path, z: v.export(path, rows_per_file=z, overwrite=True),
}


def _table():
    count = 20
    return pa.table({
        "id": list(range(count)), "g": [i % 3 for i in range(count)], "s": [f"v{i % 4}" for i in range(count)],
        "l": [["a", "b"]] * count, "st": [{"x": 1}] * count, "b": [True, False] * (count // 2),
        "ls": [[{"x": 1}]] * count,
        "m": pa.array([[("k", 1)]] * count, pa.map_(pa.string(), pa.int64())),
    })  # fmt: skip


@pytest.fixture(scope="module")
def view(engine):
    return View(TableSource(_table()), engine=engine)


def _take(call, *given):
    with contextlib.suppress(FoldstoreError):
        call(*given)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_anything_is_taken_or_refused_in_words(view, call):
    for given in ANYTHING:
        _take(call, view, given)


@pytest.mark.parametrize("call", EXPORTS.values(), ids=EXPORTS)
def test_anything_is_exported_or_refused_in_words(view, tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    for given in ANYTHING:
        _take(call, view.select("id", "s"), "rows.csv", given)


@pytest.mark.parametrize("given", ANYTHING, ids=lambda value: ascii(value)[:20])
def test_a_store_takes_anything_or_refuses_it_in_words(store, given):
    store.create_dataset("a").append(_table())
    view = store.view("a@1")
    for call in (
        store.view,
        lambda z: store.view([view, view], columns=z),
        lambda z: store.view({"sources": z, "steps": []}),
        lambda z: store.view({"sources": [{"address": z}], "steps": []}),
        lambda z: store.view({"sources": [{"address": "a@1"}], "steps": z}),
        store.blend,
        lambda z: store.blend([view, view], z),
        lambda z: store.blend([view, view], columns=z),
        lambda z: store.saved_views.deprecate("a@1", z),
        view.save_draft,
    ):
        _take(call, given)
