"""The catalog tables hold what the handles of the SDK say, in the columns that are declared, and nothing sealed."""

import datetime as dt
import json
import warnings
from contextlib import suppress
from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

import foldstore
from foldstore.catalog_tables import CatalogTable
from foldstore.datastore.catalog_tables.declarations import TABLES
from foldstore.datastore.profiling import KeptProfiles
from foldstore.datastore.query import ParsedQuery
from foldstore.errors import InvalidQueryError, NotFoundError
from foldstore.names import PARTS
from foldstore.types import Severity
from foldstore.validation.anomaly import CODES
from tests.postgres import empty_catalog

CANARY = "kestrel-7741"
ERASED = "heron-5512"


def ask(store, query, params=None):
    """Return rows as dicts, as the engine types them."""
    return store.sql(query, params).to_arrow().to_pylist()


@pytest.fixture(params=["sqlite", "postgresql"])
def rich(request, tmp_path):
    """A store with branches, merges, deletes, quarantine, splits, folds, views, runs, consumers and a pool."""
    if request.param == "sqlite":
        with foldstore.connect(tmp_path / "store", author="tester") as opened:
            fill(opened)
            yield opened
        return
    with empty_catalog() as url, foldstore.connect(tmp_path / "store", author="tester", catalog_url=url) as opened:
        fill(opened)
        yield opened


