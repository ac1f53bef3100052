"""Loaders: batches shared among processes, resumed anywhere, as arrays of numbers."""

import json
import operator

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.views.view import View
from tests.views.table_source import TableSource


def _view(engine, rows=10, **columns):
    return View(TableSource(pa.table(columns or {"n": np.arange(rows)})), engine=engine)


def _rows(batches):
    return [n for batch in batches for n in batch["n"].tolist()]


class TestSharing:
    @given(
        rows=st.integers(0, 90),
        size=st.integers(1, 9),
        world=st.integers(1, 4),
        seed=st.one_of(st.none(), st.integers(0, 9)),
        even=st.booleans(),
    )
    def test_rounds_that_are_shared_evenly_give_every_process_the_same(self, engine, rows, size, world, seed, even):
        view = _view(engine, rows)
        view = view if seed is None else view.shuffle(seed, buffer_rows=7)
        how = {"even": True} if even else {"drop_last": True}
        loaders = [view.loader(size, rank=rank, world_size=world, **how) for rank in range(world)]
        lengths = [len(loader) for loader in loaders]
        found = [[batch["n"].tolist() for batch in loader] for loader in loaders]
        assert [len(batches) for batches in found] == lengths
        assert len({tuple(map(len, batches)) for batches in found}) == 1
        flat = [n for batches in found for batch in batches for n in batch]
        assert len(flat) == len(set(flat))
        left = rows - len(flat)
        assert left < world if even else left < world * size
        if not even:
            assert all(len(batch) == size for batches in found for batch in batches)

    @given(rows=st.integers(0, 90), size=st.integers(1, 9), world=st.integers(1, 3), workers=st.integers(1, 3))
    def test_workers_share_the_batches_of_their_process_in_turn(self, engine, rows, size, world, workers):
        view = _view(engine, rows).shuffle(3, buffer_rows=16)
        expected = [batch["n"].tolist() for batch in view.loader(size, rank=world - 1, world_size=world)]
        parts = [
            [batch["n"].tolist() for batch in view.loader(size, rank=world - 1, world_size=world).iterate(w, workers)]
            for w in range(workers)
        ]
        turns = [parts[n % workers][n // workers] for n in range(sum(map(len, parts)))]
        assert turns == expected

    @given(
        rows=st.integers(1, 120),
        stops=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(0, 3)), max_size=4),
        seed=st.integers(0, 9),
    )
    def test_any_number_of_processes_goes_on_where_others_stopped(self, engine, rows, stops, seed):
        view = _view(engine, rows).shuffle(seed, buffer_rows=16)
        whole, state, found = view.to_numpy()["n"].tolist(), None, []
        for size, world, rounds in stops:
            loaders = [view.loader(size, rank=rank, world_size=world) for rank in range(world)]
            for loader in loaders if state else []:
                loader.load_state_dict(state)
            if state and state["epoch"]:
                break
            readers = [iter(loader) for loader in loaders]
            for _ in range(rounds):
                found += [
                    n for reader in readers for batch in [next(reader, None)] if batch for n in batch["n"].tolist()
                ]
            state = json.loads(json.dumps(loaders[0].state_dict()))
        assert found == whole[: len(found)]

    def test_a_main_process_says_how_far_its_workers_came(self, engine):
        view = _view(engine, 40).shuffle(1)
        loader = view.loader(4, rank=1, world_size=2)
        later = view.loader(5)
        later.load_state_dict(loader.state_dict(batches=3))
        assert _rows(later) == view.to_numpy()["n"].tolist()[24:]


