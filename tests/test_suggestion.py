"""Splits suggested from the data: by time, by entity, by row; with reasons, and made when asked to."""

import numpy as np
import pyarrow as pa
import pytest

from foldstore.errors import ColumnNotFoundError, UsageError
from foldstore.folds import Folds
from foldstore.split import Split


def _make(store, columns, **how):
    return store.create_dataset("d", **how).append(pa.table(columns))


def _rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return {"id": np.arange(count), "x": rng.normal(size=count), "late": rng.random(count) < 0.2}


def test_rows_with_an_event_time_are_split_by_time_at_round_instants(store):
    columns = _rows(6_000) | {"t": pa.array(np.arange(6_000) * 3600, pa.timestamp("s", "UTC"))}
    suggestion = _make(store, columns, key=["id"], event_time="t").suggest_split("late")
    assert suggestion.verb == "split"
    assert suggestion.arguments == {"by_time": "t", "boundaries": ["1970-06-25", "1970-08-01"]}
    assert any("t runs from 1970-01-01T00:00:00Z to" in reason for reason in suggestion.reasons)
    split = suggestion.make("by_time")
    assert isinstance(split, Split)
    assert split.train.num_rows == pytest.approx(4_200, abs=24)
    assert [each.verb for each in suggestion.alternatives] == ["split", "folds"]
    assert isinstance(suggestion.alternatives[1].make("walk"), Folds)


def test_a_label_that_changes_over_time_is_told_with_figures(store):
    columns = _rows(8_000) | {"t": pa.array(np.arange(8_000), pa.timestamp("s", "UTC"))}
    columns["late"] = np.random.default_rng(1).random(8_000) < np.linspace(0.1, 0.7, 8_000)
    reasons = _make(store, columns, key=["id"], event_time="t").suggest_split("late").reasons
    (told,) = [reason for reason in reasons if "over time" in reason]
    assert "it changes (effect 0." in told
    assert "late=True lies between" in told


def test_rows_of_entities_that_decide_the_label_are_kept_together(store):
    rng = np.random.default_rng(2)
    patient = rng.integers(0, 300, 9_000)
    columns = _rows(9_000) | {"patient_id": patient, "late": rng.random(9_000) < np.linspace(0.05, 0.6, 300)[patient]}
    suggestion = _make(store, columns, key=["id"]).suggest_split("late")
    assert suggestion.arguments["group_by"] == ["patient_id"]
    assert suggestion.arguments["stratify"] == "late"
    assert any("late differs between them more than chance" in reason for reason in suggestion.reasons)
    assert suggestion.make("s").report(columns=[]).groups_in_several_parts == 0


def test_entities_that_say_nothing_of_the_label_do_not_decide(store):
    columns = _rows(9_000) | {"shop_id": np.arange(9_000) % 300}
    suggestion = _make(store, columns, key=["id"]).suggest_split("late")
    assert suggestion.arguments == {"train": 0.7, "validation": 0.15, "test": 0.15, "stratify": "late"}
    assert any("about as chance would make it" in reason for reason in suggestion.reasons)


def test_categories_and_one_value_that_most_rows_have_are_no_entities(store):
    columns = _rows(9_000) | {
        "state": [f"s{n % 50}" for n in range(9_000)],
        "user_id": np.where(np.arange(9_000) % 2 == 0, 0, np.arange(9_000) % 400),
    }
    assert "group_by" not in _make(store, columns, key=["id"]).suggest_split().arguments


