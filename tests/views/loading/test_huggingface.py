"""The Hugging Face end: a dataset over the mapped files, or one that streams."""

import numpy as np
import pyarrow as pa
import pytest

from foldstore.errors import UsageError
from foldstore.views.view import View
from tests.learning import require
from tests.views.table_source import TableSource


def _view(engine, **columns):
    return View(TableSource(pa.table(columns)), engine=engine)


@pytest.fixture
def datasets():
    return require("datasets")


def test_a_dataset_has_the_rows_and_shares_their_memory(engine, datasets):
    column = pa.array(np.arange(1_000))
    dataset = _view(engine, n=column).to_huggingface()
    assert isinstance(dataset, datasets.Dataset)
    assert dataset[10] == {"n": 10}
    assert dataset.data.table["n"].chunk(0).buffers()[1].address == column.buffers()[1].address


def test_dictionaries_become_plain_texts(engine, datasets):
    dataset = _view(engine, s=pa.array(["a", "b"]).dictionary_encode()).to_huggingface()
    assert dataset["s"][:] == ["a", "b"]


def test_a_stream_gives_the_rows_in_the_order_of_the_view(engine, datasets):
    view = _view(engine, n=np.arange(50)).shuffle(3)
    streamed = view.to_huggingface(streaming=True)
    assert isinstance(streamed, datasets.IterableDataset)
    assert [row["n"] for row in streamed] == view.to_numpy()["n"].tolist()


def test_the_same_view_has_the_same_fingerprint(engine, datasets):
    view = _view(engine, n=[1, 2])
    assert view.to_huggingface()._fingerprint == view.to_huggingface()._fingerprint
    assert view.limit(1).to_huggingface()._fingerprint != view.to_huggingface()._fingerprint


def test_a_missing_package_is_named_with_its_extra(engine, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UsageError, match="'datasets', which is not installed") as caught:
        _view(engine, n=[1]).to_huggingface()
    assert (caught.value.code, "foldstore[huggingface]" in str(caught.value)) == ("missing-extra", True)