class TestEpochs:
    def test_one_iteration_is_one_epoch_and_the_next_follows(self, engine):
        view = _view(engine, 50).shuffle(2)
        loader = view.loader(7)
        epochs = [_rows(loader) for _ in range(3)]
        assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == 3
        assert loader.epoch == 3
        loader.set_epoch(1)
        assert _rows(loader) == epochs[1]

    def test_an_endless_view_is_loaded_without_end(self, engine):
        loader = iter(_view(engine, 5).shuffle(2).repeat().loader(3))
        found = [n for _ in range(10) for n in next(loader)["n"].tolist()]
        assert sorted(found) == sorted(list(range(5)) * 6)

    def test_a_view_without_end_has_no_length_and_can_be_hinted_at(self, engine):
        loader = _view(engine, n=[1, 2]).repeat().loader(3)
        with pytest.raises(TypeError):
            len(loader)
        assert operator.length_hint(loader, 7) == 7

    @pytest.mark.parametrize("world", [1, 2, 3])
    def test_a_state_of_the_last_round_that_is_shared_evenly_has_nothing_left(self, engine, world):
        view = _view(engine, n=np.arange(10))
        loaders = [view.loader(4, rank=rank, world_size=world, even=True) for rank in range(world)]
        readers = [iter(loader) for loader in loaders]
        for _ in range(len(loaders[0])):
            taken = [next(reader)["n"].tolist() for reader in readers]
        assert len({len(batch) for batch in taken}) == 1
        states = [loader.state_dict() for loader in loaders]
        assert states == [{**states[0], "position": 10 // world * world}] * world
        for past in (states[0], {**states[0], "position": 12 * world}):
            again = view.loader(4, rank=0, world_size=world, even=True)
            again.load_state_dict(past)
            assert (len(again), list(again)) == (0, [])

    def test_the_state_of_another_view_is_refused(self, engine):
        state = _view(engine, 5).shuffle(1).loader(2).state_dict()
        with pytest.raises(UsageError, match="another view") as caught:
            _view(engine, 5).shuffle(2).loader(2).load_state_dict(state)
        assert caught.value.code == "other-view"

    @pytest.mark.parametrize(
        "state",
        [
            None,
            {},
            {"format": 2},
            {"format": 1, "epoch": -1, "position": 0},
            {"format": 1, "epoch": 0, "position": "3"},
            {"format": 1, "epoch": True, "position": 0},
        ],
    )
    def test_what_is_no_state_is_refused(self, engine, state):
        with pytest.raises(UsageError):
            _view(engine, 5).loader(2).load_state_dict(state)


class TestArrays:
    def test_numbers_are_arrays_of_their_types(self, engine):
        view = _view(
            engine,
            i=pa.array([1, 2], pa.int16()),
            f=pa.array([0.5, 1.5], pa.float32()),
            b=[True, False],
            t=pa.array([0, 1], pa.timestamp("us", "UTC")),
            v=pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
            s=["x", None],
        )
        (batch,) = view.loader(2)
        assert {name: str(array.dtype) for name, array in batch.items()} == {
            "i": "int16",
            "f": "float32",
            "b": "bool",
            "t": "datetime64[us]",
            "v": "float32",
            "s": "object",
        }
        assert batch["v"].tolist() == [[1.0, 2.0], [3.0, 4.0]]

    def test_a_missing_float_is_nan_and_other_missing_values_are_refused(self, engine):
        view = _view(engine, f=[0.5, None], i=[1, None])
        (batch,) = view.loader(2, columns=["f"])
        assert np.isnan(batch["f"][1])
        with pytest.raises(UsageError, match=r"'i' .* has nulls") as caught:
            list(view.loader(2))
        assert caught.value.code == "null-values"

    def test_something_stands_for_null_and_a_mask_says_where(self, engine):
        view = _view(engine, i=[1, None], b=[None, True], t=pa.array([None, 5], pa.timestamp("s")))
        (batch,) = view.loader(2, fill={"i": -1, "*": 0})
        assert (batch["i"].tolist(), batch["b"].tolist()) == ([1, -1], [False, True])
        assert batch["t"].astype(np.int64).tolist() == [0, 5]
        (batch,) = view.loader(2, masks=True)
        assert batch["i"].tolist() == [1, 0]
        assert batch["i_mask"].tolist() == [False, True]

    def test_arrow_stays_arrow_and_is_not_copied(self, engine):
        table = pa.table({"n": np.arange(10_000)})
        batches = list(View(TableSource(table), engine=engine).loader(1_000, form="arrow"))
        address = table["n"].chunk(0).buffers()[1].address
        assert [batch.column(0).buffers()[1].address for batch in batches] == [address] * 10

    def test_flat_columns_are_not_copied(self, engine):
        table = pa.table({"n": np.arange(10_000)})
        first = next(iter(View(TableSource(table), engine=engine).loader(100)))
        assert first["n"].ctypes.data == table["n"].chunk(0).buffers()[1].address

    @pytest.mark.parametrize(
        ("how", "error", "says"),
        [
            ({"batch_size": 0}, UsageError, "no number from 1"),
            ({"batch_size": True}, UsageError, "no number from 1"),
            ({"columns": ["m"]}, ColumnNotFoundError, "no column 'm'"),
            ({"drop_last": True, "even": True}, UsageError, "not both"),
            ({"rank": 2, "world_size": 2}, UsageError, "is no reader"),
            ({"form": "tensor"}, UsageError, "is no choice"),
            ({"shuffle": True}, UsageError, "takes no shuffle="),
            ({"fill": {"m": 0}}, UsageError, "no column of the view"),
            ({"fill": {"n": "x"}}, UsageError, "fill= gives 'x'"),
            ({"masks": 1}, UsageError, "True or False"),
        ],
    )
    def test_what_is_no_choice_is_refused(self, engine, how, error, says):
        view = _view(engine, n=[1, None])
        with pytest.raises(error, match=says):
            list(view.loader(**{"batch_size": 2, **how}))


class TestMatrix:
    def test_features_and_label_are_what_scikit_learn_takes(self, engine):
        view = _view(engine, a=[1, None, 3], b=[True, False, True], late=[False, True, False])
        features, label = view.to_xy("late", ["b", "a"])
        assert features.dtype == np.float64
        assert repr(features.tolist()) == "[[1.0, 1.0], [0.0, nan], [1.0, 3.0]]"
        assert label.tolist() == [False, True, False]
        assert view.to_xy("late")[0].shape == (3, 2)

    def test_large_integers_become_the_nearest_doubles_as_in_numpy(self, engine):
        large = np.array([2**53 + 1, -(2**62) - 1], np.int64)
        whole = np.array([2**64 - 1, 2**53 + 1], np.uint64)
        features, _ = _view(engine, i=large, u=whole, y=[0, 1]).to_xy("y")
        assert features.tolist() == np.column_stack([large.astype(float), whole.astype(float)]).tolist()

    @pytest.mark.parametrize(
        ("label", "features", "error", "says"),
        [
            ("lat", None, ColumnNotFoundError, "Did you mean 'late'"),
            ("late", ["s"], UsageError, "not a number"),
            ("late", None, UsageError, "not a number"),
            ("gap", ["a"], UsageError, "1 of 2 rows have no 'gap'"),
        ],
    )
    def test_what_cannot_be_a_matrix_is_refused(self, engine, label, features, error, says):
        view = _view(engine, a=[1, 2], s=["x", "y"], late=[True, False], gap=[1, None])
        with pytest.raises(error) as caught:
            view.to_xy(label, features)
        assert says in str(caught.value)

    def test_an_endless_view_has_no_matrix(self, engine):
        with pytest.raises(UsageError, match="never ends"):
            _view(engine, a=[1], y=[1]).repeat().to_xy("y")
