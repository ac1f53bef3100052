"""A report as JSON lines: first the report without its findings, then a line for each, of a stated kind."""

from typing import TYPE_CHECKING, Any

from foldstore.validation.reporting.wording import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foldstore.validation.report import Report


def report_json_lines(report: "Report") -> str:
    """Write a report as JSON lines.

    ``kind`` is ``report``, ``anomaly``, ``drift`` for a column whose values and nulls were compared, ``nulls`` for one
    whose nulls alone were.
    """
    return "".join(f"{write_json(each)}\n" for each in _records(report))


def _records(report: "Report") -> "Iterator[dict[str, Any]]":
    whole = report.to_dict()
    anomalies, drift = whole.pop("anomalies"), whole.pop("drift")
    yield {"kind": "report", **whole, "anomalies": len(anomalies), "untested": drift.get("untested", {})}
    about = {"subject": report.subject}
    yield from ({"kind": "anomaly", **about, **each} for each in anomalies)
    yield from ({"kind": "drift", **about, **each} for each in drift["columns"].values())
    yield from ({"kind": "nulls", **about, **each.to_dict()} for each in report.drift.nulls_alone.values())
