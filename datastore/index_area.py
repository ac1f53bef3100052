"""Where indexes of versions lie: made of their rows, removed with them, and built again when they are missing.

A file is named by its version, by what the version's rows lie in, and by what it is an index of. Rows that are sealed
or erased lie in other files from then on: an index of what was there before is never found again, and `prune` removes
it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.storage import Storage

FOLDER: Final = "indexes"
ENDING: Final = ".asof"
RUN_ENDING: Final = ".tile"
DERIVED_ENDING: Final = ".derived"
MOST_INPUTS: Final = 4  # the name of a file says them all, and has 255 bytes
# A run is this much larger than the next one; so a row is worked on again a few times however many commits follow.
_LARGER: Final = 4
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


def list_indexes(storage: Storage, dataset_id: str, what: str) -> list[tuple[Path, VersionRecord]]:
    """Return the indexes that lie there of versions of a dataset, with these; those of versions that are gone are not.

    Parameters
    ----------
    what : str
        As `path_of` was told.
    """
    found = []
    for path in sorted((storage.root / FOLDER / dataset_id).glob(f"*-{_short(what)}{ENDING}")):
        version = storage.catalog.find_version_by_id(path.stem.partition("-")[0])
        if version is not None and version.expired_at is None:
            found.append((path, version))
    return found


def cut_into_runs(fragments: Sequence[Fragment]) -> list[tuple[Fragment, ...]]:
    """Cut a version's fragments into runs: what a small commit adds is a small run, and the others stay as they are.

    The runs of a version depend on its fragments alone; each has at least four times the rows of the next.
    """
    runs: list[list[Fragment]] = []
    sizes: list[int] = []
    for fragment in fragments:
        runs.append([fragment])
        sizes.append(fragment.num_rows)
        while len(runs) > 1 and sizes[-2] < _LARGER * sizes[-1]:
            run, size = runs.pop(), sizes.pop()
            runs[-1] += run
            sizes[-1] += size
    return [tuple(run) for run in runs]


def path_of_run(storage: Storage, dataset_id: str, run: Iterable[Fragment], what: str) -> Path:
    """Return where an index of a run of fragments lies, or would; versions that hold the run share it."""
    return storage.root / FOLDER / dataset_id / f"{_name_run(tuple(run))}-{_short(what)}{RUN_ENDING}"


def list_of_run(storage: Storage, dataset_id: str, run: Iterable[Fragment], what: str) -> list[Path]:
    """Return the indexes that lie there of a run of fragments, whichever of its rows were deleted; newest first."""
    files = _name_run(tuple(run)).partition("-")[0]
    found = (storage.root / FOLDER / dataset_id).glob(f"{files}-*-{_short(what)}{RUN_ENDING}")
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def _name_run(run: tuple[Fragment, ...]) -> str:
    """Return a name of a run: of its files, then of the rows that are deleted in them."""
    files = [_describe(each)[:-1] for each in run]
    deleted = [each.deleted.hash if each.deleted else None for each in run]
    return f"{_short(canonical_json(files))}-{_short(canonical_json(deleted))}"


def path_of_derived(
    storage: Storage, inputs: Sequence[tuple[VersionRecord, Sequence[Fragment]]], what: str
) -> Path | None:
    """Return where an index of rows that are made of versions lies, or would; None for too many versions, or none.

    Parameters
    ----------
    inputs : sequence of (VersionRecord, sequence of Fragment)
        The versions, and what they lie in.
    what : str
        How the rows are made of them, and of what the index is one, in any words.
    """
    if not 0 < len(inputs) <= MOST_INPUTS:
        return None
    name = "-".join([_hold(inputs), _short(what), *(version.id for version, _ in inputs)])
    return storage.root / FOLDER / inputs[0][0].dataset_id / f"{name}{DERIVED_ENDING}"


def _hold(inputs: Sequence[tuple[VersionRecord, Sequence[Fragment]]]) -> str:
    return _short(canonical_json([[version.id, [_describe(each) for each in held]] for version, held in inputs]))


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
    for path in sorted((storage.root / FOLDER).glob(f"*/*{DERIVED_ENDING}")):
        versions = [storage.catalog.find_version_by_id(each) for each in _inputs_of(path)]
        if any(version is None or version.dataset_id == dataset_id for version in versions):
            storage.objects.files.remove(path)


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
    return removed + _prune_runs(storage) + _prune_derived(storage)


def _prune_derived(storage: Storage) -> int:
    removed = 0
    for path in sorted((storage.root / FOLDER).glob(f"*/*{DERIVED_ENDING}")):
        versions = [storage.catalog.find_version_by_id(each) for each in _inputs_of(path)]
        there = [each for each in versions if each is not None and each.expired_at is None]
        held = [(each, storage.pages.fragments(each)) for each in there]
        if len(there) < len(versions) or path.stem.partition("-")[0] != _hold(held):
            storage.objects.files.remove(path)
            removed += 1
    return removed


def _inputs_of(path: Path) -> list[str]:
    return path.stem.split("-")[2:]


def _prune_runs(storage: Storage) -> int:
    removed = 0
    held: dict[str, set[str]] = {}
    for path in sorted((storage.root / FOLDER).glob(f"*/*{RUN_ENDING}")):
        dataset_id = path.parent.name
        if dataset_id not in held:
            versions = [each for each in storage.catalog.list_versions(dataset_id) if each.expired_at is None]
            fragments = [storage.pages.fragments(each) for each in versions]
            # Of functions that are not put together of runs, one tile may be of all of a version.
            runs = {run for each in fragments for run in (*cut_into_runs(each), tuple(each))}
            held[dataset_id] = {_name_run(run) for run in runs}
        if path.stem.rpartition("-")[0] not in held[dataset_id]:
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
