"""The PyTorch end: tensors, workers, ranks, and a state that resumes."""

import numpy as np
import pyarrow as pa
import pytest

from foldstore.errors import UsageError
from foldstore.views.view import View
from tests.learning import require
from tests.views.table_source import TableSource


@pytest.fixture
def torch():
    return require("torch")


def _view(engine, rows=100, **columns):
    table = pa.table(columns or {"n": np.arange(rows), "x": np.arange(rows) / 2})
    return View(TableSource(table), engine=engine)


def test_columns_are_tensors_that_may_be_written_to(engine, torch):
    view = _view(engine, n=[1, 2], b=[True, False], t=pa.array([0, 7], pa.timestamp("us")),
                 v=pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)))  # fmt: skip
    (batch,) = view.to_torch(2)
    assert {name: tensor.dtype for name, tensor in batch.items()} == {
        "n": torch.int64, "b": torch.bool, "t": torch.int64, "v": torch.int32,
    }  # fmt: skip
    assert batch["v"].shape == (2, 2)
    batch["n"][0] = 9
    assert view.to_arrow()["n"].to_pylist() == [1, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gives_every_row_once(engine, torch, workers):
    from torch.utils.data import DataLoader

    view = _view(engine).where("n % 2 = 0").select("n", double="x * 2").shuffle(3, buffer_rows=16)
    loader = DataLoader(view.to_torch(7), batch_size=None, num_workers=workers)
    batches = [batch["n"].tolist() for batch in loader]
    assert batches == [batch["n"].tolist() for batch in view.loader(7)]
    assert sorted(n for batch in batches for n in batch) == list(range(0, 100, 2))


def test_a_state_resumes_with_other_workers_and_ranks(engine, torch):
    from torch.utils.data import DataLoader

    view = _view(engine, 96).shuffle(1)
    first = view.to_torch(4, rank=0, world_size=2)
    reader = iter(DataLoader(first, batch_size=None, num_workers=2))
    for _ in range(3):
        next(reader)
    state = first.state_dict(batches=3)
    found = []
    for rank in range(3):
        dataset = view.to_torch(8, rank=rank, world_size=3)
        dataset.load_state_dict(state)
        found += [n for batch in dataset for n in batch["n"].tolist()]
    assert sorted(found) == sorted(view.to_numpy()["n"].tolist()[24:])


def test_its_length_and_epochs_are_those_of_the_loader(engine, torch):
    dataset = _view(engine, 10).shuffle(1).to_torch(4)
    assert len(dataset) == 3
    one, two = ([n for batch in dataset for n in batch["n"].tolist()] for _ in range(2))
    assert sorted(one) == sorted(two) == list(range(10))
    assert one != two
    dataset.set_epoch(0)
    assert [n for batch in dataset for n in batch["n"].tolist()] == one


def _epochs(loader, count=1):
    return [[n for batch in loader for n in batch["n"].tolist()] for _ in range(count)]


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_read_the_epochs_that_one_process_would(engine, torch, persistent):
    from torch.utils.data import DataLoader

    view = _view(engine, 60).shuffle(1)
    plain = view.loader(4)
    expected = [[n for batch in plain for n in batch["n"].tolist()] for _ in range(6)]
    dataset = view.to_torch(4)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=persistent)
    assert _epochs(loader, 2) == expected[:2]
    dataset.set_epoch(5)
    assert _epochs(loader) == expected[5:]
    dataset.set_epoch(0)
    assert _epochs(loader, 2) == expected[:2]
    assert dataset.state_dict(batches=3) == {**view.loader(4).state_dict(3), "epoch": 1}
    dataset.load_state_dict({**dataset.state_dict(), "epoch": 2, "position": 8})
    assert _epochs(loader, 2) == [expected[2][8:], expected[3]]


def test_texts_are_refused_with_the_way_out(engine, torch):
    with pytest.raises(UsageError, match="no tensor for 's'") as caught:
        _view(engine, s=["a"]).to_torch(1)
    assert "enumerate('s')" in str(caught.value)


def test_a_missing_package_is_named_with_its_extra(engine, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(UsageError, match="PyTorch, which is not installed") as caught:
        _view(engine).to_torch(1)
    assert (caught.value.code, "foldstore[torch]" in str(caught.value)) == ("missing-extra", True)
