"""Every address is a table: versions, refs, parts, folds, saved views, in whatever spelling, and nothing else is."""

import warnings
from datetime import UTC, datetime, timedelta

import pytest

import foldstore
from foldstore.errors import FoldstoreError, InvalidNameError, InvalidQueryError, NotFoundError, UsageError

ROWS = 300


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("addresses") / "store", author="tester") as store:
        flights = store.create_dataset("flights", key=["id"])
        for start in (0, 100, 200):
            ids = list(range(start, start + 100))
            flights.append({"id": ids, "delay": [n % 40 for n in ids]})
        flights.set_alias("champion", 2)
        flights.tag("paper", 1)
        cleanup = flights.create_branch("cleanup", at=1)
        cleanup.delete("id < 40")
        store.version("flights@3").split("by_month", train=0.6, validation=0.2, test=0.2)
        store.version("flights@3").split("default", train=0.5, test=0.5)
        store.version("flights@3").folds("cv", 3)
        store.view("flights@3").where("delay > 15").save("late")
        store.view("late@1").where("delay > 30").save("late")
        store.create_dataset("odd.name-1").append({"x": [1, 2]})
        store.view("flights@3").shuffle(seed=1).repeat().save("endless")
        yield store


def _count(store, address):
    return store.sql(f"SELECT count(*) FROM {address}").rows()[0][0]


@pytest.mark.parametrize(
    ("address", "rows"),
    [
        ("flights", 300),
        ('"flights"', 300),
        ('"flights@latest"', 300),
        ('"flights@1"', 100),
        ('"flights@champion"', 200),
        ('"flights@paper"', 100),
        ('"flights@cleanup"', 60),
        ("late", sum(n % 40 > 30 for n in range(ROWS))),
        ('"late@1"', sum(n % 40 > 15 for n in range(ROWS))),
        ('"late@2"', sum(n % 40 > 30 for n in range(ROWS))),
        ('"odd.name-1"', 2),
        ('"odd.name-1@1"', 2),
        ("FLIGHTS", 300),
        ('"Flights@Champion"', 200),
    ],
)
def test_versions_refs_and_views_are_tables(store, address, rows):
    assert _count(store, address) == rows


@pytest.mark.parametrize(
    "address", ["flights@3#by_month.train", "flights@3#by_month.test", "flights#train", "flights@3#test",
                "flights@3#cv-1.train", "flights@3#cv-2.validation"],
)  # fmt: skip
def test_parts_and_folds_are_tables(store, address):
    assert _count(store, f'"{address}"') == store.view(address).count() > 0


def test_the_parts_of_a_split_are_its_rows(store):
    parts = " UNION ALL ".join(f'FROM "flights@3#by_month.{part}"' for part in ("train", "validation", "test"))
    assert store.sql(f"SELECT count(DISTINCT id), count(*) FROM ({parts})").rows() == [(300, 300)]
    held_out = " UNION ALL ".join(f'FROM "flights@3#cv-{fold}.validation"' for fold in (1, 2, 3))
    assert store.sql(f"SELECT count(DISTINCT id), count(*) FROM ({held_out})").rows() == [(300, 300)]


def test_one_query_joins_versions_parts_views_and_itself(store):
    query = """
        WITH early AS (SELECT id FROM "flights@1"), both_ways AS (SELECT a.id FROM early a JOIN early b USING (id))
        SELECT count(*) FROM both_ways JOIN late ON late.id = both_ways.id
        WHERE both_ways.id NOT IN (SELECT id FROM "flights@3#by_month.test")
    """
    test = set(store.view("flights@3#by_month.test").to_arrow()["id"].to_pylist())
    assert store.sql(query).rows() == [(sum(n % 40 > 30 and n not in test for n in range(100)),)]


