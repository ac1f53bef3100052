"""Datasets, versions, rows and refs are the same in a folder and behind a server."""

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest

from foldstore.errors import UsageError
from tests.conformance.conftest import raised

ROWS = {"id": [1, 2, 3, 4], "age": [34, 51, 7, None], "city": ["Oslo", "Bern", "Rome", "Oslo"]}


@pytest.fixture
def first(people):
    return people.append(ROWS, message="first")


class TestDatasets:
    def test_are_made_described_and_found(self, store):
        made = store.create_dataset("cities", key=["city"], event_time="seen", derive={"double": "people * 2"})
        assert (made.name, made.key, made.event_time) == ("cities", ("city",), "seen")
        assert dict(made.record.derive) == {"double": "people * 2"}
        said = made.describe("Cities of Europe", owner="ana", tags=["geo", "raw"])
        assert (said.description, said.owner, said.tags, said.version) == ("Cities of Europe", "ana", ("geo", "raw"), 1)
        assert made.describe(owner="").owner is None
        assert store.dataset("cities").description.tags == ("geo", "raw")
        store.create_dataset("other")
        assert [each.name for each in store.datasets()] == ["cities", "other"]
        assert [each.name for each in store.datasets(search="europe")] == ["cities"]
        assert [each.name for each in store.datasets(tag="geo")] == ["cities"]
        assert repr(made) == "<Dataset 'cities', key city>"

    def test_more_than_a_page_of_them_are_listed(self, people):
        versions = [people.append({"id": [n]}) for n in range(3)]
        assert [each.number for each in people.versions()] == [1, 2, 3]
        assert people.versions() == versions

    def test_errors(self, store, people):
        assert raised(lambda: store.create_dataset("people")) == ("AlreadyExistsError", "already-exists")
        assert raised(lambda: store.create_dataset("../x")) == ("InvalidNameError", "invalid-name")
        assert raised(lambda: store.create_dataset("a", key="id")) == ("UsageError", "usage")
        assert raised(lambda: store.dataset("nothing")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.version("people@1")) == ("NotFoundError", "not-found")
        assert raised(lambda: store.version("people@1#a.train")) == ("UsageError", "usage")
        assert raised(lambda: people.latest) == ("NotFoundError", "not-found")


