"""How often a job brings something to the disk: fsyncs of files and folders, and commits of the catalog."""

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa


@dataclass
class Syncs:
    """What was counted; the commits of a catalog in WAL mode with synchronous=FULL are an fsync each."""

    files: int = 0
    folders: int = 0
    commits: int = 0

    @property
    def total(self):
        return self.files + self.folders + self.commits

    def __str__(self):
        return f"{self.total} syncs: {self.files} of files, {self.folders} of folders, {self.commits} catalog commits"


@contextmanager
def counted(store):
    """Count what happens inside the block: every fsync of the process, every writing commit of the store's catalog."""
    syncs, real = Syncs(), os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112  # a link of the system's, not a path of ours
            syncs.folders += 1
        else:
            syncs.files += 1
        real(descriptor)

    def commit(connection):
        if connection.get_execution_options().get("foldstore_write", False):
            syncs.commits += 1

    engine = store._storage.catalog._engine  # noqa: SLF001
    sa.event.listen(engine, "commit", commit)
    os.fsync = fsync
    try:
        yield syncs
    finally:
        os.fsync = real
        sa.event.remove(engine, "commit", commit)


def sync_file(path):
    """Bring a file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def sync_often(path, times):
    """Append a page to a file and bring it to the disk, so many times: what that many promises cost alone."""
    with path.open("ab") as file:
        for _ in range(times):
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())


def timed(job):
    """Return what a job gives, and its milliseconds."""
    started = time.perf_counter()
    result = job()
    return result, (time.perf_counter() - started) * 1000
