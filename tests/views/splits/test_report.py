"""Reports against numbers worked out by hand or in a loop."""

import json

import numpy as np
import pyarrow as pa
import pytest

from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.views.splits.report import report_split
from foldstore.views.splits.split import SplitSpec

SPEC = SplitSpec("s", dataset="d", key=["id"])
PARTS = np.array([1, 1, 1, 1, 2, 3, 3, 0], dtype=np.uint8)
TABLE = pa.table(
    {
        "id": range(8),
        "g": ["a", "a", "b", None, "b", None, "c", "a"],
        "x": [1, 2, 3, 4, 1, 2, 9, 1],
        "delay": [0.0, 2.0, float("nan"), None, 3.0, 1.0, 1.0, 99.0],
        "t": pa.array([1, 2, 3, None, 5, 4, 7, 0], pa.timestamp("s")),
    }
)


def test_sizes_count_every_row_and_shares_the_assigned_ones():
    report = report_split(SPEC, PARTS, TABLE)
    assert report.sizes == {"train": 4, "validation": 1, "test": 2, "unassigned": 1}
    assert report.shares == {"train": 4 / 7, "validation": 1 / 7, "test": 2 / 7}
    assert (report.groups_in_several_parts, report.duplicates_of_train, report.times) == (None, None, None)


def test_numbers_are_compared_by_standardised_mean_difference():
    column = report_split(SPEC, PARTS, TABLE, columns=["delay"]).columns["delay"]
    assert (column["train"].mean, column["train"].deviation, column["train"].nulls) == (1.0, 1.0, 1)
    assert column["train"].difference is None
    assert column["test"].difference == 0.0
    assert column["validation"].difference == pytest.approx(2 / np.sqrt(0.5))


def test_categories_are_compared_by_total_variation_distance():
    column = report_split(SPEC, PARTS, TABLE, columns=["g"]).columns["g"]
    assert column["train"].top == {"a": 2 / 3, "b": 1 / 3}
    assert column["validation"].difference == pytest.approx(2 / 3)
    assert column["test"].difference == 1.0
    dictionary = TABLE.set_column(1, "g", TABLE["g"].dictionary_encode())
    assert report_split(SPEC, PARTS, dictionary, columns=["g"]).columns["g"] == column


def test_what_parts_share_is_counted():
    report = report_split(SPEC, PARTS, TABLE, group_by=["g"], duplicates=["x"], time="t")
    assert report.groups_in_several_parts == 1  # b; nulls are no group, and an unassigned row tears nothing
    assert report.duplicates_of_train == {"validation": 1, "test": 1}
    assert report.times is not None
    assert report.times["test"] == ("1970-01-01T00:00:04Z", "1970-01-01T00:00:07Z")
    assert report.times_overlap is True


def test_a_split_by_time_reports_its_own_times():
    spec = SplitSpec("s", dataset="d", by_time="t", boundaries=["1970-01-01T00:00:04Z"])
    parts = np.array([1, 1, 1, 0, 3, 3, 3, 1], dtype=np.uint8)
    assert report_split(spec, parts, TABLE).times_overlap is False


def test_a_report_is_plain_data():
    report = report_split(SPEC, PARTS, TABLE, columns=["g", "delay"], group_by=["g"], time="t")
    assert json.loads(json.dumps(report.to_dict()))["columns"]["g"]["train"]["top"] == {"a": 2 / 3, "b": 1 / 3}


def test_an_empty_split_has_a_report():
    report = report_split(
        SPEC, np.empty(0, np.uint8), TABLE.slice(0, 0), columns=["g", "delay"], group_by=["g"], time="t"
    )
    assert report.sizes["train"] == 0
    assert report.groups_in_several_parts == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="8 rows and 2 places"):
        report_split(SPEC, PARTS[:2], TABLE)
    with pytest.raises(ColumnNotFoundError, match="'dely'"):
        report_split(SPEC, PARTS, TABLE, columns=["dely"])