@pytest.mark.parametrize(
    ("address", "kind", "says"),
    [
        ("flihgts", NotFoundError, "Did you mean 'flights'"),
        ('"flights@9"', NotFoundError, "no version|There is no"),
        ('"flights@champoin"', NotFoundError, "champion"),
        ('"late@7"', NotFoundError, "late@1, late@2"),
        ('"flights@3#by_moth.train"', NotFoundError, "by_month"),
        ('"flights@3#by_month"', UsageError, "Name a part"),
        ('"flights@3#by_month.tset"', InvalidNameError, "Did you mean 'test'"),
        ('"flights @3"', InvalidNameError, "Did you mean 'flights@3'"),
        ("\"'flights@3'\"", InvalidNameError, "Leave the quotes out"),
        ('"flights@03"', InvalidNameError, "version number"),
        ('"../flights"', InvalidNameError, "not a valid|not an address"),
        ('" "', FoldstoreError, None),
        ('"fl\u0456ghts"', InvalidNameError, "Did you mean 'flights'"),
        ("flights@3", InvalidQueryError, 'quoted name: FROM "'),
        ("odd.name", InvalidQueryError, 'FROM "odd.name"|quoted: "odd.name"'),
        ("flights#train", InvalidQueryError, None),
    ],
)
def test_an_address_that_is_none_is_answered_with_what_was_meant(store, address, kind, says):
    with pytest.raises(kind) as caught:
        store.sql(f"SELECT * FROM {address}")
    assert says is None or any(each in str(caught.value) for each in says.split("|")), str(caught.value)


def test_an_unquoted_address_is_shown_quoted(store):
    with pytest.raises(InvalidQueryError) as caught:
        store.sql("SELECT * FROM flights@3 WHERE id = 1")
    assert '"flights@3"' in str(caught.value.hint)
    with pytest.raises(InvalidQueryError) as caught:
        store.sql("SELECT * FROM flights#train")
    assert '"flights#train"' in str(caught.value.hint)


def test_a_view_that_never_ends_is_refused_before_it_hangs(store):
    for query in ("SELECT count(*) FROM endless", "SELECT * FROM endless LIMIT 1", "DESCRIBE endless", "FROM endless"):
        with pytest.raises(UsageError, match="never ends") as caught:
            store.sql(query)
        assert caught.value.code == "endless-view"
    assert store.view("endless").limit(7).count() == 7


def test_a_view_cannot_be_made_to_read_itself(store):
    spec = {"inputs": [{"view": "late"}], "union": "same"}
    with pytest.raises(UsageError):
        store.view(spec)
    with pytest.raises(FoldstoreError):
        store.view({"sources": [{"address": "circle"}], "steps": []}).save("circle")
    with pytest.raises(NotFoundError):
        store.sql("FROM circle")
    before = store.sql("SELECT count(*) FROM late").rows()
    store.view("late").save("late")  # over itself: pinned to what it was, one version more
    assert store.sql("SELECT count(*) FROM late").rows() == before


def test_a_quarantined_version_is_read_by_whoever_names_it(store):
    data = store.create_dataset("judged", key=["id"])
    first = data.append({"id": [1, 2], "x": [0.5, 0.6]})
    data.set_schema(first.profile().infer_schema().with_column("x", nullable=False))
    refused = data.append({"id": [3], "x": [None]})
    assert refused.status == "quarantined"
    assert _count(store, f'"{refused.address}"') == 3
    assert _count(store, "judged") == 2
    with pytest.raises(FoldstoreError, match="quarantined"):
        store.view(refused.address)


def test_a_version_that_is_gone_says_so(folder):
    clock = Clock()
    with foldstore.connect(folder, clock=clock) as store:
        data = store.create_dataset("short")
        for number in range(3):
            data.overwrite({"x": [number]})
        spec = store.view("short@1").where("x >= 0").spec()
        data.set_retention(keep_last=1)
        for _run in range(4):
            store.gc(dry_run=False)
            clock.now += timedelta(days=2)
        for query in ('FROM "short@1"', 'SELECT * FROM short JOIN "short@1" USING (x)', 'DESCRIBE "short@1"'):
            with pytest.raises(NotFoundError, match=r"short@1 expired") as caught:
                store.sql(query)
            assert caught.value.code == "version-expired"
        with pytest.raises(NotFoundError, match=r"expired|gone"):
            store.view(spec).to_arrow()
        assert store.sql("FROM short").rows() == [(2,)]


def test_a_deprecated_version_is_read_with_a_warning(store):
    data = store.create_dataset("old")
    data.append({"x": [1]}).deprecate("wrong units")
    with pytest.warns(UserWarning, match="wrong units"):
        assert _count(store, '"old@1"') == 1


def test_only_the_names_that_a_query_uses_are_opened(store, monkeypatch):
    asked = []
    opened = type(store).view

    def noted(self, what, **how):
        asked.append(what)
        return opened(self, what, **how)

    monkeypatch.setattr(type(store), "view", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.sql('WITH late AS (SELECT 1 AS x) SELECT * FROM late, "flights@1" LIMIT 1').to_arrow()
    assert asked == ["flights@1"]
