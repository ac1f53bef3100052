"""Two stores that differ in nothing but sealed labels say the same, to the byte, to everyone but a steward.

Both are built at one path, by one clock and with the same ids; then every way out is read: commands, routes, SQL,
views, profiles, reports, errors, buffers, and the files outside the sealed area.
"""

import datetime as dt
import io
import itertools
import json
import re
import secrets
import sqlite3
import sys
import uuid
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import run
from foldstore.errors import FoldstoreError
from tests.api.conftest import client_of

ROWS = 1_200
NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
WORDS = np.array(["short", "a word that is a good deal longer", "", "mid-sized word", "zz"])
PLAN = foldstore.plan_pool("n > 0.75 +/- 0.08", reliability=0.9, steps=4)

QUERIES = (
    "SELECT * FROM flights ORDER BY id",
    "SELECT late, word, count(*) FROM flights GROUP BY ALL ORDER BY ALL",
    "SELECT min(word), max(word), sum(delay), avg(delay), count(late), approx_count_distinct(word) FROM flights",
    'SELECT id FROM "flights@1" WHERE late ORDER BY id',
    'SELECT id FROM "flights@1#half.test" WHERE delay > 30 OR word IS NOT NULL',
    "SUMMARIZE flights",
    "EXPLAIN SELECT * FROM flights WHERE delay > 30",
    "SELECT delay / 0 FROM flights",
    "SELECT no_such_column FROM flights",
    'SELECT CAST(word AS INTEGER) FROM flights WHERE id IN (SELECT id FROM "flights#half.test")',
    "FROM foldstore.pools",
    "FROM foldstore.datasets",
    "FROM foldstore.versions",
    "FROM foldstore.columns",
    "FROM foldstore.profiles",
    "FROM foldstore.splits",
)
COMMANDS = (
    "show flights --stats",
    "ls",
    "log flights",
    "profile flights",
    "validate flights",
    "drift flights@3 --reference flights@1",
    "diff flights@1 flights@3",
    "verify",
    "pool ls",
    "pool status late",
    "pool report late",
    "pool features late {out}/rows.parquet",
    "pool draw late 900 {out}/some.parquet --seed 4",
    "pool evaluate late {out}/wrong.parquet",
    "pool evaluate late {out}/said.parquet --junit {out}/said.xml --commit-status {out}/said.json",
    "schema show flights",
    "sql FROM(flights)ORDER(BY)id",
    "export flights@1 {out}/export.parquet",
    "export flights@1 {out}/export.csv",
    "lineage flights@1",
)
ROUTES = (
    "/v1/datasets",
    "/v1/datasets/flights",
    "/v1/datasets/flights/versions",
    "/v1/datasets/flights/versions/1/rows?limit=2000",
    "/v1/datasets/flights/versions/1/profile",
    "/v1/datasets/flights/versions/2/report",
    "/v1/datasets/flights/versions/1/lineage",
    "/v1/datasets/flights/schema",
    "/v1/datasets/flights/versions/1/splits/half/test/rows?limit=2000",
    "/v1/datasets/flights/versions/1/splits/half/report",
    "/v1/views/early/versions/1/rows?limit=2000",
    "/v1/test-pools",
    "/v1/test-pools/late",
    "/v1/test-pools/late/features?limit=2000",
    "/v1/test-pools/late/features?draw=9",
    "/v1/test-pools/late/report",
    "/v1/test-pools/lat",
)


def data(twin):
    """The rows; in the part that will be sealed the label, and what it gives away, differ from twin to twin."""
    generator = np.random.default_rng(1)
    x = generator.random(ROWS)
    late, pick, delay = generator.random(ROWS) < 0.4, generator.integers(0, 3, ROWS), generator.integers(0, 60, ROWS)
    other = np.random.default_rng(100 + twin)
    sealed = np.arange(ROWS) >= ROWS // 4
    late = np.where(sealed, other.random(ROWS) < (0.3 if twin else 0.6), late)
    word = WORDS[np.where(sealed, other.integers(0, 5 if twin else 2, ROWS), pick)]
    delay = np.where(sealed, other.integers(0, 10**9 if twin else 7, ROWS), delay)
    return {
        "id": list(range(ROWS)),
        "x": x,
        "late": late,
        "word": word.tolist(),
        "delay": pa.array(delay, mask=sealed & (other.random(ROWS) < 0.1) if twin else None),
    }


