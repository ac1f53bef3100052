"""Write the pages that follow from the code: commands, errors, anomalies, and the demo's output in the README.

``python docs/generate.py`` writes them; ``--pages`` writes the first three; ``--check`` writes nothing and exits 1
when one of these is stale. The demo's output holds timings, so it is written by the first form alone.
"""

# ruff: noqa: INP001  # a script, not a package

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import typer.main

import foldstore
from foldstore import errors
from foldstore.api import problem
from foldstore.api.resources import list_routes
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import app
from foldstore.datastore.catalog_tables.declarations import TABLES
from foldstore.types import Severity
from foldstore.validation.anomaly import CODES

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
_NOTE = "<!-- Written by docs/generate.py; change the code, then run `make docs`. -->\n"
_BEGIN, _END = "<!-- demo: written by docs/generate.py -->\n", "<!-- end of demo -->\n"
_LEFT_OUT = re.compile(r"^ flights@(?:[3-9]|10|11) .*\n", re.MULTILINE)
_EXAMPLES = re.compile(r"^ +rows \d+ \(.*\n", re.MULTILINE)

# What a code means, in a sentence for the reader of a report; a test holds this and `CODES` together.
MEANINGS = {
    "no_data": "There are no rows to judge.",
    "rows_too_few": "There are fewer rows than the schema's `min_rows`.",
    "rows_too_many": "There are more rows than the schema's `max_rows`.",
    "rows_ratio_low": "There are fewer rows than `rows_vs_previous` allows, as a multiple of the version before.",
    "rows_ratio_high": "There are more rows than `rows_vs_previous` allows, as a multiple of the version before.",
    "stale": "The newest time of the `time_column` is older than `freshness` at the instant of judgement.",
    "future_time": "Times lie further after the instant of judgement than the domain's `max_future`.",
    "time_gap": "Between the first and the last time no row falls into a period of `time_step`, counted from 1970 on.",
    "duplicate_rows": "More rows repeat another in all columns than `max_duplicate_fraction` allows.",
    "foreign_key_missing": "More rows than allowed hold values that the dataset which `refs` names lacks.",
    "split_overlap": "More keys (groups where there are none) are also in another dataset than `overlap` allows.",
    "row_rule_failed": "More rows break a rule of the schema (`rules`) than its `min_pass_fraction` allows.",
    "user_check_failed": "Rows, or the rows as a whole, fail a check of a pandera schema given as `checks`.",
    "user_check_broken": "A check of a pandera schema raised, or gave no answer that can be read.",
    "too_many_segments": "A segment of the schema has more slices than are judged for themselves.",
    "schema_unknown_environment": "The environment is none of the schema's; all columns were asked for.",
    "schema_invalid": "A rule of the schema cannot be judged, as when it names a column that is not there.",
    "column_order_changed": "The columns do not come in the schema's `column_order`.",
    "stats_unavailable": "A field of the schema was not judged: there is no check for it, or nothing to compare with.",
    "duplicate_key": "A key value occurs in two rows or more, among the new rows or with those that were there.",
    "column_missing": "A column whose stage is `beta` or `production` is not there.",
    "column_new": "There is a column that the schema does not know.",
    "column_renamed_suspect": "A column is missing, and a new one of its type has a like name and like values.",
    "type_mismatch": "A column has another Arrow type than the schema says, and not one of its `coerce_from`.",
    "type_coercible": "The type is another, of which the schema's holds every value; the values are judged.",
    "type_lossy": "The type is another of numbers, or of finer times, and the schema's cannot hold all its values.",
    "nesting_mismatch": "The values are of the type that the schema says, in more or fewer lists around each other.",
    "null_fraction_high": "More rows are null than `min_fraction` allows; in brackets the 95 % interval of the share.",
    "all_null": "Every row of a column is null.",
    "nan_present": "A column whose domain says `nan: deny` holds NaN.",
    "null_encoded_as_value": "`NA`, `?`, an empty text, a lonely -999 or 1970-01-01 may stand for no value.",
    "below_min": "Values lie below the `min` of the domain.",
    "above_max": "Values lie above the `max` of the domain.",
    "value_outside_domain": "Too many rows hold values that are not in the domain's list (`min_mass`).",
    "domain_near_miss": "Unknown texts differ from the domain's values by case, spaces, Unicode form or one letter.",
    "column_deprecated_present": "A column whose stage is `deprecated` is still there.",
    "present_count_low": "Fewer values are not null than the column's `min_count`.",
    "valency_low": "Lists have fewer items than `valency.min`.",
    "valency_high": "Lists have more items than `valency.max`.",
    "shape_mismatch": "Lists are not of the column's `fixed_shape`.",
    "invalid_utf8": "A column of text holds bytes that are not UTF-8; nothing else can be said of the rows.",
    "precision_lost": "No value uses the last of the `decimals` that the domain says values have.",
    "inf_present": "A column whose domain says `inf: deny` holds an infinity.",
    "not_integer_valued": "A column whose domain says `integer: true` holds numbers that are not whole.",
    "pattern_mismatch": "Texts do not match the domain's `pattern` as a whole.",
    "length_low": "Texts are shorter than the domain's `min_length`.",
    "length_high": "Texts are longer than the domain's `max_length`, or byte strings than its `max_bytes`.",
    "semantic_class_changed": "Texts do not belong to the domain's `semantic` class.",
    "bool_unexpected": "Texts are neither among the domain's `true_tokens` nor its `false_tokens`.",
    "unique_low": "There are fewer different values than `unique.min`.",
    "unique_high": "There are more different values than `unique.max`.",
    "unique_ratio": "The share of different values lies outside `unique.min_ratio` and `unique.max_ratio`.",
    "near_constant": "One value has a greater share than `bounds.max_top_share`.",
    "not_monotone": "Values break the column's `monotone` order.",
    "embedding_dim": "Vectors do not have as many numbers as the domain's `dim`.",
    "embedding_norm": "The Euclidean length of vectors lies outside the domain's `norm`.",
    "mean_out_of_bounds": "The mean lies outside `bounds.mean`.",
    "std_out_of_bounds": "The standard deviation lies outside `bounds.std`.",
    "quantile_out_of_bounds": "A quantile lies outside its `bounds.quantiles`.",
    "constant_column": "A column that should vary holds one value only.",
    "drift": "The distribution moved from the reference by more than chance, and by at least a limit.",
    "label_shift": "The distribution of the `label` drifted; its usual limits are half those of other columns.",
    "prediction_shift": "The distribution of the `prediction` drifted.",
    "skew": "A column of the `serving` dataset is distributed otherwise than here, by the policy in `skew`.",
    "concept_drift": "The `label` depends on a feature otherwise than in the versions before (`joint_drift.concept`).",
    "correlation_change": "Two columns go together otherwise than before, by `joint_drift.correlation` or more.",
    "multivariate_drift": "A classifier tells the rows from those before, by more than `joint_drift.multivariate`.",
    "trend": "The level of a column changed over the versions (`trend`), and these rows gave the alarm.",
    "unit_change_suspect": "The values fit the reference once they are converted from another unit.",
    "timezone_shift_suspect": "The hours of the day fit the reference once they are turned by two hours or more.",
    "new_category_mass": "Values that the reference's grid does not name became more by a Cohen h of 0.20 or more.",
    "tail_mass": "Two in a hundred values or more lie outside the range that the inference saw.",
    "missingness_drift": "The share of nulls moved from the reference by more than chance, and by at least a limit.",
    "drift_untestable": "Nothing was found, but the rows are too few to show a change of the size of the limit.",
    "comparator_missing_reference": "Drift is measured from more versions before than there are; nothing fails for it.",
    "oov_rate_high": "More values are outside what a transform in `transforms` knows than its `max_rate` allows.",
    "out_of_bucket": "More values lie outside the range that a transform's bins were made for than it allows.",
    "clip_rate_high": "A transform in `transforms` moves more values to its limits than it allows.",
    "impute_rate_high": "A transform in `transforms` fills in more values than it allows.",
    "transform_schema_mismatch": "A column that a transform in `transforms` needs is missing or of another type.",
    "transform_skew": "The kernels of a transform for tables and for single rows differ, on the golden sample or here.",
    "review_needed": "The dataset's policy has a person release every version.",
}

