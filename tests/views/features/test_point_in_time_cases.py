"""The worked cases of point_in_time.json, one test each."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from foldstore.errors import UsageError
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_view import FeatureView
from foldstore.views.features.join import FeatureTable, index_view, point_in_time_join
from foldstore.views.instant import format_duration, parse_instant

CASES = json.loads((Path(__file__).parent / "point_in_time.json").read_text(encoding="utf-8"))["cases"]
TIME = pa.timestamp("us", "UTC")


def column(rows, name, kind):
    values = [row.get(name) for row in rows]
    if pa.types.is_timestamp(kind):
        return pa.array([None if v is None else parse_instant(v) for v in values], pa.int64()).cast(
            pa.timestamp("ns", "UTC")
        )
    return pa.array(values, kind)


def labels_of(case):
    kinds = {}
    for view in case["feature_views"]:
        renamed = view.get("join_key_map", {})
        kinds |= {renamed.get(key, key): pa.type_for_alias(kind) for key, kind in view["key_types"].items()}
    rows = case["entity_rows"]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = {}
    for name in names:
        if name == "event_timestamp":
            table[name] = column(rows, name, TIME)
        else:
            table[name] = pa.array([row.get(name) for row in rows], kinds.get(name))
    return pa.table(table)


def feature_table_of(definition, number):
    times = {definition["timestamp_field"]: TIME}
    if definition["created_timestamp_field"]:
        times[definition["created_timestamp_field"]] = TIME
    kinds = {
        name: pa.type_for_alias(kind) for name, kind in (definition["key_types"] | definition["features"]).items()
    } | times
    table = pa.table({name: column(definition["rows"], name, kind) for name, kind in kinds.items()})
    ttl = definition["ttl_seconds"]
    view = FeatureView(
        definition["name"],
        entity=Entity(f"entity{number}", keys=definition["key_types"]),
        source="somewhere",
        event_time=definition["timestamp_field"],
        created_time=definition["created_timestamp_field"],
        ttl=None if ttl is None else format_duration(ttl * 10**9),
        features=list(definition["features"]),
    )
    if "alias" in definition:
        selection = view.as_(definition["alias"], keys=definition["join_key_map"])
    else:
        selection = view[list(definition["features"])]
    return FeatureTable(selection, index_view(view, table))


@pytest.mark.parametrize("case", CASES, ids=[f"{case['id']} {case['title']}" for case in CASES])
def test_a_worked_case_comes_out_as_written(case):
    features = [feature_table_of(definition, number) for number, definition in enumerate(case["feature_views"])]
    joined = point_in_time_join(labels_of(case), features, **case["options"])
    assert joined.column_names == list(case["expected"][0])
    assert joined.schema.field("event_timestamp").type.tz == "UTC"
    for name in joined.column_names:
        values = [row[name] for row in case["expected"]]
        if name == "event_timestamp":
            assert joined[name].cast(pa.int64()).to_pylist() == [parse_instant(value) for value in values]
        else:
            assert joined[name].to_pylist() == values
    for table in features:
        names = table.selection.output_names(full_feature_names=case["options"]["full_feature_names"])
        for feature, name in zip(table.selection.features, names, strict=True):
            assert joined.schema.field(name).type == table.index.table.schema.field(feature).type


def test_one_feature_name_in_two_views_is_refused_without_full_names():
    case = next(case for case in CASES if case["id"] == "PIT26")
    features = [feature_table_of(definition, number) for number, definition in enumerate(case["feature_views"])]
    with pytest.raises(UsageError, match="two columns 'x'") as error:
        point_in_time_join(labels_of(case), features)
    assert "full_feature_names" in (error.value.hint or "")
