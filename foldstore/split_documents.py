"""The documents of splits and folds: one namespace a dataset, each name settled once.

``cv-3`` means fold 3 of the folds ``cv``, and ``cv-3-1`` their inner fold 1, so no split or folds may have a name that
could mean either.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from foldstore.datastore.catalog.records import DatasetRecord, Document
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.errors import AlreadyExistsError, NotFoundError, did_you_mean
from foldstore.types import format_time
from foldstore.views.splits.assignment import SplitAssignment
from foldstore.views.splits.fold_assignment import FoldAssignment

Assignment: TypeAlias = SplitAssignment | FoldAssignment

KIND: Final = "split"


@dataclass(frozen=True, slots=True)
class ChosenRows:
    """Which rows of a version are shared out.

    Attributes
    ----------
    where : tuple of str
        The predicates that they meet, of a view.
    within : str or None
        The part of another split that they are in, such as ``by_tail.train``.
    """

    where: tuple[str, ...] = ()
    within: str | None = None


@dataclass(frozen=True, slots=True)
class KeptSplit:
    """A split or folds as they are kept.

    Attributes
    ----------
    assignment : SplitAssignment or FoldAssignment
        Where each row is.
    chosen : ChosenRows
        Which rows were shared out.
    version : int
        The version of the document; 0 before there is one.
    made_on : str
        The id of the version that it was made of; empty before it is kept.
    """

    assignment: Assignment
    chosen: ChosenRows = field(default_factory=ChosenRows)
    version: int = 0
    made_on: str = ""


class SplitDocuments:
    """The splits and folds of a dataset.

    Parameters
    ----------
    storage : Storage
        The open store.
    dataset : DatasetRecord
        Whose.
    """

    def __init__(self, storage: Storage, dataset: DatasetRecord) -> None:
        self._storage = storage
        self._dataset = dataset
        self._registry = Registry(storage.catalog, KIND)

    def names(self) -> list[str]:
        """List the names that are taken."""
        prefix = f"{self._dataset.name}#"
        return [each.removeprefix(prefix) for each in self._registry.list_names() if each.startswith(prefix)]

    def find(self, name: str) -> KeptSplit | None:
        """Return what is kept under a name, or None."""
        document = self._registry.find(f"{self._dataset.name}#{name}")
        if document is None:
            return None
        first = document if document.version == 1 else self._registry.find(document.name, 1)
        kept = read_document(document)
        return kept if first is None else replace(kept, made_on=str(first.body["version_id"]))

    def check_free(self, name: str, address: str, *, is_folds: bool) -> None:
        """Refuse a name that is taken, or that could mean a fold as well.

        Parameters
        ----------
        name : str
            The name.
        address : str
            The version's address, for the hint.
        is_folds : bool
            Whether it is to name folds.

        Raises
        ------
        AlreadyExistsError
            When it is.
        """
        names = self.names()
        if name in names:
            raise settled(self._dataset, name, address)
        like_its_fold = [each for each in names if is_folds and could_mean(each, name)]
        as_a_fold = [each for each in names if could_mean(name, each) and self.names_folds(each)]
        if like_its_fold or as_a_fold:
            folds, fold = (name, like_its_fold[0]) if like_its_fold else (as_a_fold[0], name)
            free = f"{name.rstrip('-0123456789') or 'cv'}_b"
            raise AlreadyExistsError(
                f"{name!r} would be ambiguous with {(fold if fold != name else folds)!r}: {fold!r} is how a fold of "
                f"{folds!r} is written.",
                hint=f"Choose a name that does not end in a number, such as {free!r}.",
                code="ambiguous-split",
            )

    def find_chosen(self, name: str) -> ChosenRows:
        """Return which rows a split, or the folds that a fold belongs to, were made of.

        Raises
        ------
        NotFoundError
            When there is nothing of that name.
        """
        for each in (name, *(folds for folds, _, _ in fold_names(name))):
            document = self._registry.find(f"{self._dataset.name}#{each}")
            if document is not None and (each == name or "folds" in document.body):
                return _read_chosen(document.body)
        raise NotFoundError(f"{self._dataset.name!r} has no split {name!r}.", hint=self.hint(name))

    def names_folds(self, name: str) -> bool:
        """Say whether folds are kept under a name."""
        document = self._registry.find(f"{self._dataset.name}#{name}")
        return document is not None and "folds" in document.body

    def put(self, kept: KeptSplit, *, version_id: str, address: str, author: str) -> None:
        """Keep a split or folds; `kept.version` is what they were made from.

        Raises
        ------
        ConflictError
            When somebody else has kept something under the name since.
        """
        assignment, chosen = kept.assignment, kept.chosen
        role = "folds" if isinstance(assignment, FoldAssignment) else "assignment"
        body: dict[str, Any] = {
            "spec": assignment.spec.to_dict(),
            "where": list(chosen.where),
            "version_id": version_id,
            role: base64.b64encode(assignment.to_bytes()).decode(),
        }
        if chosen.within is not None:
            body["within"] = chosen.within
        name = f"{self._dataset.name}#{assignment.spec.name}"
        now = format_time(self._storage.clock())
        self._registry.put(name, body, author=author, message=address, created_at=now, after=kept.version)

    def hint(self, name: str) -> str:
        """Say which names there are."""
        return did_you_mean(name, self.names())


def read_document(document: Document) -> KeptSplit:
    """Read a document of a split or of folds.

    Raises
    ------
    CorruptObjectError
        When its bytes are damaged.
    """
    body = document.body
    assignment: Assignment
    if "folds" in body:
        assignment = FoldAssignment.from_bytes(base64.b64decode(body["folds"]))
    else:
        assignment = SplitAssignment.from_bytes(base64.b64decode(body["assignment"]))
    return KeptSplit(assignment, _read_chosen(body), document.version)


def _read_chosen(body: Mapping[str, Any]) -> ChosenRows:
    return ChosenRows(tuple(body["where"]), body.get("within"))


def settled(dataset: DatasetRecord, name: str, address: str) -> AlreadyExistsError:
    """Build the error for a name that is taken."""
    return AlreadyExistsError(
        f"{dataset.name!r} has a split {name!r} already.", hint=f"Open it at {address}#{name}, or choose another name."
    )


def could_mean(name: str, folds: str) -> bool:
    """Say whether a name is how a fold, or an inner fold, of some folds is written.

    Examples
    --------
    >>> could_mean("cv-3", "cv"), could_mean("cv-3-1", "cv"), could_mean("cv-b", "cv")
    (True, True, False)
    """
    return any(base == folds for base, _, _ in fold_names(name))


def fold_names(name: str) -> Sequence[tuple[str, int, int | None]]:
    """Return what a name could mean as a fold: names of folds, a number, and perhaps an inner number.

    Examples
    --------
    >>> fold_names("cv-3"), fold_names("cv-3-1")
    ([('cv', 3, None)], [('cv-3', 1, None), ('cv', 3, 1)])
    """
    found: list[tuple[str, int, int | None]] = []
    outer = re.fullmatch(r"(.+)-([1-9][0-9]{0,2})", name, re.ASCII)
    if outer is None:
        return found
    found.append((outer[1], int(outer[2]), None))
    inner = re.fullmatch(r"(.+)-([1-9][0-9]{0,2})", outer[1], re.ASCII)
    if inner is not None:
        found.append((inner[1], int(inner[2]), int(outer[2])))
    return found
