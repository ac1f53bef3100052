"""Chains of any steps: rows are those of a plain loop, and the same however they are reached."""

import random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstore.datastore.engine import Engine
from foldstore.views.row_origins import find_origins
from foldstore.views.view import View
from tests.views.chain_model import as_table, plain_step, random_rows, random_step
from tests.views.table_source import TableSource

SEEDS = st.integers(0, 2**32)


def _view(rng, engine, most=60):
    rows = random_rows(rng, rng.randint(0, most))
    return View(TableSource(as_table(rows, rng.randint(1, 7))), engine=engine), rows


def _rows(batches, schema):
    return repr(pa.Table.from_batches(batches, schema).to_pylist())


@settings(max_examples=150)
@given(seed=SEEDS)
def test_any_plain_chain_equals_a_loop_over_rows(seed):
    rng = random.Random(seed)
    with Engine(threads=1) as engine:
        view, rows = _view(rng, engine)
        for _ in range(rng.randint(1, 5)):
            view, rows = plain_step(rng, view, rows)
        names = view.arrow_schema.names
        expected = [{name: row[name] for name in names} for row in rows]
        assert repr(view.to_arrow().to_pylist()) == repr(expected)
        assert view.count() == len(rows)


@settings(max_examples=150)
@given(seed=SEEDS)
def test_rows_are_the_same_however_they_are_reached(seed):
    rng = random.Random(seed)
    with Engine(threads=1) as engine:
        view, _ = _view(rng, engine)
        source = view.sources()[0].source
        for _ in range(rng.randint(1, 5)):
            view = random_step(rng, view)
        names, schema = view.arrow_schema.names, view.arrow_schema
        whole = view.to_arrow()
        whole.validate(full=True)
        expected, produced, index = repr(whole.to_pylist()), view.rows, view.rows.index()
        assert view.count() == whole.num_rows == index.num_rows
        assert _rows(index.slices(0, index.num_rows, names), schema) == expected
        start = rng.randint(0, whole.num_rows)
        assert _rows(produced.stream(names, start=start), schema) == repr(whole.slice(start).to_pylist())
        ranks = np.sort([rng.randrange(whole.num_rows) for _ in range(5)] if whole.num_rows else []).astype(np.int64)
        assert _rows(index.take(ranks, names), schema) == repr(whole.take(pa.array(ranks)).to_pylist())
        some = rng.sample(names, rng.randint(1, len(names)))
        projected = pa.schema([schema.field(name) for name in some])
        assert _rows(produced.stream(some), projected) == repr(whole.select(some).to_pylist())
        numbers, origins = index.origins(np.arange(whole.num_rows, dtype=np.int64))
        assert all(index.sources[number] is source for number in set(numbers.tolist()))
        assert all(0 <= rank < source.num_rows for rank in origins.tolist())
        has = np.zeros(source.num_rows, np.bool_)
        has[origins] = True
        found = find_origins(view)
        assert found.num_rows == whole.num_rows
        assert [mask.tolist() for _, mask in found.parts] == [has.tolist()]


@settings(max_examples=100)
@given(seed=SEEDS)
def test_each_epoch_can_be_begun_anywhere_and_by_any_number_of_readers(seed):
    rng = random.Random(seed)
    with Engine(threads=1) as engine:
        view, _ = _view(rng, engine)
        for _ in range(rng.randint(1, 4)):
            view = random_step(rng, view)
        names, schema, epoch = view.arrow_schema.names, view.arrow_schema, rng.randint(0, 3)
        whole = pa.Table.from_batches(view.rows.stream(names, epoch=epoch), schema)
        index = view.rows.index(epoch)
        assert _rows(index.slices(0, index.num_rows, names), schema) == repr(whole.to_pylist())
        assert view.rows.count(epoch) == whole.num_rows
        start, world = rng.randint(0, whole.num_rows), rng.randint(1, 3)
        loaders = [view.loader(rng.randint(1, 5), form="arrow", rank=0)]
        loaders[0].load_state_dict({"format": 1, "view": view.hash, "epoch": epoch, "position": start})
        assert _rows(list(loaders[0]), schema) == repr(whole.slice(start).to_pylist())
        size = rng.randint(1, 5)
        found = [[] for _ in range(world)]
        for rank in range(world):
            loader = view.loader(size, form="arrow", rank=rank, world_size=world)
            loader.load_state_dict({"format": 1, "view": view.hash, "epoch": epoch, "position": start})
            expected = len(loader)
            found[rank] = [batch.to_pylist() for batch in loader]
            assert len(found[rank]) == expected
        turns = [found[n % world][n // world] for n in range(sum(map(len, found)))]
        assert repr([row for batch in turns for row in batch]) == repr(whole.slice(start).to_pylist())


@settings(max_examples=60)
@given(seed=SEEDS)
def test_the_same_hash_gives_the_same_rows_in_the_same_order(seed):
    rng = random.Random(seed)
    with Engine(threads=1) as engine:
        view, rows = _view(rng, engine)
        for _ in range(rng.randint(1, 5)):
            view = random_step(rng, view)
        # The same rows, cut into other batches, in another source of the same identity.
        other = TableSource(as_table(rows, 11), address="renamed@9")
        again = View.from_spec(view.spec(), lambda _: other, engine=engine)
        assert again.hash == view.hash
        assert repr(again.to_arrow().to_pylist()) == repr(view.to_arrow().to_pylist())


@settings(max_examples=60)
@given(seed=SEEDS)
def test_any_view_explains_and_shows_itself(seed):
    rng = random.Random(seed)
    with Engine(threads=1) as engine:
        view, _ = _view(rng, engine)
        for _ in range(rng.randint(1, 5)):
            view = random_step(rng, view)
        explained = view.explain()
        assert explained.zero_copy == (explained.copied_bytes == 0)
        assert len(repr(view)) <= 200
        assert view._repr_html_().startswith("<div><table>")