def test_repeated_rows_are_kept_together_and_rows_without_a_key_are_told_apart(store):
    columns = {"x": np.arange(3_000) // 2, "y": np.arange(3_000) // 2 * 3, "late": np.arange(3_000) % 3 == 0}
    suggestion = _make(store, columns).suggest_split("late")
    assert suggestion.arguments["duplicates"] == ["x", "y"]
    assert suggestion.reasons[0].startswith("100.0% of the rows agree with another")
    suggestion.make("s")
    plain = store.create_dataset("plain").append({"x": [n / 7 for n in range(3_000)], "row": list(range(3_000))})
    assert plain.suggest_split().arguments["key"] == ["row"]
    assert plain.suggest_split().make("s").train.num_rows > 0


@pytest.mark.parametrize(("rows", "k"), [(100, 10), (1_500, 5)])
def test_few_rows_are_shared_out_to_folds(store, rows, k):
    suggestion = _make(store, _rows(rows), key=["id"]).suggest_split("late")
    assert (suggestion.verb, suggestion.arguments) == ("folds", {"k": k, "stratify": "late"})
    assert len(suggestion.make("cv")) == k


def test_many_rows_need_a_smaller_share_for_the_test_part(store):
    suggestion = _make(store, _rows(120_000), key=["id"]).suggest_split("late")
    assert suggestion.arguments["test"] == 0.1
    assert any("a test part of 12,000 rows tells an accuracy of 90 % to +- 0.5" in each for each in suggestion.reasons)


def test_what_it_would_warn_of_is_said_before(store):
    columns = _rows(4_000) | {
        "late": ["rare"] * 40 + ["b"] * 3_960,
        "tail_id": [f"n{n % 400}" for n in range(4_000)],
        "t": pa.array(np.arange(4_000) * 3600, pa.timestamp("s", "UTC")),
    }
    warnings = _make(store, columns, key=["id"], event_time="t").suggest_split("late").warnings
    assert "classes with less than 30 rows in a part: rare (40)" in warnings
    assert any(each.startswith("tail_id may be in several parts") for each in warnings)
    assert any("purge=" in each for each in warnings)


def test_the_same_data_gives_the_same_suggestion_however_it_came(store):
    columns = pa.table(_rows(5_000) | {"user": [f"u{n % 777}" for n in range(5_000)]})
    whole = store.create_dataset("whole", key=["id"]).append(columns).suggest_split("late")
    dataset = store.create_dataset("pieces", key=["id"])
    for start in range(0, 5_000, 1_250):
        dataset.append(columns.slice(start, 1_250))
    pieces = dataset.latest.suggest_split("late")
    assert (pieces.arguments, pieces.reasons, pieces.warnings) == (whole.arguments, whole.reasons, whole.warnings)


def test_a_number_to_predict_is_counted_above_its_median(store):
    columns = _rows(5_000) | {"user": [f"u{n % 500}" for n in range(5_000)]}
    columns["price"] = np.arange(5_000) % 500 + columns["x"]
    suggestion = _make(store, columns, key=["id"]).suggest_split("price")
    assert suggestion.arguments["group_by"] == ["user"]
    assert "stratify" not in suggestion.arguments


def test_a_suggestion_reads_as_text_code_html_and_plain_data(store):
    suggestion = _make(store, _rows(3_000), key=["id"]).suggest_split("late")
    assert repr(suggestion) == (
        "<SplitSuggestion version.split('name', train=0.7, validation=0.15, test=0.15, stratify='late')>"
    )
    assert str(suggestion).startswith("d@1: version.split('name', train=0.7")
    assert "Because" in suggestion._repr_html_()
    plain = suggestion.to_dict()
    assert plain["code"] == suggestion.code()
    assert plain["alternatives"][0]["verb"] == "folds"
    assert suggestion.alternatives[0].code("cv") == "version.folds('cv', k=5, stratify='late')"


def test_what_cannot_be_suggested_for_is_refused(store):
    with pytest.raises(ColumnNotFoundError, match="'lat'"):
        _make(store, _rows(100), key=["id"]).suggest_split("lat")
    lists = store.create_dataset("lists").append({"x": [[n] for n in range(50)]})
    with pytest.raises(UsageError, match="no column that tells rows apart"):
        lists.suggest_split("x")
    few = store.create_dataset("few", key=["id"]).append({"id": [1, 2]})
    with pytest.raises(UsageError, match="has 2 rows: nothing can be said"):
        few.suggest_split()


def test_the_flights_are_split_by_time_or_by_aircraft(store, sample):
    flights = store.create_dataset(
        "flights", key=["carrier", "flight", "origin", "time_hour"], event_time="departs",
        derive={"departs": "time_hour + minute * INTERVAL 1 MINUTE"},
    )  # fmt: skip
    flights.append(sample / "flights" / "flights_2013-01.parquet")
    version = flights.add_columns({"late": "arr_delay > 15"})
    suggestion = version.suggest_split("late")
    assert suggestion.arguments == {"by_time": "departs", "boundaries": ["2013-01-23", "2013-01-28"]}
    assert suggestion.alternatives[0].arguments["group_by"] == ["tailnum"]
    assert not suggestion.make("by_time").report(columns=[]).times_overlap
