"""Training sets made again: equal to the bit whatever came since; what differs, and what cannot be, is said."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.cli.app import run
from foldstore.datastore.catalog import roots
from foldstore.datastore.content_digest import digest_table
from foldstore.errors import NotFoundError, UnreadableError

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def hour(n):
    return START + dt.timedelta(hours=int(n))


def rides(seed, count=300):
    random = np.random.default_rng(seed)
    return {
        "driver": random.integers(0, 20, count).tolist(),
        "ts": [hour(n) for n in random.integers(0, 200, count)],
        "trips": [None if n % 13 == 0 else n % 50 for n in range(count)],
        "rating": random.normal(size=count).tolist(),
        "city": [["Oslo", "Bern", "Rome"][n % 3] for n in range(count)],
    }


@pytest.fixture
def made(store):
    """A training set with a query, a view and a transform among what it is made of."""
    store.create_dataset("rides", event_time="ts").append(rides(1))
    store.view("rides").where("trips IS NOT NULL").save("rated")
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    by = {"entity": driver, "event_time": "ts"}
    plain = foldstore.FeatureView("stats", source="rides", features=["trips", "rating"], ttl="60h", **by)
    view = foldstore.FeatureView("rated", source="rated", features=["city"], **by)
    query = foldstore.sql("SELECT driver, ts, rating * 2 AS twice FROM rides")
    asked = foldstore.FeatureView("asked", source=query, features=["twice"], **by)
    store.features.apply(foldstore.FeatureService("model", [plain, view, asked]))
    asks = {"id": list(range(90)), "driver": [n % 22 for n in range(90)], "asked": [hour(100 + n) for n in range(90)]}
    labels = store.create_dataset("asks", key=["id"], event_time="asked").append({**asks, "late": [1, 0, 1] * 30})
    labels.split("s", train=0.6, validation=0.2, test=0.2)
    return store.features.create_training_set("training", labels="asks@1#s", features="model@1")


def test_it_is_equal_though_every_input_got_new_versions(store, made):
    before = store.features.reproduce(made)
    store.dataset("rides").append(rides(2))
    store.dataset("asks").append({"id": [100], "driver": [1], "asked": [hour(150)], "late": [1]})
    store.view("rides").where("trips > 30").save("rated")
    store.features.apply(
        foldstore.FeatureService("model", store.features.service("model").selections[:1]), allow_breaking=True
    )
    found = store.features.reproduce("training@1")
    assert found.equal
    assert (found.kept, found.made, found.num_rows) == (before.kept, before.kept, 90)
    assert (found.labels, found.features, found.versions) == ("asks@1#s", "model@1", ("rides@1",))
    assert found.differences == ()
    assert "equal" in str(found)
    assert store.dataset("training").latest.number == 1, "nothing is written"


def test_options_and_a_transform_are_part_of_the_definition(store, made):
    operations = [foldstore.Impute("trips"), foldstore.ZScore("rating"), foldstore.TargetEncode("city", target="late")]
    transform = store.transforms.fit(foldstore.Transform("inputs", operations), on=made.train)
    chosen = store.features.service("model@1").selections[:2]
    store.features.apply(foldstore.FeatureService("fitted", chosen, transform=transform))
    options = {"full_feature_names": False, "allow_exact_match": False}
    store.features.create_training_set("second", labels="asks@1#s", features="fitted@1", **options)
    store.dataset("rides").append(rides(3))
    assert store.features.reproduce("second@1").equal


def test_what_differs_is_said(store, made, folder, capsys):
    kept = made.to_arrow()
    ratings = kept["rating"].to_pylist()
    place = next(n for n, value in enumerate(ratings) if value is not None)
    was, ratings[place] = ratings[place], float(np.nextafter(ratings[place], 9))
    changed = kept.set_column(kept.column_names.index("rating"), "rating", pa.array(ratings))
    properties = made.version.record.properties
    store.dataset("training").overwrite(changed, properties=properties)
    found = store.features.reproduce("training@2")
    assert not found.equal
    (difference,) = found.differences
    assert (difference.column, difference.rows) == ("rating", 1)
    assert difference.examples == ({"row": place, "kept": ratings[place], "made": was},)
    assert run(["features", "reproduce", "training@2", "--store", str(folder)]) == 1
    assert "rating: 1 rows differ" in capsys.readouterr().out


def test_the_command(store, made, folder, capsys):
    assert run(["features", "reproduce", "training@1", "--store", str(folder), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True
    assert run(["features", "reproduce", "rides@1", "--store", str(folder)]) == 2
    assert run(["features", "reproduce", "nothing@1", "--store", str(folder)]) == 2


def test_erased_inputs_are_said(store, made, folder):
    driver = made.to_arrow().filter(pa.compute.is_valid(made.to_arrow()["trips"]))["driver"][0].as_py()
    store.dataset("rides").erase(where=f"driver = {driver}", reason="asked to be forgotten")
    with pytest.raises(UnreadableError, match=r"rows were erased from rides@1 \(") as caught:
        store.features.reproduce("training@1")
    assert caught.value.code == "inputs-erased"
    assert run(["features", "reproduce", "training@1", "--store", str(folder)]) == 3


def test_rows_that_were_erased_in_both_are_no_difference(store, made):
    store.dataset("asks").erase(where="id = 3", reason="asked to be forgotten")
    with pytest.raises(UnreadableError, match="rows were erased from asks@1"):
        store.features.reproduce("training@1")
    store.dataset("training").erase(where="id = 3", reason="asked to be forgotten")
    assert store.features.reproduce("training@1").num_rows == 89
    assert store.features.reproduce("training@1").equal


def test_expired_inputs_are_said(store, made, monkeypatch):
    rides_of_taxis = store.create_dataset("taxis", event_time="ts")
    rides_of_taxis.append(rides(1))
    driver = foldstore.Entity("driver", keys={"driver": "int64"})
    view = foldstore.FeatureView("taxi", entity=driver, source="taxis", event_time="ts", features=["trips"])
    store.features.apply(foldstore.FeatureService("taxi", [view]))
    second = store.features.create_training_set("second", labels="asks@1#s", features="taxi@1")
    rides_of_taxis.append(rides(2))
    rides_of_taxis.set_retention(keep_last=1)
    assert store.gc(dry_run=False).expired == (), "a training set keeps what it was made of"
    assert store.version("taxis@1").consumers.release("training_set", second.address)
    assert store.gc(dry_run=False).expired == (), "it is no matter of the register of consumers alone"
    monkeypatch.setattr(roots, "_addressed", lambda connection: iter(()))  # as an older version collected
    assert [each.address for each in store.gc(dry_run=False).expired] == ["taxis@1"]
    with pytest.raises(UnreadableError, match="taxis@1 expired on") as caught:
        store.features.reproduce(second)
    assert caught.value.code == "inputs-expired"


def test_what_is_no_training_set_is_refused(store, made):
    with pytest.raises(NotFoundError, match="rides@1 is not a training set"):
        store.features.reproduce("rides@1")


VALUES = {
    pa.int8(): st.integers(-128, 127),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=4),
    pa.string_view(): st.text(max_size=20),
    pa.list_(pa.int64()): st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=3),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(0, 3), "b": st.none() | st.text(max_size=2)}
    ),
    pa.dictionary(pa.int32(), pa.string()): st.sampled_from(["x", "y", ""]),
    pa.timestamp("ns", "UTC"): st.integers(-(2**63) + 1, 2**63 - 1),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.map_(pa.string(), pa.int64()): st.lists(st.tuples(st.text(max_size=2), st.integers(0, 3)), max_size=2),
}


@given(data=st.data())
def test_a_digest_is_of_what_a_table_says_and_of_nothing_else(data):
    kind = data.draw(st.sampled_from(list(VALUES)))
    values = data.draw(st.lists(st.none() | VALUES[kind], min_size=1, max_size=12))
    cut = data.draw(st.integers(0, len(values)))
    table = pa.table({"c": pa.array(values, kind)})
    padded = pa.concat_tables([table, table])[len(values) :]
    cut_in_two = pa.concat_tables([padded[:cut], padded[cut:]])
    assert digest_table(cut_in_two) == digest_table(table)
    place = data.draw(st.integers(0, len(values) - 1))
    value = data.draw(st.none() | VALUES[kind])
    other = pa.table({"c": pa.array([*values[:place], value, *values[place + 1 :]], kind)})
    same = (
        repr(other["c"].to_pylist()) == repr(table["c"].to_pylist())
        if kind != pa.timestamp("ns", "UTC")
        else (other["c"].cast(pa.int64()).to_pylist() == table["c"].cast(pa.int64()).to_pylist())
    )
    assert (digest_table(other) == digest_table(table)) == same
    assert digest_table(table.rename_columns(["d"])) != digest_table(table)
