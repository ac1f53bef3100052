"""What a version's handle does to clean it: suggestions, plans, rules over pairs of rows, label issues, priorities."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foldstore.cleaning import CleaningPlan, CleaningSubject, read_action
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.split import Base
from foldstore.split_documents import SplitDocuments
from foldstore.split_making import SplitMaker
from foldstore.validation.cleaning.plan_document import PlanDocument

if TYPE_CHECKING:
    from foldstore.version import Version


class VersionCleaning:
    """Finds what is probably wrong in a version, and plans its repair; only `CleaningPlan.commit` changes anything."""

    _storage: Storage
    _dataset: DatasetRecord
    _record: VersionRecord
    _author: str

    def cleaning_plan(
        self, actions: "PlanDocument | str | Iterable[Any]" = (), *, split: str | None = None
    ) -> CleaningPlan:
        """Make a plan of actions for this version.

        Parameters
        ----------
        actions : iterable of CleaningAction or dict, PlanDocument, or str
            The actions; or a document ``cleaning/v1``, as text or read, that was made for this or another version.
        split : str, optional
            The split whose train part rules are learnt from; that of a document unless given.

        Raises
        ------
        UsageError
            With code ``invalid-action`` or ``invalid-plan``.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> version = people.append({"id": [1, 2, 3, 4], "age": [34, None, 7, 900]})
        >>> plan = version.cleaning_plan([
        ...     {"op": "set_null", "column": "age", "where": "age > 120"},
        ...     {"op": "impute", "column": "age", "params": {"method": "median"}},
        ... ])
        >>> print(plan.preview())
        people@1: 2 of 4 rows change, 0 go
                 1  set_null age where age > 120
                 2  impute age method='median'
          note: age: 50 % of the rows are filled in [impute_rate_high]
        >>> plan.commit().to_arrow(["age"]).column("age").to_pylist()
        [34, 7, 7, 7]
        """
        if isinstance(actions, str):
            actions = PlanDocument.from_json(actions)
        if isinstance(actions, PlanDocument):
            split = actions.split if split is None else split
            actions = actions.actions
        if isinstance(actions, dict):
            raise UsageError("A plan is a list of actions.", hint="Write [{'op': ...}].", code="invalid-plan")
        document = PlanDocument(version=self.address, actions=tuple(map(read_action, actions)), split=split)
        return CleaningPlan(self._cleaning_subject(), document)

    def _cleaning_subject(self) -> CleaningSubject:
        return CleaningSubject(
            storage=self._storage,
            dataset=self._dataset,
            version=self._record,
            rows=self.rows,
            author=self._author,
            train_ids=self._train_ids,
            to_version=self._sibling,
            splits=SplitDocuments(self._storage, self._dataset).names(),
        )

    def _train_ids(self, split: str) -> NDArray[np.uint64]:
        """Return the row ids of the train part of a split."""
        masks = self._maker().open_split(self.base, split).train.masks
        whole = self.rows.with_deleted()
        parts = [whole.row_ids_of(each)[masks[each.id]] for each in whole.fragments if each.id in masks]
        return np.concatenate([np.empty(0, np.uint64), *parts])

    @property
    def address(self) -> str:
        """The address with the number."""
        raise NotImplementedError

    @property
    def rows(self) -> FragmentReader:
        """The reader of all rows; the handle that has these verbs has it."""
        raise NotImplementedError

    @property
    def base(self) -> Base:
        """The version as its splits look at it."""
        raise NotImplementedError

    def _maker(self) -> SplitMaker:
        raise NotImplementedError

    def _sibling(self, record: VersionRecord) -> "Version":
        raise NotImplementedError
