"""The demo: files in, versions, judgement and SQL out, on the flights that left New York in 2013."""

import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foldstore
from foldstore.cli.demo_learning import tell_learning
from foldstore.cli.narrator import Narrator
from foldstore.cli.output import STATISTICS, progress, show_bytes, statistics_row
from foldstore.sample_data import months, path
from foldstore.sample_data.damage import write_damaged

if TYPE_CHECKING:
    from foldstore.dataset import Dataset
    from foldstore.store import Store
    from foldstore.validation.report import Report
    from foldstore.version import Version

_KEY = ["carrier", "flight", "origin", "time_hour"]
_DERIVE = {"departs": "time_hour + minute * INTERVAL 1 MINUTE"}
_ORDER = ["departs", "carrier", "flight"]
_MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
_CREATE = """flights = store.create_dataset("flights", key=["carrier", "flight", "origin", "time_hour"],
                               event_time="departs",
                               derive={"departs": "time_hour + minute * INTERVAL 1 MINUTE"})"""
_SHOWN_COLUMNS = ["dep_delay", "arr_delay", "carrier", "tailnum", "distance", "time_hour"]


def run_demo(folder: Path, *, quiet: bool) -> None:
    """Run every step in a new store and keep it.

    Parameters
    ----------
    folder : pathlib.Path
        A new or empty folder.
    quiet : bool
        Print one JSON document instead of the account.
    """
    narrator = Narrator(quiet=quiet)
    with foldstore.connect(folder, author="demo") as store:
        _commit_files(store, narrator)
        _judge(store, narrator)
        _ask(store, narrator)
        tell_learning(store, narrator)
        _say_what_next(store, narrator)
        narrator.finish({"store": str(store.root)})


def _commit_files(store: "Store", narrator: Narrator) -> None:
    with narrator.step("commit", "A year of flights, month by month, with weather and planes") as facts:
        narrator.code(f'store = foldstore.connect("{store.root.name}")')
        narrator.code(_CREATE)
        flights = store.create_dataset("flights", key=_KEY, event_time="departs", derive=_DERIVE)
        narrator.code(
            'flights.append("flights_2013-01.parquet", order_by=["departs", "carrier", "flight"], message="January")'
        )
        rows = [_commit_month(flights, month, file) for month, file in zip(_MONTHS, months(), strict=True)]
        others = [_commit_other(store, "weather", "weather_2013.parquet", ["origin", "time_hour"])]
        others.append(_commit_other(store, "planes", "planes.csv", ["tailnum"]))
        narrator.table(["version", "message", "rows added", "rows", "bytes added", "seconds"], [*rows, *others])
        raw = sum(file.stat().st_size for file in months())
        facts["versions"] = [
            dict(zip(("address", "message", "rows_added", "rows", "bytes_added", "seconds"), row, strict=True))
            for row in (*rows, *others)
        ]
        narrator.say(
            "Each version is an address that gives the same bytes for ever. Files are kept as uncompressed\n"
            f"Arrow, to be mapped into memory instead of read (the Parquet files have {show_bytes(raw)})."
        )


def _commit_month(flights: "Dataset", month: str, file: Path) -> tuple[Any, ...]:
    started = time.perf_counter()
    with progress(f"Committing {month}") as update:
        version = flights.append(file, order_by=_ORDER, message=month, progress=update)
    return _log_row(version, started)


def _commit_other(store: "Store", name: str, file: str, key: list[str]) -> tuple[Any, ...]:
    started = time.perf_counter()
    return _log_row(store.create_dataset(name, key=key).append(path(file), message=file), started)


def _log_row(version: "Version", started: float) -> tuple[Any, ...]:
    record = version.record
    spent = round(time.perf_counter() - started, 3)
    return version.address, record.message, record.rows_added, record.num_rows, record.bytes_added, spent


def _judge(store: "Store", narrator: Narrator) -> None:
    with narrator.step("judge", "A schema from January, a verdict on February") as facts:
        trial = store.create_dataset("trial", key=_KEY, event_time="departs", derive=_DERIVE)
        january = trial.append(months()[0], order_by=_ORDER, message="January")
        narrator.code('january = trial.append("flights_2013-01.parquet", order_by=[...])')
        narrator.say(
            f"{january.address} added {show_bytes(january.record.bytes_added)}: equal bytes are kept once, "
            "and flights@1 has them."
        )
        _profile(january, narrator, facts)
        _set_schema(trial, january, narrator, facts)
        _publish_damaged(trial, narrator, facts)
        february = trial.append(months()[1], order_by=_ORDER, message="February")
        narrator.code('trial.append("flights_2013-02.parquet", order_by=[...]).status')
        narrator.say(f"{february.status}: the latest version is now {trial.latest.address}.")
        facts["latest"] = trial.latest.address


def _profile(january: "Version", narrator: Narrator, facts: dict[str, Any]) -> None:
    with progress("Profiling") as update:
        profile = january.profile(progress=update)
    narrator.code("profile = january.profile()")
    narrator.table(STATISTICS, [statistics_row(name, profile.columns[name]) for name in _SHOWN_COLUMNS])
    facts["profile_id"] = profile.id