def fill(store):
    flights = store.create_dataset("flights", key=["id"], derive={"late": "delay > 15"})
    flights.describe("Departures", owner="data@example.org", tags=["air"])
    with store.run("load", params={"year": 2013}, message="first"):
        first = flights.append(
            {"id": list(range(3000)), "delay": [n % 60 for n in range(3000)], "origin": ["JFK", "EWR", "LGA"] * 1000}
        )
    second = flights.append({"id": [3000, 3001], "delay": [1, 99], "origin": ["JFK", None]}, message="two more")
    flights.delete("id < 10")
    cleaning = flights.create_branch("cleaning", second)
    cleaning.append({"id": [4000], "delay": [7], "origin": ["EWR"]})
    flights.merge("cleaning")
    flights.add_columns({"twice": "delay * 2"})
    flights.tag("paper", first)
    flights.set_alias("champion", second)
    first.split("by_hash", train=0.6, validation=0.2, test=0.2)
    first.folds("cv", k=3)
    first.folds("nested", k=2, inner=2)
    for version in flights.versions():
        version.profile()
    flights.set_schema(first.profile().infer_schema(), message="from the first")
    flights.append({"id": [9000], "delay": [-5000], "origin": [None]}, message="does not pass")
    store.view("flights@1").where("origin = 'JFK'").save("jfk", message="one airport")
    store.view("flights@2").where("origin = 'EWR'").save("jfk")
    store.view("flights@1").save_draft("sketch")
    store.saved_views.deprecate("jfk@1", "too old", replacement="jfk@2")
    with suppress(ValueError), store.run("train"):
        store.version("flights@champion")
        raise ValueError(CANARY)
    second.consumers.register("model", "churn@3", reason="in production")
    store.create_dataset("empty")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store like `rich` that no test changes."""
    with foldstore.connect(tmp_path_factory.mktemp("filled") / "store", author="tester") as opened:
        fill(opened)
        yield opened


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_columns_that_are_declared_with_or_without_rows(store, filled, name):
    declared = TABLES[name].arrow_schema.remove_metadata()
    found = store.sql(f"FROM foldstore.{name}").arrow_schema
    assert [(field.name, field.type) for field in found] == [(field.name, field.type) for field in declared]
    full = filled.sql(f"FROM foldstore.{name}").to_arrow()
    assert full.schema.names == declared.names
    assert [field.type for field in full.schema] == [field.type for field in declared]
    assert full.num_rows or name == "pools"


@pytest.mark.parametrize("name", TABLES)
def test_each_column_can_be_asked_for_alone_by_its_bare_name(filled, name):
    whole = filled.sql(f"FROM foldstore.{name}").to_arrow()
    for column in TABLES[name].columns:
        assert column.words.endswith("."), column
        alone = filled.sql(f"SELECT {column.name} FROM foldstore.{name}").to_arrow()
        assert alone.column(0).equals(whole.column(column.name)), column.name


def test_versions_are_those_of_the_handles(rich):
    found = ask(rich, "FROM foldstore.versions")
    versions = [version for dataset in rich.datasets() for version in dataset.versions()]
    assert [row["address"] for row in found] == [version.address for version in versions]
    by_id = {version.version_id: version for version in versions}
    used = {each.address: each for each in rich.dataset("flights").usage().versions}
    for row, version in zip(found, versions, strict=True):
        record = version.record
        assert row["version"] == version.number
        assert row["status"] == version.status
        assert row["operation"] == record.operation
        assert row["branch"] == record.branch
        assert row["rows"] == version.num_rows
        assert (row["rows_added"], row["bytes_added"]) == (record.rows_added, record.bytes_added)
        assert row["bytes"] == used[version.address].num_bytes
        assert row["fragments"] == len(version.rows.fragments)
        assert row["parent"] == (by_id[record.parent_id].address if record.parent_id else None)
        assert row["merge_parent"] == (by_id[record.merge_parent_id].address if record.merge_parent_id else None)
        assert (row["author"], row["message"]) == (record.author, record.message)
        assert row["created_at"] == version.created_at
        assert json.loads(row["properties"]) == record.properties
    assert any(row["merge_parent"] for row in found)
    assert any(row["status"] == "quarantined" for row in found)


def test_datasets_say_what_is_latest_and_what_people_say(rich):
    found = {row["dataset"]: row for row in ask(rich, "FROM foldstore.datasets")}
    flights = rich.dataset("flights")
    assert found["flights"]["latest"] == flights.latest.address
    assert found["flights"]["rows"] == flights.latest.num_rows
    assert found["flights"]["versions"] == len(flights.versions())
    assert found["flights"]["key"] == ["id"]
    assert (found["flights"]["owner"], found["flights"]["tags"]) == ("data@example.org", ["air"])
    assert json.loads(found["flights"]["derive"]) == {"late": "delay > 15"}
    assert (found["empty"]["latest"], found["empty"]["rows"], found["empty"]["versions"]) == (None, None, 0)


def test_branches_and_tags_are_those_of_the_handles(rich):
    flights = rich.dataset("flights")
    refs = {row["ref"]: row for row in ask(rich, "FROM foldstore.refs WHERE dataset = 'flights'")}
    assert {name: row["kind"] for name, row in refs.items()} == {
        "main": "branch", "cleaning": "branch", "paper": "tag", "champion": "alias",
    }  # fmt: skip
    for name, row in refs.items():
        if row["kind"] != "branch":
            assert row["address"] == flights.version(name).address
    branches = {(row["dataset"], row["branch"]): row for row in ask(rich, "FROM foldstore.branches")}
    assert branches["flights", "main"]["latest"] == flights.latest.address
    assert branches["flights", "cleaning"]["head"] == flights.version("cleaning").address
    assert branches["flights", "cleaning"]["versions"] == 1
    assert branches["empty", "main"]["head"] is None
    assert ask(rich, "SELECT tag, address, rows FROM foldstore.tags") == [
        {"tag": "paper", "address": "flights@1", "rows": 3000}
    ]


def test_columns_are_those_of_each_version(rich):
    for version in rich.dataset("flights").versions():
        query = "SELECT column_name, type, in_key FROM foldstore.columns WHERE address = ? ORDER BY position"
        found = ask(rich, query, [version.address])
        expected = [
            {"column_name": field.name, "type": str(field.type), "in_key": field.name == "id"}
            for field in version.arrow_schema
        ]
        assert found == expected


def test_fragments_are_the_files_of_each_version_in_order(rich):
    for version in rich.dataset("flights").versions():
        expected, first = [], 0
        for position, fragment in enumerate(version.rows.fragments, start=1):
            for file, group in enumerate(fragment.groups, start=1):
                size = version.rows.open_group(group.object_id).record.num_bytes
                expected.append(
                    (position, fragment.id, first, fragment.live_rows, fragment.num_rows - fragment.live_rows, file,
                     group.object_id, size, list(group.fields))
                )  # fmt: skip
            first += fragment.live_rows
        query = (
            "SELECT position, fragment_id, first_row, rows, deleted_rows, file, object_id, bytes, field_ids "
            "FROM foldstore.fragments WHERE address = ?"
        )
        assert rich.sql(query, [version.address]).rows() == expected
        assert first == version.num_rows


def test_profiles_are_those_that_were_kept_to_the_bit(rich):
    found = ask(rich, "FROM foldstore.profiles")
    by_address = {}
    for row in found:
        by_address.setdefault(row["address"], {})[row["column_name"]] = row
    *judged, refused = rich.dataset("flights").versions()
    for version in judged:
        profile = version.profile()
        assert list(by_address[version.address]) == list(profile.columns)
        for name, column in profile.columns.items():
            row = by_address[version.address][name]
            assert (row["rows"], row["nulls"], row["nan"]) == (column.rows, column.nulls, column.nan)
            assert (row["mean"], row["std"]) == (column.mean, column.std)
            assert row["distinct_values"] == column.distinct
            assert row["median"] == (None if column.grid is None else column.quantile(0.5))
            assert row["min"] == (None if column.minimum is None else str(column.minimum))
            assert [each["count"] for each in row["top"]] == [count for _, count in column.top(10)]
    assert refused.status == "quarantined"


def test_a_profile_that_is_not_kept_is_not_made(store):
    version = store.create_dataset("cities").append({"city": ["Oslo", "Bern"]})
    assert ask(store, "FROM foldstore.profiles") == []
    version.profile()
    assert [row["column_name"] for row in ask(store, "FROM foldstore.profiles")] == ["city"]


def test_no_more_profiles_of_files_are_read_than_allowed(store):
    numbers = store.create_dataset("numbers")
    for number in range(4):
        numbers.append({"n": [number]}).profile()
    kept = KeptProfiles(store._storage, most_files=3)
    found = [kept.find(version.rows) for version in numbers.versions()]
    assert [profile and profile.rows for profile in found] == [1, 2, 3, None]  # each file is read once
    assert [found[n].id for n in range(3)] == [numbers.version(n + 1).profile().id for n in range(3)]


def test_schemas_reports_and_anomalies_are_those_of_the_versions(rich):
    flights = rich.dataset("flights")
    (schema,) = ask(rich, "FROM foldstore.schemas")
    assert (schema["dataset"], schema["schema_version"], schema["message"]) == (
        "flights", flights.schema.version, "from the first",
    )  # fmt: skip
    assert set(json.loads(schema["body"])["columns"]) == set(flights.schema.columns)
    judged = [version for version in flights.versions() if version.report is not None]
    assert [row["address"] for row in ask(rich, "FROM foldstore.reports")] == [each.address for each in judged]
    for version in judged:
        (row,) = ask(rich, "FROM foldstore.reports WHERE address = ?", [version.address])
        assert (row["passed"], row["rows"]) == (version.report.passed, version.report.rows)
        found = ask(rich, "FROM foldstore.anomalies WHERE address = ? ORDER BY position", [version.address])
        assert [(each["code"], each["column_name"], each["message"]) for each in found] == [
            (each.code, each.column, each.message) for each in version.report.anomalies
        ]
        assert row["errors"] == sum(each.severity == "error" for each in version.report.anomalies)
    assert judged


def test_splits_and_folds_have_the_sizes_of_their_parts(rich):
    found = {row["address"]: row["rows"] for row in ask(rich, "FROM foldstore.splits")}
    split = rich.split("flights@1#by_hash")
    expected = {f"flights@1#by_hash.{part}": split.part(part).num_rows for part in PARTS}
    for fold in rich.split("flights@1#cv"):
        expected |= {each.address: each.num_rows for each in (fold.train, fold.validation)}
    nested = rich.split("flights@1#nested")
    for number in (1, 2):
        outer = nested.fold(number)
        expected |= {each.address: each.num_rows for each in (outer.train, outer.test)}
        for inner in (1, 2):
            within = nested.fold(number, inner)
            expected |= {each.address: each.num_rows for each in (within.train, within.validation, within.test)}
    assert found == expected


def test_views_are_those_that_were_saved(rich):
    found = {row["address"]: row for row in ask(rich, "FROM foldstore.views")}
    assert list(found) == ["jfk@1", "jfk@2", "sketch@draft"]
    for number in (0, 1):
        version = rich.saved_views.get("jfk").versions[number]
        row = found[version.address]
        assert (row["status"], row["hash"], tuple(row["reads"])) == (version.status, version.hash, version.reads)
        assert (row["author"], row["message"]) == (version.author, version.message)
    assert (found["jfk@1"]["deprecation_reason"], found["jfk@1"]["replacement"]) == ("too old", "jfk@2")
    assert found["sketch@draft"]["status"] == "draft"
    rich.saved_views.archive("jfk")
    rich.saved_views.discard_draft("sketch")
    assert ask(rich, "SELECT DISTINCT view, is_archived FROM foldstore.views") == [{"view": "jfk", "is_archived": True}]


def test_runs_and_consumers_are_those_that_were_recorded(rich):
    found = {row["run"]: row for row in ask(rich, "FROM foldstore.runs")}
    assert (found["load"]["status"], json.loads(found["load"]["params"])) == ("succeeded", {"year": 2013})
    assert (found["train"]["status"], found["train"]["error"]) == ("failed", "ValueError")
    assert found["load"]["started_at"] <= found["load"]["ended_at"] <= dt.datetime.now(dt.UTC)
    edges = rich.sql("SELECT run, role, asked, address FROM foldstore.run_versions").rows()
    assert edges == [("load", "output", "flights@1", "flights@1"), ("train", "input", "flights@champion", "flights@2")]
    listed = [(each.address, each.kind, each.name, each.reason) for each in rich.consumers()]
    assert rich.sql("SELECT address, kind, name, reason FROM foldstore.consumers").rows() == listed


def test_the_tables_describe_themselves(store):
    found = store.sql("SELECT table_name, column_name, type, description FROM foldstore.tables").rows()
    assert found == [
        (f"foldstore.{table.name}", column.name, str(column.type), column.words)
        for table in TABLES.values()
        for column in table.columns
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM foldstore.versions",
        'SELECT count(*) FROM "foldstore"."versions"',
        'SELECT count(*) FROM "foldstore.versions"',
        "SELECT count(*) FROM FOLDSTORE.Versions",
        "SELECT count(foldstore.versions.address) FROM foldstore.versions",
        "SELECT count(*) FROM foldstore.versions a JOIN foldstore.versions b USING (address)",
        "WITH v AS (FROM foldstore.versions) SELECT count(*) FROM v",
    ],
)
def test_a_table_may_be_named_as_sql_names_tables(store, query):
    store.create_dataset("cities").append({"city": ["Oslo"]})
    assert store.sql(query).rows() == [(1,)]


def test_a_row_of_a_table_is_whole_when_it_is_named_by_the_table(store):
    store.create_dataset("cities").append({"city": ["Oslo"]})
    for query in ("SELECT versions FROM foldstore.versions", "SELECT foldstore.versions FROM foldstore.versions"):
        ((row,),) = store.sql(query).rows()
        assert list(row) == TABLES["versions"].arrow_schema.names


def test_a_dataset_and_catalog_tables_are_joined_in_one_query(store):
    store.create_dataset("cities").append({"city": ["Oslo", "Bern"]})
    query = 'SELECT v.rows - count(*) FROM "cities@1", foldstore.versions v GROUP BY v.rows'
    assert store.sql(query).rows() == [(0,)]


def test_a_query_sees_what_was_committed_before_it(store):
    cities = store.create_dataset("cities")
    counts = []
    for _ in range(3):
        cities.append({"city": ["Oslo"]})
        counts += store.sql("SELECT count(*), sum(rows) FROM foldstore.versions").rows()
    assert counts == [(1, 1), (2, 3), (3, 6)]


def test_an_unknown_table_is_named_with_those_that_there_are(store):
    with pytest.raises(NotFoundError, match="no catalog table") as caught:
        store.sql("FROM foldstore.version")
    assert "Did you mean 'foldstore.versions'?" in caught.value.hint
    with pytest.raises(InvalidQueryError, match="foo") as wrong:
        store.sql("SELECT foo FROM foldstore.tags")
    assert "address" in wrong.value.hint


def test_only_the_tables_that_are_named_are_made(store, monkeypatch):
    made = []
    for name, fill_table in foldstore.catalog_tables._FROM_LISTINGS.items():
        monkeypatch.setitem(
            foldstore.catalog_tables._FROM_LISTINGS,
            name,
            lambda listings, wanted, name=name, fill_table=fill_table: (
                made.append((name, sorted(wanted))) or fill_table(listings, wanted)
            ),
        )
    store.sql("SELECT address FROM foldstore.versions WHERE rows > 3").rows()
    assert made == [("versions", ["address", "rows"])]


def test_a_store_that_is_only_read_has_them_all(rich, tmp_path):
    if rich._storage.catalog.dialect != "sqlite":
        pytest.skip("a PostgreSQL catalog is read over the same connection")
    expected = {name: ask(rich, f"SELECT count(*) AS n FROM foldstore.{name}") for name in TABLES}
    rich.close()
    with foldstore.connect(tmp_path / "store", read_only=True) as opened:
        assert {name: ask(opened, f"SELECT count(*) AS n FROM foldstore.{name}") for name in TABLES} == expected


def test_listing_versions_takes_as_many_statements_for_many_as_for_few(store):
    import sqlalchemy as sa

    cities = store.create_dataset("cities")

    def statements():
        counted = []
        engine = store._storage.catalog._engine
        sa.event.listen(engine, "before_cursor_execute", lambda *given: counted.append(given[2]))
        for name in ("versions", "datasets", "branches", "columns", "fragments", "splits", "views", "runs"):
            store.sql(f"FROM foldstore.{name}").rows()
        return len(counted)

    cities.append({"city": ["Oslo"]})
    before = statements()
    for _ in range(20):
        cities.append({"city": ["Oslo"]})
    # The listener of the first time counts along: what it saw is twice what was asked since.
    assert statements() == before


RESTRICTED = [
    ("FROM foldstore.{table} WHERE dataset = 'flights'", None, {"dataset": {"flights"}}),
    ("SELECT * FROM foldstore.{table} WHERE 'flights' = dataset AND 1 = 1", None, {"dataset": {"flights"}}),
    ("FROM foldstore.{table} WHERE address IN ('flights@1', 'flights@3')", None,
     {"address": {"flights@1", "flights@3"}}),
    ("FROM foldstore.{table} WHERE address = ? AND dataset = ?", ["flights@2", "flights"],
     {"address": {"flights@2"}, "dataset": {"flights"}}),
    ("FROM foldstore.{table} WHERE address = $one", {"one": "cities@1"}, {"address": {"cities@1"}}),
    ("FROM foldstore.{table} t WHERE t.address = 'flights@1'", None, {"address": {"flights@1"}}),
    ("FROM foldstore.{table} WHERE foldstore.{table}.address = 'flights@1'", None, {"address": {"flights@1"}}),
    ("FROM foldstore.{table} WHERE {table}.address = 'flights@1'", None, {"address": {"flights@1"}}),
    ("SELECT a.* FROM foldstore.{table} a JOIN foldstore.{table} b USING (address) WHERE a.address = 'flights@1' AND "
     "b.address = 'flights@1'", None, {"address": {"flights@1"}}),
    ("WITH t AS (FROM foldstore.{table} WHERE address = 'flights@1') FROM t UNION ALL "
     "FROM foldstore.{table} WHERE address = 'cities@1'", None, {"address": {"flights@1", "cities@1"}}),
    ("FROM foldstore.{table} WHERE address = 'flights@nothing'", None, {"address": {"flights@nothing"}}),
    # Rows may be wanted that are not of these values.
    ("FROM foldstore.{table} WHERE address = 'flights@1' OR dataset = 'cities'", None, {}),
    ("FROM foldstore.{table} WHERE NOT (address = 'flights@1')", None, {}),
    ("FROM foldstore.{table} WHERE address NOT IN ('flights@1')", None, {}),
    ("FROM foldstore.{table} WHERE address <> 'flights@1'", None, {}),
    ("FROM foldstore.{table} WHERE lower(address) = 'flights@1'", None, {}),
    ("FROM foldstore.{table} WHERE address = dataset || '@1'", None, {}),
    ("FROM foldstore.{table} WHERE address IN (SELECT 'flights@1')", None, {}),
    ("FROM foldstore.{table} WHERE address IS NOT DISTINCT FROM 'flights@1'", None, {}),
    ("FROM foldstore.{table} WHERE address = $one", {"one": None}, {}),
    ("SELECT address FROM foldstore.{table} t(address, x, y) WHERE address = 'flights'", None, {}),
    ("SELECT a.* FROM foldstore.{table} a LEFT JOIN foldstore.{table} b USING (address) WHERE b.address = 'flights@1'",
     None, {}),
    ("SELECT a.* FROM foldstore.{table} a JOIN foldstore.{table} b USING (address) WHERE a.address = 'flights@1'",
     None, {}),
    ("SELECT b.dataset FROM foldstore.{table} a POSITIONAL JOIN foldstore.{table} b WHERE b.address = 'cities@1' AND "
     "a.address = 'cities@1'", None, {}),
    ("SELECT *, (SELECT count(*) FROM foldstore.{table}) FROM foldstore.{table} WHERE address = 'flights@1'", None, {}),
    ("FROM foldstore.{table} WHERE address = 'flights@1' UNION ALL FROM foldstore.{table}", None, {}),
    ("SELECT CASE WHEN address = 'flights@1' THEN 1 END FROM foldstore.{table}", None, {}),
    ("SELECT count(*) FILTER (address = 'flights@1') FROM foldstore.{table}", None, {}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "params", "wanted"), RESTRICTED)
def test_what_is_not_wanted_is_left_out_without_a_change_of_the_answer(store, monkeypatch, query, params, wanted):
    for name, rows in (("flights", 4), ("cities", 2), ("flights_2", 1)):
        made = store.create_dataset(name, key=["id"])
        for number in range(rows):
            made.append({"id": [number]}).profile()
        made.tag("paper", 1)
    asked = []
    restrict = CatalogTable.restricted

    def note(self, values):
        asked.append({name: set(each) for name, each in values.items()})
        return restrict(self, values)

    tables = ("versions", "fragments", "columns", "refs", "profiles")
    monkeypatch.setattr(CatalogTable, "restricted", note)
    found = {table: store.sql(query.format(table=table), params).to_arrow() for table in tables}
    assert asked == ([wanted] * len(tables) if wanted else [])
    monkeypatch.setattr(ParsedQuery, "wanted_of", lambda *_given: {})
    for table in tables:
        assert store.sql(query.format(table=table), params).to_arrow().equals(found[table]), table


def test_one_version_of_many_fits_where_all_would_be_too_many(store, monkeypatch):
    cities = store.create_dataset("cities")
    for _ in range(3):
        cities.append({"city": ["Oslo"]})
    monkeypatch.setattr("foldstore.datastore.catalog_tables.limit.MOST_ROWS", 4)
    with pytest.raises(InvalidQueryError, match="would have 6 rows"):
        store.sql("SELECT object_id FROM foldstore.fragments")
    query = "SELECT version, first_row FROM foldstore.fragments WHERE address = 'cities@3'"
    assert store.sql(query).rows() == [(3, 0), (3, 1), (3, 2)]


def sealed_store(folder):
    """A store whose test pool holds a label with a value that stands nowhere else."""
    store = foldstore.connect(folder, author="tester")
    flights = store.create_dataset("flights", key=["id"])
    labels = ["on time" if n % 3 else "late" for n in range(4000)]
    rows = {"id": list(range(4000)), "label": labels, "hint": [f"h{n % 7}" for n in range(4000)]}
    probe = flights.append({name: values[:1] for name, values in rows.items()})
    whole = flights.append({name: values[1:] for name, values in rows.items()})
    split = whole.split("half", train=0.5, test=0.5)
    hidden = split.test.to_arrow(columns=["id"]).column("id").to_pylist()
    place = hidden[5]
    schema = whole.profile().infer_schema()
    lenient = dict.fromkeys(CODES, Severity.WARN)
    flights.set_schema(replace(schema, severity=lenient))
    fixed = flights.upsert({"id": [place], "label": [CANARY], "hint": [CANARY]})  # its report quotes the value
    for version in (probe, whole, fixed):
        version.profile()
    flights.set_schema(replace(fixed.profile(rows="added").infer_schema(), severity=lenient))
    return store, flights, fixed


def test_nothing_of_sealed_cells_is_in_any_table(tmp_path):
    store, flights, fixed = sealed_store(tmp_path / "store")
    with store:
        split = fixed.split("again", train=0.4, test=0.6)
        rows = fixed.to_arrow(columns=["id", "label"]).to_pylist()
        shown = [row for row in rows if row["label"] == CANARY]
        everything = texts(store)
        for name in ("profiles", "anomalies", "schemas"):
            assert CANARY in everything[name], "the test can see the value while it is open"
        assert shown
        plan = foldstore.plan_pool("n > 0.5 +/- 0.1", reliability=0.9, steps=1)
        part = split.test if in_part(split.test, shown) else split.train
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pool = store.pools.seal("half-a", part, label="label", hide=["hint"], plan=plan)
        everything = texts(store)
        for name, text in everything.items():
            assert CANARY not in text, name
        assert pool.hidden == ("hint", "label")
        for version in flights.versions():
            version.profile()
        for name, text in texts(store).items():
            assert CANARY not in text, name
        (row,) = ask(store, "FROM foldstore.pools")
        status = pool.status()
        assert (row["rows"], row["steps_left"], row["steps_used"]) == (status.num_rows, status.steps_left, 0)
        assert (row["label"], row["hidden"], row["condition"]) == ("label", ["hint", "label"], str(plan.condition))
        sealed = ask(store, "SELECT DISTINCT column_name FROM foldstore.columns WHERE sealed ORDER BY 1")
        assert sealed == [{"column_name": "hint"}, {"column_name": "label"}]


def in_part(part, shown):
    return set(part.to_arrow(columns=["id"]).column("id").to_pylist()) >= {row["id"] for row in shown}


def test_nothing_of_erased_rows_is_in_any_table(store):
    people = store.create_dataset("people", key=["id"])
    version = people.append({"id": [1, 2, 3], "name": ["Ada", ERASED, "Grace"]})
    version.profile()
    assert ERASED in texts(store)["profiles"]
    people.erase(where="id = 2", reason="asked")
    for version in people.versions():
        version.profile()
    for name, text in texts(store).items():
        assert ERASED not in text, name


def texts(store):
    """Return every catalog table as one text."""
    return {name: json.dumps(ask(store, f"FROM foldstore.{name}"), default=str) for name in TABLES}


def test_a_table_that_would_be_too_large_is_refused(store, monkeypatch):
    cities = store.create_dataset("cities")
    for _ in range(3):
        cities.append({"city": ["Oslo"], "people": [1]})
    monkeypatch.setattr("foldstore.datastore.catalog_tables.limit.MOST_ROWS", 5)
    for name in ("columns", "fragments"):
        with pytest.raises(InvalidQueryError, match=f"foldstore.{name} would have 6 rows") as caught:
            store.sql(f"FROM foldstore.{name}")
        assert caught.value.code == "catalog-table-too-large"


def test_two_threads_may_ask_for_the_first_time_at_once(store):
    from concurrent.futures import ThreadPoolExecutor

    store.create_dataset("cities").append({"city": ["Oslo"]})
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: store.sql("SELECT count(*) FROM foldstore.versions").rows(), range(24)))
    assert found == [[(1,)]] * 24


def test_types_are_those_that_duckdb_gives_back():
    for table in TABLES.values():
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("t", table.arrow_schema.empty_table())
            found = connection.sql("FROM t").to_arrow_table().schema
        assert [field.type for field in found] == [field.type for field in table.arrow_schema]
        assert not any(pa.types.is_null(field.type) for field in found)
