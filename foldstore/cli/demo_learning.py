"""The demo's second half: split, seal, features point in time, a model that asks, lookups over HTTP."""

import json
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import foldstore
from foldstore import sample_data
from foldstore.cli.flight_model import FlightModel
from foldstore.cli.narrator import Narrator
from foldstore.errors import RefusedError
from foldstore.validation.pools.pool_seal import RowOrderWarning

if TYPE_CHECKING:
    from foldstore.pool import Pool
    from foldstore.split import Split
    from foldstore.store import Store
    from foldstore.training_set import TrainingSet
    from foldstore.validation.pools.plan import PoolPlan

_CONDITION = "n - o > 0 +/- 0.01 /\\ d < 0.12 +/- 0.01"
_HIDE = ["arr_delay", "arr_time", "air_time", "dep_delay", "dep_time"]
_LOOKUPS = 1_000
_DECEMBER = 200
_TEST_BEGINS = "2013-11-01"


def tell_learning(store: "Store", narrator: Narrator) -> None:
    """Run the second half on a store that has flights and weather."""
    split, baseline = _split(store, narrator)
    pool = _seal(store, split, baseline, narrator)
    training = _build_features(store, narrator)
    _ask_pool(store, pool, training, narrator)
    _serve(store, training, narrator)


def _split(store: "Store", narrator: Narrator) -> tuple["Split", FlightModel]:
    with narrator.step("split", "Parts for good, and a baseline that knows the schedule alone") as facts:
        version = store.dataset("flights").add_columns({"late": "arr_delay > 15"}, message="what we predict")
        narrator.code('flights.add_columns({"late": "arr_delay > 15"})')
        narrator.say(f"{version.address} adds {version.record.bytes_added:,} bytes: the new column alone.")
        narrator.code(
            f'arrived = store.view("{version.address}").where("arr_delay IS NOT NULL")\n'
            'split = arrived.split("by_month", by_time="departs", boundaries=["2013-10-01", "2013-11-01"])\n'
            'other = arrived.split("by_tail", train=0.7, validation=0.15, test=0.15,\n'
            '                      group_by=["tailnum"], stratify="late", seed=7)'
        )
        arrived = store.view(version.address).where("arr_delay IS NOT NULL")
        split: Split = arrived.split("by_month", by_time="departs", boundaries=["2013-10-01", "2013-11-01"])
        other: Split = arrived.split(
            "by_tail", train=0.7, validation=0.15, test=0.15, group_by=["tailnum"], stratify="late", seed=7
        )
        rows = [_part_row(each, part) for each in (split, other) for part in ("train", "validation", "test")]
        narrator.table(["part", "rows", "late", "difference from train", "first", "last"], rows)
        torn = other.report(columns=[], group_by=["tailnum"]).groups_in_several_parts
        narrator.say(f"Aircraft in several parts of by_tail: {torn}.")
        baseline = FlightModel(schedule_only=True).fit(split.train.to_arrow())
        narrator.say("The baseline is a logistic model of hour, carrier, origin and distance, fitted on train.")
        facts.update({"parts": {row[0]: row[1] for row in rows}, "torn_groups": torn, "version": version.address})
        return split, baseline


def _part_row(split: "Split", part: str) -> tuple[Any, ...]:
    report = split.report(columns=["late"])
    summary = report.columns["late"][part]
    first, last = (report.times or {}).get(part, ("", ""))
    late, apart = f"{summary.mean:.1%}", "" if summary.difference is None else f"{summary.difference:.2f}"
    return f"#{split.name}.{part}", report.sizes[part], late, apart, first[:10], last[:10]


