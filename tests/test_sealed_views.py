"""Sealed cells are null on every way out of a view: forms, steps, files, statistics, texts and errors alike."""

import re

import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import foldstore
from foldstore.errors import FoldstoreError
from tests import learning

pytestmark = pytest.mark.filterwarnings("ignore::foldstore.LeakageWarning")
ROWS = 3_000
# Each value tells its row: what is found anywhere in an answer says which row it leaked from.
SIGN = re.compile(r"(?:canary-|70000)(\d{4})")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with foldstore.connect(tmp_path_factory.mktemp("sealed") / "store") as store:
        rows = {
            "id": list(range(ROWS)),
            "late": [n % 3 == 0 for n in range(ROWS)],
            "note": [f"canary-{n:04}" for n in range(ROWS)],
            "amount": [700_000_000 + n for n in range(ROWS)],
            "seen": [[{"what": f"canary-{n:04}", "much": 700_000_000 + n}] for n in range(ROWS)],
        }
        data = store.create_dataset("flights", key=["id"])
        data.append(rows)
        data.add_columns({"hour": "id % 24"})
        store.view("flights@1").where("note IS NOT NULL").save("noted")
        yield store


@pytest.fixture(scope="module")
def opened(store):
    """Views that were opened, and read, before the seal."""
    views = {name: make(store.view("flights@1")) for name, make in STEPS.items()}
    for view in views.values():
        view.to_arrow()
    return views


@pytest.fixture(scope="module")
def hidden(store, opened):
    split = store.version("flights@1").split("half", train=0.5, test=0.5)
    ids = frozenset(split.test.to_arrow()["id"].to_pylist())
    plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)
    store.pools.seal("p", split.test, label="late", hide=["note", "amount", "seen"], plan=plan)
    return ids


def _leaks(found, hidden):
    return {int(number) for number in SIGN.findall(str(found))} & hidden


STEPS = {
    "as it is": lambda view: view,
    "where": lambda view: view.where("amount > 0 OR amount IS NULL"),
    "where_any": lambda view: view.where_any("note LIKE 'canary%'", "id > 10"),
    "where_elements": lambda view: view.where_elements("seen", "element.much > 0"),
    "keep_elements": lambda view: view.keep_elements("seen", "element.much > 0"),
    "select": lambda view: view.select("id", text="coalesce(note, 'none') || 'x'", more="amount + 1 - 1"),
    "nested": lambda view: view.select("id", "seen.what"),
    "map": lambda view: view.map("note", {"canary-0001": "canary-0001"}, into="mapped"),
    "enumerate": lambda view: view.enumerate("note", {"canary-0001": 1}),
    "explode": lambda view: view.explode("seen", keep_empty=True),
    "sample": lambda view: view.sample(0.9, stratify="late"),
    "order_by": lambda view: view.order_by("amount", descending=True),
    "shuffle": lambda view: view.shuffle(5),
    "sequences": lambda view: view.sequences(["note"], "amount"),
    "repeat": lambda view: view.repeat(2),
    "limit": lambda view: view.limit(2_000),
    "union": lambda view: view.union(view.where("late")),
    "blend": lambda view: view.union(view).blend({"late": 1, "NOT late": 2}),
    "balance": lambda view: view.balance("late"),
}


@pytest.mark.parametrize("name", STEPS)
def test_no_step_gives_a_sealed_cell(store, opened, hidden, name):
    for view in (STEPS[name](store.view("flights@1")), opened[name]):
        rows = view.to_arrow()
        assert rows.num_rows
        assert not _leaks(rows.to_pylist(), hidden)


def test_the_order_of_an_open_view_no_longer_tells_what_was_sealed(opened, hidden):
    amounts = opened["order_by"].to_arrow()["amount"].to_pylist()
    assert amounts[: ROWS - len(hidden)] == sorted((n for n in amounts if n is not None), reverse=True)
    assert set(amounts[ROWS - len(hidden) :]) == {None}
    ids = opened["order_by"].to_arrow()["id"].to_pylist()[ROWS - len(hidden) :]
    assert ids == sorted(ids)  # as the rows lie


def _exported(view, folder):
    read = {
        "x.parquet": pq.read_table,
        "x.csv": lambda path: path.read_text(),
        "x.jsonl": lambda path: path.read_text(),
        "x.arrow": lambda path: pa.ipc.open_file(path.read_bytes()).read_all(),
    }
    for name, reading in read.items():
        columns = None if name != "x.csv" else ["id", "late", "note", "amount"]
        (path,) = view.export(folder / name, columns=columns)
        found = reading(path)
        yield found.to_pylist() if isinstance(found, pa.Table) else found