class TestCommits:
    def test_append(self, people, first):
        assert (first.address, first.number, first.num_rows, str(first.status)) == ("people@1", 1, 4, "published")
        assert (first.record.message, str(first.record.operation), first.record.rows_added) == ("first", "append", 4)
        second = people.append({"id": [5], "age": [60], "city": ["Ghent"]})
        assert second.to_arrow().to_pydict() == {
            "id": [1, 2, 3, 4, 5],
            "age": [34, 51, 7, None, 60],
            "city": ["Oslo", "Bern", "Rome", "Oslo", "Ghent"],
        }
        assert people.latest == second
        assert first.num_rows == 4

    @pytest.mark.parametrize("form", ["table", "polars", "batches", "reader", "parquet", "csv"])
    def test_takes_what_speaks_arrow_and_files(self, people, tmp_path, form):
        table = pa.table(ROWS)
        if form == "parquet":
            pa.parquet.write_table(table, tmp_path / "rows.parquet")
        (tmp_path / "rows.csv").write_text("id,age,city\n1,34,Oslo\n2,NA,Bern\n")
        data = {
            "table": lambda: table,
            "polars": lambda: pl.DataFrame(ROWS),
            "batches": lambda: iter(table.to_batches(max_chunksize=3)),
            "reader": table.to_reader,
            "parquet": lambda: tmp_path / "rows.parquet",
            "csv": lambda: tmp_path / "rows.csv",
        }[form]()
        how = {"null_tokens": ["NA"]} if form == "csv" else {}
        version = people.append(data, **how)
        assert version.to_arrow()["age"].to_pylist()[:2] == [34, None if form == "csv" else 51]

    def test_upsert_overwrite_sync_and_delete(self, people, first):
        assert people.upsert({"id": [3, 9], "age": [8, 1], "city": ["Rome", "Kyiv"]}).num_rows == 5
        assert people.delete("age > 50").to_arrow()["id"].to_pylist() == [1, 4, 3, 9]
        assert people.delete(keys={"id": [9, 77]}).to_arrow()["id"].to_pylist() == [1, 4, 3]
        assert people.delete(keys=[{"id": 4}]).num_rows == 2
        synced = people.sync({"id": [1, 5], "age": [35, 2], "city": ["Oslo", "Bern"]})
        assert synced.record.properties["sync"] == {"added": 1, "changed": 1, "deleted": 1, "unchanged": 0}
        whole = people.overwrite({"id": [2, 1], "n": [0.5, 1.5]}, order_by=["id"])
        assert whole.to_arrow().to_pydict() == {"id": [1, 2], "n": [1.5, 0.5]}
        assert people.restore(1).to_arrow().equals(first.to_arrow())

    def test_columns_come_change_and_go(self, store, people, first):
        assert people.add_columns({"old": "age > 40"}).to_arrow()["old"].to_pylist() == [False, True, False, None]
        assert people.rename_columns({"city": "town"}).arrow_schema.names == ["id", "age", "town", "old"]
        assert people.drop_columns(["old"]).arrow_schema.names == ["id", "age", "town"]
        people.append({"id": [8], "age": [1], "town": ["Ulm"], "note": ["x"]}, evolve=True)
        assert people.latest.to_arrow()["note"].to_pylist() == [None] * 4 + ["x"]
        narrow = store.create_dataset("narrow")
        small = narrow.append({"id": pa.array([1], pa.int32())})
        assert narrow.widen_columns({"id": "int64"}).arrow_schema.field("id").type == pa.int64()
        assert small.arrow_schema.field("id").type == pa.int32()

    def test_a_commit_with_a_key_is_made_once(self, people):
        one = people.append({"id": [1]}, idempotency_key="load-1")
        again = people.append({"id": [1]}, idempotency_key="load-1")
        assert one == again
        assert len(people.versions()) == 1

    def test_branches_are_written_and_merged(self, people, first):
        cleaning = people.create_branch("cleaning", first)
        assert cleaning.delete("age > 50").num_rows == 3
        assert cleaning.append({"id": [7], "age": [1], "city": ["Ulm"]}).num_rows == 4
        assert (people.latest, cleaning.latest.number, people.branch("cleaning").latest.number) == (first, 3, 3)
        assert repr(cleaning) == "<Dataset 'people', key id, branch 'cleaning'>"
        assert people.merge("cleaning").to_arrow()["id"].to_pylist() == [1, 3, 4, 7]

    def test_errors(self, store, people, first):
        def append(rows, **how):
            return lambda: people.append(rows, **how)

        assert raised(append({"id": [1], "age": [1], "city": ["x"]})) == ("DuplicateKeyError", "duplicate-key")
        assert raised(append({"id": [9], "age": [1]})) == ("SchemaMismatchError", "column-missing")
        assert raised(append({"id": ["a"], "age": [1], "city": ["x"]})) == ("SchemaMismatchError", "type-mismatch")
        assert raised(append("no-such-file.parquet")) == ("IngestError", "file-not-found")
        assert raised(append(ROWS, mesage="x"))[0] == "UsageError"
        assert raised(append({"id": [9], "age": [1], "city": ["x"]}, order_by=["nope"]))[1] == "column-not-found"
        assert raised(lambda: people.delete("nope > 1")) == ("ColumnNotFoundError", "column-not-found")
        assert raised(lambda: people.delete("sum(age) > 1")) == ("InvalidExpressionError", "invalid-expression")
        assert raised(people.delete) == ("UsageError", "usage")
        assert raised(lambda: people.add_columns({"age": "1"})) == ("AlreadyExistsError", "already-exists")
        assert raised(lambda: people.drop_columns(["id"])) == ("UsageError", "column-needed")
        assert raised(lambda: people.widen_columns({"id": "int8"})) == ("SchemaMismatchError", "not-wider")
        assert raised(lambda: people.upsert({"id": [None], "age": [1], "city": ["x"]})) == ("UsageError", "null-key")
        keyless = store.create_dataset("keyless")
        keyless.append({"a": [1]})
        assert raised(lambda: keyless.delete(keys={"a": [1]})) == ("UsageError", "usage")
        assert raised(lambda: keyless.upsert({"a": [1]})) == ("UsageError", "no-key")

    def test_a_conflict_says_whether_to_try_again(self, people, first):
        from foldstore.errors import ConflictError

        side = people.create_branch("side", first)
        side.upsert({"id": [1], "age": [1], "city": ["Oslo"]})
        people.upsert({"id": [1], "age": [2], "city": ["Oslo"]})
        with pytest.raises(ConflictError) as caught:
            people.merge("side")
        assert (caught.value.code, caught.value.retry) == ("merge-conflict", False)


