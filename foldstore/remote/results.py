"""From plain data to the results that the store itself gives: reports, comparisons, reviews."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from foldstore.errors import UsageError
from foldstore.review import Review, ReviewState
from foldstore.split_report import SplitReport
from foldstore.validation.drift.classifier import TwoSampleTest
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.drift.concept import BinChange, ConceptDrift, FeatureConcept
from foldstore.validation.drift.segments import SegmentedDrift
from foldstore.validation.drift.trends import Trend, TrendChange, Trends
from foldstore.validation.drift.verdict import DriftVerdict
from foldstore.validation.power import PartPower
from foldstore.validation.report import Report
from foldstore.validation.reporting.history import ColumnHistory, ColumnPoint, ProfileHistory, VersionPoint
from foldstore.views.splits.findings import Stratum
from foldstore.views.splits.report import ColumnSummary, FoldsReport

# What JSON has no number for is a text on the wire (as in protobuf's JSON).
_NUMBERS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Members of a comparison that are texts, whatever they say.
_TEXTS: Final = frozenset(
    {"column", "cell", "method", "metric", "verdict", "null_verdict", "labels", "segment", "name", "values", "by"}
)

_TREND_TEXTS: Final = frozenset({"at", "alarm", "time"})


def read_numbers(data: Any) -> Any:
    """Return plain data of a comparison with its numbers: those, too, that JSON has none for.

    Examples
    --------
    >>> read_numbers({"effect": "Infinity", "column": "NaN", "p_value": 0.5})
    {'effect': inf, 'column': 'NaN', 'p_value': 0.5}
    """
    if isinstance(data, dict):
        return {name: value if name in _TEXTS else read_numbers(value) for name, value in data.items()}
    if isinstance(data, list):
        return [read_numbers(each) for each in data]
    return _NUMBERS.get(data, data) if isinstance(data, str) else data


def read_drift(data: Mapping[str, Any]) -> DriftResult:
    """Read a comparison of distributions."""
    return DriftResult.from_dict(_drift_numbers(data))


def _drift_numbers(data: Mapping[str, Any]) -> dict[str, Any]:
    # A column may be called as a member is.
    parts = ((part, data.get(part, {})) for part in ("columns", "nulls"))
    return {**data, **{part: {name: read_numbers(each) for name, each in held.items()} for part, held in parts}}


def read_segmented_drift(data: Mapping[str, Any]) -> SegmentedDrift:
    """Read a comparison by segment."""
    segments = [
        {**read_numbers({**each, "drift": None}), "drift": each["drift"] and _drift_numbers(each["drift"])}
        for each in data["segments"]
    ]
    columns = {name: read_numbers(each) for name, each in data["columns"].items()}
    read = {"segments": segments, "overall": _drift_numbers(data["overall"]), "mix": read_numbers(data["mix"])}
    return SegmentedDrift.from_dict({**data, **read, "columns": columns})


def read_report(data: Mapping[str, Any]) -> Report:
    """Read the report of a validation."""
    drift = read_drift(data["drift"])
    return Report.from_dict({**data, "drift": drift.to_dict()})


def read_review(data: Mapping[str, Any]) -> Review:
    """Read what waits for a person."""
    lists = {"reasons": tuple(data["reasons"]), "acts": tuple(data["acts"])}
    return Review(**{**data, "state": ReviewState(data["state"]), **lists})


def read_split_report(data: Mapping[str, Any]) -> SplitReport:
    """Read the report of a split."""
    known = {each.name for each in fields(SplitReport)}
    plain = {name: value for name, value in data.items() if name in known}
    return SplitReport(
        **{
            **plain,
            **_read_shared(data),
            "drift": {part: read_drift(each) for part, each in data["drift"].items()},
            "power": data["power"] and _read_power(data["power"]),
        }
    )


def read_folds_report(data: Mapping[str, Any]) -> FoldsReport:
    """Read the report of folds."""
    return FoldsReport(**{**data, **_read_shared(data)})


def _read_shared(data: Mapping[str, Any]) -> dict[str, Any]:
    columns = {
        name: {part: ColumnSummary(**each) for part, each in parts.items()} for name, parts in data["columns"].items()
    }
    strata = tuple(
        Stratum(values=tuple(each["values"]), rows=each["rows"], missing=tuple(each["missing"]))
        for each in data["short_strata"]
    )
    times = data["times"] and {part: tuple(ends) for part, ends in data["times"].items()}
    return {"columns": columns, "short_strata": strata, "times": times}


def _read_power(data: Mapping[str, Any]) -> PartPower:
    return PartPower(**{**data, "differences": {float(each): found for each, found in data["differences"].items()}})


def read_trends(data: Mapping[str, Any]) -> Trends:
    """Read how columns went."""
    return Trends(data["subject"], tuple(_read_trend(each) for each in read_trend_numbers(data["trends"])))


def read_trend_numbers(trends: Any) -> Any:
    """Return plain data of trends with the numbers that JSON has none for; names stay texts."""
    return [
        {
            **each,
            "values": read_numbers(each["values"]),
            "changes": [
                {name: value if name in _TREND_TEXTS else read_numbers(value) for name, value in change.items()}
                for change in each["changes"]
            ],
        }
        for each in trends
    ]


def _read_trend(data: Mapping[str, Any]) -> Trend:
    plain = {name: data[name] for name in ("column", "statistic")}
    changes = tuple(TrendChange(**each) for each in data["changes"])
    return Trend(**plain, labels=tuple(data["labels"]), values=tuple(data["values"]), changes=changes)


def read_history(data: Mapping[str, Any]) -> ProfileHistory:
    """Read how columns went over versions."""
    columns = {name: _read_course(each) for name, each in data["columns"].items()}
    versions = tuple(VersionPoint(**each) for each in data["versions"])
    return ProfileHistory(subject=data["subject"], rows=data["rows"], versions=versions, columns=columns)


def _read_course(data: Mapping[str, Any]) -> ColumnHistory:
    points = [{**each, "quantiles": each["quantiles"] and tuple(each["quantiles"])} for each in data["points"]]
    return ColumnHistory(data["type"], tuple(ColumnPoint(**each) for each in points))


def joined_names(names: Sequence[str] | None) -> str | None:
    """Return names of columns as a route takes them: as JSON where commas would not tell them apart.

    Raises
    ------
    UsageError
        When it is one text, and no list of them.

    Examples
    --------
    >>> joined_names(["carrier", "origin"]), joined_names(["km, mean"]), joined_names([])
    ('carrier,origin', '["km, mean"]', '[]')
    """
    if names is None:
        return None
    if isinstance(names, str):
        raise UsageError(f"{names!r} is not a list of names.", hint=f"Write [{names!r}].")
    plain = [str(each) for each in names]
    joined = ",".join(plain)
    return json.dumps(plain) if not plain or joined.startswith("[") or joined.count(",") >= len(plain) else joined


def read_concept(data: Mapping[str, Any]) -> ConceptDrift:
    """Read how a label depends on features, compared with other rows."""
    return ConceptDrift(data["label"], {name: _read_feature(each) for name, each in data["features"].items()})


def _read_feature(data: Mapping[str, Any]) -> FeatureConcept:
    texts = {name: data[name] for name in ("feature", "method")}
    worst = tuple(
        BinChange(**{name: value if name in ("cell", "label") else read_numbers(value) for name, value in each.items()})
        for each in data["worst"]
    )
    numbers = {name: read_numbers(value) for name, value in data.items() if name not in texts}
    return FeatureConcept(**{**numbers, **texts, "worst": worst, "verdict": DriftVerdict(data["verdict"])})


def read_two_sample_test(data: Mapping[str, Any]) -> TwoSampleTest:
    """Read whether a classifier could tell rows apart."""
    return TwoSampleTest(**{**read_numbers(data), "verdict": DriftVerdict(data["verdict"])})
