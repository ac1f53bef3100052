"""No form of a report shows a sealed cell: neither of one made after the seal, nor of one that was kept from before."""

import re

import pytest

import foldstore
from foldstore.validation.column_domains import CategoryDomain, NumericDomain

pytestmark = pytest.mark.filterwarnings("ignore::foldstore.LeakageWarning")
ROWS = 3_000
# Each value tells its row, with the commas that a form may write in numbers.
SIGN = re.compile(r"(?:canary-|70,?000,?|700,00)(\d{4}|\d,\d{3})")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """A store whose gate found fault with every row before some of them were sealed; and the rows that were."""
    with foldstore.connect(tmp_path_factory.mktemp("sealed") / "store") as store:
        data = store.create_dataset("flights", key=["id"])
        rows = {
            "id": list(range(ROWS)),
            "late": [n % 3 == 0 for n in range(ROWS)],
            "note": [f"canary-{n:04}" for n in range(ROWS)],
            "amount": [700_000_000 + n for n in range(ROWS)],
        }
        first = data.append(rows)
        schema = first.profile().infer_schema()
        schema = schema.with_column("note", domain=CategoryDomain(values=("a",)), inferred=False)
        schema = schema.with_column("amount", domain=NumericDomain(max=7), inferred=False)
        data.set_schema(schema)
        kept = data.append({**rows, "id": [ROWS + n for n in range(ROWS)]})
        assert str(kept.status) == "quarantined"
        split = first.split("half", train=0.5, test=0.5)
        hidden = frozenset(split.test.to_arrow()["id"].to_pylist())
        plan = foldstore.plan_pool("n > 0.6 +/- 0.05", reliability=0.99, steps=4)
        assert SIGN.search(kept.report.to_html())
        store.pools.seal("p", split.test, label="late", hide=["note", "amount"], plan=plan)
        yield store, schema, hidden


def shown_rows(text):
    return {int(number.replace(",", "")) for number in SIGN.findall(text)}


@pytest.mark.parametrize(
    "form", ["to_text", "to_html", "to_json_lines", "to_junit", "to_sarif", "to_github", "_repr_html_", "to_dict"]
)
def test_no_form_shows_a_sealed_cell(sealed, form):
    store, schema, hidden = sealed
    after = store.version("flights@1").validate(schema)
    assert {"value_outside_domain", "above_max"} <= {each.code for each in after.anomalies}
    shown = shown_rows(str(getattr(after, form)()))
    assert not shown & hidden
    if form in ("to_html", "to_json_lines", "to_dict"):
        assert shown, "rows that are not sealed are shown, so that the test can fail"
    assert not shown_rows(str(getattr(store.version("flights@2").report, form)()))


def test_a_history_shows_no_sealed_cell(sealed):
    store, _, hidden = sealed
    found = store.dataset("flights").report_history()
    for form in ("to_html", "to_text", "to_json_lines", "_repr_html_", "to_dict"):
        assert not shown_rows(str(getattr(found, form)())) & hidden
