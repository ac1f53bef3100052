"""What an address with a ``#`` means: a split, folds, one fold, or the rows of a part."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from foldstore.datastore.lineage.recording import asked_as
from foldstore.errors import UsageError
from foldstore.folds import Folds
from foldstore.names import PARTS, Address, parse_address
from foldstore.split import Split, SplitPart
from foldstore.version import Version

FindVersion = Callable[[Address], Version]


def find_sharing(address: str, find: FindVersion) -> Split | Folds:
    """Return the split, the folds or the fold at an address, such as ``flights@5#cv-3``.

    Raises
    ------
    NotFoundError
        When there is none.
    UsageError
        When the address names a version, or the rows of a part.
    """
    parsed = parse_address(address)
    if parsed.split is None or parsed.part is not None:
        raise UsageError(
            f"{address!r} is not the address of a split.",
            hint="Write name@version#split; foldstore split NAME@VERSION SPLIT makes one.",
        )
    with asked_as(parsed):
        return find(parsed).find_sharing(parsed.split)


def find_part(address: Address, find: FindVersion) -> SplitPart:
    """Return the rows of a part at an address.

    Raises
    ------
    UsageError
        When the address names a whole split, or folds.
    """
    if address.part is None:
        parts = ", ".join(f".{part}" for part in PARTS[1:])
        raise UsageError(
            f"{address} is a split, not its rows.",
            hint=f"Name a part: {address}.{PARTS[0]}, {parts}; of a fold, {address}-1.{PARTS[0]}.",
        )
    with asked_as(address):
        return find(address).find_split(address.split or "").part(address.part)


def find_source(source_id: str, find: Callable[[str], Version]) -> Version | SplitPart:
    """Return the version, or the part of a split of it, that a saved view is pinned to."""
    version_id, within = take_apart(source_id)
    version = find(version_id)
    if within is None:
        return version
    split, _, part = within.rpartition(".")
    return version.find_split(split).part(part)


def take_apart(source_id: str) -> tuple[str, str | None]:
    """Return the id of the version that a view reads, and the part of a split that it is restricted to.

    Examples
    --------
    >>> take_apart("3f2a#cv-3.train"), take_apart("3f2a")
    (('3f2a', 'cv-3.train'), ('3f2a', None))
    """
    version_id, _, within = source_id.partition("#")
    return version_id, within or None


def split_rows(
    version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any], find: Callable[[str], Version]
) -> Split:
    """Split what a view shows: rows of a version, or of a part, that meet every predicate."""
    base, within = take_apart(version_id)
    return find(base).split_rows(predicates, name, how, within)


def fold_rows(
    version_id: str, predicates: Sequence[str], name: str, how: Mapping[str, Any], find: Callable[[str], Version]
) -> Folds:
    """Make folds of what a view shows."""
    base, within = take_apart(version_id)
    return find(base).fold_rows(predicates, name, how, within)
