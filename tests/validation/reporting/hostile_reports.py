"""Reports to write: one of real rows, one of everything that a hostile file could hold."""

import pyarrow as pa
import pytest

from foldstore.types import Severity
from foldstore.validation.anomaly import Anomaly
from foldstore.validation.check import validate
from foldstore.validation.column_domains import CategoryDomain, NumericDomain
from foldstore.validation.drift.comparison import DriftResult
from foldstore.validation.inference import infer_schema
from foldstore.validation.report import Report
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "]]></failure><x a='",
    "a\x00b\x1b[31m\x7f\x9b\ufffe\ud800",
    "\u202e\u2066evil\u2069",
    "::error::stop\r\n::set-output name=x::y",
    "{0} [link](https://example.com) %0A, a: b",
    "x" * 100_000,
    "",
)


def describe(**changes):
    about = {"subject": "t@1", "rows": 3, "schema_id": "5c", "schema_version": "1.0.0", "profile": "9a"}
    return Report(**{**about, **changes})


def find(code="below_min", severity=Severity.ERROR, column="x", message="too low", **more):
    return Anomaly(code=code, severity=severity, column=column, message=message, **more)


@pytest.fixture
def hostile():
    """A report whose every text is hostile; some of its codes are in no list."""
    anomalies = tuple(
        find(
            code="a_code_of_tomorrow" if place % 2 else "below_min",
            severity=(Severity.ERROR, Severity.WARN, Severity.INFO)[place % 3],
            column=text,
            message=text,
            observed=text,
            expected=[text, float("nan")],
            count=1,
            fraction=0.5,
            example_rows=({"row": 1, "key": {text: text}, "value": text},),
            evidence={text: {text: [text]}},
            fix=({"op": "set", "column": text, "field": text, "value": text, "before": text},),
        )
        for place, text in enumerate(HOSTILE)
    )
    untested = {text: text for text in HOSTILE}
    return describe(subject=HOSTILE[0], anomalies=anomalies, drift=DriftResult({}, untested), columns=HOSTILE)


@pytest.fixture(scope="session")
def judged():
    """A report of rows that moved, with nulls, values beyond a limit, and new values."""
    before = pa.table({"x": [*range(100)] * 10, "town": ["Oslo", "Rome"] * 500, "stable": [1, 2] * 500})
    schema = infer_schema(TableSubject(before, "t").profile())
    schema = schema.with_column("x", domain=NumericDomain(min=0, max=99))
    schema = schema.with_column("town", domain=CategoryDomain(values=("Oslo", "Rome")))
    moved = [None if each % 5 == 0 else each % 50 for each in range(999)]
    after = pa.table({"x": [*moved, -7], "town": ["Oslo", "<b>"] * 500, "stable": [1, 2] * 500})
    return validate(TableSubject(after, "t@2"), schema, Surroundings(created_at="2026-01-31T00:00:00.000000Z"))