def _seal(store: "Store", split: "Split", baseline: FlightModel, narrator: Narrator) -> "Pool":
    with narrator.step("seal", "November and December become a test pool") as facts:
        plan = foldstore.plan_pool(_CONDITION, reliability=0.999, reuse="max_passes:3", steps=32)
        usual = foldstore.plan_pool(_CONDITION, reliability=0.999, reuse="max_passes:3", steps=32, method="hoeffding")
        narrator.code(
            f'plan = foldstore.plan_pool("{_CONDITION}",\n'
            '                           reliability=0.999, reuse="max_passes:3", steps=32)'
        )
        narrator.say(
            "The condition: better than the baseline, by more than chance, and other in at most 12 % of its answers.\n"
            "Asked up to 32 times, with 3 passes, and right in all answers together with probability 0.999, that\n"
            f"needs {plan.labels:,} labels of the {split.test.num_rows:,} there are; Hoeffding's inequality would want "
            f"{usual.labels:,}."
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RowOrderWarning)
            pool = _seal_test(store, split, baseline, plan)
        narrator.code(
            'pool = store.pools.seal("late-2013", split.test, label="late", hide=["arr_delay", ...],\n'
            "                        baseline=baseline_predictions, plan=plan, outcomes_feed_features=True)"
        )
        for warning in caught:
            narrator.say(f"Warned: {warning.message}")
        query = (
            f'SELECT count(*) AS flights, count(arr_delay) AS delays, count(late) AS labels FROM "{split.test.address}"'
        )
        found = store.sql(query).rows()[0]
        before = f"SELECT count(arr_delay) FROM \"flights@12\" WHERE departs >= TIMESTAMPTZ '{_TEST_BEGINS}'"
        old = store.sql(before).rows()[0][0]
        narrator.code(f"store.sql('''{query}''').rows()")
        narrator.say(f"{found}: sealed cells read as null for everyone. In the versions before, too:")
        narrator.code(f'store.sql("""{before}""").rows()')
        narrator.say(f"{old}")
        facts.update({"labels": plan.labels, "hoeffding": usual.labels, "test_rows": split.test.num_rows})
        facts.update(
            {"visible_labels": found[2], "visible_delays": found[1], "visible_before": old, "hidden": list(pool.hidden)}
        )
        return pool


def _seal_test(store: "Store", split: "Split", baseline: FlightModel, plan: "PoolPlan") -> "Pool":
    rows = split.test.to_arrow()
    keys = rows.select(store.dataset("flights").key)
    predictions = keys.append_column("prediction", baseline.predict(rows))
    return store.pools.seal(
        "late-2013",
        split.test,
        label="late",
        hide=_HIDE,
        baseline=predictions,
        plan=plan,
        outcomes_feed_features=True,
    )


def _build_features(store: "Store", narrator: Narrator) -> "TrainingSet":
    with narrator.step("features", "Features as they were known at the scheduled departure") as facts:
        file = sample_data.path("arrival.yaml")
        for part in _read_parts(file):
            narrator.block(part)
        (service,) = store.features.apply_file(file)
        narrator.code(f"foldstore features apply {file.name}", prompt="$")
        narrator.code(
            'training = store.features.create_training_set("arrival_training", labels="flights@13#by_month",\n'
            f'                                              features="{service}")'
        )
        labels = f"{store.dataset('flights').latest.address}#by_month"
        training = store.features.create_training_set("arrival_training", labels=labels, features=service)
        table = training.to_arrow()
        rows = []
        for name in training.inputs.names:
            column = table[name]
            rows.append((name, f"{column.null_count / len(column):.1%}", round(pc.mean(column).as_py(), 3)))
        narrator.table(["feature", "null", "mean"], rows)
        narrator.say(
            f"{training.address}: {training.version.num_rows:,} rows made of {', '.join(training.inputs.versions)}.\n"
            "The delays of November and December are means over at least five flights that had landed: outcomes\n"
            "feed features, labels stay sealed."
        )
        facts.update(
            {"training": training.address, "inputs": list(training.inputs.versions), "rows": training.version.num_rows}
        )
        return training


def _read_parts(file: Path) -> Iterator[str]:
    """Yield what the file says of the carriers and of the service; the rest is alike."""
    text = file.read_text(encoding="utf-8")
    for begin, end in (("  # Flights that", "  origin_delay:"), ("services:", None)):
        part = text[text.index(begin) :]
        yield (part if end is None else part[: part.index(end)]).rstrip()


