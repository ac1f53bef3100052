"""Online files that are being written: a lock says that their writer lives, and falls when it dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from foldstore.datastore.files import Files, HashingFile

FOLDER: Final = "online"  # of a store: where its online files are
_PREFIX: Final = "staged-"
_NEW: Final = 60  # seconds in which a writer that has made its file takes the lock


@contextmanager
def stage(folder: Path, files: Files) -> Iterator[tuple[Path, HashingFile]]:
    """Make a file to be written and linked to its final name; its first name is gone afterwards."""
    staged = folder / f"{_PREFIX}{uuid4().hex}"
    sink = files.create(staged)
    try:
        with staged.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield staged, sink
    finally:
        sink.close()
        staged.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> int:
    """Remove what killed writers left, and nothing that is written to; return how many files it were."""
    return sum(_is_abandoned(each, remove=True) for each in folder.glob(f"{_PREFIX}*"))


def count_abandoned(folder: Path) -> int:
    """Return how many files `remove_abandoned` would remove."""
    return sum(_is_abandoned(each, remove=False) for each in folder.glob(f"{_PREFIX}*"))


def _is_abandoned(file: Path, *, remove: bool) -> bool:
    try:
        with file.open("rb") as held:
            if time.time() - os.fstat(held.fileno()).st_mtime < _NEW:
                return False
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if remove:
                file.unlink(missing_ok=True)
    except OSError:  # it is locked, or was finished meanwhile
        return False
    return True
