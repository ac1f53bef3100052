"""Label issues by confident learning (Northcutt, Jiang and Chuang 2021): labels that a model, sure of itself, denies.

The threshold of class j is the mean probability of j among the rows that have the label j. A row counts for the class
of highest probability among those that reach their thresholds. A row that counts for another class than its label is
an issue. Probabilities must come from models that have not seen the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from foldstore.errors import UsageError
from foldstore.validation.cleaning.action import MOST_ROWS, CleaningAction, invalid_action

Floats = NDArray[np.float64]
Ranking = Literal["self_confidence", "margin"]
_SLACK: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelIssue:
    """One label that is probably wrong.

    Attributes
    ----------
    row : int
        The row id.
    label, suggested : plain value
    self_confidence : float
        The probability of the label that the row has.
    margin : float
        That, less the highest probability of another class: the lower the surer.
    """

    row: int
    label: Any
    suggested: Any
    self_confidence: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelIssues:
    """The labels that are probably wrong, the surest first.

    Attributes
    ----------
    label : str
        The column.
    classes : tuple
    thresholds : tuple of float
        By class.
    joint : tuple of tuple of int
        How many rows with the label of the row count for the class of the column.
    rows : int
        Rows that were looked at.
    issues : tuple of LabelIssue
    """

    label: str
    classes: tuple[Any, ...]
    thresholds: tuple[float, ...]
    joint: tuple[tuple[int, ...], ...]
    rows: int
    issues: tuple[LabelIssue, ...]

    def __str__(self) -> str:
        said = f"{self.label}: {len(self.issues):,} of {self.rows:,} labels are probably wrong"
        unsure = "; but the model hardly tells labels better than guessing does"
        return said if self.is_informed or not self.issues else said + unsure

    @property
    def is_informed(self) -> bool:
        """Whether the model tells labels better than guessing does: else the issues say little.

        The mean over the classes of the share that counts for its own class, held against one in as many classes, by
        two standard errors.

        Examples
        --------
        >>> guesses = np.tile([[0.6, 0.4], [0.4, 0.6]], (50, 1))
        >>> labels = np.arange(100) // 2 % 2
        >>> find_label_issues(labels, guesses, classes=["a", "b"], ids=np.arange(100)).is_informed
        False
        """
        joint = np.array(self.joint, np.float64).reshape(len(self.classes), -1)
        seen = joint.sum(axis=1)
        there = seen > 0
        if not there.any():
            return False
        own = np.diag(joint)[there] / seen[there]
        error = np.sqrt((own * (1 - own) / seen[there]).sum()) / len(own)
        return bool(own.mean() - 1 / len(own) > 2 * error)

    def repair(self, most: int | None = None) -> tuple[CleaningAction, ...]:
        """Return the action that gives the surest issues the suggested labels: none when there is none.

        Look at them first: a model does not know better than a person.
        """
        chosen = self.issues[:most]
        if not chosen:
            return ()
        if len(chosen) > MOST_ROWS:
            raise invalid_action(f"{len(chosen):,} labels would change.", f"Take the surest: repair({MOST_ROWS}).")
        return (
            CleaningAction(
                op="set_values", column=self.label, rows=tuple(each.row for each in chosen),
                params={"values": [each.suggested for each in chosen]}, code="label_issue",
                reason=f"{len(chosen):,} labels are denied by a model that has not seen them",
                confidence=round(1 - float(np.mean([each.self_confidence for each in chosen])), 4),
                evidence={"issues": len(self.issues), "rows": self.rows, "thresholds": list(self.thresholds)},
            ),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {
            "label": self.label,
            "classes": list(self.classes),
            "thresholds": list(self.thresholds),
            "joint": [list(row) for row in self.joint],
            "rows": self.rows,
            "issues": [{name: getattr(each, name) for name in each.__slots__} for each in self.issues],
        }


def find_label_issues(
    labels: NDArray[np.int64],
    probabilities: Floats,
    *,
    classes: Sequence[Any],
    ids: NDArray[np.uint64],
    name: str = "label",
    rank_by: Ranking = "self_confidence",
) -> LabelIssues:
    """Find labels that are probably wrong.

    Parameters
    ----------
    labels : array of int64
        The class of each row, as its place in `classes`.
    probabilities : array, rows x classes
        Out of fold: by models that have not seen the row.
    classes : sequence
        The classes as the column holds them.
    ids : array of uint64
        The row ids.
    name : str
        The column.
    rank_by : {'self_confidence', 'margin'}
        What the surest issue has least of.

    Raises
    ------
    UsageError
        When the probabilities are none, or do not fit the rows and the classes.

    Examples
    --------
    >>> sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> found = find_label_issues(np.array([0, 0, 1, 1, 1]), sure, classes=["a", "b"], ids=np.arange(5))
    >>> [(each.row, each.label, each.suggested) for each in found.issues]
    [(4, 'b', 'a')]
    """
    given = _check(labels, probabilities, classes)
    present = [bool((labels == place).any()) for place in range(len(classes))]
    thresholds = np.array([given[labels == j, j].mean() if there else np.inf for j, there in enumerate(present)])
    reaching = np.where(given >= thresholds[None, :], given, -1.0)
    counted = np.where(reaching.max(axis=1) >= 0, reaching.argmax(axis=1), -1)
    joint = np.zeros((len(classes), len(classes)), np.int64)
    known = counted >= 0
    np.add.at(joint, (labels[known], counted[known]), 1)
    rows = np.flatnonzero(known & (counted != labels))
    own = given[np.arange(len(labels)), labels]
    others = given.copy()
    others[np.arange(len(labels)), labels] = -1.0
    margin = own - others.max(axis=1)
    score = own if rank_by == "self_confidence" else margin
    rows = rows[np.argsort(score[rows], kind="stable")]
    issues = tuple(
        LabelIssue(
            row=int(ids[row]), label=classes[labels[row]], suggested=classes[counted[row]],
            self_confidence=round(float(own[row]), 6), margin=round(float(margin[row]), 6),
        )
        for row in rows
    )  # fmt: skip
    return LabelIssues(
        label=name, classes=tuple(classes), thresholds=tuple(float(t) if np.isfinite(t) else 1.0 for t in thresholds),
        joint=tuple(tuple(int(n) for n in row) for row in joint), rows=len(labels), issues=issues,
    )  # fmt: skip


def _check(labels: NDArray[np.int64], probabilities: Floats, classes: Sequence[Any]) -> Floats:
    try:
        given = np.asarray(probabilities, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{type(probabilities).__name__!r} is no table of probabilities.",
            hint="Give an array with a row for each row with a label, and a column for each class.",
            code="invalid-predictions",
        ) from error
    if given.shape != (len(labels), len(classes)):
        raise UsageError(
            f"The probabilities have the shape {given.shape}, not {(len(labels), len(classes))}.",
            hint=f"One row for each row with a label, one column for each of {[str(c) for c in classes][:8]}.",
            code="invalid-predictions",
        )
    if len(classes) < 2:
        raise UsageError(
            "The label has one class: nothing can be wrong.", hint="Name another column.", code="one-value"
        )
    if not np.isfinite(given).all() or given.min() < -_SLACK or np.abs(given.sum(axis=1) - 1).max() > _SLACK:
        raise UsageError(
            "The probabilities of a row do not add up to 1.", hint="Give probabilities, not scores.",
            code="invalid-predictions",
        )  # fmt: skip
    return given
