"""The peers that storage is measured beside, each with the same jobs; `make bench-peers` installs them.

A peer that lacks a job raises `NotImplementedError` there and is left out of that row. Each is used as its own
documentation shows, without tuning: handles are opened anew where a job says "open", and none of them brings its
files to the disk with fsync unless it does so by itself.
"""

import os
import shutil
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.measure import Row


class Peer:
    """A folder of one peer; versions count from 1."""

    name = ""
    module = ""

    def __init__(self, folder):
        self.folder = Path(folder) / self.name.replace(" ", "_")
        self.folder.mkdir()

    def write(self, table):
        raise NotImplementedError

    def scan(self, columns, version=None):
        raise NotImplementedError

    def filter(self, columns, name, below):
        raise NotImplementedError

    def take(self, rows):
        raise NotImplementedError

    def append(self, table):
        raise NotImplementedError

    def upsert(self, table):
        raise NotImplementedError

    def add_column(self, name):
        raise NotImplementedError

    def num_bytes(self):
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


class Parquet(Peer):
    name, module = "Parquet", "pyarrow.parquet"

    def write(self, table):
        pq.write_table(table, self.folder / "0.parquet", compression="zstd")

    def scan(self, columns, version=None):
        if version is not None:
            raise NotImplementedError
        return ds.dataset(self.folder).to_table(columns=columns)

    def filter(self, columns, name, below):
        return ds.dataset(self.folder).to_table(columns=columns, filter=pc.field(name) < below)

    def take(self, rows):
        return ds.dataset(self.folder).take(rows)

    def append(self, table):
        pq.write_table(table, self.folder / f"{len(list(self.folder.iterdir()))}.parquet", compression="zstd")


class Lance(Peer):
    name, module = "Lance", "lance"

    def __init__(self, folder):
        super().__init__(folder)
        self.lance = import_module("lance")
        self.path = str(self.folder / "held.lance")
        self.opened = None

    def write(self, table):
        self.lance.write_dataset(table, self.path)
        self.opened = self.lance.dataset(self.path)

    def scan(self, columns, version=None):
        return self.lance.dataset(self.path, version=version).to_table(columns=columns)

    def filter(self, columns, name, below):
        return self.lance.dataset(self.path).to_table(columns=columns, filter=f"{name} < {below}")

    def take(self, rows):
        return self.opened.take(rows)

    def append(self, table):
        self.lance.write_dataset(table, self.path, mode="append")

    def upsert(self, table):
        merge = self.lance.dataset(self.path).merge_insert("id")
        merge.when_matched_update_all().when_not_matched_insert_all().execute(table)

    def add_column(self, name):
        self.lance.dataset(self.path).add_columns({name: "f0 * 2"})


class Delta(Peer):
    name, module = "Delta", "deltalake"

    def __init__(self, folder):
        super().__init__(folder)
        self.delta = import_module("deltalake")

    def _open(self, version=None):
        return self.delta.DeltaTable(self.folder, version=None if version is None else version - 1)

    def write(self, table):
        self.delta.write_deltalake(self.folder, table)

    def scan(self, columns, version=None):
        return self._open(version).to_pyarrow_table(columns=columns)

    def filter(self, columns, name, below):
        return self._open().to_pyarrow_dataset().to_table(columns=columns, filter=pc.field(name) < below)

    def take(self, rows):
        return self._open().to_pyarrow_dataset().take(rows)

    def append(self, table):
        self.delta.write_deltalake(self.folder, table, mode="append")

    def upsert(self, table):
        merge = self._open().merge(table, predicate="t.id = s.id", source_alias="s", target_alias="t")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()

    def add_column(self, name):
        table = self._open().to_pyarrow_table()
        wider = table.append_column(name, pc.multiply(table["f0"], 2.0))
        self.delta.write_deltalake(self.folder, wider, mode="overwrite", schema_mode="overwrite")


class Iceberg(Peer):
    name, module = "Iceberg", "pyiceberg"

    def __init__(self, folder):
        super().__init__(folder)
        catalogs = import_module("pyiceberg.catalog.sql")
        where = {"uri": f"sqlite:///{self.folder}/catalog.db", "warehouse": f"file://{self.folder}"}
        self.catalog = catalogs.SqlCatalog("local", **where)
        self.catalog.create_namespace("held")

    def _open(self):
        return self.catalog.load_table("held.events")

    def write(self, table):
        self.catalog.create_table("held.events", schema=table.schema).append(table)

    def scan(self, columns, version=None):
        table = self._open()
        snapshot = None if version is None else table.history()[version - 1].snapshot_id
        return table.scan(selected_fields=tuple(columns), snapshot_id=snapshot).to_arrow()

    def filter(self, columns, name, below):
        return self._open().scan(row_filter=f"{name} < {below}", selected_fields=tuple(columns)).to_arrow()

    def append(self, table):
        self._open().append(table)

    def upsert(self, table):
        self._open().upsert(table, join_cols=["id"])

    def add_column(self, name):
        table = self._open()
        held = table.scan().to_arrow()
        wider = held.append_column(name, pc.multiply(held["f0"], 2.0))
        with table.update_schema() as change:
            change.union_by_name(wider.schema)
        table.overwrite(wider)


class HuggingFace(Peer):
    name, module = "HF datasets", "datasets"

    def __init__(self, folder):
        super().__init__(folder)
        # Nothing may be asked of a network, and nothing told to one, while figures are taken.
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        self.datasets = import_module("datasets")
        self.datasets.disable_progress_bars()
        self.opened = None

    def _open(self):
        return self.datasets.load_from_disk(str(self.folder / "held")).with_format("arrow")

    def write(self, table):
        self.datasets.Dataset(table).save_to_disk(str(self.folder / "held"))
        self.opened = self._open()

    def scan(self, columns, version=None):
        if version is not None:
            raise NotImplementedError
        return self._open().select_columns(columns)[:]

    def filter(self, columns, name, below):
        held = self._open().select_columns(list({*columns, name}))[:]
        return held.filter(pc.less(held[name], below)).select(columns)

    def take(self, rows):
        return self.opened[rows.tolist()]


KINDS = (Parquet, Lance, Delta, Iceberg, HuggingFace)
_MISSING = []


def open_peers(folder):
    """Return a fresh place of each peer that is installed, and say once which are not."""
    installed = []
    for kind in KINDS:
        try:
            import_module(kind.module)
            installed.append(kind(folder))
        except ImportError:
            _MISSING.append(kind.name)
    if _MISSING and len(_MISSING) == len(set(_MISSING)):
        print(f"  (not installed: {', '.join(_MISSING)}; make bench-peers installs and runs them)", flush=True)
    return installed


def jobs_of(peers, job):
    """Return those of some jobs that their peers can do: `job` takes a peer, and is tried once."""
    able = {}
    for peer in peers:
        try:
            job(peer)
        except NotImplementedError:
            continue
        able[peer.name] = lambda peer=peer: job(peer)
    return able


def beside(name, best, peers):
    """Yield a row for each peer that did a job."""
    for peer in peers:
        if peer.name in best:
            yield Row(f"  {name}, beside {peer.name}", best["ours"], best[peer.name], peer.name)


def remove_peers(peers):
    """Give back the disk that peers take."""
    for peer in peers:
        shutil.rmtree(peer.folder, ignore_errors=True)


def rows_of(answer):
    """Return the number of rows of a peer's answer, to see that all gave the same."""
    return answer.num_rows if isinstance(answer, pa.Table) else len(answer)
