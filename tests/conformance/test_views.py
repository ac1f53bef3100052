"""Views and SQL give the same rows, counts and errors in a folder and behind a server."""

import math

import polars as pl
import pyarrow as pa
import pytest

import foldstore
from tests.conformance.conftest import raised

ROWS = {"id": list(range(100)), "km": [n % 10 for n in range(100)], "kind": ["a", "b", None, "c"] * 25}


@pytest.fixture
def trips(store):
    made = store.create_dataset("trips", key=["id"])
    made.append(ROWS)
    made.set_alias("champion", 1)
    return made


@pytest.fixture
def view(store, trips):
    return store.view("trips@1")


class TestSteps:
    def test_filter_choose_and_compute(self, view):
        found = view.where("km > 6").select("id", double="km * 2")
        assert isinstance(found, foldstore.View)
        assert (found.count(), found.num_rows) == (30, 30)
        assert found.arrow_schema.names == ["id", "double"]
        assert found.to_arrow()["double"].to_pylist()[:3] == [14, 16, 18]
        assert found.to_polars().height == 30
        assert found.scan().select(pl.col("double").max()).collect().item() == 18

    @pytest.mark.parametrize(
        "make",
        [
            lambda v: v.limit(7),
            lambda v: v.where_any("km = 3", "km = 4"),
            lambda v: v.sample(0.2, seed=7),
            lambda v: v.order_by("km", "id", descending=True),
            lambda v: v.shuffle(seed=3),
            lambda v: v.map("kind", {"a": "x"}, default="other"),
            lambda v: v.enumerate("kind"),
            lambda v: v.balance("kind", rows="once"),
            lambda v: v.union(v.where("km = 1")),
            lambda v: v.repeat(2),
            lambda v: v.where("km < 5").select("km").limit(3),
        ],
    )
    def test_give_the_rows_and_the_hash_that_the_folder_gives(self, make, behind):
        local = behind.store
        local.create_dataset("trips", key=["id"]).append(ROWS)
        ours, theirs = make(local.view("trips@1")), make(behind.connect().view("trips@1"))
        assert theirs.hash == ours.hash
        assert theirs.spec() == ours.spec()
        assert theirs.to_arrow().equals(ours.to_arrow())
        assert theirs.count() == ours.count()
        assert theirs.counts() == ours.counts()
        assert str(theirs.explain()) == str(ours.explain())
        assert repr(theirs) == repr(ours)
        assert theirs.arrow_schema == ours.arrow_schema

    def test_a_view_without_end_is_read_in_batches(self, view):
        endless = view.repeat()
        assert endless.is_endless
        assert raised(endless.to_arrow) == ("UsageError", "endless-view")
        read = 0
        for batch in endless.to_batches():
            read += batch.num_rows
            if read > 250:
                break
        assert view.repeat().limit(250).count() == 250

    def test_errors_show_where_they_are_written(self, view):
        assert raised(lambda: view.where("nope = 1")) == ("ColumnNotFoundError", "column-not-found")
        assert raised(lambda: view.where("km")) == ("InvalidExpressionError", "invalid-expression")
        assert raised(lambda: view.select("nope")) == ("ColumnNotFoundError", "column-not-found")
        assert raised(lambda: view.limit(-1))[0] == "UsageError"


