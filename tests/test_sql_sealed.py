"""Sealed cells are null to every query: in rows, statistics, plans, errors, conditions and bound values."""

import re

import pytest

import foldstore
from foldstore.errors import FoldstoreError

pytestmark = pytest.mark.filterwarnings("ignore::foldstore.LeakageWarning")
ROWS = 3_000
# Each value tells its row.
SIGN = re.compile(r"(?:canary-|70000)(\d{4})")
CANARY = re.compile(r"canary-(\d{4})")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("sealed") / "store") as store:
        data = store.create_dataset("flights", key=["id"])
        data.append(
            {
                "id": list(range(ROWS)),
                "late": [n % 3 == 0 for n in range(ROWS)],
                "note": [f"canary-{n:04}" for n in range(ROWS)],
                "amount": [700_000_000 + n for n in range(ROWS)],
            }
        )
        store.view("flights@1").where("note IS NOT NULL").select("id", "note", copied="note || ''").save("noted")
        before = store.sql("SELECT id, note FROM flights")  # opened, and not yet read
        split = store.version("flights@1").split("half", train=0.5, test=0.5)
        ids = frozenset(split.test.to_arrow()["id"].to_pylist())
        plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)
        store.pools.seal("p", split.test, label="late", hide=["note", "amount"], plan=plan)
        yield store, ids, before


SOURCES = ["flights", '"flights@1"', '"flights@1#half.test"', '"flights#half.test"', "noted"]
QUERIES = [
    "FROM {t}",
    "SELECT note FROM {t}",
    "SELECT t FROM {t} t",
    "SELECT id, upper(note), note || '!' FROM {t}",
    "SELECT max(note), min(note), list(note), string_agg(note, ','), first(note), mode(note) FROM {t}",
    "SELECT note, count(*) FROM {t} GROUP BY note",
    "SELECT DISTINCT note FROM {t} ORDER BY note",
    "SELECT histogram(note) FROM {t}",
    "SELECT approx_top_k(note, 1000), arg_max(note, id) FROM {t}",
    "SELECT lag(note) OVER (ORDER BY id), first_value(note) OVER (ORDER BY id) FROM {t}",
    "SELECT a.note FROM {t} a JOIN {t} b ON a.id = b.id",
    "SELECT a.note FROM {t} a LEFT JOIN {t} b ON a.note = b.note",
    "SELECT * FROM {t} WHERE note IS NOT NULL",
    "SELECT * FROM {t} WHERE note > 'canary-' ORDER BY note",
    "WITH x AS MATERIALIZED (SELECT * FROM {t}) SELECT note FROM x UNION ALL SELECT note FROM x",
    "SELECT (SELECT max(note) FROM {t} b WHERE b.id = a.id) FROM {t} a",
    "UNPIVOT (SELECT id::VARCHAR AS id, note FROM {t}) ON id, note",
    "SELECT to_json(t), hash(note) IS NULL FROM {t} t",
    "SELECT COLUMNS('no.e') FROM {t}",
    "SELECT #2 FROM {t}",
    "SUMMARIZE {t}",
    "SUMMARIZE SELECT note FROM {t}",
    "DESCRIBE {t}",
    "EXPLAIN SELECT * FROM {t} WHERE note > 'a'",
    "EXPLAIN ANALYZE SELECT max(note) FROM {t} WHERE note > 'a'",
    "SELECT note::INT FROM {t}",
    "SELECT error(note) FROM {t}",
    "SELECT CASE WHEN note IS NOT NULL THEN error(note) END FROM {t}",
    "SELECT strptime(note, '%Y') FROM {t}",
    "FROM foldstore.profiles",
    "FROM foldstore.fragments",
    "SELECT * FROM foldstore.columns WHERE dataset = 'flights'",
]


def _leaks(found, hidden, sign=SIGN):
    return {int(number) for number in sign.findall(str(found))} & hidden


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("query", QUERIES)
def test_no_query_shows_a_sealed_cell(sealed, query, source):
    store, hidden, _ = sealed
    try:
        result = store.sql(query.format(t=source))
        shown = [result.rows(), repr(result), result._repr_html_()]
    except FoldstoreError as error:
        shown = [str(error), error.to_dict(), repr(error.__cause__)]
    # The quantiles of SUMMARIZE lie between amounts that are there, and may be any number.
    assert not _leaks(shown, hidden, CANARY if query.startswith("SUMMARIZE") else SIGN)


def test_the_test_would_see_a_leak(sealed):
    store, hidden, _ = sealed
    whole = [f"canary-{n:04}" for n in range(ROWS)]
    assert _leaks(whole, hidden) == hidden
    seen = {int(n) for n in SIGN.findall(str(store.sql("SELECT note FROM flights").rows()))}
    assert seen == set(range(ROWS)) - hidden


def test_conditions_do_not_find_a_sealed_cell(sealed):
    store, hidden, _ = sealed
    secret = min(hidden)
    for condition, params in (
        (f"note = 'canary-{secret:04}'", None),
        ("note = ?", [f"canary-{secret:04}"]),
        (f"amount = {700_000_000 + secret}", None),
        ("note BETWEEN $a AND $a", {"a": f"canary-{secret:04}"}),
        (f"id = {secret} AND (note IS NOT NULL OR late IS NOT NULL OR amount IS NOT NULL)", None),
    ):
        assert store.sql(f"SELECT count(*) FROM flights WHERE {condition}", params).rows() == [(0,)]


def test_every_label_in_the_pool_is_null(sealed):
    store, hidden, _ = sealed
    found = store.sql('SELECT count(*), count(late), count(note), count(amount) FROM "flights@1#half.test"').rows()
    assert found == [(len(hidden), 0, 0, 0)]
