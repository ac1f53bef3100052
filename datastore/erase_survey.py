"""Which rows an erasure reaches: those that were asked for and their copies, in every version of a dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import plain_schema
from foldstore.datastore.catalog import seals
from foldstore.datastore.catalog.erasures import list_page_places
from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.key_search import read_keys
from foldstore.datastore.manifest import ROW_ID_FIELD, Fragment, Page, decode_page
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_survey import Listed, Mask, Place, Survey, list_fragments, with_copies
from foldstore.datastore.storage import Storage
from foldstore.errors import ColumnNotFoundError, FoldstoreError, SchemaMismatchError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsToErase:
    """Which rows are asked for: by exactly one of these.

    Attributes
    ----------
    keys : Table, optional
        Values of the key's columns.
    where : str, optional
        An SQL predicate, judged in each version that has its columns.
    row_ids : array of int, optional
        Row ids.
    """

    keys: pa.Table | None = None
    where: str | None = None
    row_ids: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureSurvey:
    """Everything that an erasure will touch.

    Attributes
    ----------
    survey : Survey
        The pages, the rows by fragment, and every column of their files but row ids.
    listed : tuple
        Each fragment with such rows, under each schema that lists it.
    page_places : mapping of str to list of str
        The pages of each version, in order, by the version's id.
    unknown_keys : int
        How many of the keys no row has.
    """

    survey: Survey
    listed: tuple[Listed, ...]
    page_places: Mapping[str, Sequence[str]]
    unknown_keys: int = 0

    @property
    def pages(self) -> Mapping[str, Page]:
        """The pages by hash."""
        return {page.hash: page for page in self.survey.pages}

    @property
    def touched(self) -> tuple[str, ...]:
        """The ids of the versions that have the rows, or had them before they were deleted."""
        hit = {p.hash for p in self.survey.pages if any(f.id in self.survey.masks for f in p.fragments)}
        return tuple(i for i, pages in self.page_places.items() if not hit.isdisjoint(pages))


def survey_erasure(storage: Storage, dataset: DatasetRecord, rows: RowsToErase) -> ErasureSurvey:
    """Find every file of every version that holds some rows, or copies of them.

    Raises
    ------
    UsageError
        When the rows are named in no way, or in several, or in one that does not fit the dataset.
    ColumnNotFoundError
        When a predicate names a column that no version has.
    """
    _check_rows(dataset, rows)
    places = list_page_places(storage.catalog, dataset.id)
    pages = {name: decode_page(name, encoded) for name, encoded in seals.list_pages(storage.catalog, dataset.id)}
    listed = list(list_fragments(storage, dataset, pages))
    masks, unknown = _find(storage, dataset, listed, rows)
    masks = with_copies(storage, dataset, listed, masks)
    hit = tuple(each for each in listed if each[1].id in masks)
    return ErasureSurvey(
        survey=Survey(pages=tuple(pages.values()), masks=masks, places=tuple(_all_places(hit))),
        listed=hit,
        page_places=places,
        unknown_keys=unknown,
    )


def erased_values(storage: Storage, dataset: DatasetRecord, found: ErasureSurvey) -> dict[str, set[Any]]:
    """Return the values of the rows by column, as plain data: what reports may quote."""
    values: dict[str, set[Any]] = {}
    for schema, fragment in found.listed:
        reader = FragmentReader(storage, dataset.id, [fragment], schema, "the rows to erase")
        rows = reader.to_table().filter(pa.array(found.survey.masks[fragment.id]))
        for name, column in zip(rows.column_names, rows.columns, strict=True):
            texts = column.cast(pa.string()) if _has_text(column.type) else None
            known = values.setdefault(name, set())
            known.update(texts.to_pylist() if texts is not None else ())
            known.update(column.to_pylist() if _is_plain(column.type) else ())
    return {
        name: {v for v in found if v is not None and v is not True and v is not False} for name, found in values.items()
    }


def _has_text(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) and not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind)


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _check_rows(dataset: DatasetRecord, rows: RowsToErase) -> None:
    if sum(each is not None for each in (rows.keys, rows.where, rows.row_ids)) != 1:
        raise UsageError("Say in one way which rows to erase.", hint="Give keys, or where=, or row_ids=.")
    if rows.keys is None:
        return
    if not dataset.key:
        raise UsageError(
            f"{dataset.name!r} has no key.",
            hint="Name the rows by where= (an SQL predicate) or row_ids=.",
        )
    missing = [name for name in dataset.key if name not in rows.keys.column_names]
    if missing:
        raise UsageError(
            f"The keys have no column {missing[0]!r}.", hint=f"The key is {', '.join(dataset.key)}.", columns=missing
        )
    nested = [name for name in dataset.key if pa.types.is_nested(rows.keys.column(name).type)]
    if nested:
        raise UsageError(
            f"The values of {nested[0]!r} are no values of a key.", hint="A key's values are numbers, texts or times."
        )
    if any(rows.keys.column(name).null_count for name in dataset.key):
        raise UsageError("A key with a null is equal to no row's.", hint="Name such rows by where= or row_ids=.")


def _find(
    storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], rows: RowsToErase
) -> tuple[dict[int, Mask], int]:
    if rows.keys is not None:
        return _with_keys(storage, dataset, listed, rows.keys.select(list(dataset.key)))
    if rows.where is not None:
        return _that_meet(storage, dataset, listed, rows.where), 0
    return _with_ids(storage, dataset, listed, np.asarray(rows.row_ids)), 0


def _with_keys(
    storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], keys: pa.Table
) -> tuple[dict[int, Mask], int]:
    keys = keys.group_by(list(dataset.key), use_threads=False).aggregate([])
    masks: dict[int, Mask] = {}
    known = np.zeros(keys.num_rows, np.bool_)
    for schema, fragment in listed:
        if not all(name in schema.names for name in dataset.key):
            continue
        reader = FragmentReader(storage, dataset.id, [fragment], schema, repr(dataset.name))
        hits, wanted = _search(reader, dataset, keys)
        known[wanted] = True
        if len(hits):
            masks.setdefault(fragment.id, np.zeros(fragment.num_rows, np.bool_))[hits] = True
    return masks, int((~known).sum())


def _search(reader: FragmentReader, dataset: DatasetRecord, keys: pa.Table) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows of a fragment that have one of the keys, and which of them occur."""
    try:
        wanted = read_keys(dataset.key, reader.arrow_schema, keys, dataset.name)
    except SchemaMismatchError:
        # A quarantined version, or one before a column was widened, has another type: what reads the same is meant.
        rows = _texts(reader.to_table(dataset.key))
        texts = _texts(keys)
        meant = set(texts)
        hits = [place for place, text in enumerate(rows) if text in meant]
        found = {rows[place] for place in hits}
        return np.array(hits, np.int64), np.array([n for n, text in enumerate(texts) if text in found], np.int64)
    parts = list(wanted.find(reader))
    none = np.empty(0, np.int64)
    return np.concatenate([none, *(p.positions for p in parts)]), np.concatenate([none, *(p.wanted for p in parts)])