class Fixed:
    """Random names that are the same for both twins."""

    def __init__(self):
        self.counter = itertools.count(1)

    def uuid4(self):
        return uuid.UUID(int=next(self.counter) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4)

    def token_hex(self, size):
        return f"{next(self.counter):0{2 * size}x}"

    def randbits(self, bits):
        return next(self.counter) * 0x9E3779B97F4A7C15 % 2**bits


def seal(store, flights, twin):
    part = store.view("flights@1").where(f"id >= {ROWS // 4}").split("half", train=0.0001, test=0.9999, seed=1).test
    assert part.num_rows > PLAN.rows
    assert part.num_rows == ROWS - ROWS // 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool = store.pools.seal("late", part, label="late", hide=["word", "delay"], plan=PLAN)
    more = data(0)
    flights.append({**more, "id": list(range(ROWS, 2 * ROWS)), "late": [False] * ROWS})
    return pool


def buffers(table):
    """Every buffer of a table, with those that it is a part of."""
    for column in table.columns:
        for chunk in column.chunks:
            values = [chunk, *([chunk.dictionary] if pa.types.is_dictionary(chunk.type) else [])]
            for buffer in itertools.chain.from_iterable(each.buffers() for each in values):
                yield from with_parents(buffer)


def with_parents(buffer):
    return [] if buffer is None else [buffer.to_pybytes(), *with_parents(buffer.parent)]


def attempt(act):
    try:
        return act()
    except FoldstoreError as error:
        return repr(error) + str(error) + json.dumps(error.to_dict(), default=repr)


def by_sdk(store, pool):
    version = store.version("flights@1")
    yield "reprs", repr([store, version, pool, pool.record.plan, store.pools, store.view("early@1")])
    for name, table in {
        "version": version.to_arrow(),
        "slice": version.to_arrow().slice(700, 3),
        "view": store.view("early@1").to_arrow(),
        "part": store.view("flights@1#half.test").to_arrow(),
        "features": pool.features(),
    }.items():
        yield f"buffers of {name}", list(buffers(table))
    for number in (1, 2, 3):
        profile = store.version(f"flights@{number}").profile()
        yield f"profile {number}", json.dumps(profile.to_dict(), default=repr)
        report = store.version(f"flights@{number}").validate()
        yield f"report {number}", [report.to_html(), report.to_junit(), report.to_sarif(), str(report)]
    yield "drift", str(store.version("flights@3").drift(version))
    yield "schema", store.dataset("flights").schema.to_yaml()
    for query in QUERIES:
        yield query, attempt(lambda query=query: repr(store.sql(query, threads=1).rows()))
    asked = pool.features()["pool_row"]
    for wrong in ([], ["x"] * len(asked), [None] * len(asked), {"pool_row": asked, "prediction": asked}):
        yield f"error {len(wrong)}", attempt(lambda wrong=wrong: pool.evaluate(wrong))
    for act in (pool.retire, pool.report, pool.rows):
        yield act.__name__, attempt(act)
    yield "answer", repr(pool.evaluate([True] * len(asked), model="constant"))
    yield "status", json.dumps(pool.status().to_dict())


def by_command(folder, out, call):
    rows = None
    for line in COMMANDS:
        arguments = [each.format(out=out).replace("(", " ").replace(")", " ") for each in line.split(" ")]
        arguments = ["sql", "FROM flights ORDER BY id"] if arguments[0] == "sql" else arguments
        code, said = call([*arguments, "-s", str(folder)])
        yield line, (code, re.sub(r"\d+\.\d+ s\b", "0 s", said))
        if line.startswith("pool features"):
            rows = pq.read_table(out / "rows.parquet")
            said = [value < 0.5 for value in rows["x"].to_pylist()]
            pq.write_table(pa.table({"pool_row": rows["pool_row"], "prediction": said}), out / "said.parquet")
            pq.write_table(pa.table({"pool_row": rows["pool_row"], "prediction": said}).slice(5), out / "wrong.parquet")
    for file in sorted(out.iterdir()):
        yield f"file {file.name}", file.read_bytes()


def by_route(store):
    vault = TokenVault(store.registry("token"), clock=store.clock)
    app = create_app(store.features, vault, store=store)
    for role in ("viewer", "evaluator", "admin"):
        client = client_of(app, vault.create(role, author="tester")[0])
        for route in ROUTES:
            answer = client.get(route)
            headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
            text = {**answer.json(), "instance": ""} if answer.status_code >= 400 else answer.content
            yield f"{role} {route}", (answer.status_code, headers, text)


