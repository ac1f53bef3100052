"""Ancestry: how versions descend from each other.

A version has a parent, and a merge a second one. Numbers only grow, so an ancestor always has the smaller number.
"""

from heapq import heappop, heappush

from foldstore.datastore.catalog.records import VersionRecord
from foldstore.datastore.storage import Storage


def find_common(
    storage: Storage, first: VersionRecord, second: VersionRecord, *, merges: bool = True
) -> VersionRecord | None:
    """Return the nearest version that two versions descend from, or None; a version is its own ancestor.

    Parameters
    ----------
    merges : bool
        Whether to follow both parents of a merge. Field ids mean the same along first parents alone: a merge gives
        the columns of its second parent other ids.
    """
    known = {first.id: first, second.id: second}
    reached = {first.id: {1}}
    reached.setdefault(second.id, set()).add(2)
    waiting: list[tuple[int, str]] = []
    for version in known.values():
        heappush(waiting, (-version.number, version.id))
    while waiting:
        _, version_id = heappop(waiting)
        version = known[version_id]
        if len(reached[version_id]) > 1:
            return version
        for parent_id in _parents(version, merges=merges):
            if parent_id not in known:
                parent = storage.catalog.find_version_by_id(parent_id)
                if parent is None:
                    continue
                known[parent_id] = parent
                heappush(waiting, (-parent.number, parent_id))
            reached.setdefault(parent_id, set()).update(reached[version_id])
    return None


def is_ancestor(storage: Storage, version: VersionRecord, of: VersionRecord) -> bool:
    """Say whether one version descends from another, or is that version."""
    common = find_common(storage, version, of)
    return common is not None and common.id == version.id


def _parents(version: VersionRecord, *, merges: bool) -> list[str]:
    second = [version.merge_parent_id] if merges else []
    return [parent_id for parent_id in (version.parent_id, *second) if parent_id is not None]
