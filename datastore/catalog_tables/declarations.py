"""The catalog tables: every name, type and meaning. docs/catalog-tables.md is written from here."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from foldstore.datastore.catalog_tables.declaration import (
    REAL,
    TEXT,
    TEXTS,
    TIME,
    TRUTH,
    WHOLE,
    TableDeclaration,
    declare,
)

_JSON: Final = "as JSON text"
_DATASET: Final = (TEXT, "Name of the dataset.")
_VERSION: Final = (WHOLE, "Number of the version.")
_ADDRESS: Final = (TEXT, "Address of the version, such as `flights@3`.")
_AUTHOR: Final = (TEXT, "Who did it.")
_MESSAGE: Final = (TEXT, "What they said of it.")

_DATASETS: Final = declare(
    "datasets",
    "A row for each dataset.",
    dataset=_DATASET,
    dataset_id=(TEXT, "Identity of the dataset."),
    key=(TEXTS, "Columns that tell rows apart; empty without a key."),
    event_time=(TEXT, "The column that says when a row's event happened."),
    key_policy=(TEXT, "What a commit does about keys that occur twice: `error`, `warn`, `off`."),
    derive=(TEXT, f"Columns that are computed when rows are appended, with their expressions, {_JSON}."),
    versions=(WHOLE, "How many versions there are, quarantined and expired ones too."),
    latest=(TEXT, "Address of the newest published version on `main`; null before there is one."),
    rows=(WHOLE, "Rows of that version."),
    owner=(TEXT, "Whose it is."),
    description=(TEXT, "What people say of it."),
    tags=(TEXTS, "Words that it is found by."),
    created_at=(TIME, "When it was made."),
)

_VERSIONS: Final = declare(
    "versions",
    "A row for each version of each dataset.",
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    version_id=(TEXT, "Identity of the version; it does not depend on contents."),
    status=(TEXT, "`draft`, `published`, `quarantined` or `deprecated`."),
    operation=(TEXT, "What made it: `append`, `upsert`, `delete`, `merge` and others."),
    branch=(TEXT, "The branch that it was committed to."),
    rows=(WHOLE, "How many rows it has."),
    rows_added=(WHOLE, "How many rows its commit wrote."),
    bytes=(WHOLE, "Bytes of all its files, as Arrow; a file that two of its manifest pages list counts in both."),
    bytes_added=(WHOLE, "Bytes of the files that its commit added."),
    fragments=(WHOLE, "How many fragments it has."),
    parent=(TEXT, "Address of the version that it was made from."),
    merge_parent=(TEXT, "Address of the other side of a merge."),
    author=_AUTHOR,
    message=_MESSAGE,
    created_at=(TIME, "When it was committed."),
    arrow_schema_id=(TEXT, "Identity of its columns; versions with equal columns share it."),
    properties=(TEXT, f"What its commit kept beside, {_JSON}."),
    expired_at=(TIME, "When retention gave its rows up; null while they are there."),
)

_REFS: Final = declare(
    "refs",
    "A row for each branch, alias and tag.",
    dataset=_DATASET,
    ref=(TEXT, "Its name: what is written behind the `@`."),
    kind=(TEXT, "`branch`, `alias` or `tag`."),
    version=(WHOLE, "Number of the version that it points at; null for a branch without a version."),
    address=_ADDRESS,
    moves=(WHOLE, "How often it was moved."),
)

_BRANCHES: Final = declare(
    "branches",
    "A row for each branch.",
    dataset=_DATASET,
    branch=(TEXT, "Name of the branch."),
    head=(TEXT, "Address of its head; null before it has one."),
    latest=(
        TEXT,
        "Address of the newest published version from the head backwards: what `@branch` with `latest` reads.",
    ),
    rows=(WHOLE, "Rows of the head."),
    versions=(WHOLE, "How many versions were committed to it."),
    moves=(WHOLE, "How often its head was moved."),
)

_TAGS: Final = declare(
    "tags",
    "A row for each tag.",
    dataset=_DATASET,
    tag=(TEXT, "Name of the tag."),
    version=_VERSION,
    address=_ADDRESS,
    rows=(WHOLE, "Rows of the version."),
)

_COLUMNS: Final = declare(
    "columns",
    "A row for each column of each version.",
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    position=(WHOLE, "Its place, from 1."),
    column_name=(TEXT, "Its name."),
    type=(TEXT, "Its Arrow type."),
    field_id=(WHOLE, "What stays the same when it is renamed."),
    in_key=(TRUTH, "Whether it is part of the key."),
    sealed=(TRUTH, "Whether a test pool keeps some of its cells, which read as null."),
)

_FRAGMENTS: Final = declare(
    "fragments",
    "A row for each file of each fragment of each version.",
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    position=(WHOLE, "Place of the fragment in the version, from 1."),
    fragment_id=(WHOLE, "Number of the fragment in its dataset: the upper half of the row ids of its rows."),
    first_row=(WHOLE, "How many rows of the version come before it."),
    rows=(WHOLE, "Rows to read: without the deleted ones."),
    deleted_rows=(WHOLE, "Rows that are in its files and were deleted."),
    file=(WHOLE, "Place of the file in the fragment, from 1: each holds some of the columns."),
    object_id=(TEXT, "Content address of the file, as Arrow."),
    bytes=(WHOLE, "Bytes of the file, as Arrow."),
    stored_bytes=(WHOLE, "Bytes that lie on the disk: fewer in the cold tier."),
    is_cold=(TRUTH, "Whether it lies in the cold tier."),
    field_ids=(pa.list_(pa.int64()), "Field ids of the columns in the file."),
    arrow_schema_id=(TEXT, "Identity of the version's columns."),
    page=(TEXT, "Content address of the manifest page that lists the fragment."),
)

_PROFILES: Final = declare(
    "profiles",
    "A row for each column of each version whose profile is kept. `version.profile()` keeps it. Of sealed columns only "
    "cells that can be read are in it. At most the newest 1,000 versions, fewer when they have very many fragments.",
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    created_at=(TIME, "When the version was committed."),
    column_name=(TEXT, "Name of the column; of what is inside of a nested one, its path, such as stops[].code."),
    type=(TEXT, "Arrow type of the column."),
    rows=(WHOLE, "How many rows; of the items of lists, how many items."),
    nulls=(WHOLE, "How many of them are null."),
    nan=(WHOLE, "How many are NaN."),
    zeros=(WHOLE, "How many are 0."),
    negatives=(WHOLE, "How many are below 0."),
    empties=(WHOLE, "How many are text or bytes of length 0."),
    distinct_values=(WHOLE, "How many different values there are, null and NaN apart."),
    distinct_is_exact=(TRUTH, "Whether they were counted, and not estimated."),
    min=(TEXT, "The least value, as text."),
    max=(TEXT, "The greatest value, as text."),
    mean=(REAL, "Mean of the finite numbers; of times, in ticks of the type."),
    std=(REAL, "Their sample standard deviation."),
    p05=(REAL, "The value below which 5 % of the finite numbers lie."),
    p25=(REAL, "The same of 25 %."),
    median=(REAL, "The same of half."),
    p75=(REAL, "The same of 75 %."),
    p95=(REAL, "The same of 95 %."),
    top=(
        pa.list_(pa.struct([pa.field("value", pa.string()), pa.field("count", pa.int64())])),
        "The ten most frequent values with their counts; a lower bound once there are too many to count.",
    ),
)

_SCHEMAS: Final = declare(
    "schemas",
    "A row for each schema that a dataset has had; the newest one gates what is published.",
    dataset=_DATASET,
    number=(WHOLE, "Its place among the dataset's schemas, from 1."),
    schema_version=(TEXT, "Its version, such as `1.2.0`."),
    columns=(WHOLE, "How many columns it knows."),
    is_newest=(TRUTH, "Whether it is the one that gates."),
    author=_AUTHOR,
    message=_MESSAGE,
    created_at=(TIME, "When it was set."),
    body=(TEXT, f"The schema, {_JSON}; what it learned from sealed columns is left out."),
)

_REPORTS: Final = declare(
    "reports",
    "A row for each version that a gate judged.",
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    passed=(TRUTH, "Whether no anomaly is an error."),
    errors=(WHOLE, "How many anomalies are errors."),
    warnings=(WHOLE, "How many are warnings."),
    rows=(WHOLE, "Rows that were judged."),
    schema_version=(TEXT, "The schema that judged them."),
    created_at=(TIME, "When they were judged."),
)

_ANOMALIES: Final = declare(
    "anomalies",
    "A row for each anomaly in those reports. What they say of sealed columns is withheld.",
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    position=(WHOLE, "Its place in the report, from 1; the gravest come first."),
    code=(TEXT, "What was found; see [anomalies](anomalies.md)."),
    severity=(TEXT, "`error`, `warn` or `info`."),
    column_name=(TEXT, "The column; null for a finding about the whole dataset."),
    message=(TEXT, "What was found, in words."),
    rows=(WHOLE, "How many rows."),
    fraction=(REAL, "Which share of the rows that could have failed."),
)

_SPLITS: Final = declare(
    "splits",
    "A row for each part of each split, and for each part of each fold.",
    dataset=_DATASET,
    split=(TEXT, "Name of the split, or of the folds."),
    kind=(TEXT, "`split` or `folds`."),
    fold=(WHOLE, "Number of the fold, from 1; null for a split."),
    inner_fold=(WHOLE, "Number of the inner fold, from 1; null where there is none."),
    part=(TEXT, "`train`, `validation` or `test`."),
    address=(
        TEXT,
        "Address of the part in the version that the split was made from, such as `flights@5#by_month.train`.",
    ),
    rows=(WHOLE, "Rows that were assigned to it, in all versions, the deleted ones too; without retention's."),
    author=_AUTHOR,
    created_at=(TIME, "When the split was made, or last extended."),
    spec=(TEXT, f"How rows are shared out, {_JSON}."),
)

_VIEWS: Final = declare(
    "views",
    "A row for each published version of each saved view, and for each draft.",
    view=(TEXT, "Name of the view."),
    version=(WHOLE, "Number of the version; null for a draft."),
    address=(TEXT, "Its address, such as `jfk@2` or `jfk@draft`."),
    status=(TEXT, "`published`, `deprecated` or `draft`."),
    is_archived=(TRUTH, "Whether the view is left out of lists."),
    hash=(TEXT, "Identity of the view: the same hash gives the same rows in the same order."),
    reads=(TEXTS, "Addresses of the versions that it is pinned to."),
    author=_AUTHOR,
    message=_MESSAGE,
    created_at=(TIME, "When it was saved."),
    deprecation_reason=(TEXT, "Why it should not be used any more."),
    replacement=(TEXT, "Address of what to use in its place."),
    spec=(TEXT, f"Its specification, {_JSON}."),
)

_RUNS: Final = declare(
    "runs",
    "A row for each run.",
    run_id=(TEXT, "Identity of the run."),
    run=(TEXT, "Its name."),
    status=(TEXT, "`running`, `succeeded` or `failed`; a run whose process was killed stays `running`."),
    author=_AUTHOR,
    message=_MESSAGE,
    params=(TEXT, f"What it was asked to do, {_JSON}."),
    code=(TEXT, f"By which code, {_JSON}."),
    environment=(TEXT, f"With which libraries, {_JSON}."),
    error=(TEXT, "The class of the exception that ended it; its words are not here, for they may quote data."),
    repeats=(TEXT, "Identity of the run whose inputs it read again."),
    started_at=(TIME, "When it began."),
    ended_at=(TIME, "When it ended."),
)

_RUN_VERSIONS: Final = declare(
    "run_versions",
    "A row for each version that a run read or wrote: the edges of lineage.",
    run_id=(TEXT, "Identity of the run."),
    run=(TEXT, "Its name."),
    role=(TEXT, "`input` or `output`."),
    position=(WHOLE, "Its place among the inputs or outputs, from 0."),
    asked=(TEXT, "How the run named it: `flights@champion`, or a saved view."),
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
)

_CONSUMERS: Final = declare(
    "consumers",
    "A row for each claim on a version: by a model, a view, a service, or a person who keeps it.",
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    kind=(TEXT, "`model`, `service`, `view`, `training_set`, `pin` and others."),
    name=(TEXT, "Which one."),
    reason=(TEXT, "Why."),
    author=_AUTHOR,
    created_at=(TIME, "Since when."),
)

_POOLS: Final = declare(
    "pools",
    "A row for each test pool: what everybody may know of it.",
    pool=(TEXT, "Name of the pool."),
    dataset=_DATASET,
    version=_VERSION,
    address=_ADDRESS,
    label=(TEXT, "The column that is predicted."),
    hidden=(TEXTS, "Columns that read as null for its rows, the label among them."),
    rows=(WHOLE, "How many rows it has."),
    condition=(TEXT, "What a model is asked to fulfil."),
    reliability=(REAL, "The probability that no answer errs in the direction that the plan guards against."),
    reuse=(TEXT, "How often it may be asked."),
    steps=(WHOLE, "How many answers it was planned for."),
    steps_used=(WHOLE, "How many were given."),
    steps_left=(WHOLE, "How many may still be given if none is a pass."),
    passes_left=(WHOLE, "How many passes may still be given; null when they do not count, or answers are withheld."),
    pending=(WHOLE, "Charges without an answer."),
    has_baseline=(TRUTH, "Whether predictions to compare with were sealed, too."),
    outcomes_feed_features=(TRUTH, "Whether aggregates over its outcomes may become features."),
    created_at=(TIME, "When it was sealed."),
)

_OWN: Final = declare(
    "tables",
    "A row for each column of each catalog table.",
    table_name=(TEXT, "Name of the table, such as `foldstore.versions`."),
    position=(WHOLE, "Place of the column, from 1."),
    column_name=(TEXT, "Name of the column."),
    type=(TEXT, "Its Arrow type."),
    description=(TEXT, "What it says."),
)

TABLES: Final[Mapping[str, TableDeclaration]] = {
    each.name: each
    for each in (
        _DATASETS, _VERSIONS, _REFS, _BRANCHES, _TAGS, _COLUMNS, _FRAGMENTS, _PROFILES, _SCHEMAS, _REPORTS,
        _ANOMALIES, _SPLITS, _VIEWS, _RUNS, _RUN_VERSIONS, _CONSUMERS, _POOLS, _OWN,
    )
}  # fmt: skip
