"""The sealed rows of a pool: in a secret order, under row ids that say nothing, with labels beside them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_survey import Mask, read_masks
from foldstore.datastore.sealing import ROW_ID, open_companion
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.predictions import POOL_ROW, ExpectedRows
from foldstore.validation.pools.sealed_subject import RowDigests, digest_rows, list_row_ids, open_version, read_rows

POOL: Final = "pool"
LABEL: Final = "label"
BASELINE: Final = "baseline"
# Row ids stay exact in JSON, where numbers are doubles.
_ID_BITS: Final = 52


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The rows to seal, in the version's order."""

    ids: NDArray[np.uint64]
    labels: pa.Array
    keys: pa.Table
    digests: RowDigests

    @classmethod
    def read(
        cls, dataset: DatasetRecord, reader: FragmentReader, masks: dict[int, Mask], label: str, hidden: set[str]
    ) -> "Subject":
        """Read the rows under masks.

        Raises
        ------
        UsageError
            With code ``invalid-label``, for labels that are null or no classes.
        """
        labels = _read_labels(reader, masks, label)
        visible = read_rows(reader, masks, [name for name in reader.arrow_schema.names if name not in hidden])
        ids = list_row_ids(reader, masks)
        keys = visible.select(list(dataset.key))
        return cls(ids=ids, labels=labels, keys=keys, digests=digest_rows(dataset, ids, visible))

    def shuffled(self, baseline: pa.Array | None) -> pa.Table:
        """Return what the sealed area keeps: the rows in a secret order, with ids that say nothing."""
        generator = np.random.default_rng(secrets.randbits(256))
        order = generator.permutation(len(self.ids))
        opaque = np.empty(0, np.int64)
        while len(opaque) < len(order):
            opaque = np.unique(generator.integers(0, 2**_ID_BITS, 2 * len(order) + 16))
        columns = {
            ROW_ID: pa.array(self.ids[order]),
            POOL_ROW: pa.array(generator.choice(opaque, len(order), replace=False)),
            "identity": pa.array(self.digests.identity[order]),
            "content": pa.array(self.digests.content[order]),
            LABEL: self.labels.take(pa.array(order)),
        }
        if baseline is not None:
            columns[BASELINE] = baseline.take(pa.array(order))
        return pa.table(columns)


def pool_features(storage: Storage, pool: PoolRecord) -> pa.Table:
    """Return what a model needs to predict: the pool's rows in a secret order under opaque row ids.

    ``pool_row`` comes first, then every column of the version that is not sealed.
    """
    reader = open_version(storage, pool.dataset, pool.version)
    visible = [name for name in reader.arrow_schema.names if name not in pool.hidden]
    secret = open_companion(storage, pool.id, POOL)
    rows = rows_in_order(reader, secret, visible)
    # A copy: behind the buffers of a slice lies the whole sealed file, labels included, for whoever asks for parents.
    return rows.add_column(0, POOL_ROW, pa.array(secret.column(POOL_ROW).to_numpy().copy()))


def expected_rows(storage: Storage, pool: PoolRecord, secret: pa.Table) -> ExpectedRows:
    """Return what predictions for a pool must cover, in the pool's order."""
    reader = open_version(storage, pool.dataset, pool.version)
    keys = list(pool.dataset.key)
    return ExpectedRows(
        label_type=secret.schema.field(LABEL).type,
        keys=rows_in_order(reader, secret, keys) if keys else pa.table({}),
        num_rows=secret.num_rows,
        pool_rows=secret.column(POOL_ROW).to_numpy(),
    )


def rows_in_order(reader: FragmentReader, secret: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Read rows of the version in the pool's order."""
    ids = secret.column(ROW_ID).to_numpy()
    masks = read_masks(ids, {fragment.id: fragment.num_rows for fragment in reader.fragments})
    stored = list_row_ids(reader, masks)
    order = np.argsort(stored, kind="stable")
    return read_rows(reader, masks, columns).take(pa.array(order[np.searchsorted(stored[order], ids)]))


def _read_labels(reader: FragmentReader, masks: dict[int, Mask], label: str) -> pa.Array:
    column = read_rows(reader, masks, [label]).column(0).combine_chunks()
    labels = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    t = pa.types
    if not (t.is_boolean(labels.type) or t.is_integer(labels.type) or t.is_string(labels.type)):
        raise UsageError(
            f"The label {label!r} is {labels.type}; a pool needs classes.",
            hint="Add a column of booleans, whole numbers or texts with add_columns(), and seal that one.",
            code="invalid-label",
            column=label,
        )
    if labels.null_count:
        raise UsageError(
            f"The label {label!r} is null in {labels.null_count:,} of {len(labels):,} rows.",
            hint="Seal rows whose label is known; a cell that is sealed already is null, too.",
            code="invalid-label",
            column=label,
            nulls=labels.null_count,
        )
    return labels
