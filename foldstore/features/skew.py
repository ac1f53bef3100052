"""Training data against what was served: feature by feature, by the rule that drift is told by."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from foldstore.drift_reference import read_subject
from foldstore.errors import NotFoundError, UsageError
from foldstore.features.definitions import Definitions
from foldstore.lookup_log import SERVED_AT, SERVICE
from foldstore.names import LATEST, parse_address
from foldstore.training_set import TrainingSet, read_training_set
from foldstore.validation.check import drift_between
from foldstore.validation.column_bounds import DriftPolicy
from foldstore.validation.drift.adjustment import Adjustment
from foldstore.validation.drift.comparison import ColumnDrift, DriftResult
from foldstore.validation.reporting.drift_page import drift_page
from foldstore.validation.reporting.file import save
from foldstore.validation.subject import ChosenSubject, Subject
from foldstore.version import Version
from foldstore.views.instant import parse_instant
from foldstore.views.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """How what was served differs from what was learnt.

    Attributes
    ----------
    service : str
    training, served : str
        What was compared: the training data is the reference.
    training_rows, served_rows : int
    result : DriftResult
        The comparison of each feature; what could not be compared is in its `untested`.
    """

    service: str
    training: str
    served: str
    training_rows: int
    served_rows: int
    result: DriftResult

    @property
    def features(self) -> dict[str, ColumnDrift]:
        """The features that were compared."""
        return dict(self.result.columns)

    @property
    def skewed(self) -> tuple[str, ...]:
        """The features that are served otherwise than they were learnt, by values or by nulls."""
        return self.result.drifted

    @property
    def passed(self) -> bool:
        """Whether no feature reached its error limit."""
        return str(self.result.verdict) != "error"

    def __repr__(self) -> str:
        return f"Skew({self.service}: {len(self.skewed)} of {len(self.features)} features skewed)"

    def __str__(self) -> str:
        rows = f"{self.training} ({self.training_rows:,} rows) against {self.served} ({self.served_rows:,} rows)"
        return f"{self.service}: {rows}\n{self.result}"

    def _repr_html_(self) -> str:
        return self.result._repr_html_()

    def to_html(self, file: str | PathLike[str] | None = None) -> str:
        """Return a page with the distributions of each feature; write it, too, when a file is named."""
        return save(drift_page(self.result, f"Skew of {self.service}"), file)

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "result"}
        return plain | {"skewed": list(self.skewed), "passed": self.passed, **self.result.to_dict()}


def find_skew(  # one name for each thing that may be asked
    definitions: Definitions,
    served: Version,
    service: str,
    training: Any,
    *,
    since: Any = None,
    until: Any = None,
    policy: DriftPolicy | None = None,
    adjustment: Adjustment = "bh",
) -> Skew:
    """Compare training data with logged lookups; see `foldstore.features.handle.Features.skew`."""
    name, definition, number = definitions.get(service)
    features = [
        feature
        for full in (False, True)  # a lookup may have asked for full names
        for each in definition.selections
        for feature in each.output_names(full_feature_names=full)
    ]
    pinned = f"{name}@{number}" if parse_address(service).ref != LATEST else None
    reference, learnt = _read_training(training)
    given = read_subject(choose_served(served, pinned, since, until))
    known = set(learnt.arrow_schema.names) | set(given.arrow_schema.names)
    names = [each for each in dict.fromkeys(features) if each in known]
    if not names:
        raise UsageError(
            f"{reference} has none of the features of {name}.",
            hint=f"They are {', '.join(features[:10])}.",
        )
    result = drift_between(
        ChosenSubject(learnt, names), ChosenSubject(given, names), policy=policy, adjustment=adjustment
    )
    return Skew(
        service=pinned or name,
        training=reference,
        served=served.address,
        training_rows=learnt.num_rows,
        served_rows=given.num_rows,
        result=result,
    )


def _read_training(training: Any) -> tuple[str, Subject]:
    """Return what a model learnt from: of a training set, the train part."""
    if isinstance(training, Version):
        try:
            training = read_training_set(training)
        except NotFoundError:  # a version that nothing was joined to
            return training.address, read_subject(training)
    if isinstance(training, TrainingSet):
        return f"{training.split.address}.train", read_subject(training.train)
    subject = read_subject(training)
    return subject.address, subject


def choose_served(served: Version, service: str | None, since: Any, until: Any) -> Version | View:
    """Return the lookups of a log that are of one version of a service, and of a span of time."""
    conditions = [] if service is None else [f"{SERVICE} = '{service}'"]
    for sign, instant in ((">=", since), ("<", until)):
        if instant is not None:
            moment = np.datetime64(parse_instant(instant), "ns")
            conditions.append(f"{SERVED_AT} {sign} CAST('{moment}Z' AS TIMESTAMPTZ_NS)")
    return served.view().where(" AND ".join(conditions)) if conditions else served
