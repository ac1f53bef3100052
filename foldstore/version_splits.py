"""Splits and folds of a version: made, found, suggested."""

from collections.abc import Mapping, Sequence
from typing import Any

from foldstore.folds import Folds
from foldstore.split import Base, Split
from foldstore.split_documents import ChosenRows
from foldstore.split_evidence import Shared, gather_evidence
from foldstore.split_making import SplitMaker
from foldstore.suggestion import SplitSuggestion, suggest_split


class VersionSplits:
    """Sharing out the rows of a version, once and for good."""

    @property
    def base(self) -> Base:
        """The version as its splits look at it."""
        raise NotImplementedError

    def _maker(self) -> SplitMaker:
        raise NotImplementedError

    def _looked_at(self) -> Shared:
        raise NotImplementedError

    @property
    def address(self) -> str:
        """The address with the number."""
        raise NotImplementedError

    def split(self, name: str, **how: Any) -> Split:
        """Share out the rows to train, validation and test, for good.

        Parameters
        ----------
        name : str
            The split's name; it belongs to the dataset.
        **how
            ``train=, validation=, test=`` (shares), ``group_by=`` (one list of columns, or several),
            ``stratify=, duplicates=, near_duplicates=, similarity=, seed=, key=``; or ``by_column=`` and perhaps
            ``values=``; or ``by_time=``, ``boundaries=``, ``purge=`` and ``embargo=``. See
            `foldstore.views.splits.split.SplitSpec`.

        Raises
        ------
        AlreadyExistsError
            When the dataset has a split or folds of that name.
        UsageError
            When the arguments contradict each other, or a value means nothing.

        Warns
        -----
        SplitWarning
            When a group is larger than a part, or a stratum is not in each part.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> rows = {"id": list(range(6)), "fold": ["tr", "tr", "extra", "te", "te", None]}
        >>> version = store.create_dataset("n", key=["id"]).append(rows)
        >>> version.split("official", by_column="fold", values={"train": ["tr", "extra"], "test": ["te"]})
        <Split n@1#official: train 3, validation 0, test 2>
        """
        return self._maker().make_split(self.base, name, how, ChosenRows())

    def folds(self, name: str, k: int | None = None, **how: Any) -> Folds:
        """Share out the rows to k folds, each of which is held out once, for good.

        Parameters
        ----------
        name : str
            The name; it belongs to the dataset, as that of a split does.
        k : int, optional
            How many folds; 5 unless given, with ``by_column=`` as many as there are values.
        **how
            ``inner=`` (inner folds, for nested cross-validation), ``group_by=, stratify=, duplicates=,
            near_duplicates=, similarity=, seed=, key=``; or ``by_column=``; or ``by_time=`` with ``purge=, embargo=``
            and ``past_only=``. See `foldstore.views.splits.folds.FoldSpec`.

        Raises
        ------
        AlreadyExistsError
            When the dataset has a split or folds of that name.
        UsageError
            When the arguments contradict each other.

        Warns
        -----
        SplitWarning
            When a group is larger than a fold, or a stratum is not in each fold.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> version = store.create_dataset("n", key=["id"]).append({"id": list(range(900))})
        >>> for fold in version.folds("cv", k=3):
        ...     print(fold.validation.address, fold.train.num_rows + fold.validation.num_rows)
        n@1#cv-1.validation 900
        n@1#cv-2.validation 900
        n@1#cv-3.validation 900
        """
        return self._maker().make_folds(self.base, name, {"k": k, **how}, ChosenRows())

    def suggest_split(self, label: str | None = None) -> SplitSuggestion:
        """Look at the data and suggest how to split it; nothing is made.

        Looked at are the event time, columns whose values repeat (entities), repeated rows, and the label's balance,
        its change over time and its dependence on entities. The same data gives the same suggestion.

        Parameters
        ----------
        label : str, optional
            The column that is to be predicted.

        Raises
        ------
        ColumnNotFoundError
            When there is no such column.
        UsageError
            When there are too few rows to say anything.

        Examples
        --------
        >>> import foldstore
        >>> store = foldstore.connect(folder)
        >>> rows = {"id": list(range(6000)), "patient_id": [n % 500 for n in range(6000)]}
        >>> version = store.create_dataset("n", key=["id"]).append(rows)
        >>> version.suggest_split()
        <SplitSuggestion version.split('name', train=0.7, validation=0.15, test=0.15, group_by=['patient_id'])>
        """
        return suggest_split(self, gather_evidence(self._looked_at(), label))

    def find_split(self, name: str) -> Split:
        """Return a split of the dataset, or one fold, as it stands on this version.

        Raises
        ------
        NotFoundError
            When there is none of that name.
        """
        return self._maker().open_split(self.base, name)

    def find_sharing(self, name: str) -> Split | Folds:
        """Return a split or folds of the dataset, as they stand on this version.

        Raises
        ------
        NotFoundError
            When there is nothing of that name.
        """
        return self._maker().open(self.base, name)

    def split_rows(
        self, predicates: Sequence[str], name: str, how: Mapping[str, Any], within: str | None = None
    ) -> Split:
        """Split the rows that meet every predicate, of a part perhaps; `View.split` calls this."""
        return self._maker().make_split(self.base, name, how, ChosenRows(tuple(predicates), within))

    def fold_rows(
        self, predicates: Sequence[str], name: str, how: Mapping[str, Any], within: str | None = None
    ) -> Folds:
        """Make folds of the rows that meet every predicate, of a part perhaps; `View.folds` calls this."""
        return self._maker().make_folds(self.base, name, how, ChosenRows(tuple(predicates), within))