# Codes that an error may carry instead of its class's own; a test looks for all of them in the code.
PRECISE_CODES = {
    "transform-schema-mismatch": (
        errors.SchemaMismatchError,
        "A column that a transform works on is missing, or of a type that it was not fitted on.",
    ),
    "transform-skew": (
        errors.RefusedError,
        "A transform's kernels for tables and for single rows differ here, or from what was kept when it was fitted.",
    ),
    "not-a-train-part": (
        errors.RefusedError,
        "A transform should be fitted on rows that are no train part of a split.",
    ),
    "seal-key-missing": (
        errors.RefusedError,
        "Sealed labels are enciphered, and the store was opened without a key.",
    ),
    "seal-key-wrong": (errors.RefusedError, "Sealed labels are enciphered under another key, or a file holds no key."),
    "seal-key-exposed": (errors.UsageError, "Others than its owner may read the file of a key."),
    "bad-expression": (errors.UsageError, "An expression of a transform cannot be read, or uses what is not allowed."),
    "broken-row": (
        errors.IngestError,
        "A row of a text file has too few cells, too many, or one that does not fit; or a line is no JSON object.",
    ),
    "invalid-utf8": (errors.IngestError, "A column of text holds bytes that are not UTF-8."),
    "too-many-broken-rows": (errors.IngestError, "So many rows were set aside that the types are more likely wrong."),
    "file-not-found": (errors.IngestError, "The file to ingest does not exist."),
    "not-its-name": (errors.IngestError, "A file is not of the format that its ending says."),
    "wrong-encoding": (errors.IngestError, "Text is not in the encoding that was declared or found."),
    "link-refused": (errors.IngestError, "A folder or pattern holds links, which are not followed."),
    "mixed-formats": (errors.IngestError, "A folder or pattern holds files of several formats."),
    "partitioned-folder": (errors.IngestError, "A folder keeps a column in its name."),
    "too-many-files": (errors.IngestError, "A folder or pattern holds more files than are read as one."),
    "too-many-columns": (errors.SchemaMismatchError, "There are more columns than can be kept."),
    "invalid-column-name": (errors.SchemaMismatchError, "A name is empty, too long or not printable."),
    "unsound-data": (errors.UsageError, "A table in memory holds offsets or indices outside of its data."),
    "invalid-weight": (errors.UsageError, "A row's weight is negative, infinite or NaN."),
    "too-many-segments": (errors.UsageError, "Rows are sliced by columns with too many values to count."),
    "no-rows-at-hand": (errors.UsageError, "A profile that was read back is asked for what needs its rows."),
    "invalid-text": (errors.UsageError, "A column of text holds what is not UTF-8; no statistics are made of it."),
    "duplicate-column": (errors.SchemaMismatchError, "Two columns have one name, or names that differ by case alone."),
    "column-new": (errors.SchemaMismatchError, "The data has a column that the dataset lacks."),
    "column-missing": (errors.SchemaMismatchError, "The data lacks a column that the dataset has."),
    "type-mismatch": (errors.SchemaMismatchError, "A column's values cannot become the dataset's type unchanged."),
    "row-not-found": (errors.NotFoundError, "A version has no row with that id or key, or it was deleted."),
    "key-not-found": (errors.NotFoundError, "A table of new columns has a key that no row has."),
    "ambiguous-split": (errors.AlreadyExistsError, "A name could also mean a fold of other folds, or theirs it."),
    "no-version": (errors.UsageError, "The dataset has no version yet."),
    "no-key": (errors.UsageError, "The dataset has no key to find rows by."),
    "null-key": (errors.UsageError, "A row that is to be found by its key has none: it is null or NaN."),
    "not-open": (errors.UsageError, "A change was made outside the `with` block of its transaction."),
    "column-needed": (errors.UsageError, "A column is part of what the dataset was made with, or another uses it."),
    "not-wider": (errors.SchemaMismatchError, "A new type does not hold every value of the old one."),
    "rows-sealed": (errors.RefusedError, "Rows belong to a test pool and stay as they were sealed."),
    "version-quarantined": (
        errors.RefusedError,
        "A version that did not pass its gate gets no branch, alias or tag, and no view or feature is read from it.",
    ),
    "invalid-axis": (errors.UsageError, "A table of plans is asked to vary what it cannot, or gets no list of values."),
    "invalid-tolerance": (errors.UsageError, "A tolerance is no number above 0."),
    "too-many-plans": (errors.UsageError, "A table would have more plans than are worked out at once."),
    "breaks-consumers": (
        errors.RefusedError,
        "A feature service would take away or change what somebody uses; the message says who, and what.",
    ),
    "too-few-versions": (errors.UsageError, "A window reaches back over more versions than there are."),
    "not-exportable": (errors.UsageError, "A column's type, or one of its values, has no form in a file's format."),
    "too-few-rows": (errors.RefusedError, "Too few rows of a pool are of the class or slice that a clause speaks of."),
    "invalid-score": (errors.UsageError, "A score cannot be registered so, or its values are not within its bounds."),
    "score-not-registered": (errors.UsageError, "A condition names a score that this process has no function for."),
    "invalid-prevalence": (errors.UsageError, "A share of a pool's rows is none."),
    "schema-not-found": (errors.NotFoundError, "The dataset has no schema to judge by."),
    "schema-incompatible": (errors.InvalidSchemaError, "The schema breaks what the one before promises."),
    "invalid-action": (errors.UsageError, "A cleaning action means nothing, or does not fit its column."),
    "invalid-plan": (errors.UsageError, "A text is no cleaning plan."),
    "invalid-rule": (errors.UsageError, "A dependency or a rule over pairs of rows is none."),
    "nothing-to-learn": (errors.UsageError, "A cleaning action has no value to learn from."),
    "cleaning-too-large": (errors.UsageError, "A cleaning would hold more rows in memory than is allowed."),
    "not-castable": (errors.UsageError, "A text cannot be read as the type that a cast names."),
    "no-cleaning": (errors.UsageError, "A version that shall be undone was not made by a cleaning."),
    "merge-conflict": (errors.ConflictError, "Both sides of a merge did something to the same row or column."),
    "store-closed": (errors.StoreError, "A handle was used after its store was closed."),
    "read-only": (errors.RefusedError, "The store was opened to be read only; `StoreError`: and has an older format."),
    "sealed-area": (errors.RefusedError, "A store with sealed cells gets no new catalog without consent."),
    "invalid-setting": (errors.UsageError, "A setting has a value that does not fit, or an unknown name."),
    "invalid-view": (errors.UsageError, "A view's specification is not one, or is for another version."),
    "endless-view": (errors.UsageError, "A view repeats without end, and was asked for all of its rows."),
    "columns-differ": (errors.UsageError, "Views that are put together have other columns, or other types."),
    "null-values": (errors.UsageError, "A form without nulls was asked for rows that have some."),
    "other-view": (
        errors.UsageError,
        "The state of a loader belongs to another view, whose rows come in another order.",
    ),
    "no-draft": (errors.UsageError, "A view has no draft."),
    "missing-extra": (errors.UsageError, "An optional package is not installed."),
    "unsupported-type": (
        errors.UsageError,
        "polars, pandas or numpy has no type for a column; or its values are no categories to measure bias by.",
    ),
    "value-not-found": (errors.NotFoundError, "A value that was named does not occur in its column."),
    "too-many-values": (errors.UsageError, "A column has more values than can be told apart as groups or labels."),
    "one-value": (errors.UsageError, "A sensitive column has one value, so that there is nothing to compare."),
    "no-rows": (errors.UsageError, "No row has both a label and a sensitive value."),
    "positive-needed": (errors.UsageError, "Nobody said which labels are positive."),
    "repeated-column": (
        errors.InvalidQueryError,
        "Two columns of a result have one name, which this form cannot hold; of a table, a `UsageError`.",
    ),
    "no-python-value": (
        errors.InvalidQueryError,
        "Python has no value for what a query gave, such as a year beyond 9999.",
    ),
    "invalid-condition": (errors.UsageError, "A pool's condition does not parse, or always holds, or never can."),
    "invalid-reliability": (errors.UsageError, "A reliability does not lie between 0 and 1."),
    "invalid-steps": (errors.UsageError, "A number of steps is not whole, or not from 1 to 100,000."),
    "invalid-reuse": (errors.UsageError, "A reuse policy does not exist, or its number of passes is none."),
    "invalid-script": (errors.UsageError, "A text is no script of ease.ml/ci."),
    "invalid-lifetime": (errors.UsageError, "The number of a pool in its line is not a whole number from 1 on."),
    "invalid-beta": (errors.UsageError, "A probability of the other error does not lie between 0 and 1."),
    "invalid-method": (errors.UsageError, "There is no such method of planning."),
    "invalid-mode": (errors.UsageError, "There is no such mode of planning."),
    "too-many-rows": (errors.UsageError, "A condition would need more rows than any pool may have."),
    "invalid-label": (errors.UsageError, "The label of a pool is null somewhere, or is no class."),
    "baseline-missing": (
        errors.UsageError,
        "A condition speaks of `o` or `d`, and no predictions of an old model were given.",
    ),
    "invalid-predictions": (
        errors.UsageError,
        "Predictions do not fit a pool's rows; no label was read, nothing is charged.",
    ),
    "pool-too-small": (
        errors.RefusedError,
        "There are fewer rows than the plan needs; the hint says what they would support.",
    ),
    "pool-overlap": (errors.RefusedError, "Some of the rows are in a pool already."),
    "sealed-elsewhere": (
        errors.RefusedError,
        "Other datasets hold the same files, or a split or a saved view tells the cells: they would stay readable.",
    ),
    "pool-spent": (errors.RefusedError, "A pool has no answer left."),
    "pool-expired": (errors.RefusedError, "A pool's date has come: it answers no more."),
    "pool-retired": (errors.RefusedError, "A pool was retired: its labels may be read, so it answers no more."),
    "pool-in-use": (
        errors.RefusedError,
        "A pool that is not retired tells no label, no figure and no withheld answer.",
    ),
    "pool-drifted": (errors.RefusedError, "Fresh rows are distributed otherwise than those of the pool they follow."),
    "invalid-share": (errors.UsageError, "The share of new rows that a reserve seals is not above 0 and up to 1."),
    "pool-columns-differ": (errors.UsageError, "Fresh rows do not have the columns of the pool they follow."),
    "not-passed": (errors.RefusedError, "A model that did not pass a pool does not become its baseline."),
    "baseline-needless": (errors.UsageError, "A pool whose condition names no old model has no baseline."),
    "steward-only": (errors.RefusedError, "A handle without the role `steward` opens no labels and retires no pool."),
    "invalid-confidence": (errors.UsageError, "A confidence does not lie between 0 and 1."),
    "invalid-expiry": (errors.UsageError, "A pool's date of expiry is none, or is past."),
    "invalid-draw": (errors.UsageError, "A number of rows to draw, or a seed, is none."),
    "pool-pending": (errors.RefusedError, "Charged submissions wait for their answer, and one may be the last pass."),
    "outcome-query-refused": (
        errors.InvalidQueryError,
        "A query over sealed outcomes could show more than aggregates.",
    ),
    "outcome-query-failed": (
        errors.InvalidQueryError,
        "A value of sealed outcomes stops a query; which one is not said.",
    ),
    "run-in-run": (errors.UsageError, "A run is begun inside another of the same store: runs are not nested."),
    "run-over": (errors.UsageError, "A run's handle was used outside its block."),
    "version-expired": (
        errors.NotFoundError,
        "Retention gave the version's rows up; for whoever needs them for a merge or registers, a `UsageError`.",
    ),
    "stream-busy": (errors.ConflictError, "Another writer has the stream open."),
    "stream-full": (errors.StoreError, "More rows wait to become versions than a stream allows; none was taken."),
    "stream-late": (errors.StoreError, "A flush took longer than it was given; the rows are safe in the stream's log."),
    "stream-stalled": (
        errors.StoreError,
        "A stream cannot cut versions; what it acknowledged is safe in its log.",
    ),
    "stream-broken": (errors.StoreError, "A stream's log must be opened again before it takes more rows."),
    "stream-damaged": (errors.CorruptObjectError, "Rows that a stream acknowledged are damaged or missing."),
    "stream-closed": (errors.UsageError, "A stream was used after it was closed."),
    "commit-unknown": (
        errors.StoreError,
        "The catalog failed while it committed and cannot be asked whether it did; no file was removed.",
    ),
    "lease-lost": (
        errors.StoreError,
        "A commit was silent for longer than its lease and was given up; doing it again helps.",
    ),
    "invalid-status": (errors.UsageError, "A version's status cannot be moved to that one."),
    "invalid-parameters": (
        errors.InvalidQueryError,
        "Values do not fit the parameters of a query, or SQL has no type.",
    ),
    "out-of-memory": (errors.InvalidQueryError, "A query needs more than `memory_limit` allows."),
    "query-timeout": (errors.InvalidQueryError, "A query took longer than its `timeout`."),
    "query-stopped": (errors.InvalidQueryError, "A query was interrupted while it ran."),
    "catalog-table-too-large": (
        errors.InvalidQueryError,
        "A catalog table would have more rows than are made; one dataset or version has fewer.",
    ),
    "unknown-parameter": (errors.UsageError, "A URL has a parameter that the route does not take."),
    "unknown-member": (errors.UsageError, "A body has a member that the route does not take."),
    "invalid-cursor": (errors.UsageError, "A cursor is none that a page gave out."),
    "invalid-idempotency-key": (errors.UsageError, "An Idempotency-Key is not 1 to 200 visible characters."),
    "idempotency-key-reused": (errors.UsageError, "An Idempotency-Key was used for another request before."),
    "too-many-entities": (
        errors.UsageError,
        "A lookup over HTTP asks for more entities than the server takes at once.",
    ),
    "too-many-features": (
        errors.UsageError,
        "A lookup over HTTP asks for more features than the server takes at once.",
    ),
}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    check = arguments == ["--check"]
    if arguments not in ([], ["--check"], ["--pages"]):
        sys.stderr.write("usage: python docs/generate.py [--pages | --check]\n")
        return 2
    if check:
        stale = stale_pages()
        for page in stale:
            sys.stderr.write(f"docs/{page} is stale: run `make docs`.\n")
        return 1 if stale else 0
    for name, write in PAGES.items():
        (DOCS / name).write_text(write(), encoding="utf-8")
    if not arguments:
        README.write_text(_with_demo(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def stale_pages() -> list[str]:
    """Return the names of the generated pages that do not say what the code says."""
    found = ((name, DOCS / name) for name in PAGES)
    return [name for name, page in found if not page.is_file() or page.read_text(encoding="utf-8") != PAGES[name]()]


def write_commands() -> str:
    """Return the reference of the command."""
    root = typer.main.get_command(app)
    lines = [
        "# Commands\n",
        _NOTE,
        "stdout is data, stderr is talk: messages, errors and progress never mix with results. `--output` prints\n"
        "`table`, `json`, `jsonl` or `csv`. The store is `--store DIR`, else `FOLDSTORE_STORE`, else the current "
        "folder.\n",
        "## Exit codes\n",
        _EXIT_CODES,
    ]
    for path, command in _leaves(root, ("foldstore",)):
        lines += _command_page(path, command)
    return "\n".join(lines)


_EXIT_CODES = """\
| code | means |
| --- | --- |
| 0 | done; every check passed |
| 1 | checks ran and failed: data refused by a schema or limit, a model refused by a pool, damage that `verify` found |
| 2 | the request was wrong: an option, a name, a query, something that does not exist |
| 3 | could not decide: a file, a store or a database cannot be read; another writer won |
| 4 | refused by policy: a pool that is spent or too small, rows of another pool, sealed files, a read-only store |
| 70 | a fault of Foldstore's own; `FOLDSTORE_DEBUG=1` shows the traceback |
| 130 | interrupted |

[Errors](errors.md) lists the code of each error with its exit code.
"""


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from _leaves(child, (*path, name))


def _command_page(path: tuple[str, ...], command: Any) -> list[str]:
    words, examples = _split_help(command.help or "")
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([*path, *(["[OPTIONS]"] if options else []), *(_metavar(p) for p in arguments)])
    lines = [f"## {' '.join(path)}\n", f"{words}\n", f"```text\n{usage}\n```\n"]
    if len(examples) == 1:
        lines.append(f"For example: `{examples[0]}`\n")
    elif examples:
        lines.append("For example:\n\n```text\n" + "\n".join(examples) + "\n```\n")
    if arguments:
        rows = [f"| `{_metavar(p)}` | {_cell(p.help)}{_default(p)} |" for p in arguments]
        lines += ["| argument | is |\n| --- | --- |\n" + "\n".join(rows) + "\n"]
    if options:
        rows = [f"| {_flags(p)} | {_cell(p.help)}{_default(p)} |" for p in options]
        lines += ["| option | does |\n| --- | --- |\n" + "\n".join(rows) + "\n"]
    return lines


def _split_help(text: str) -> tuple[str, list[str]]:
    """Return what a command does, and its examples: one behind a word, or several in paragraphs of their own."""
    told, _, several = text.partition("Examples:\n")
    words, _, example = " ".join(told.split()).partition(" Example: ")
    return words, [" ".join(each.split()) for each in (example, *several.split("\n\n")) if each.strip()]


def _metavar(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _flags(parameter: Any) -> str:
    names = ", ".join(f"`{flag}`" for flag in sorted(parameter.opts, key=len, reverse=True))
    return names if parameter.is_flag else f"{names} {_value(parameter.type_descriptor.annotation)}"


def _value(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " \\| ".join(f"`{choice.value}`" for choice in annotation)
    return {Path: "PATH", int: "NUMBER"}.get(annotation, "TEXT")


def _default(parameter: Any) -> str:
    said = "repeatable" in (parameter.help or "").lower()
    notes = ["Repeatable."] if getattr(parameter, "multiple", False) and not said else []
    default = parameter.default
    if not getattr(parameter, "is_flag", False) and default not in (None, "", []):
        shown = getattr(default, "value", str(default))
        notes.append(f"Default: {'the current folder' if shown == '.' else f'`{shown}`'}.")
    if parameter.envvar:
        notes.append(f"Environment: `{parameter.envvar}`.")
    return "".join(f" {note}" for note in notes)


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def write_errors() -> str:
    """Return the reference of the errors."""
    lines = [
        "# Errors\n",
        _NOTE,
        "Every error of Foldstore's own is a `FoldstoreError` with four things: `message`, `hint` (what exists, or "
        "what\nto do), `code` (stable, in kebab-case) and `facts` (what the message says, as plain data). The "
        "command prints\n`error[code]: message`, then the hint, and exits with the exit code. An error may carry a "
        "more precise code\nthan its class; those are in the second table.\n",
        "Data that fails a check raises nothing: it is a [report](glossary.md).\n",
        "| class | code | exit | also a | means |\n| --- | --- | --- | --- | --- |",
    ]
    precise = [f"| `{code}` | `{kind.__name__}` | {words} |" for code, (kind, words) in PRECISE_CODES.items()]
    table = ["\n## More precise codes\n", "| code | class | means |\n| --- | --- | --- |", *precise]
    return "\n".join([*lines, *map(_error_row, family()), *table, *_over_http()]) + "\n"


def write_openapi() -> str:
    """Return the description of the API by its own app, as the server gives it."""
    return json.dumps(_served_app().openapi(), indent=1, ensure_ascii=False) + "\n"


def _served_app() -> Any:
    from foldstore.api.app import create_app

    with tempfile.TemporaryDirectory() as folder, foldstore.connect(folder) as store:
        described = create_app(store.features, TokenVault(store.registry("token")), store=store)
        described.openapi()  # while the store is there
        described.version = "v1"  # of the API: a release that changes no route changes no page
        described.openapi_schema = None
        described.openapi()
        return described


def write_rest() -> str:
    """Return the reference of the routes."""
    lines = ["# REST\n", _NOTE, _REST]
    for tag, routes in groupby(sorted(list_routes(), key=lambda route: route.tag), key=lambda route: route.tag):
        lines.append(f"## {tag.capitalize()}\n\n| route | scope | |\n| --- | --- | --- |")
        for route in routes:
            asked = ", ".join(f"`{each.name}`" for each in route.parameters)
            lines.append(
                f"| `{route.method} {route.path}` | `{route.scope}` | {_cell(route.summary).rstrip('.')}."
                f"{f' Parameters: {asked}.' if asked else ''}{_takes(route)} |"
            )
        lines.append("")
    return "\n".join(lines)


_REST = """\
`foldstore serve` answers these routes. [`openapi.json`](openapi.json) describes them for machines; so does
`GET /openapi.json` of a running server. [Serve over HTTP](how-to/serve-over-http.md) shows them at work.

Every request needs `Authorization: Bearer foldstore_...`, but for `GET /healthz`, `/readyz` and `/version`. A token has
the scopes of its role, and may be for some names alone. Lookups have a page of their own:
[define and serve features](how-to/serve-features.md).

- **Errors** are `application/problem+json` with a stable `code`, a `hint`, and the number of the instance: see
  [errors](errors.md).
- **Lists** come by pages: `limit` goes up to 1,000, and the `next_cursor` of one page is the `cursor` of the next.
- **Rows** come by `Accept`: `application/json` (1,000 rows unless `limit` says otherwise), `application/x-ndjson`,
  `text/csv`, or `application/vnd.apache.arrow.stream`, which is exact. A stream that breaks off ends without its end
  mark, and the connection is closed.
- **What a client keeps**: versions and profiles carry an `ETag`; `If-None-Match` is answered with 304 while nothing
  changed. A seal, an erasure or a new status changes it.
- **Retries**: a commit with an `Idempotency-Key` is made once; the same key with another request is refused.
- **Unknown parameters and members** are refused, with what was meant.

"""


def _takes(route: Any) -> str:
    if route.body == "json":
        return f" Body: `{json.dumps(route.example, ensure_ascii=False)}`".replace("|", "\\|")
    return " Body: rows, as Arrow, CSV, JSON lines or Parquet." if route.body == "rows" else ""


def _over_http() -> list[str]:
    rows = [
        f"| `{kind.__name__}` | `{kind.code}` | {status} | {_cell((kind.__doc__ or '').split(chr(10) * 2)[0])} |"
        for kind, status in problem.STATUS_BY_ERROR.items()
    ]
    return [
        "\n## Over HTTP\n",
        f"The server answers every error as `{problem.MEDIA_TYPE}` (RFC 9457): `type`, `title`, `status`, `detail`,\n"
        "`instance`, and our `code` and `hint`. The nearest class in an error's line of descent decides the status.\n"
        "From 500 on the answer names an `instance` alone; the server's log has what went wrong.\n",
        "| class | code | status | means |\n| --- | --- | --- | --- |",
        *rows,
    ]


def family() -> list[type[errors.FoldstoreError]]:
    """Return the classes of errors, each before its children."""
    return [errors.FoldstoreError, *_subclasses(errors.FoldstoreError)]


def _subclasses(parent: type[errors.FoldstoreError]) -> Iterator[type[errors.FoldstoreError]]:
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from _subclasses(child)


def _error_row(error: type[errors.FoldstoreError]) -> str:
    depth = len([each for each in error.__mro__ if issubclass(each, errors.FoldstoreError)]) - 1
    plain = [each.__name__ for each in error.__mro__ if each.__module__ == "builtins" and each not in _ALL]
    first = (error.__doc__ or "").strip().split("\n\n")[0]
    also = f"`{plain[0]}`" if plain else ""
    return f"| {'· ' * depth}`{error.__name__}` | `{error.code}` | {error.exit_code} | {also} | {_cell(first)} |"


_ALL = (Exception, BaseException, object, OSError)


def write_anomalies() -> str:
    """Return the reference of the anomaly codes."""
    weights = {
        Severity.ERROR: "the report does not pass",
        Severity.WARN: "shown; the report passes",
        Severity.INFO: "noted; the report passes",
        Severity.OFF: "not reported",
    }
    rows = [f"| `{code}` | {each.severity} | {MEANINGS[code]} | {each.template} |" for code, each in CODES.items()]
    return "\n".join(
        [
            "# Anomalies\n",
            _NOTE,
            "A report lists anomalies. Each has one of these codes, which never change their meaning, a severity, the\n"
            "evidence, and where it makes sense a fix that `accept` can apply to the schema.\n",
            "| severity | means |\n| --- | --- |",
            *(f"| `{severity}` | {words} |" for severity, words in weights.items()),
            "\nBelow are the severities unless a schema says otherwise: for all columns, or for one, it may hold\n"
            "`severity: {drift: warn}`. `drift`, `label_shift` and `missingness_drift` are warnings between their\n"
            "two limits, errors above the second. Words in braces are filled from the facts.\n",
            "| code | severity | means | message |\n| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _with_demo(readme: str) -> str:
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    return f"{before}{begin}```text\n{_abridge(_run_demo())}```\n{end}{after}"


def _run_demo() -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FOLDSTORE_", "COLUMNS"))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "foldstore", "demo", "flights_store"],
            cwd=folder, env={**kept, "NO_COLOR": "1"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return done.stdout


def _abridge(output: str) -> str:
    text = "\n".join(line.rstrip() for line in output.splitlines()) + "\n"
    first = _LEFT_OUT.search(text)
    if first is not None:
        text = _LEFT_OUT.sub("", text[: first.start()] + " […]\n" + text[first.start() :])
    text = _EXAMPLES.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text).lstrip("\n")


def write_catalog_tables() -> str:
    """Return the reference of the catalog tables."""
    lines = [
        "# Catalog tables\n",
        _NOTE,
        "SQL can ask what the store knows of itself, in the same query as datasets and views:\n",
        "```sql\nSELECT address, rows, message FROM foldstore.versions WHERE author = 'ci' ORDER BY created_at\n```\n",
        "A table is made when a query names it, of the columns that the query may use, and shows the catalog as it is "
        "at\nthat moment. Where a query says `dataset = 'flights'` or `address = 'flights@3'` (or `IN`), nothing else "
        "is\nlooked up: ask in this way where there are many versions and fragments. `TIMESTAMP WITH TIME ZONE` is in "
        "UTC.\nJSON is text: `json_extract_string(properties, '$.source')` reads it.\n\nNo table holds anything of "
        "sealed cells or of erased rows: no extreme, count, message or schema that says\nsomething of them.\n",
        "\n".join(f"- [`foldstore.{each.name}`](#foldstore{each.name}): {_first(each.words)}" for each in _TABLES),
        "",
    ]
    for table in _TABLES:
        rows = [f"| `{each.name}` | {_sql_type(each.type)} | {_cell(each.words)} |" for each in table.columns]
        lines += [f"## foldstore.{table.name}\n", f"{table.words}\n"]
        lines += ["| column | type | says |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"]
    return "\n".join(lines)


_TABLES = tuple(TABLES.values())


def _first(words: str) -> str:
    return words[0].lower() + words[1:].partition(". ")[0].removesuffix(".") + "."


def _sql_type(kind: Any) -> str:
    with duckdb.connect() as connection:
        connection.register("t", pa.table({"x": pa.array([], kind)}))
        return f"`{connection.sql('FROM t').types[0]}`"


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": write_commands,
    "errors.md": write_errors,
    "anomalies.md": write_anomalies,
    "catalog-tables.md": write_catalog_tables,
    "rest.md": write_rest,
    "openapi.json": write_openapi,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
