"""Concept drift of rows: label and features put into the reference's cells, and counted together."""

from collections.abc import Sequence
from typing import Final

from foldstore.datastore.statistics.pinned import CategoryGrid, ValueGrid, WeekGrid
from foldstore.datastore.statistics.pinned_cells import count_pairs
from foldstore.errors import UsageError, column_not_found
from foldstore.validation.column_schema import plain_type
from foldstore.validation.drift.concept import ConceptDrift, PairCounts, detect_concept_drift
from foldstore.validation.inference import infer_distributions
from foldstore.validation.subject import Subject

_MOST_CLASSES: Final = 200


def concept_drift_between(
    reference: Subject, current: Subject, label: str, features: Sequence[str] | None = None
) -> ConceptDrift:
    """Say for each feature whether the label depends on it as in the reference.

    The rows are read once for each feature, two columns at a time; memory does not grow with them.

    Raises
    ------
    ColumnNotFoundError
        When a column is not there.
    UsageError
        When the label has no distribution that could be counted, or a feature has none.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from foldstore.validation.subject import TableSubject
    >>> before = pa.table({"x": [0, 1] * 500, "y": [False, True] * 500})
    >>> after = pa.table({"x": [0, 1] * 500, "y": [True, False] * 500})
    >>> concept_drift_between(TableSubject(before, "a"), TableSubject(after, "b"), "y").drifted
    ('x',)
    """
    before, after = reference.profile(), current.profile()
    asked = [label, *(features or ())]
    for side, profile in ((reference, before), (current, after)):
        for name in asked:
            if name not in profile.columns:
                raise column_not_found(name, profile.columns, where=side.address)
    grids = {
        name: column.grid
        for name, column in infer_distributions(before).items()
        if column.grid is not None and not isinstance(column.grid, WeekGrid)
    }
    fits = [name for name in grids if _same_type(before.columns[name].type, after.columns.get(name))]
    for name in asked:
        if name not in fits:
            raise UsageError(
                f"{name} has no distribution that could be compared.",
                hint="Identifiers, constants, times and columns that changed their type have none.",
                column=name,
            )
    if grids[label].cells > _MOST_CLASSES:
        raise UsageError(f"{label} has more than {_MOST_CLASSES} values.", hint="Map them to classes.", column=label)
    chosen = [name for name in features or fits if name != label]
    pairs = [_count(reference, current, (name, grids[name]), (label, grids[label])) for name in chosen]
    return detect_concept_drift(pairs, label, seed=f"{before.id}\n{after.id}")


def _same_type(type_text: str, column: object) -> bool:
    return column is not None and plain_type(type_text) == plain_type(str(getattr(column, "type", "")))


def _count(
    reference: Subject, current: Subject, feature: tuple[str, ValueGrid], label: tuple[str, ValueGrid]
) -> PairCounts:
    tables = [count_pairs(side.batches([feature[0], label[0]]), feature, label) for side in (reference, current)]
    # Rows without a label are left out; a category grid's last cell is any other value.
    before, after = (table[:, :-1] for table in tables)
    used = (before + after).sum(axis=0) > 0
    used[: label[1].cells - isinstance(label[1], CategoryGrid)] = True
    classes = [*label[1].labels, "NaN"]
    return PairCounts(
        feature=feature[0],
        labels=(*feature[1].labels, "NaN", "null"),
        classes=tuple(name for name, kept in zip(classes, used, strict=True) if kept),
        reference=before[:, used],
        current=after[:, used],
    )
