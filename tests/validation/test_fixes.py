"""What stands beside a fix, and that it goes when the fix goes."""

import json

import pyarrow as pa

from foldstore.validation.check import validate
from foldstore.validation.column_domains import NumericDomain
from foldstore.validation.erased_report import redact_erased
from foldstore.validation.inference import infer_schema
from foldstore.validation.pools.sealed_subject import redact_report
from foldstore.validation.subject import TableSubject


def judge():
    before = TableSubject(pa.table({"x": ["Ada", "Eve"] * 500, "y": [*range(50)] * 20}), "t")
    schema = infer_schema(before.profile()).with_column("y", domain=NumericDomain(min=0))
    moved = pa.table({"x": ["Ada", "Bob"] * 500, "y": [-3, *range(9)] * 100})
    return schema, validate(TableSubject(moved, "t"), schema)


def test_a_patch_says_what_it_replaces_and_still_applies():
    schema, report = judge()
    patches = {
        (patch["column"], patch["field"]): patch
        for each in report.anomalies
        for patch in each.fix or ()
        if "field" in patch
    }
    assert patches["y", "domain.min"]["before"] == 0
    assert patches["y", "drift.tau_warn"]["before"] == 0.10  # a default counts, too
    assert schema.accept(report.anomalies).columns["y"].domain.min == -3


def test_sealing_and_erasing_take_the_distributions_and_what_fixes_replace():
    _, report = judge()
    body = report.to_dict()
    assert "'Ada'" in json.dumps(body["drift"])
    sealed = redact_report(body, ["x"])
    assert "Ada" not in json.dumps(sealed)
    assert "Bob" not in json.dumps(sealed)
    erased = redact_erased(body, {"x": {"Ada"}, "y": set()})
    assert "Ada" not in json.dumps(erased)
    assert not any("distribution" in each for each in erased["drift"]["columns"].values())
    assert type(report).from_dict(erased).to_html().startswith("<!DOCTYPE html>")
