"""Every act on the disk that durability rests on, in one class, so that a test can watch or fail each.

A file counts as written when its bytes and then its name are on disk: fsync of the file, a link into
place, fsync of the folder. Names come from ids and content hashes of ours, never from a user.
"""

import os
import shutil
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import blake3

from foldstore.datastore.canonical import HASH_PREFIX
from foldstore.errors import refuse_writing


class Files(Protocol):
    """What the store asks of a file system."""

    def make_folder(self, *folders: Path) -> None:
        """Make folders and their parents, durably."""

    def make_staging(self, folder: Path) -> None:
        """Make a folder and its parents for files that nobody looks for after a crash: its name need not last."""

    def create(self, path: Path) -> "HashingFile":
        """Create a new file for writing."""

    def create_log(self, path: Path) -> "LogFile":
        """Create a new file that grows while it is in use."""

    def open_log(self, path: Path) -> "LogFile":
        """Open such a file again, to cut its end off."""

    def link(self, source: Path, target: Path) -> bool:
        """Give a finished file its final name; False when that name exists already."""

    def replace(self, source: Path, target: Path) -> None:
        """Give a finished file a name that another one has, at once."""

    def remove(self, path: Path) -> None:
        """Remove a file for good; one that is gone already is fine."""

    def sync_folders(self, folders: Iterable[Path]) -> None:
        """Make names in these folders durable."""

    def remove_tree(self, folder: Path) -> None:
        """Remove a staging folder."""


class HashingFile:
    """A new file that computes its content address while it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_bytes = 0
        self._hash = blake3.blake3()
        self._file = path.open("xb", buffering=0)

    @property
    def closed(self) -> bool:
        """Whether the file is closed (pyarrow asks)."""
        return self._file.closed

    def write(self, data: Any) -> int:
        """Append bytes."""
        view = memoryview(data).cast("B")
        self._hash.update(view)
        done = 0
        while done < len(view):  # an unbuffered write may take fewer bytes than it was given
            done += self._file.write(view[done:]) or 0
        self.num_bytes += len(view)
        return len(view)

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def finish(self) -> str:
        """Bring the bytes to the disk, make the file read-only, and return its content address."""
        os.fsync(self._file.fileno())
        os.fchmod(self._file.fileno(), 0o444)
        self._file.close()
        return HASH_PREFIX + self._hash.hexdigest()

    def close(self) -> None:
        """Close without any promise about the bytes."""
        self._file.close()


class LogFile:
    """A file that grows at its end, piece by piece, each brought to the disk before the next."""

    def __init__(self, path: Path, mode: str = "xb") -> None:
        self.path = path
        self._file = FileIO(path, mode)

    def write(self, data: bytes) -> None:
        """Put bytes at the end."""
        view = memoryview(data)
        done = 0
        while done < len(view):  # an unbuffered write may take fewer bytes than it was given
            done += self._file.write(view[done:]) or 0

    def sync(self) -> None:
        """Bring the bytes to the disk."""
        os.fsync(self._file.fileno())

    def truncate(self, size: int) -> None:
        """Cut off what is behind a place, durably; the next bytes go there."""
        self._file.truncate(size)
        self._file.seek(size)
        self.sync()

    def close(self) -> None:
        """Close without any promise about bytes that were not synced."""
        self._file.close()


def hash_file(path: Path) -> str:
    """Return the content address of a file's bytes."""
    return HASH_PREFIX + blake3.blake3().update_mmap(path).hexdigest()


class LocalFiles:
    """The local file system, with every fsync that the promise needs.

    Parameters
    ----------
    root : pathlib.Path, optional
        The store's folder: the folders in it are brought to disk even when they are there already.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        # Folders whose names are on disk for certain, since we made them so.
        self._durable: set[Path] = set()

    def make_folder(self, *folders: Path) -> None:
        """Make folders and their parents, durably.

        One that is there may have been made by a process that died before it was on disk, so its name is brought to
        disk once by each process that relies on it.
        """
        unsure: set[Path] = set()
        for each in folders:
            folder = each
            while folder not in unsure and (not folder.is_dir() or self._is_unsure(folder)):
                unsure.add(folder)
                folder = folder.parent
        for folder in sorted(unsure, key=lambda each: len(each.parts)):
            self._make_one(folder)
        self.sync_folders({folder.parent for folder in unsure})
        self._durable |= unsure

    def make_staging(self, folder: Path) -> None:
        """Make a folder and its parents for files that nobody looks for after a crash: its name need not last."""
        missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
        for each in reversed(missing):
            self._make_one(each)

    def _is_unsure(self, folder: Path) -> bool:
        return self._root is not None and self._root in folder.parents and folder not in self._durable

    def _make_one(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)

    def create(self, path: Path) -> HashingFile:
        """Create a new file for writing."""
        return HashingFile(path)

    def create_log(self, path: Path) -> LogFile:
        """Create a new file that grows while it is in use."""
        return LogFile(path)

    def open_log(self, path: Path) -> LogFile:
        """Open such a file again, to cut its end off."""
        return LogFile(path, "r+b")

    def link(self, source: Path, target: Path) -> bool:
        """Give a finished file its final name; False when that name exists already."""
        try:
            os.link(source, target)
        except FileExistsError:
            return False
        return True

    def replace(self, source: Path, target: Path) -> None:
        """Give a finished file a name that another one has, at once."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file for good; one that is gone already is fine."""
        path.unlink(missing_ok=True)

    def sync_folders(self, folders: Iterable[Path]) -> None:
        """Make names in these folders durable."""
        for folder in sorted(set(folders)):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove_tree(self, folder: Path) -> None:
        """Remove a staging folder; what cannot be removed is left for later, it is never read."""
        shutil.rmtree(folder, ignore_errors=True)
        removed = [each for each in self._durable.copy() if folder in (each, *each.parents)]  # others may add meanwhile
        self._durable.difference_update(removed)


class ReadOnlyFiles:
    """A file system that refuses to be changed: whatever would write says so in words, before it has done a thing."""

    def make_folder(self, *folders: Path) -> None:
        """Refuse, unless the folders are there."""
        if not all(folder.is_dir() for folder in folders):
            raise refuse_writing()

    def make_staging(self, folder: Path) -> None:  # noqa: ARG002  # see below
        """Refuse."""
        raise refuse_writing()

    def create(self, path: Path) -> HashingFile:  # noqa: ARG002  # the names are those of `Files`
        """Refuse."""
        raise refuse_writing()

    def create_log(self, path: Path) -> LogFile:  # noqa: ARG002  # see above
        """Refuse."""
        raise refuse_writing()

    def open_log(self, path: Path) -> LogFile:  # noqa: ARG002  # see above
        """Refuse."""
        raise refuse_writing()

    def link(self, source: Path, target: Path) -> bool:  # noqa: ARG002  # see above
        """Refuse."""
        raise refuse_writing()

    def replace(self, source: Path, target: Path) -> None:  # noqa: ARG002  # see above
        """Refuse."""
        raise refuse_writing()

    def remove(self, path: Path) -> None:  # noqa: ARG002  # see above
        """Refuse."""
        raise refuse_writing()

    def sync_folders(self, folders: Iterable[Path]) -> None:
        """Do nothing: nothing was written."""

    def remove_tree(self, folder: Path) -> None:
        """Do nothing: there is no staging folder of ours."""