class TestTheStore:
    def test_opens_addresses_lists_and_specifications(self, store, trips, view):
        trips.append({"id": [100], "km": [1], "kind": ["z"]})
        assert store.view("trips").count() == 101
        assert store.view("trips@champion").count() == 100
        assert store.view(["trips@1", "trips@2"]).count() == 201
        assert store.view({"sources": [{"address": "trips@1"}], "steps": [{"where": "km = 1"}]}).count() == 10
        again = store.view(view.where("km = 1").spec())
        assert again.hash == view.where("km = 1").hash
        assert store.blend({"trips@1": 1, "trips@2": 1}, rows=10).count() == 10
        assert raised(lambda: store.view("nothing")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.view("trips@9")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.view("trips@*"))[0] == "UsageError"
        assert raised(lambda: store.view({"sources": []})) == ("UsageError", "invalid-view")

    def test_saves_and_opens_views(self, store, view):
        assert view.where("km > 6").save("far", message="far ones") == 1
        assert view.where("km > 7").save("far") == 2
        assert store.views() == ["far"]
        assert (store.view("far@1").count(), store.view("far").count()) == (30, 20)
        saved = store.saved_views.get("far")
        assert [(each.address, each.message) for each in saved.versions] == [("far@1", "far ones"), ("far@2", "")]
        assert saved.versions[0].reads == ("trips@1",)
        assert store.view("far@1").select("id").where("id < 9").count() == 2
        assert raised(lambda: view.save("trips")) == ("AlreadyExistsError", "already-exists")
        assert raised(lambda: store.saved_views.get("nope")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.view("far@3")) == ("NotFoundError", "not-found")

    def test_says_what_moved(self, store, trips):
        view = store.view("trips@champion").where("km > 6")
        second = trips.append({"id": [100, 101], "km": [8, 1], "kind": ["z", "z"]})
        trips.set_alias("champion", second)
        assert view.repinned().count() == 31
        moved = view.moved()
        assert (moved.num_before, moved.num_after, moved.num_added, moved.num_removed) == (30, 31, 1, 0)
        found = store.view("trips@1").diff(store.view("trips@2").where("id > 50"))
        assert (found.num_added, found.num_removed, found.num_common) == (2, 51, 49)
        assert found.sources == (("trips@1", "trips@2"),)


class TestEnds:
    def test_feed_models(self, view):
        batches = list(view.select("id", "km").loader(32))
        assert [len(batch["id"]) for batch in batches] == [32, 32, 32, 4]
        features, label = view.select("id", "km").to_xy("km")
        assert (features.shape, label.tolist()[:3]) == ((100, 1), [0, 1, 2])
        assert next(iter(view.loader(30, columns=["id"], rank=1, world_size=2)))["id"][0] == 30

    def test_profile_and_export(self, view, tmp_path):
        profile = view.where("km > 6").profile()
        assert (profile.rows, profile.columns["km"].minimum) == (30, 7)
        view.limit(3).export(tmp_path / "rows.csv", columns=["km"])
        assert (tmp_path / "rows.csv").read_text().replace('"', "").split() == ["km", "0", "1", "2"]


class TestSql:
    def test_answers_in_every_form(self, store, trips):
        store.view("trips@1").where("km = 1").save("ones")
        result = store.sql('SELECT kind, count(*) AS n FROM "trips@1" WHERE km >= ? GROUP BY 1 ORDER BY 2 DESC, 1', [8])
        assert result.arrow_schema.names == ["kind", "n"]
        assert sum(n for _, n in result.rows()) == 20
        assert result.to_arrow() == result.to_reader().read_all()
        assert result.to_polars()["n"].sum() == 20
        assert store.sql("SELECT count(*) FROM trips WHERE km = $km", {"km": 3}).rows() == [(10,)]
        assert store.sql("SELECT count(*) FROM ones", timeout=20).rows() == [(10,)]
        assert store.sql("SELECT 1.5::DOUBLE AS x, NULL::INT AS y, 'NaN'::DOUBLE AS z").to_arrow().schema == pa.schema(
            {"x": pa.float64(), "y": pa.int32(), "z": pa.float64()}
        )
        assert math.isnan(store.sql("SELECT 'NaN'::DOUBLE").rows()[0][0])

    def test_errors(self, store, trips):
        for query, told in (
            ("SELECT", ("InvalidQueryError", "invalid-query")),
            ("SELECT nope FROM trips", ("InvalidQueryError", "invalid-query")),
            ("DELETE FROM trips", ("InvalidQueryError", "invalid-query")),
            ("SELECT * FROM nothing", ("NotFoundError", "not-found")),
            ("SELECT * FROM read_csv('/etc/passwd')", ("InvalidQueryError", "invalid-query")),
        ):
            assert raised(lambda query=query: store.sql(query).rows()) == told, query
