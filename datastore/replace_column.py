"""Replace a column by one of another type: each fragment gains a file of the new column, the old one is let go."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa

from foldstore.datastore.add_columns import place_of, with_groups, write_groups
from foldstore.datastore.arrow_schema import assign_ids, expressions_of
from foldstore.datastore.commit import Transaction
from foldstore.datastore.derivation import plan_derivation
from foldstore.datastore.draft import Draft
from foldstore.datastore.reader import FragmentReader
from foldstore.errors import UsageError


def replace_column(
    draft: Draft, transaction: Transaction, name: str, target: pa.DataType, convert: Callable[[pa.Array], pa.Array]
) -> Draft:
    """Return a draft whose column has another type; rows keep their order and their ids.

    Parameters
    ----------
    name : str
        The column; not one of the key, the event time, or one that a derived column reads.
    target : pyarrow.DataType
        The new type.
    convert : callable
        Gives the new column of a batch; rows that were deleted come by, too.

    Raises
    ------
    UsageError
        With code ``column-needed``.
    """
    known = draft.known_schema(transaction.dataset.name)
    _refuse_needed(transaction, known, name)
    fresh, next_field = assign_ids(pa.schema([pa.field(name, target)]), next_field=draft.next_field)
    whole = draft.reader(transaction.storage, transaction.dataset).with_deleted()

    def compute(rows: FragmentReader) -> Iterator[pa.RecordBatch]:
        for batch in rows.batches([name]):
            yield pa.RecordBatch.from_arrays([convert(batch.column(0))], schema=fresh)

    parts = ((fragment, compute(whole.restricted([fragment]))) for fragment in whole.fragments)
    groups = write_groups(transaction, parts, fresh)
    added = with_groups([each for each in draft.fragments if place_of(each) in groups], groups, fresh)
    fields = [fresh.field(0) if field.name == name else field for field in known]
    return replace(draft.with_changed(added), schema=pa.schema(fields), next_field=next_field)


def _refuse_needed(transaction: Transaction, known: pa.Schema, name: str) -> None:
    dataset, texts = transaction.dataset, expressions_of(known)
    plain = pa.schema([pa.field(field.name, field.type) for field in known if field.name not in texts])
    read: set[str] = set()
    if texts:
        derivation = plan_derivation(transaction.storage.engine, texts, plain, where=lambda each: f"column {each!r}")
        read = set(derivation.inputs(plain))
    if name in dataset.key or name == dataset.event_time or name in texts or name in read:
        raise UsageError(
            f"Column {name!r} is part of the key, the event time, derived, or read by a derived column.",
            hint="Cast another column, or add one: add_columns({...}).",
            code="column-needed",
            column=name,
        )
