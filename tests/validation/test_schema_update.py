"""Inference by environment, updates that keep a person's edits, and promises between schemas."""

import numpy as np
import pyarrow as pa
import pytest

import foldstore
from foldstore.datastore.statistics.profile import profile_table
from foldstore.errors import ColumnNotFoundError
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.compatibility import find_breaks
from foldstore.validation.dataset_rules import Compatibility
from foldstore.validation.inference import infer_schema, update_schema
from foldstore.validation.schema import DataSchema

RNG = np.random.default_rng(3)


def table(rows=2_000, **more):
    return profile_table(pa.table({"x": RNG.normal(size=rows), "y": RNG.integers(0, 2, rows).astype(bool), **more}))


def test_the_label_belongs_to_training():
    schema = infer_schema(table(), label="y")
    assert schema.label == "y"
    assert schema.environments == ("training", "serving")
    assert list(schema.for_environment("serving").columns) == ["x"]
    with pytest.raises(ColumnNotFoundError, match="'z'"):
        infer_schema(table(), label="z")


def test_columns_of_one_environment_belong_to_it():
    serving = profile_table(pa.table({"x": [1.0], "asked": ["now"]}))
    schema = infer_schema(table(), serving=serving)
    assert list(schema.for_environment("training").columns) == ["x", "y"]
    assert list(schema.for_environment("serving").columns) == ["x", "asked"]


def test_a_version_is_judged_for_an_environment(folder):
    with foldstore.connect(folder) as store:
        version = store.create_dataset("served").append({"x": [1, 2]})
        columns = {"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="int64", not_in_environment=("serving",))}
        schema = DataSchema(columns=columns, environments=("training", "serving"))
        assert version.validate(schema, environment="serving").anomalies == ()
        assert [each.code for each in version.validate(schema).anomalies] == ["column_missing"]


def test_an_update_keeps_what_a_person_edited_and_every_baseline():
    first = infer_schema(table())
    edited = first.with_column("y", nullable=True, doc="by hand")
    newer = table(z=np.arange(2_000))
    child = update_schema(edited, newer, reason="march")
    assert child.columns["y"] == edited.columns["y"]
    assert child.columns["x"].reference == first.columns["x"].reference
    assert child.columns["x"].grid == first.columns["x"].grid
    assert child.columns["x"].evidence["minimum"] == newer.columns["x"].minimum
    assert child.columns["z"].inferred
    assert (child.parent, child.provenance["reason"]) == (edited.id, "march")
    assert child.provenance["updated_from"] == newer.id


def test_an_update_by_the_same_data_changes_nothing():
    profile = table()
    schema = infer_schema(profile)
    assert update_schema(schema, profile) is schema


def test_modes_of_compatibility_look_in_their_own_direction():
    old = DataSchema(columns={"x": ColumnSchema(type="int32"), "y": ColumnSchema(type="int64")})
    wider = old.with_column("x", type="int64")
    assert find_breaks(old, wider, Compatibility.BACKWARD) == []
    assert [each.path for each in find_breaks(old, wider, Compatibility.FORWARD)] == ["columns.x.type"]
    assert find_breaks(wider, old, Compatibility.FORWARD) == []
    assert len(find_breaks(old, wider, Compatibility.FULL)) == 1
    assert find_breaks(old, wider, Compatibility.NONE) == []


def test_an_environment_promises_for_its_own_columns_alone():
    columns = {"x": ColumnSchema(type="int64"), "y": ColumnSchema(type="int64", not_in_environment=("serving",))}
    old = DataSchema(columns=columns, environments=("training", "serving"))
    new = old.without_column("y")
    assert find_breaks(old, new, Compatibility.BACKWARD, environment="serving") == []
    assert len(find_breaks(old, new, Compatibility.BACKWARD, environment="training")) == 1
