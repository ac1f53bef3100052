"""Cleaning: how much dirt is found and repaired, how fast, and what an undo and a commit cost.

Precision and recall are counted in cells, against tables whose truth is known: `hospital` is in the tests; a folder
with `<name>_dirty.csv` and `<name>_errors.csv` of others is named by FOLDSTORE_DIRTY. The baseline takes each value
that occurs once or twice in a column with frequent values for an error, and the most frequent value for its repair.
"""

import csv
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

import foldstore
from benchmarks.measure import Row, interleave
from foldstore.datastore.engine import Engine
from foldstore.datastore.statistics.profile import profile_table
from foldstore.validation.cleaning.denial import find_violations
from foldstore.validation.cleaning.dependency import find_dependencies

HOSPITAL = Path(__file__).parent.parent / "tests" / "validation" / "cleaning" / "hospital"
ROWS = 1_000_000
FLIGHTS = [f"flight -> {name}" for name in ("sched_dep_time", "act_dep_time", "sched_arr_time", "act_arr_time")]


def read_table(dirty, errors):
    with dirty.open(encoding="utf-8") as file:
        rows = [{name: text or None for name, text in row.items()} for row in csv.DictReader(file)]
    with errors.open(encoding="utf-8") as file:
        truth = {(int(each["row"]), each["column"]): each["clean"] or None for each in csv.DictReader(file)}
    return rows, truth


def baseline(rows):
    """Return the cells that the rarest-value rule changes."""
    changed = {}
    for name in rows[0]:
        counts = Counter(row[name] for row in rows)
        value, most = counts.most_common(1)[0]
        if most < 10:
            continue
        for place, row in enumerate(rows):
            if counts[row[name]] <= 2:
                changed[place, name] = value
    return changed


def cleaned(store, name, rows, **how):
    """Return the cells that a suggested plan changes, and those that it only suspects."""
    data = store.create_dataset(name, key=["row_number"])
    version = data.append(pa.Table.from_pylist([{"row_number": n, **row} for n, row in enumerate(rows)]))
    plan = version.suggest_cleaning(min_confidence=0.0, **how)
    wanted = [n for n, each in enumerate(plan, 1) if each.op not in ("cast", "deduplicate") and each.code != "form_odd"]
    after = {row.pop("row_number"): row for row in plan.only(*wanted).commit().to_arrow().to_pylist()}
    changed = {
        (place, column): after[place][column]
        for place, row in enumerate(rows)
        for column in row
        if after[place][column] != row[column]
    }
    odd = {each.column: set(each.params["values"]) for each in plan if each.code == "form_odd"}
    suspected = {(place, c) for place, row in enumerate(rows) for c, values in odd.items() if row[c] in values}
    return changed, suspected


def taken(store, name, rows, **how):
    """Return the cells that a plan changes which is committed as it is suggested; a cast changes no text."""
    data = store.create_dataset(name, key=["row_number"])
    version = data.append(pa.Table.from_pylist([{"row_number": n, **row} for n, row in enumerate(rows)]))
    after = version.suggest_cleaning(**how).commit().to_arrow()
    cells = {row.pop("row_number"): row for row in after.to_pylist()}
    texts = ((place, name, cells[place][name]) for place in cells for name in rows[place])
    return {
        (place, name): value if value is None else str(value)
        for place, name, value in texts
        if (value if value is None else str(value)) != rows[place][name]
    }


def score(found, truth):
    hit = len(found & truth)
    precision, recall = hit / max(1, len(found)), hit / len(truth)
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def repairs(changed, truth):
    right = {cell for cell, value in changed.items() if cell in truth and truth[cell] == value}
    precision, recall = len(right) / max(1, len(changed)), len(right) / len(truth)
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def _quality(name, rows, truth, **how):
    plain = baseline(rows)
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(folder) as store:
        changed, suspected = cleaned(store, "d", rows, **how)
        suggested = taken(store, "as_suggested", rows, **how)
    told = "declared" if how else "found"
    pairs = (
        ("detection", score({*changed, *suspected}, truth.keys()), score(set(plain), truth.keys())),
        ("repair", repairs(changed, truth), repairs(plain, truth)),
        ("detection as suggested", score(set(suggested), truth.keys()), score(set(plain), truth.keys())),
        ("repair as suggested", repairs(suggested, truth), repairs(plain, truth)),
    )
    for what, ours, theirs in pairs:
        for unit, mine, other in zip(("precision", "recall", "F1"), ours, theirs, strict=True):
            yield Row(f"{name}, dependencies {told}: {what} {unit}", mine, other, "rarest value", unit="")


def _tables():
    yield from _quality("hospital", *read_table(HOSPITAL / "dirty.csv", HOSPITAL / "errors.csv"))
    folder = os.environ.get("FOLDSTORE_DIRTY")
    if folder is not None and (Path(folder) / "flights_dirty.csv").exists():
        rows, truth = read_table(Path(folder) / "flights_dirty.csv", Path(folder) / "flights_errors.csv")
        yield from _quality("flights", rows, truth)
        yield from _quality("flights", rows, truth, dependencies=FLIGHTS)


def _speed():
    chance = np.random.default_rng(1)
    zips = chance.integers(0, 50_000, ROWS)
    city = zips % 1_000
    city[:1_000] = 5_000
    table = pa.table({"id": range(ROWS), "zip": zips, "city": city, "x": chance.normal(size=ROWS)})
    text = table.column("zip").cast(pa.string())
    with tempfile.TemporaryDirectory() as folder, foldstore.connect(folder) as store, Engine() as engine:
        data = store.create_dataset("d", key=["id"])
        version = data.append(table)
        plan = version.cleaning_plan([{"op": "set_null", "column": "x", "where": "city = 5000"}])
        made = plan.commit()
        yield Row(
            "commit 1,000 of 1 M rows, bytes",
            made.record.bytes_added,
            version.record.bytes_added / 1_000,
            "their share",
            unit="B",
        )
        ids = version.row_ids()
        rule = "t.zip = u.zip AND t.city <> u.city"
        query = "SELECT count(*) FROM d t JOIN d u ON t.zip = u.zip AND t.city <> u.city"
        best = interleave(
            {
                "preview": plan.preview,
                "profile": lambda: [profile_table(table.select(["x"])) for _ in range(2)],
                "deny": lambda: find_violations(rule, table, ids, engine),
                "join": lambda: engine.run_query(query, {"d": table}).to_arrow(),
                "find": lambda: find_dependencies(table, columns=["zip", "city"]),
                "encode": lambda: text.combine_chunks().dictionary_encode(),
            },
            repeats=3,
        )
    yield Row("preview a plan over 1 M rows", best["preview"], best["profile"], "two profiles of its column")
    yield Row("find the pairs that break a rule, 1 M rows", best["deny"], best["join"], "the bare join")
    yield Row("find a dependency of 1 M rows", best["find"], best["encode"], "dictionary of one text column")


def rows():
    yield from _tables()
    yield from _speed()
