"""Where indexes of versions lie: made of their rows, removed with them, and built again when they are missing.

A file is named by its version, by what the version's rows lie in, and by what it is an index of. Rows that are sealed
or erased lie in other files from then on: an index of what was there before is never found again, and `prune` removes
it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import uuid4

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.storage import Storage

FOLDER: Final = "indexes"
ENDING: Final = ".asof"
_STAGED: Final = "staged-"
_DIGITS: Final = 32


def path_of(storage: Storage, dataset_id: str, version_id: str, fragments: Iterable[Fragment], what: str) -> Path:
    """Return where an index lies, or would.

    Parameters
    ----------
    fragments : iterable of Fragment
        Those that are read.
    what : str
        Of what it is an index, in any words.
    """
    held = _short(canonical_json([_describe(each) for each in fragments]))
    return storage.root / FOLDER / dataset_id / f"{version_id}-{held}-{_short(what)}{ENDING}"


def stage(storage: Storage, path: Path) -> Path:
    """Return a new name in the folder of a file, to be renamed when it is whole.

    Raises
    ------
    RefusedError
        When the store was opened to be read.
    """
    storage.objects.files.make_staging(path.parent)
    return path.parent / f"{_STAGED}{uuid4().hex}"


def forget(storage: Storage, dataset_id: str) -> None:
    """Remove the indexes of a dataset; sealing and erasing call this: the cells may lie in them."""
    folder = storage.root / FOLDER / dataset_id
    if folder.is_dir():
        storage.objects.files.remove_tree(folder)


def prune(storage: Storage) -> int:
    """Remove the indexes of versions that are gone, or whose rows lie elsewhere now; return how many."""
    removed = 0
    for path in sorted((storage.root / FOLDER).glob(f"*/*{ENDING}")):
        version_id, _, rest = path.stem.partition("-")
        version = storage.catalog.find_version_by_id(version_id)
        if version is not None and version.expired_at is None:
            held = _short(canonical_json([_describe(each) for each in storage.pages.fragments(version)]))
            if rest.partition("-")[0] == held:
                continue
        storage.objects.files.remove(path)
        removed += 1
    return removed


def _describe(fragment: Fragment) -> list[object]:
    return [
        fragment.id,
        fragment.num_rows,
        [[group.object_id, list(group.fields)] for group in fragment.groups],
        fragment.deleted.hash if fragment.deleted else None,
    ]


def _short(text: str) -> str:
    return content_hash(text.encode()).removeprefix("b3-")[:_DIGITS]
