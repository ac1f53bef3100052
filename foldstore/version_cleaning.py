"""What a version's handle does to clean it: suggestions, plans, rules over pairs of rows, label issues, priorities."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.chosen_actions import read_document
from foldstore.cleaning import CleaningPlan, CleaningSubject, undo_cleaning
from foldstore.datastore.arrow_schema import expressions_of
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.statistics.hashing import hash_numbers
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError, column_not_found
from foldstore.folds import Folds
from foldstore.split import Base
from foldstore.split_documents import SplitDocuments
from foldstore.split_making import SplitMaker
from foldstore.types import Progress
from foldstore.validation.cleaning.class_model import predict_held_out
from foldstore.validation.cleaning.denial import Denial, columns_of_rule, find_violations
from foldstore.validation.cleaning.dependency import Dependency, find_dependencies
from foldstore.validation.cleaning.feature_columns import LabelledRows, read_labelled, usual_features
from foldstore.validation.cleaning.label_issues import LabelIssues, Ranking, find_label_issues
from foldstore.validation.cleaning.plan_document import PlanDocument
from foldstore.validation.cleaning.priority import CleaningPriority, rank_rows
from foldstore.validation.cleaning.report_answers import answer_report
from foldstore.validation.cleaning.suggestion import Looked, suggest
from foldstore.validation.report import Report
from foldstore.validation.schema import DataSchema

if TYPE_CHECKING:
    from foldstore.version import Version

_FOLDS: Final = 5


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
        document = read_document(self.address, actions, split)
        return CleaningPlan(self._cleaning_subject(), document)

    def undo_cleaning(self, *, message: str = "") -> "Version":
        """Commit what was there before the cleaning that made this version: the same fragments, so the same bytes.

        Parameters
        ----------
        message : str
            Kept with the version.

        Raises
        ------
        UsageError
            With code ``no-cleaning``, when no cleaning made the version.
        ConflictError
            When the branch has moved on since: what came later would be undone unseen.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> version = people.append({"id": [1, 2], "age": [34, 900]})
        >>> cleaned = version.cleaning_plan([{"op": "set_null", "column": "age", "where": "age > 120"}]).commit()
        >>> cleaned.undo_cleaning().to_arrow() == version.to_arrow()
        True
        """
        return undo_cleaning(self._cleaning_subject(), message=message)

    def suggest_cleaning(
        self,
        *,
        columns: Sequence[str] | None = None,
        dependencies: Sequence[str] = (),
        report: Report | None = None,
        schema: DataSchema | None = None,
        split: str | None = None,
        min_confidence: float = 0.5,
        progress: Progress | None = None,
    ) -> CleaningPlan:
        """Look at the rows and suggest how to clean them; nothing is done.

        Looked for are near misses of frequent values, spaces and Unicode forms, mojibake, sentinels, cells that break
        functional dependencies, odd forms, texts that are numbers, and repeated rows.

        Parameters
        ----------
        columns : sequence of str, optional
            Only what concerns these.
        dependencies : sequence of str
            Dependencies that are known to hold, such as ``"zip -> city"``; others are looked for unless given.
        report : Report, optional
            A report whose anomalies are answered, too.
        schema : DataSchema, optional
            The schema of that report; it says which values a column may have.
        split : str, optional
            Look at, and learn from, the train part of a split alone.
        min_confidence : float
            Leave out what is less sure.
        progress : callable, optional
            Told the rows done and the rows in all, in each pass.

        Examples
        --------
        >>> import foldstore
        >>> people = foldstore.connect(folder).create_dataset("people", key=["id"])
        >>> cities = ["Birmingham"] * 30 + ["Birminghxm", "birmingham", "ZÃ¼rich"] + ["Boston"] * 20
        >>> version = people.append({"id": range(53), "city": cities, "age": [40] * 40 + [-999] * 3 + list(range(10))})
        >>> print(version.suggest_cleaning())
        <CleaningPlan of people@1: 3 actions>
        1. [0.97] fix_mojibake city: UTF-8 that was read as another encoding in 1 rows
        2. [0.98] replace city 'birmingham' -> 'Birmingham': 1 rows hold near misses of frequent values
        3. [0.87] replace city 'Birminghxm' -> 'Birmingham': 1 rows hold near misses of frequent values
        """
        subject = self._cleaning_subject()
        for name in columns or ():
            if name not in self.rows.arrow_schema.names:
                raise column_not_found(name, self.rows.arrow_schema.names, where=self.address)
        looked = Looked(
            read=subject.read(progress),
            schema=self.rows.arrow_schema,
            rows=self.rows.num_rows,
            fixed={*self._dataset.key, *expressions_of(self.rows.stored_schema)},
            keyed=bool(self._dataset.key),
            train=None if split is None else np.sort(self._train_ids(split)),
        )
        found = suggest(looked, columns=columns, dependencies=dependencies)
        if report is not None:
            found = (*answer_report(report, schema, self._dataset.key), *found)
        plan = self.cleaning_plan({each.id: each for each in found}.values(), split=split)
        return plan.at_least(min_confidence)

    def find_dependencies(self, columns: Sequence[str] | None = None, **limits: Any) -> tuple[Dependency, ...]:
        """Find functional dependencies that hold, or nearly; see `foldstore.validation.cleaning.dependency`.

        Parameters
        ----------
        columns : sequence of str, optional
            Among which columns.
        **limits
            ``max_error=, min_strength=, most_determinants=, sample_rows=``.

        Examples
        --------
        >>> import foldstore
        >>> shops = foldstore.connect(folder).create_dataset("shops")
        >>> version = shops.append({"zip": [1, 1, 2, 2, 3] * 4, "city": ["A", "A", "B", "B", "C"] * 4})
        >>> [str(each) for each in version.find_dependencies()]
        ['city -> zip (error 0, strength 1.00, 3 groups)', 'zip -> city (error 0, strength 1.00, 3 groups)']
        """
        names = None if columns is None else list(dict.fromkeys(columns))
        return find_dependencies(self.rows.to_table(names), columns=names, **limits)

    def deny(self, rule: str) -> Denial:
        """Find the rows that break a rule: an SQL condition over `t` and, for pairs of rows, `u`.

        Parameters
        ----------
        rule : str
            What no row, or no pair of rows, may meet.

        Raises
        ------
        InvalidExpressionError
            When the rule is not allowed, or does not fit the columns.
        UsageError
            With code ``invalid-rule``, when it names no column, or would compare too many pairs.

        Examples
        --------
        >>> import foldstore
        >>> shops = foldstore.connect(folder).create_dataset("shops", key=["id"])
        >>> version = shops.append({"id": [1, 2, 3, 4], "zip": [1, 1, 1, 2], "city": ["Ulm", "Ulm", "Bonn", "Rome"]})
        >>> found = version.deny("t.zip = u.zip AND t.city <> u.city")
        >>> found.passed, found.violations, found.examples[0]["cells"]
        (False, 2, [{'zip': 1, 'city': 'Ulm'}, {'zip': 1, 'city': 'Bonn'}])
        >>> version.cleaning_plan(found.repair(op="drop_rows")).commit().to_arrow(["id"]).column("id").to_pylist()
        [1, 2, 4]
        """
        subject = self._cleaning_subject()
        names = columns_of_rule(rule, self.rows.arrow_schema)
        ids = [np.empty(0, np.uint64)]
        batches = []
        for chunk in subject.read()(names):
            ids.append(chunk.ids[chunk.free])
            batches.append(chunk.batch if chunk.free.all() else chunk.batch.filter(pa.array(chunk.free)))
        table = pa.Table.from_batches(batches, self.rows.project(names))
        return find_violations(rule, table, np.concatenate(ids), self._storage.engine)

    def label_issues(
        self,
        label: str,
        features: Sequence[str] | None = None,
        *,
        probabilities: "NDArray[np.float64] | None" = None,
        folds: str | None = None,
        rank_by: Ranking = "self_confidence",
    ) -> LabelIssues:
        """Find labels that are probably wrong, by confident learning; rows without a label do not count.

        Parameters
        ----------
        label : str
            A column of classes.
        features : sequence of str, optional
            What a small logistic model learns from; all columns but the key and the label unless given.
        probabilities : array, rows x classes, optional
            Of a model of yours, for the rows that have a label, in their order, and the classes in the order of their
            texts; each by a model that has not seen the row. Then nothing is learnt here.
        folds : str, optional
            Folds of the dataset that hold rows out; five by the hash of the row id unless given.
        rank_by : {'self_confidence', 'margin'}
            What the surest issue has least of.

        Raises
        ------
        UsageError
            When there is one class, or the probabilities do not fit.
        """
        rows = self._labelled(label, features)
        if probabilities is None:
            held = self._fold_of(folds, rows.ids)
            probabilities = predict_held_out(rows.columns, rows.labels, len(rows.classes), held)
        return find_label_issues(
            rows.labels, probabilities, classes=rows.classes, ids=rows.ids, name=label, rank_by=rank_by
        )

    def cleaning_priority(
        self, plan: CleaningPlan, label: str, features: Sequence[str] | None = None
    ) -> CleaningPriority:
        """Rank the rows that a plan would touch by what cleaning them may change in a logistic model of the label.

        Parameters
        ----------
        plan : CleaningPlan
            A row is as probably dirty as the actions that would touch it are sure. When it names a split, the model
            is fitted to its train part.
        label : str
            A column of classes.
        features : sequence of str, optional
            All columns but the key and the label unless given.

        Raises
        ------
        UsageError
            When the plan is none.
        """
        if not isinstance(plan, CleaningPlan):
            raise UsageError(
                f"{type(plan).__name__!r} is not a cleaning plan.",
                hint="suggest_cleaning() and cleaning_plan() make one.",
            )
        rows = self._labelled(label, features)
        dirty = np.ones(len(rows.ids))
        for action in plan.actions:
            touched = np.isin(rows.ids, plan.touched_rows(action))
            dirty *= np.where(touched, 1 - min(action.confidence, 0.999), 1.0)
        learn = None if plan.split is None else np.isin(rows.ids, self._train_ids(plan.split))
        return rank_rows(rows.columns, rows.labels, 1 - dirty, rows.ids, classes=len(rows.classes), learn=learn)

    def _labelled(self, label: str, features: Sequence[str] | None) -> LabelledRows:
        schema = self.rows.arrow_schema
        chosen = usual_features(schema, [label, *self._dataset.key]) if features is None else list(features)
        return read_labelled(self._cleaning_subject().read(), schema, label, chosen)

    def _fold_of(self, name: str | None, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the fold that holds each row out."""
        if name is None:
            return (hash_numbers(ids) % np.uint64(_FOLDS)).astype(np.int64)
        found = self._maker().open(self.base, name)
        if not isinstance(found, Folds):
            raise UsageError(
                f"{name!r} is a split, and labels are held out by folds.", hint="version.folds() makes some."
            )
        held = np.full(len(ids), -1, np.int64)
        for place, fold in enumerate(found):
            held[np.isin(ids, self._ids_of(fold.validation.masks))] = place
        return held

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
        return self._ids_of(self._maker().open_split(self.base, split).train.masks)

    def _ids_of(self, masks: Mapping[int, NDArray[np.bool_]]) -> NDArray[np.uint64]:
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
