"""A store to break, made once."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.datastore.faults.operations import copy_store, prepare, read_all

# Faults are simulated: no test here depends on what a disk does at an fsync, so memory serves, and is faster.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # a folder of its own is made there


@pytest.fixture
def tmp_path():
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def template():
    """The store that every test starts from; nobody changes it."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        prepare(Path(folder) / "store")
        yield Path(folder) / "store"


@pytest.fixture(scope="session")
def before(template):
    """The rows of its versions."""
    return read_all(template)


@pytest.fixture
def folder(template, tmp_path):
    """A copy of the store."""
    return copy_store(template, tmp_path / "store")