def _set_schema(trial: "Dataset", january: "Version", narrator: Narrator, facts: dict[str, Any]) -> None:
    schema = january.profile().infer_schema()
    trial.set_schema(schema, message="inferred from January")
    narrator.code("schema = profile.infer_schema(); trial.set_schema(schema, message='inferred from January')")
    narrator.say(
        f"Schema {schema.version} for {len(schema.columns)} columns, with the evidence for each rule. On 'carrier':"
    )
    narrator.block(_column_text(schema.to_yaml(), "carrier"))
    report = trial.validate(months()[1])
    narrator.code('report = trial.validate("flights_2013-02.parquet"); print(report)')
    narrator.block(report.to_text())
    facts["first_look"] = _codes(report)
    if report.passed:
        facts["schema"] = {"id": schema.id, "version": schema.version}
        return
    narrator.say(
        "True, and no fault of the data: on 8 and 9 February 2013 a blizzard cancelled half of all flights.\n"
        "A person who knows that accepts the fixes that the report proposes, as a child schema:"
    )
    child = schema.accept([a for a in report.anomalies if a.severity == "error"], reason="winter storms cancel flights")
    trial.set_schema(child, message="February's cancellations are real")
    narrator.code(
        'errors = [anomaly for anomaly in report.anomalies if anomaly.severity == "error"]\n'
        'schema = schema.accept(errors, reason="winter storms cancel flights")'
    )
    narrator.block("\n".join(str(change) for change in schema.diff(child) if change.path.endswith("min_fraction")))
    again = trial.validate(months()[1])
    narrator.say(f"Schema {child.version}; February: {'passed' if again.passed else 'failed'}.")
    facts["second_look"] = {"passed": again.passed, "anomalies": _codes(again)}
    facts["schema"] = {"id": child.id, "version": child.version}


def _column_text(yaml: str, column: str) -> str:
    lines = yaml.splitlines()
    start = lines.index(f"  {column}:")
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith("    ")), len(lines))
    return "\n".join(lines[start : min(end, start + 15)])


def _codes(report: "Report") -> list[str]:
    return [f"{anomaly.code}:{anomaly.column}" if anomaly.column else anomaly.code for anomaly in report.anomalies]


def _publish_damaged(trial: "Dataset", narrator: Narrator, facts: dict[str, Any]) -> None:
    narrator.say("\nNow a February that was damaged on its way:")
    before = trial.latest.address
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "february_damaged.parquet"
        faults = write_damaged(months()[1], file)
        narrator.block("\n".join(f"- {fault.column}: {fault.description}" for fault in faults))
        damaged = trial.append(file, order_by=_ORDER, message="February, as it came")
    narrator.code('version = trial.append("february_damaged.parquet"); version.status, trial.latest')
    narrator.say(f"{damaged.status}; the latest version is still {trial.latest.address}. The report says why:")
    report = damaged.report
    assert report is not None  # noqa: S101  # a schema is set, so the gate has judged
    narrator.block(report.to_text())
    facts["damaged"] = {
        "address": damaged.address,
        "status": str(damaged.status),
        "faults": [fault.anomaly for fault in faults],
        "anomalies": _codes(report),
        "latest_before": before,
        "latest_after": trial.latest.address,
    }


_QUERY = """SELECT f.origin, count(*) AS flights, round(avg(f.arr_delay), 1) AS mean_delay,
       round(avg(f.arr_delay) FILTER (WHERE w.precip > 0), 1) AS when_wet,
       (SELECT count(*) FROM "flights@1" j WHERE j.origin = f.origin) AS in_january
FROM flights f LEFT JOIN weather w USING (origin, time_hour)
GROUP BY f.origin ORDER BY mean_delay DESC"""
_SHELL_QUERY = 'SELECT count(*) AS all_year, (SELECT count(*) FROM "flights@1") AS january FROM flights'


def _ask(store: "Store", narrator: Narrator) -> None:
    with narrator.step("ask", "SQL over several versions at once") as facts:
        narrator.code(f'store.sql("""{_QUERY}""").to_polars()')
        result = store.sql(_QUERY)
        rows = result.rows()
        narrator.table(result.arrow_schema.names, rows)
        facts["rows"] = [dict(zip(result.arrow_schema.names, row, strict=True)) for row in rows]
        typed = ["foldstore", "sql", _SHELL_QUERY, "--store", str(store.root), "--output", "csv"]
        narrator.code(shlex.join([*typed[:3], "--store", store.root.name, *typed[5:]]), prompt="$")
        done = subprocess.run(  # noqa: S603  # our own command with our own words
            [sys.executable, "-m", *typed], capture_output=True, text=True, check=True
        )
        narrator.block(done.stdout)
        facts["command_output"] = done.stdout


def _say_what_next(store: "Store", narrator: Narrator) -> None:
    name = store.root.name
    with narrator.step("next", "What to type next") as facts:
        lines = {
            "sql": f"foldstore sql 'SELECT carrier, avg(arr_delay) FROM \"flights@12\" GROUP BY 1' --store {name}",
            "python": f'foldstore.connect("{name}").view("flights").where("origin = \'JFK\'").to_polars()',
            "command": f"foldstore log flights --store {name}",
            "pool": f"foldstore pool status late-2013 --store {name}",
            "serve": f"foldstore serve --store {name} &",
            "curl": (
                f'curl -H "Authorization: Bearer $(foldstore token create serving --store {name})" '
                "http://127.0.0.1:8765/v1/features:get "
                '-d \'{"service": "arrival@1", "entities": {"carrier": ["UA"], "origin": ["EWR"]}, '
                '"at": "2013-12-30T12:00:00Z"}\''
            ),
        }
        for kind, line in lines.items():
            narrator.code(line, prompt=">>>" if kind == "python" else "$")
        facts.update(lines)
