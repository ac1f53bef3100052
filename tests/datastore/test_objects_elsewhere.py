"""A catalog whose files are in another folder: what would be written there is refused, and no folder is left behind."""

import shutil

import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.errors import StoreError
from tests.postgres import empty_catalog


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request, tmp_path, monkeypatch):
    """Give a store with rows, and a folder that has its catalog and none of its files."""
    host = tmp_path / "host"
    host.mkdir()
    if request.param == "sqlite":
        (host / "catalog.db").symlink_to(tmp_path / "store" / "catalog.db")
        yield from _shared(tmp_path, host)
        return
    with empty_catalog() as url:
        monkeypatch.setenv("FOLDSTORE_CATALOG_URL", url)
        yield from _shared(tmp_path, host)


def _shared(tmp_path, host):
    with foldstore.connect(tmp_path / "store") as store:
        store.create_dataset("cities", key=["city"]).append({"city": ["Oslo"], "people": [709_000]})
        shutil.copy(tmp_path / "store" / "store.json", host)
        yield store, host


WRITES = {
    "append": lambda store: store.dataset("cities").append({"city": ["Bern"], "people": [134_000]}),
    "append to a new dataset": lambda store: store.create_dataset("more").append({"n": [1]}),
    "upsert": lambda store: store.dataset("cities").upsert({"city": ["Oslo"], "people": [1]}),
    "delete": lambda store: store.dataset("cities").delete("people > 0"),
    "add a column": lambda store: store.dataset("cities").add_columns({"one": "1"}),
    "erase": lambda store: store.dataset("cities").erase(where="people > 0", reason="asked to"),
    "free": lambda store: store.gc(dry_run=False, grace=0),
}


@pytest.mark.parametrize("folder", ["missing", "empty"])
@pytest.mark.parametrize("act", WRITES.values(), ids=WRITES)
def test_nothing_is_written_beside_the_catalog_of_another_folder(shared, act, folder):
    owner, host = shared
    if folder == "empty":  # a place where nothing is mounted
        (host / "objects").mkdir()
    with foldstore.connect(host) as store:
        with pytest.raises(StoreError, match="has none of their files") as refused:
            act(store)
        assert (refused.value.code, refused.value.exit_code) == ("objects-elsewhere", 3)
        assert "Mount or copy" in refused.value.hint
        with pytest.raises(StoreError, match="has none of their files"):
            store.version("cities@1").to_arrow()
    assert [path.name for path in host.rglob("*.arrow")] == []
    assert len(owner.dataset("cities").versions()) == 1
    assert owner.verify().passed


def test_it_is_written_once_the_folder_is_there(shared):
    owner, host = shared
    with foldstore.connect(host) as store:
        with pytest.raises(StoreError):
            store.dataset("cities").append({"city": ["Bern"], "people": [134_000]})
        (host / "objects").symlink_to(owner.root / "objects")
        assert store.dataset("cities").append({"city": ["Bern"], "people": [134_000]}).num_rows == 2
    assert owner.dataset("cities").latest.to_arrow()["city"].to_pylist() == ["Oslo", "Bern"]


def test_what_may_only_be_read_is_opened(shared):
    _, host = shared
    with foldstore.connect(host, read_only=True) as store:
        assert store.version("cities@1").num_rows == 1


def test_a_new_folder_is_not_made_a_store_over_the_catalog_of_another(tmp_path, monkeypatch, capsys):
    with empty_catalog() as url:
        monkeypatch.setenv("FOLDSTORE_CATALOG_URL", url)
        with foldstore.connect(tmp_path / "store") as store:
            store.create_dataset("cities").append({"city": ["Oslo"]})
        for name in ("missing", "empty"):
            folder = tmp_path / name
            if name == "empty":
                folder.mkdir()
            with pytest.raises(StoreError, match="its folder is elsewhere") as refused:
                foldstore.connect(folder)
            assert refused.value.code == "objects-elsewhere"
            assert run(["init", str(folder)]) == 3
            assert "objects-elsewhere" in capsys.readouterr().err
            assert not folder.exists() or list(folder.iterdir()) == [], "nothing is left there"
        with foldstore.connect(tmp_path / "store") as store:
            assert store.version("cities@1").num_rows == 1


def test_a_seal_is_not_noted_as_done_where_its_files_are_not(shared, monkeypatch):
    _, host = shared
    done = []
    monkeypatch.setattr("foldstore.connecting.recover_seals", lambda storage: done.append(storage.root))
    monkeypatch.setattr("foldstore.connecting.recover_erasures", lambda storage: done.append(storage.root))
    foldstore.connect(host).close()
    assert done == []
    foldstore.connect(host.parent / "store").close()
    assert len(done) == 2
