"""Random views, and what their deterministic steps mean, row by row, in plain Python."""

import math
import random
from typing import Any

import pyarrow as pa

from foldstore.views.view import View

Row = dict[str, Any]
SCHEMA = pa.schema({"i": pa.int64(), "x": pa.float64(), "s": pa.string(), "t": pa.int64(), "l": pa.list_(pa.string())})


def random_rows(rng: random.Random, count: int) -> list[Row]:
    return [
        {
            "i": rng.choice([None, *range(-5, 6)]),
            "x": rng.choice([None, math.nan, -1.5, 0.0, 2.5]),
            "s": rng.choice([None, "a", "b", "c", ""]),
            "t": rng.randrange(30),
            "l": rng.choice([None, [], ["a"], ["a", "b"], ["b", "a", "a"], [None, "a"]]),
        }
        for _ in range(count)
    ]


def as_table(rows: list[Row], cut: int) -> pa.Table:
    whole = pa.Table.from_pylist(rows, schema=SCHEMA)
    return pa.Table.from_batches(whole.to_batches(max_chunksize=cut), SCHEMA)


Taken = tuple[View, list[Row]] | None


def _where(rng: random.Random, view: View, rows: list[Row]) -> Taken:
    least = rng.randint(-4, 3)
    return view.where(f"i > {least}"), [row for row in rows if row["i"] is not None and row["i"] > least]


def _where_any(_: random.Random, view: View, rows: list[Row]) -> Taken:
    return view.where_any("s = 'a'", "s IS NULL"), [row for row in rows if row["s"] in ("a", None)]


def _limit(rng: random.Random, view: View, rows: list[Row]) -> Taken:
    count = rng.randint(0, 30)
    return view.limit(count), rows[:count]


def _compute(_: random.Random, view: View, rows: list[Row]) -> Taken:
    kept = [name for name in view.arrow_schema.names if name != "i"]
    moved = [None if row["i"] is None else row["i"] + 1 for row in rows]
    after = [{name: row[name] for name in kept} | {"i": i} for row, i in zip(rows, moved, strict=True)]
    return view.select(*kept, i="i + 1"), after


def _map(_: random.Random, view: View, rows: list[Row]) -> Taken:
    rules = {"a": "A", "b": "A", None: "none"}
    return view.map("s", rules), [row | {"s": rules.get(row["s"], row["s"])} for row in rows]


def _number(_: random.Random, view: View, rows: list[Row]) -> Taken:
    if "n" in view.arrow_schema.names:
        return None
    numbers = {"a": 0, "A": 0, "b": 1}
    return view.enumerate("s", numbers, into="n"), [row | {"n": numbers.get(row["s"], -1)} for row in rows]


def _explode(rng: random.Random, view: View, rows: list[Row]) -> Taken:
    keep = rng.random() < 0.5
    after = [row | {"l": element} for row in rows for element in (row["l"] or ([None] if keep else []))]
    return view.explode("l", keep_empty=keep), after


def _keep(_: random.Random, view: View, rows: list[Row]) -> Taken:
    kept = [None if row["l"] is None else [e for e in row["l"] if e == "a"] for row in rows]
    after = [row | {"l": elements} for row, elements in zip(rows, kept, strict=True)]
    return view.keep_elements("l", "element = 'a'"), after


def _where_elements(_: random.Random, view: View, rows: list[Row]) -> Taken:
    after = [row for row in rows if sum(e == "a" for e in row["l"] or []) == 1]
    return view.where_elements("l", "element = 'a'", at_least=1, at_most=1), after


def _sort(rng: random.Random, view: View, rows: list[Row]) -> Taken:
    falling = rng.random() < 0.5
    after = sorted(rows, key=lambda row: (_rank(row["x"], falling=falling), row["t"]))
    return view.order_by("x", "t", descending=["x"] if falling else []), after


def _union(_: random.Random, view: View, rows: list[Row]) -> Taken:
    return view.union(view.limit(2)), rows + rows[:2]


def _repeat(rng: random.Random, view: View, rows: list[Row]) -> Taken:
    count = rng.randint(1, 3)
    return nested(view.repeat(count)), rows * count


def _cut_endless(rng: random.Random, view: View, rows: list[Row]) -> Taken:
    count = rng.randint(0, 80)
    whole = rows * (count // max(1, len(rows)) + 1)
    return nested(view.repeat().limit(count)), whole[:count]


def _cut_endless_inside(rng: random.Random, view: View, rows: list[Row]) -> Taken:
    count = rng.randint(0, 80)
    whole = rows[:3] + (rows * (count // max(1, len(rows)) + 1) if rows else [])
    return view.limit(3).union(view.repeat(), view).limit(count), (whole if rows else [])[:count]


def nested(*views: View) -> View:
    """Return views as an input of another one, which may be put in order though they repeat rows."""
    return views[0].union(*views[1:])


_PLAIN = [
    (_where, "i"), (_where_any, "s"), (_limit, ""), (_compute, "i"), (_map, "s"), (_number, "s"), (_explode, "l"),
    (_keep, "l"), (_where_elements, "l"), (_sort, "xt"), (_union, ""), (_repeat, ""), (_cut_endless, ""),
    (_cut_endless_inside, ""),
]  # fmt: skip


def plain_step(rng: random.Random, view: View, rows: list[Row]) -> tuple[View, list[Row]]:
    """Take one deterministic step, with the view and with the rows."""
    step, needs = rng.choice(_PLAIN)
    there = set(view.arrow_schema.names)
    if "l" in there and not pa.types.is_list(view.arrow_schema.field("l").type):
        there.remove("l")
    return (step(rng, view, rows) if set(needs) <= there else None) or (view, rows)


def random_step(rng: random.Random, view: View) -> View:
    """Take one step of any kind."""
    names = view.arrow_schema.names
    match rng.choice(["plain", "plain", "sample", "shuffle", "sequences", "blend", "balance"]):
        case "sample":
            strata = ["s"] if "s" in names and rng.random() < 0.3 else None
            return view.sample(rows=rng.randint(0, 20), seed=rng.randint(0, 5), stratify=strata)
        case "shuffle":
            return view.shuffle(rng.randint(0, 9), buffer_rows=rng.choice([1, 3, 8, 64]), blocks=rng.choice([1, 2, 4]))
        case "sequences" if {"t", "s"} <= set(names) and "sequence" not in names:
            how = {"length": rng.choice([None, 2, 3]), "max_gap": rng.choice([None, 5]), "jump": rng.choice([None, 1])}
            return view.sequences(["s"], "t", min_length=rng.choice([1, 2]), **how)
        case "blend" if "t" in names:
            return view.blend(
                {"t < 20": 1, "t >= 15": rng.choice([1, 2, 0.5])}, rows=rng.choice(["all", "once", "largest", 17])
            )
        case "balance" if "s" in names:
            return view.balance("s", {"a": 1, "b": 2, "A": 1})
    # The rows do not matter here: none fit any step.
    return plain_step(rng, view, [])[0]


def _rank(value: float | None, *, falling: bool) -> tuple[int, float]:
    if value is None:
        return 2, 0.0
    return (1, 0.0) if math.isnan(value) else (0, -value if falling else value)
