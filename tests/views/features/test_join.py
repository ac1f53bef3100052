"""The join as a whole: names, types, order, times, and what it refuses."""

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from foldstore.errors import ColumnNotFoundError, SchemaMismatchError, UsageError
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.join import FeatureTable, index_view, point_in_time_join

DRIVER = Entity("driver", keys={"id": "int64"})
UTC = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000


def view(features=("x",), **changes):
    given = {"entity": DRIVER, "source": "rides", "event_time": "ts", "features": list(features)}
    return FeatureView("stats", **(given | changes))


def joined(labels, table, definition=None, **options):
    definition = definition or view()
    return point_in_time_join(
        labels, [FeatureTable(definition[list(definition.features)], index_view(definition, table))], **options
    )


def labels_at(*micros, kind=UTC, ids=None):
    return pa.table({"id": ids or [1] * len(micros), "event_timestamp": pa.array(micros, kind)})


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("feature_zone", [None, "Asia/Tokyo"])
def test_times_are_compared_as_instants_and_a_time_without_a_zone_is_utc(zone, feature_zone):
    table = pa.table({"id": [1], "ts": pa.array([HOUR], UTC), "x": [5]})
    table = table.set_column(1, "ts", table["ts"].cast(pa.timestamp("ms", feature_zone)))
    result = joined(labels_at(HOUR, HOUR - 1, kind=pa.timestamp("us", zone)), table)
    assert result["x"].to_pylist() == [5, None]
    assert result.schema.field("event_timestamp").type == UTC
    assert result["event_timestamp"].cast(pa.int64()).to_pylist() == [HOUR, HOUR - 1]


VALUES = [
    pa.array([2**53 + 1, None], pa.int64()),
    pa.array(["a", None]),
    pa.array([b"a", None], pa.large_binary()),
    pa.array([Decimal("1.50"), None]),
    pa.array([[1, 2], None]),
    pa.array([{"a": 1}, None]),
    pa.array(["a", None]).dictionary_encode(),
    pa.array([True, None]),
    pa.array([dt.date(2020, 1, 1), None]),
    pa.array([1.5, None], pa.float32()),
]


@pytest.mark.parametrize("values", VALUES, ids=[str(array.type)[:20] for array in VALUES])
def test_every_type_comes_through_exactly_and_nulls_are_typed(values):
    table = pa.table({"id": [1, 2], "ts": pa.array([1, 1], UTC), "x": values})
    result = joined(labels_at(9, 9, 9, 9, ids=[3, 2, 1, None]), table)
    assert result.schema.field("x").type == values.type
    assert result["x"].to_pylist() == [None, None, values.to_pylist()[0], None]
    assert joined(labels_at(9, ids=[3]), table).schema.field("x").type == values.type


@pytest.mark.parametrize("rows", [0, 1, 5_000])
def test_chunks_of_the_table_and_the_labels_do_not_matter(rows):
    rng = np.random.default_rng(rows)
    table = pa.table(
        {"id": rng.integers(0, 50, rows), "ts": pa.array(rng.integers(0, 999, rows), UTC), "x": rng.normal(size=rows)}
    )
    labels = labels_at(*rng.integers(0, 999, 700).tolist(), ids=rng.integers(0, 60, 700).tolist())
    cut = pa.concat_tables([table.slice(start, 613) for start in range(0, rows, 613)] or [table])
    cut_labels = pa.concat_tables([labels.slice(start, 100) for start in range(0, 700, 100)])
    whole = joined(labels, table, view(ttl="100us"))
    assert joined(cut_labels, cut, view(ttl="100us")).combine_chunks().equals(whole.combine_chunks())
    assert whole.num_rows == 700


def test_a_large_join_equals_polars():
    rng = np.random.default_rng(11)
    # No two rows of one time: polars does not say which of them wins.
    table = pa.table(
        {"id": rng.integers(0, 300, 20_000), "ts": pa.array(rng.permutation(20_000), UTC), "x": rng.normal(size=20_000)}
    )
    labels = labels_at(*rng.integers(0, 20_000, 5_000).tolist(), ids=rng.integers(0, 310, 5_000).tolist())
    left = pl.from_arrow(labels).with_row_index("n").sort("event_timestamp")
    expected = left.join_asof(
        pl.from_arrow(table).sort("ts"), left_on="event_timestamp", right_on="ts", by="id",
        tolerance=dt.timedelta(microseconds=60), check_sortedness=False,
    ).sort("n")  # fmt: skip
    result = joined(labels, table, view(ttl="60us"))
    assert result["x"].to_pylist() == expected["x"].to_list()
    assert 500 < result["x"].null_count < 4_500


def test_zero_rows_that_ask_get_zero_rows_with_all_columns():
    table = pa.table({"id": [1], "ts": pa.array([1], UTC), "x": ["a"]})
    result = joined(labels_at().cast(pa.schema([("id", pa.int64()), ("event_timestamp", UTC)])), table)
    assert result.num_rows == 0
    assert result.schema.field("x").type == pa.string()


def test_the_only_column_of_times_says_when_a_row_asks():
    table = pa.table({"id": [1], "ts": pa.array([1], UTC), "x": [5]})
    labels = labels_at(9).rename_columns(["id", "departs"])
    assert joined(labels, table).column_names == ["id", "departs", "x"]
    two = labels.append_column("lands", labels["departs"])
    assert joined(two, table, event_timestamp="lands")["x"].to_pylist() == [5]
    with pytest.raises(UsageError, match="departs, lands") as error:
        joined(two, table)
    assert "event_timestamp=" in (error.value.hint or "")
    with pytest.raises(UsageError, match="no column of times"):
        joined(labels.select(["id"]), table)


def test_a_feature_may_not_take_the_name_of_a_column_that_asks():
    table = pa.table({"id": [1], "ts": pa.array([1], UTC), "x": [5]})
    labels = labels_at(9).append_column("x", pa.array([1]))
    with pytest.raises(UsageError, match="two columns 'x'"):
        joined(labels, table)
    assert joined(labels, table, full_feature_names=True).column_names[-1] == "stats__x"


def test_missing_columns_are_named():
    table = pa.table({"id": [1], "ts": pa.array([1], UTC), "x": [5]})
    with pytest.raises(ColumnNotFoundError, match="'id' in the rows that ask"):
        joined(labels_at(9).rename_columns(["ident", "event_timestamp"]), table)
    with pytest.raises(ColumnNotFoundError, match="'x' in the source of feature view 'stats'"):
        joined(labels_at(9), table.drop_columns(["x"]))
    with pytest.raises(ColumnNotFoundError, match="'when'"):
        joined(labels_at(9), table, event_timestamp="when")


def test_wrong_types_are_refused():
    table = pa.table({"id": ["1"], "ts": pa.array([1], UTC), "x": [5]})
    with pytest.raises(SchemaMismatchError, match="'id' is string, the entity says int64"):
        joined(labels_at(9), table)
    with pytest.raises(UsageError, match="Event time 'ts' is int64"):
        joined(labels_at(9), pa.table({"id": [1], "ts": [1], "x": [5]}))
    with pytest.raises(SchemaMismatchError, match="no created time"):
        joined(
            labels_at(9),
            pa.table({"id": [1], "ts": pa.array([1], UTC), "x": [5]}),
            filter_by_created_timestamp=True,
        )
