"""No answer of any kind shows a sealed cell or a sealed row as an example, whichever anomaly was to tell of it.

Each cell that is sealed holds a value of its own, a canary, that names its column and its pair of rows. A gate finds
fault with all of them before some are sealed, so that the reports that are kept were full of them.
"""

import contextlib
import datetime as dt
import io
import json
import re
from dataclasses import replace

import pandera.polars as on_polars
import pyarrow as pa
import pytest

import foldstore
from foldstore.api.app import create_app
from foldstore.api.documents import REPORT_FORMS
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import run
from foldstore.validation.anomaly import CODES
from foldstore.validation.inference import infer_schema
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from tests.api.conftest import client_of
from tests.validation.test_check import CASES, judge

pytestmark = pytest.mark.filterwarnings("ignore::foldstore.LeakageWarning")
PAIRS = 200
# Column, pair, and a check by which a statistic that lies between two canaries is none.
SIGN = re.compile(r"(?:canary-|70)(\d\d)(\d{4})(\d{3})")
ROWS = [row // 2 for row in range(2 * PAIRS)]
FORMS = ("to_text", "to_html", "to_json_lines", "to_junit", "to_sarif", "to_github", "_repr_html_", "to_dict")


def text(column, pair):
    return f"canary-{_sign(column, pair)}"


def number(column, pair):
    return int(f"70{_sign(column, pair)}")


def _sign(column, pair):
    return f"{column:02}{pair:04}{pair * 619 % 1_000:03}"


def canaries(said):
    """Which canaries some text holds, as column and pair; numbers may be written with commas."""
    found = SIGN.findall((said if isinstance(said, str) else json.dumps(said, default=str)).replace(",", ""))
    return {(int(column), int(pair)) for column, pair, check in found if int(pair) * 619 % 1_000 == int(check)}


def sparse(column, values):
    """A column in which every other pair holds something that is no value."""
    return [next(iter(values)) if pair % 2 else column(pair) for pair in ROWS]


def of_texts(column, **field):
    return [text(column, pair) for pair in ROWS], {"type": "string", **field}


def of_numbers(column, sign=1, **field):
    return [sign * number(column, pair) for pair in ROWS], {"type": "int64", **field}


TAILED = infer_schema(TableSubject(pa.table({"x": [each % 97 for each in range(4_000)]}), "").profile()).columns["x"]
FLAT = {
    "outside": of_texts(1, domain={"values": ["a"], "min_mass": 0.5}),
    "above": of_numbers(2, domain={"max": 7}),
    "below": of_numbers(3, sign=-1, domain={"min": 7}),
    "near": of_texts(4, domain={"values": [text(4, pair).upper() for pair in range(PAIRS)], "min_mass": 0.5}),
    "pattern": of_texts(5, domain={"pattern": "x"}),
    "short": of_texts(6, domain={"min_length": 99}),
    "long": of_texts(7, domain={"max_length": 2}),
    "address": of_texts(8, domain={"semantic": "ipv4"}),
    "token": of_texts(9, domain={"true_tokens": ["yes"], "false_tokens": ["no"]}),
    "down": of_numbers(10, sign=-1, monotone="increasing"),
    "fraction": ([number(11, pair) + 0.5 for pair in ROWS], {"type": "double", "domain": {"integer": True}}),
    "odd": (
        sparse(lambda pair: float(number(12, pair)), [float("nan")]),
        {"type": "double", "domain": {"nan": "deny"}},
    ),
    "endless": (
        sparse(lambda pair: float(number(13, pair)), [float("inf")]),
        {"type": "double", "domain": {"inf": "deny"}},
    ),
    "marked": (sparse(lambda pair: text(14, pair), ["?"]), {"type": "string"}),
    "empty": (sparse(lambda pair: text(15, pair), [None]), {"type": "string", "min_fraction": 0.9}),
    "bare": (pa.nulls(2 * PAIRS, pa.string()), {"type": "string", "min_fraction": 0.9}),
    "moment": (
        [
            dt.datetime(2190, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None) + dt.timedelta(microseconds=pair)
            for pair in ROWS
        ],
        {"type": "timestamp[us]", "domain": {"max_future": "5m"}},
    ),
    "code": of_texts(17),
    "abroad": of_texts(18),
    "slice": of_texts(19),
    "tail": (
        [each % 97 if each % 9 else number(20, each) for each in ROWS],
        replace(TAILED, drift=None, bounds=None).to_dict(),
    ),
}
NESTED = {
    "few": ([[number(31, pair)] for pair in ROWS], {"type": "list<item: int64>", "valency": {"min": 2}}),
    "many": ([[number(32, pair)] * 3 for pair in ROWS], {"type": "list<item: int64>", "valency": {"max": 2}}),
    "shape": (
        [[[number(33, pair)]] for pair in ROWS],
        {"type": "list<item: list<item: int64>>", "fixed_shape": [2, 1]},
    ),
    "vector": ([[float(number(34, pair))] for pair in ROWS], {"type": "list<item: double>", "domain": {"dim": 2}}),
    "unit": (
        [[float(number(35, pair)), 1.0] for pair in ROWS],
        {"type": "list<item: double>", "domain": {"dim": 2, "norm": [0.9, 1.1]}},
    ),
    "bytes": ([text(36, pair).encode() for pair in ROWS], {"type": "binary", "domain": {"max_bytes": 1}}),
}
ASKED = {
    "flat": {
        "keys": ["code"],
        "rules": [{"expr": "above < 5", "name": "hidden"}, {"expr": "pair < 0", "name": "visible"}],
        "refs": [{"columns": ["abroad"], "dataset": "ports", "to": ["code"]}],
        "segments": [{"name": "each", "by": ["slice"]}],
        "max_duplicate_fraction": 0.0,
    },
    "nested": {"rules": [{"expr": "list_sum(many) < 5", "name": "inside"}]},
}
CONTRACT = on_polars.DataFrameSchema(
    {
        "pair": on_polars.Column(int, on_polars.Check.lt(0)),
        "above": on_polars.Column(int, on_polars.Check.lt(0), nullable=True),
    },
    checks=on_polars.Check(lambda data: data.lazyframe.select(_nothing_is_right()), name="of rows"),
    name="contract",
)


def _nothing_is_right():
    import polars as pl

    return pl.col("pair") < 0


class Sealed:
    """Two datasets that were judged, monitored and released before half of their rows were sealed."""

    def __init__(self, folder):
        self.folder = folder
        self.store = foldstore.connect(folder, author="ann")
        self.store.create_dataset("ports").append({"code": ["EWR"]})
        self.raised, self.reports = set(), {}
        for name, columns in (("flat", FLAT), ("nested", NESTED)):
            dataset = self.store.create_dataset(name)
            data = {column: values for column, (values, _) in columns.items()}
            fields = {column: field for column, (_, field) in columns.items()}
            visible = {"pair": {"type": "int64", "domain": {"max": -1}}, "late": {"type": "bool"}}
            dataset.set_schema(DataSchema.from_dict({"columns": {**visible, **fields}, **ASKED[name]}))
            held = dataset.append({"pair": ROWS, "late": [pair % 3 == 0 for pair in ROWS], **data})
            assert str(held.status) == "quarantined"
            self.store.monitors.set(name, [name])
            self.store.monitors.run(name)
            self.raised |= {each.code for each in held.report.anomalies if each.example_rows}
            assert len(canaries(held.report.to_dict())) > 20
            released = held.release("it is a test")
            self.raised |= {each.code for each in released.validate(checks=[CONTRACT] * (name == "flat")).anomalies}
            split = released.split("half", train=0.5, test=0.5, group_by=["pair"])
            plan = foldstore.plan_pool("n > 0.6 +/- 0.15", reliability=0.99, steps=2)
            pairs = set(split.test.to_arrow()["pair"].to_pylist())
            self.store.pools.seal(f"p-{name}", split.test, label="late", hide=list(columns), plan=plan)
            setattr(self, name, frozenset(pairs))

    def leaks(self, said):
        """Which canaries of sealed cells some text holds."""
        return {
            (column, pair) for column, pair in canaries(said) if pair in (self.flat if column < 30 else self.nested)
        }

    def judged(self, address):
        """The kept report of a version, and a new one; made once."""
        if address not in self.reports:
            version = self.store.version(address)
            self.reports[address] = (version.report, version.validate(checks=[CONTRACT] if address == "flat@2" else []))
        return self.reports[address]

    def say(self, *words):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = run([*words, "--store", str(self.folder)])
        assert code in (0, 1), out.getvalue()
        return out.getvalue()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    made = Sealed(tmp_path_factory.mktemp("canaries") / "store")
    yield made
    made.store.close()


def test_every_code_that_shows_rows_was_raised(sealed):
    showing = {
        code
        for code, (schema, bad, _, _) in CASES.items()
        if judge(pa.table(bad), schema, code).anomalies[0].example_rows
    }
    assert showing | {"user_check_failed"} <= sealed.raised
    assert sealed.raised <= set(CODES)


@pytest.mark.parametrize("address", ["flat@1", "flat@2", "nested@1", "nested@2"])
@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_report_shows_a_canary(sealed, address, form):
    kept, fresh = sealed.judged(address)
    for report in (kept, fresh):
        assert sealed.leaks(getattr(report, form)()) == set()
    if form == "to_dict":
        assert canaries(fresh.to_dict()), "open cells are shown, so that the test can fail"


@pytest.mark.parametrize("name", ["flat", "nested"])
def test_no_example_is_a_row_of_a_pool(sealed, name):
    kept, report = sealed.judged(f"{name}@2")
    pairs = getattr(sealed, name)
    shown = [(each.code, row["row"]) for each in report.anomalies for row in each.example_rows if "row" in row]
    assert len(shown) > 50
    assert [(code, row) for code, row in shown if ROWS[row] in pairs] == []
    assert [each.example_rows for each in kept.anomalies if each.example_rows] == []


def test_no_handle_shows_a_canary(sealed):
    for name in ("flat", "nested"):
        version = sealed.store.version(f"{name}@2")
        dataset = sealed.store.dataset(name)
        profile = version.profile()
        said = [
            profile.to_dict(), repr(profile), profile.infer_schema().to_yaml(),
            version.view().where("pair >= 0").profile().to_dict(), repr(version), version._repr_html_(),
            dataset.schema.to_yaml(), [each.to_dict() for each in dataset.reviews(every=True)],
            [each.to_dict() for each in sealed.store.monitors.history(name)], version.drift(version).to_html(),
            *(getattr(dataset.report_history(), form)() for form in ("to_html", "to_text", "to_json_lines", "to_dict")),
        ]  # fmt: skip
        if name == "flat":
            plan = version.suggest_cleaning()
            said += [repr(plan), plan.to_json(), str(plan.preview()), plan.preview().to_dict()]
            said.append(version.profile(by="late")[None].to_dict())
        assert [sealed.leaks(each) for each in said if sealed.leaks(each)] == []


@pytest.mark.parametrize(
    "words",
    [
        *(
            ("validate", "flat@2", "-o", form)
            for form in ("table", "json", "jsonl", "junit", "sarif", "github", "html")
        ),
        ("profile", "flat@2", "-o", "json"),
        ("profile", "flat@2", "--column", "outside"),
        ("report", "flat", "-o", "json"),
        ("show", "flat@2", "--stats"),
        ("schema", "show", "flat"),
        ("schema", "infer", "flat@2"),
        ("schema", "export", "flat", "--format", "odcs"),
        ("review", "list", "-o", "json"),
        ("review", "show", "flat@1"),
        ("monitor", "history", "flat", "-o", "json"),
        ("drift", "flat@2", "flat@2", "-o", "json"),
        ("clean", "suggest", "flat@2", "-o", "json"),
        ("diff", "flat@1", "flat@2"),
        ("log", "flat", "-o", "json"),
    ],
    ids=" ".join,
)
def test_no_command_shows_a_canary(sealed, words):
    assert sealed.leaks(sealed.say(*words)) == set()


@pytest.mark.parametrize("table", ["reports", "anomalies", "schemas", "profiles", "columns", "fragments", "pools"])
def test_no_catalog_table_shows_a_canary(sealed, table):
    rows = sealed.store.sql(f"SELECT * FROM foldstore.{table}").to_arrow().to_pylist()
    assert rows
    assert sealed.leaks(rows) == set()


def test_no_answer_over_http_shows_a_canary(sealed):
    vault = TokenVault(sealed.store.registry("token"), clock=sealed.store.clock)
    app = create_app(sealed.store.features, vault, store=sealed.store)
    client = client_of(app, vault.create("editor", author="tester")[0])
    base = "/v1/datasets/flat"
    answers = [
        client.get(f"{base}/{path}")
        for path in ("schemas", "schema", "reviews?every=true", "versions/2", "versions/2/profile", "versions/2/report",
                     "versions/1/report", "versions/2/rows")
    ]  # fmt: skip
    answers += [client.post(f"{base}/versions/2:{verb}", json={}) for verb in ("validate", "infer-schema")]
    answers.append(client.post(f"{base}/versions/2:drift", json={"reference": "flat@2"}))
    columns = sealed.store.version("flat@2").arrow_schema.names
    for name in columns[::4]:  # each is a comparison of all columns
        asked = {"reference": "flat@2", "by": name, "max_segments": 2_500}
        answers.append(client.post(f"{base}/versions/2:drift", json=asked))
    answers.append(client.post("/v1/sql", json={"sql": "SELECT * FROM foldstore.anomalies"}))
    for form in REPORT_FORMS:
        answers += [client.get(f"{base}/versions/{n}/report", params={"form": form.name}) for n in (1, 2)]
        answers.append(client.post(f"{base}/versions/2:validate", params={"form": form.name}, json={}))
    answers += [client.get(f"{base}/{path}?form=html") for path in ("report-history", "versions/2/profile")]
    # Columns of lists tell no segments apart.
    sliced = [each for each in answers if b'"by"' in each.request.content]
    assert sum(each.status_code == 200 for each in sliced) > len(sliced) / 2
    assert {each.status_code for each in sliced} <= {200, 422}
    answers_that_are_whole = [each for each in answers if each not in sliced]
    assert [
        (each.request.url.path, each.status_code) for each in answers_that_are_whole if each.status_code != 200
    ] == []
    assert [each.request.url.path for each in answers if sealed.leaks(each.text)] == []


def test_no_file_outside_of_the_sealed_area_holds_a_canary(sealed):
    for path in sorted(sealed.folder.rglob("*")):
        if path.is_file() and path.relative_to(sealed.folder).parts[0] != "sealed":
            raw = path.read_bytes()
            assert sealed.leaks(raw.decode("latin-1")) == set(), path
            for column, name in ((2, "flat"), (31, "nested"), (32, "nested")):
                for pair in sorted(getattr(sealed, name))[:40]:
                    assert number(column, pair).to_bytes(8, "little") not in raw, (path, column)