class TestRows:
    def test_come_in_every_form(self, first):
        assert first.arrow_schema == pa.schema({"id": pa.int64(), "age": pa.int64(), "city": pa.string()})
        assert first.to_arrow(columns=["city", "id"]).schema.names == ["city", "id"]
        assert first.to_arrow(columns=["id"]) == first.to_table(["id"]) == pa.table({"id": [1, 2, 3, 4]})
        assert sum(batch.num_rows for batch in first.to_batches()) == 4
        assert first.to_reader().read_all() == first.to_arrow()
        assert first.to_polars()["city"].to_list() == ROWS["city"]
        assert first.scan().filter(pl.col("id") > 2).collect().height == 2
        assert np.array_equal(first.to_numpy()["id"], [1, 2, 3, 4])
        assert pa.table(first) == first.to_arrow()
        assert [batch["id"].tolist() for batch in first.loader(3, columns=["id"])] == [[1, 2, 3], [4]]
        assert first.to_dict()["rows"] == 4

    def test_are_exact_in_every_type(self, store):
        day = dt.date(2024, 2, 29)
        table = pa.table(
            {
                "float": [0.1, math.nan, -0.0, None],
                "narrow": pa.array([0.1, math.inf, None, 1e-45], pa.float32()),
                "wide": [2**63 - 1, -(2**63), 0, None],
                "when": pa.array([0, -1, None, 2**62], pa.timestamp("ns", "UTC")),
                "day": [day, None, day, day],
                "money": pa.array([Decimal("1.10"), None, Decimal("-9.99"), Decimal(0)], pa.decimal128(12, 2)),
                "bytes": [b"\x00\xff", None, b"", b"x"],
                "list": [[1, None], [], None, [3]],
                "struct": [{"a": 1}, {"a": None}, None, {"a": 2}],
                "kind": pa.array(["a", "b", None, "a"]).dictionary_encode(),
            }
        )
        version = store.create_dataset("types").append(table)
        read = version.to_arrow()
        assert read.schema.types == version.arrow_schema.types
        for name in table.column_names:
            assert read[name].cast(table[name].type).to_pylist()[2:] == table[name].to_pylist()[2:], name
        assert math.isnan(read["float"][1].as_py())
        assert math.copysign(1, read["float"][2].as_py()) == -1

    def test_of_a_version_without_any(self, people):
        empty = people.append(pa.schema({"id": pa.int64()}).empty_table())
        assert empty.to_arrow() == pa.table({"id": pa.array([], pa.int64())})

    def test_columns_of_any_name(self, store):
        names = ["a,b", "a.b", 'a"b', "ä", "select", "a b"]
        version = store.create_dataset("odd").append({name: [n] for n, name in enumerate(names)})
        assert version.to_arrow(columns=names[::-1]).to_pydict() == {
            name: [n] for n, name in reversed(list(enumerate(names)))
        }

    def test_are_exported(self, first, tmp_path):
        first.export(tmp_path / "rows.parquet", columns=["id"])
        assert pa.parquet.read_table(tmp_path / "rows.parquet") == pa.table({"id": [1, 2, 3, 4]})

    def test_errors(self, first):
        assert raised(lambda: first.to_arrow(columns=["nope"])) == ("ColumnNotFoundError", "column-not-found")


class TestRefs:
    def test_move_and_stay(self, people, first):
        second = people.append({"id": [5], "age": [60], "city": ["Ghent"]})
        people.set_alias("champion", first)
        people.set_alias("champion", second)
        people.tag("paper", 1)
        assert people.version("champion") == second
        assert people.version("paper") == first
        assert {(each["name"], each["kind"], each["version"]) for each in people.refs()} == {
            ("champion", "alias", 2),
            ("main", "branch", 2),
            ("paper", "tag", 1),
        }
        assert [move.version for move in people.history("champion")] == [1, 2]
        people.remove_ref("paper")
        assert raised(lambda: people.version("paper")) == ("NotFoundError", "not-found")

    def test_errors(self, people, first):
        people.tag("paper")
        assert raised(lambda: people.tag("paper")) == ("AlreadyExistsError", "already-exists")
        assert raised(lambda: people.tag("latest"))[0] == "InvalidNameError"
        assert raised(lambda: people.tag("123"))[0] == "InvalidNameError"
        assert raised(lambda: people.branch("nope")) == ("NotFoundError", "not-found")
        assert raised(lambda: people.remove_ref("nope")) == ("NotFoundError", "not-found")


class TestDifferences:
    def test_say_which_rows_and_columns(self, people, first):
        second = people.upsert({"id": [3, 9], "age": [8, 1], "city": ["Rome", "Kyiv"]})
        found = people.diff(first, second)
        assert found.summary() == {
            "before": "people@1",
            "after": "people@2",
            "key": ["id"],
            "columns": {"added": {}, "dropped": {}, "renamed": {}, "retyped": {}, "redefined": {}, "replaced": []},
            "rows": {"added": 1, "removed": 0, "changed": 1, "unchanged": 3},
            "changed_columns": {"age": 1},
        }
        assert found.rows_added(["id"]).to_pydict() == {"id": [9]}
        assert found.rows_removed().num_rows == 0
        assert found.rows_changed().to_pylist() == [
            {"key": {"id": 3}, "columns": ["age"], "before": {"age": 7}, "after": {"age": 8}}
        ]
        assert not found.is_empty
        assert people.diff(1, 1).is_empty
        assert "1 added" in str(found)
        columns = people.diff(second, people.add_columns({"x": "age * 1.5"})).columns
        assert columns.added == (("x", "decimal128(21, 1)"),)


class TestStatuses:
    def test_a_version_is_deprecated(self, store, people, first):
        from foldstore.store_views import DeprecatedInputWarning

        second = people.append({"id": [5], "age": [60], "city": ["Ghent"]})
        second.deprecate("wrong source", replacement="people@1")
        assert str(second.status) == "deprecated"
        assert (second.deprecation.reason, second.deprecation.replacement) == ("wrong source", "people@1")
        assert people.latest == first
        with pytest.warns(DeprecatedInputWarning, match="wrong source Use people@1"):
            store.view("people@2")
        assert raised(lambda: second.deprecate("again"))[1] == "invalid-status"
        with pytest.raises(UsageError):
            first.deprecate("")