def _texts(table: pa.Table) -> list[tuple[str | None, ...]]:
    return list(zip(*(column.cast(pa.string()).to_pylist() for column in table.columns), strict=True))


def _that_meet(storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], text: str) -> dict[int, Mask]:
    masks: dict[int, Mask] = {}
    failed: FoldstoreError | None = None
    understood = False
    for schema, fragment in listed:
        plain = plain_schema(schema)
        try:
            predicate = storage.engine.parse_predicate(text, plain, where=f"the predicate on {dataset.name!r}")
        except ColumnNotFoundError as error:  # this version has no such column, so none of its rows is meant
            failed = error
            continue
        understood = True
        reader = FragmentReader(storage, dataset.id, [fragment], schema, repr(dataset.name))
        names = list(predicate.columns) or plain.names[:1]
        columns = pa.schema([plain.field(name) for name in names])
        parts = storage.engine.mask(predicate, columns, reader.batches(names))
        hits = np.concatenate([np.empty(0, np.bool_), *(part.to_numpy(zero_copy_only=False) for part in parts)])
        if hits.any():
            masks[fragment.id] = hits | masks.get(fragment.id, np.zeros(len(hits), np.bool_))
    if failed is not None and not understood:
        raise failed
    return masks


def _with_ids(
    storage: Storage, dataset: DatasetRecord, listed: Sequence[Listed], wanted: NDArray[Any]
) -> dict[int, Mask]:
    if wanted.dtype.kind not in "iu" or wanted.ndim != 1:
        raise UsageError("Row ids are whole numbers in one dimension.", hint="Take them from a version's rows.")
    ids = wanted.astype(np.uint64)
    masks: dict[int, Mask] = {}
    known = np.zeros(len(ids), np.bool_)
    for schema, fragment in _once(listed):
        here = FragmentReader(storage, dataset.id, [fragment], schema, repr(dataset.name)).row_ids()
        hits = np.isin(here, ids)
        if hits.any():
            masks[fragment.id] = hits
            known |= np.isin(ids, here)
    if not known.all():
        raise UsageError(
            f"No row of {dataset.name!r} has the row id {int(ids[~known][0])}.",
            hint="Take them from a version of this dataset.",
        )
    return masks


def _once(listed: Sequence[Listed]) -> Iterator[Listed]:
    yield from {fragment.id: (schema, fragment) for schema, fragment in reversed(listed)}.values()


def _all_places(listed: Sequence[Listed]) -> list[Place]:
    """Return all columns of the fragments' files; row ids stay: they say nothing, and splits go by them."""
    found: dict[tuple[int, str], Place] = {}
    for fragment in _fragments(listed):
        for group in fragment.groups:
            columns = {place: str(place) for place, i in enumerate(group.fields) if i != ROW_ID_FIELD}
            if columns:
                found[fragment.id, group.object_id] = Place(fragment.id, group.object_id, columns)
    return list(found.values())


def _fragments(listed: Sequence[Listed]) -> list[Fragment]:
    return list(dict.fromkeys(fragment for _, fragment in listed))