def _everything(frame):
    with pl.Config(tbl_rows=-1, fmt_str_lengths=50, fmt_table_cell_list_len=-1):
        return str(frame)


FORMS = {
    "to_batches": lambda view, _: [batch.to_pylist() for batch in view.to_batches()],
    "to_reader": lambda view, _: view.to_reader().read_all().to_pylist(),
    "stream": lambda view, _: pa.table(view).to_pylist(),
    "frame": lambda view, _: _everything(view.to_polars()),
    "to_polars": lambda view, _: view.to_polars().rows(),
    "scan": lambda view, _: view.scan().filter(pl.col("id") >= 0).collect().rows(),
    "to_numpy": lambda view, _: [values.tolist() for values in view.to_numpy().values()],
    "to_duckdb": lambda view, _: view.to_duckdb().fetchall(),
    "to_xy": lambda view, _: [each.tolist() for each in view.where("late IS NOT NULL").to_xy("late", ["amount", "id"])],
    "loader": lambda view, _: [[v.tolist() for v in batch.values()] for batch in view.loader(64, fill={"amount": 0})],
    "masks": lambda view, _: [
        [v.tolist() for v in batch.values()] for batch in view.select("id", "amount").loader(64, masks=True)
    ],
    "export": lambda view, folder: list(_exported(view, folder)),
    "profile": lambda view, _: view.profile().to_dict(),
    "statistics": lambda view, _: [vars(type(c)) and repr(c) for c in view.profile().columns.values()],
    "repr": lambda view, _: repr(view) + view._repr_html_(),
    "explain": lambda view, _: view.explain(),
    "spec": lambda view, _: view.spec(),
    "diff": lambda view, _: str(view.diff(view.where("amount IS NULL"))),
    "leakage": lambda view, _: str(view.leakage()),
    "bias": lambda view, _: foldstore.measure_bias(view, label="late", sensitive="hour").to_dict(),
}  # fmt: skip


@pytest.mark.parametrize("address", ["flights@1", "flights", "flights@1#half.test", "noted@1"])
@pytest.mark.parametrize("form", FORMS)
def test_no_form_gives_a_sealed_cell(store, hidden, tmp_path, form, address):
    view = store.view(address)
    if form == "bias":
        view = store.view("flights")
    if form in ("to_numpy", "loader"):
        view = view.select("id", "note", "amount")
    if address.endswith("test") and form == "to_xy":
        pytest.skip("there is no label to learn")
    assert not _leaks(FORMS[form](view, tmp_path), hidden)


def test_the_forms_do_show_what_is_not_sealed(store, hidden, tmp_path):
    for form in ("to_batches", "to_polars", "export", "profile", "to_duckdb"):
        shown = SIGN.findall(str(FORMS[form](store.view("flights@1"), tmp_path)))
        assert set(map(int, shown)) - hidden, form


@pytest.mark.parametrize(
    "ask",
    [
        lambda view: view.select(n="note::INTEGER").to_arrow(),
        lambda view: view.select(n="error(coalesce(note, 'no note'))").to_arrow(),
        lambda view: view.where("note::DATE > DATE '2013-01-01'").count(),
        lambda view: view.select(n="CAST(amount AS TINYINT)").to_arrow(),
        lambda view: view.to_xy("amount"),
        lambda view: view.select("id", "amount").loader(8).__iter__().__next__(),
        lambda view: view.map("note", {"a": 1}),
        lambda view: view.enumerate("note").to_arrow().to_pylist(),
        lambda view: view.order_by("seen"),
    ],
)
def test_no_error_quotes_a_sealed_cell(store, hidden, ask):
    view = store.view("flights@1#half.test")
    try:
        found = ask(view)
    except FoldstoreError as error:
        found = f"{error} {error.to_dict()}"
    assert not _leaks(found, hidden)


def test_tensors_and_examples_have_no_sealed_cell(store, hidden):
    learning.require("torch")
    learning.require("datasets")
    view = store.view("flights@1")
    batches = list(view.select("id", "amount").to_torch(128, fill={"amount": -1}))
    assert not _leaks([batch["amount"].tolist() for batch in batches], hidden)
    for streaming in (True, False):
        assert not _leaks(list(view.to_huggingface(streaming=streaming)), hidden)