def _ask_pool(store: "Store", pool: "Pool", training: "TrainingSet", narrator: Narrator) -> None:
    with narrator.step("evaluate", "A model asks the pool") as facts:
        model = FlightModel(schedule_only=False).fit(training.train.to_arrow())
        rows = pool.features()
        known = store.features.get_historical_features(
            rows, training.inputs.features, event_timestamp="departs", like=training
        )
        chances = model.chances(known)
        narrator.code(
            "rows = pool.features(); predictions = {'pool_row': rows['pool_row'], 'prediction': model.predict(...)}"
        )
        narrator.code("pool.evaluate(predictions, model='logistic').passed")
        asked = [
            ("logistic, threshold 0.50", _predict(rows, chances, 0.50)),
            ("the same predictions again", _predict(rows, chances, 0.50)),
            ("a worse one: every twentieth answer turned round", _worsen(rows, chances)),
            ("logistic, threshold 0.51", _predict(rows, chances, 0.51)),
            ("logistic, threshold 0.52", _predict(rows, chances, 0.52)),
        ]
        told = []
        for name, predictions in asked:
            verdict = pool.evaluate(predictions, model=name)
            left = pool.status()
            told.append(
                (
                    name,
                    "pass" if verdict.passed else "fail",
                    "yes" if verdict.charged else "free",
                    left.steps_left,
                    left.passes_left,
                )
            )
        narrator.table(["model", "answer", "charged", "steps left", "passes left"], told)
        facts["answers"] = [
            dict(zip(("model", "answer", "charged", "steps_left", "passes_left"), row, strict=True)) for row in told
        ]
        try:
            pool.evaluate(_predict(rows, chances, 0.53), model="logistic, threshold 0.53")
        except RefusedError as error:
            narrator.say(f"logistic, threshold 0.53: refused. {error.message}")
            facts["refused"] = error.code


def _predict(rows: pa.Table, chances: Any, threshold: float) -> dict[str, Any]:
    return {"pool_row": rows["pool_row"], "prediction": pa.array(chances > threshold)}


def _worsen(rows: pa.Table, chances: Any) -> dict[str, Any]:
    predictions = (chances > 0.5) ^ (np.arange(len(chances)) % 20 == 0)
    return {"pool_row": rows["pool_row"], "prediction": pa.array(predictions)}


def _serve(store: "Store", training: "TrainingSet", narrator: Narrator) -> None:
    from foldstore.api.app import create_app
    from foldstore.api.server import BackgroundServer
    from foldstore.api.tokens import TokenVault

    with narrator.step("serve", "The same features over HTTP, to the bit") as facts:
        service = store.features.materialize(training.inputs.features, like=training)
        vault = TokenVault(store.registry("token"), clock=store.clock)
        token, _ = vault.create("serving", author=store.author, label="demo")
        narrator.code(f'store.features.materialize("{service}", like=training)')
        narrator.code("foldstore token create serving; foldstore serve --port 0", prompt="$")
        store.features.log_lookups(service.partition("@")[0])
        with BackgroundServer(create_app(store.features, vault)) as server:
            rows = training.test.to_arrow()
            sample = rows.take(pa.array(np.linspace(0, rows.num_rows - 1, _DECEMBER).astype(np.int64)))
            equal = sum(_agrees(server.url, token, service, training, row) for row in _bare_rows(sample))
            times = [
                _timed(server.url, token, service, row)
                for row in _bare_rows(sample)
                for _ in range(_LOOKUPS // _DECEMBER)
            ]
        median = float(np.median(times)) * 1000
        narrator.say(
            f"{equal} of {_DECEMBER} lookups at the flights' own departures equal the training join, bit for bit.\n"
            f"Median of {len(times):,} lookups over HTTP, one connection each: {median:.2f} ms."
        )
        facts.update(
            {"service": service, "equal": equal, "looked_up": _DECEMBER, "median_ms": median, "url": server.url}
        )
    with narrator.step("audit", "What was served, computed again") as facts:
        audit = store.features.audit(service)
        narrator.code(f"foldstore features audit {service}", prompt="$")
        narrator.say(str(audit))
        facts.update({"rows": audit.rows, "audited": audit.audited, "equal": audit.equal})


def _bare_rows(sample: pa.Table) -> list[dict[str, Any]]:
    times = pc.strftime(sample["departs"], format="%Y-%m-%dT%H:%M:%SZ").to_pylist()
    return [{**row, "at": at} for row, at in zip(sample.to_pylist(), times, strict=True)]


def _look_up(url: str, token: str, service: str, row: dict[str, Any]) -> dict[str, Any]:
    entity = {"carrier": row["carrier"], "origin": row["origin"]}
    body = json.dumps({"service": service, "entities": [entity], "at": row["at"]}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/features:get", body, headers)  # noqa: S310  # our own server
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # our own server
        found: dict[str, Any] = json.load(answer)
        return found


def _agrees(url: str, token: str, service: str, training: "TrainingSet", row: dict[str, Any]) -> bool:
    found = _look_up(url, token, service, row)
    return all(found["features"][name]["values"][0] == row[name] for name in training.inputs.names)


def _timed(url: str, token: str, service: str, row: dict[str, Any]) -> float:
    started = time.perf_counter()
    _look_up(url, token, service, row)
    return time.perf_counter() - started