def files(folder):
    """Sizes of all files outside the sealed area; the bytes of those that are not the database."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "sealed" not in path.relative_to(folder).parts:
            name = str(path.relative_to(folder))
            yield f"size of {name}", path.stat().st_size
            if not name.startswith("catalog.db"):
                yield f"bytes of {name}", path.read_bytes()


def catalog(folder):
    """Every row of the catalog; the addresses of sealed files are keyed by a nonce that lies in them, and left out.

    So are commitments to labels, keyed by the store's key, and the hashes of journal entries after one.
    """
    with sqlite3.connect(folder / "catalog.db") as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(tables):
            rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()  # names from the catalog
            if table == "seal":
                rows = [[cell for cell in row if "b3-" not in str(cell)] for row in rows]
            keyed = r"(hmac-sha256:|b3-)[0-9a-f]{64}" if table == "journal" else r"hmac-sha256:[0-9a-f]{64}"
            yield f"table {table}", sorted(re.sub(keyed, "keyed", repr(row)) for row in rows)
    connection.close()


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """What can be had of each twin."""
    home = tmp_path_factory.mktemp("twins")
    return [collect(home, twin) for twin in (0, 1)]


def collect(home, twin):
    fixed, folder, out = Fixed(), home / "store", home / "out"
    out.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        for module in ("datastore.storage", "datastore.catalog.snapshot", "api.problem"):
            patched.setattr(f"foldstore.{module}.uuid4", fixed.uuid4)
        patched.setattr("foldstore.api.authentication.new_id", lambda: str(fixed.uuid4()))
        patched.setattr(secrets, "token_hex", fixed.token_hex)
        patched.setattr(secrets, "randbits", fixed.randbits)
        patched.setattr(sys, "stdin", io.StringIO())
        patched.setattr(secrets, "token_bytes", lambda size: fixed.token_hex(size)[:size].encode())
        patched.setattr(secrets, "choice", lambda letters: letters[fixed.randbits(32) % len(letters)])
        patched.setitem(foldstore.connect.__kwdefaults__, "clock", lambda: NOW)  # the commands' clock
        store, flights = begin(folder, twin)
        pool = seal(store, flights, twin)
        had = dict(by_sdk(store, pool))
        had |= dict(by_route(store))
        store.close()
        had |= dict(by_command(folder, out, talk))
        had |= dict(files(folder))
        had |= dict(catalog(folder))
    folder.rename(home / f"store-{twin}")
    out.rename(home / f"out-{twin}")
    return had


def begin(folder, twin):
    store = foldstore.connect(folder, author="tester", clock=lambda: NOW)
    flights = store.create_dataset("flights", key=["id"])
    first = flights.append(data(twin), message="first")
    flights.set_schema(first.profile().infer_schema())
    flights.append({name: column[:9] for name, column in {**data(0), "id": list(range(9_000, 9_009))}.items()})
    store.view("flights@1").where("x < 0.5").select("id", "x", "late", "word").save("early")
    return store, flights


def talk(arguments):
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        patched.setattr(sys, "stderr", err)
        code = run(arguments)
    return code, out.getvalue() + err.getvalue()


def test_everything_that_was_asked_for_said_something(twins):
    first = twins[0]
    assert len(first) > 100
    assert first["pool evaluate late {out}/said.parquet --junit {out}/said.xml --commit-status {out}/said.json"][0] == 1
    assert first["pool report late"][0] == 4
    assert "pool-in-use" in first["pool report late"][1]
    assert [route for route in ROUTES[:11] if first[f"viewer {route}"][0] != 200] == []
    assert any(name.startswith("bytes of objects") for name in first)


def test_the_twins_differ_in_the_sealed_area(twins, tmp_path_factory):
    homes = [next(tmp_path_factory.getbasetemp().glob(f"twins*/store-{twin}")) for twin in (0, 1)]
    cells = [b"".join(sorted(p.read_bytes() for p in home.rglob("sealed/*/*.arrow"))) for home in homes]
    assert cells[0] != cells[1]


def test_nothing_else_differs(twins):
    first, second = twins
    assert list(first) == list(second)
    assert [name for name in first if first[name] != second[name]] == []
