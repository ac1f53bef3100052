"""The sealed rows of a pool: in a secret order, under row ids that say nothing, with labels beside them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.opened_rows import open_rows
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.seal_survey import Mask, read_masks
from foldstore.datastore.sealing import ROW_ID, open_companion
from foldstore.datastore.statistics.hashing import combine, hash_column
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, RefusedError, UsageError
from foldstore.validation.pools.account import Account
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.predictions import POOL_ROW, ExpectedRows, find_places
from foldstore.validation.pools.sealed_subject import RowDigests, digest_rows, list_row_ids, open_version, read_rows

POOL: Final = "pool"
LABEL: Final = "label"
BASELINE: Final = "baseline"
PLACE: Final = "place"
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
        columns = {
            ROW_ID: pa.array(self.ids),
            "identity": pa.array(self.digests.identity),
            "content": pa.array(self.digests.content),
            LABEL: self.labels,
        }
        return shuffle_rows(pa.table(columns), baseline)


def shuffle_rows(rows: pa.Table, baseline: pa.Array | None) -> pa.Table:
    """Put rows of the sealed area, and the baseline's predictions for them, in a secret order under opaque ids."""
    generator = np.random.default_rng(secrets.randbits(256))
    order = generator.permutation(rows.num_rows)
    opaque = np.empty(0, np.int64)
    while len(opaque) < len(order):
        opaque = np.unique(generator.integers(0, 2**_ID_BITS, 2 * len(order) + 16))
    if baseline is not None:
        rows = rows.append_column(BASELINE, baseline)
    shuffled = rows.take(pa.array(order)).combine_chunks()
    return shuffled.add_column(1, POOL_ROW, pa.array(generator.choice(opaque, len(order), replace=False)))


def secret_rows(storage: Storage, pool: PoolRecord, account: Account, draw: int | None = None) -> pa.Table:
    """Return what the sealed area keeps of a pool, or of the rows of one draw, in the pool's order.

    Column ``place`` says where each row stands among all rows of the pool.

    Raises
    ------
    NotFoundError
        When there was no such draw.
    """
    secret = open_companion(storage, pool.id, POOL)
    secret = secret.append_column(PLACE, pa.array(np.arange(secret.num_rows)))
    if draw is None:
        return secret
    if not isinstance(draw, int) or isinstance(draw, bool) or not 1 <= draw <= len(account.draws):
        raise NotFoundError(
            f"The pool {pool.name!r} has no draw {ascii(draw)[:20]}; there were {len(account.draws):,}.",
            hint="pool.draw(m) makes one.",
            draw=str(draw)[:20],
        )
    drawn = account.draws[draw - 1]
    return secret.take(pa.array(choose_rows(secret.column(POOL_ROW), drawn.rows, drawn.seed)))


def choose_rows(pool_rows: pa.ChunkedArray, rows: int, seed: int) -> NDArray[np.int64]:
    """Return the places of some rows, chosen at random by a seed: those whose hash with it is smallest.

    The same seed chooses the same rows in any release, and more rows with it are a superset.

    Examples
    --------
    >>> ids = pa.chunked_array([[70, 71, 72, 73]])
    >>> len(choose_rows(ids, 2, seed=5)), set(choose_rows(ids, 2, seed=5)) < set(choose_rows(ids, 3, seed=5))
    (2, True)
    """
    salt = np.full(len(pool_rows), seed, np.int64)
    hashes = combine([hash_column(pa.array(salt)), hash_column(pool_rows)])
    return np.sort(np.argsort(hashes, kind="stable")[:rows]).astype(np.int64)


def pool_features(storage: Storage, pool: PoolRecord, draw: int | None = None) -> pa.Table:
    """Return what a model needs to predict: the pool's rows in a secret order under opaque row ids.

    ``pool_row`` comes first, then every column of the version that is not sealed.

    Parameters
    ----------
    draw : int, optional
        The number of a draw: its rows alone.
    """
    reader = open_version(storage, pool.dataset, pool.version)
    visible = [name for name in reader.arrow_schema.names if name not in pool.hidden]
    secret = secret_rows(storage, pool, Ledger(storage, pool.id).read(), draw)
    rows = rows_in_order(reader, secret, visible)
    # A copy: behind the buffers of a slice lies the whole sealed file, labels included, for whoever asks for parents.
    return rows.add_column(0, POOL_ROW, pa.array(secret.column(POOL_ROW).to_numpy().copy()))


def released_rows(storage: Storage, pool: PoolRecord) -> pa.Table:
    """Return the rows of a retired pool as they were before sealing, in the version's order.

    Raises
    ------
    RefusedError
        With code ``pool-in-use``, while the pool is not retired.
    """
    if Ledger(storage, pool.id).read().retirement is None:
        raise RefusedError(
            f"The pool {pool.name!r} is not retired: its labels are sealed.",
            hint="A steward retires it with retire(); that ends its answers.",
            code="pool-in-use",
            pool=pool.name,
        )
    return opened_pool(storage, pool)


def opened_pool(storage: Storage, pool: PoolRecord, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a pool with their sealed cells, in the version's order; never handed out before retirement."""
    ids = open_companion(storage, pool.id, POOL).column(ROW_ID).to_numpy()
    reader = open_version(storage, pool.dataset, pool.version)
    masks = read_masks(ids, {fragment.id: fragment.num_rows for fragment in reader.fragments})
    reader = reader.restricted([fragment for fragment in reader.fragments if fragment.id in masks])
    table = open_rows(storage, reader, reader.arrow_schema.names if columns is None else columns, [pool.id])
    return table.filter(pa.array(np.isin(reader.places(), ids))).combine_chunks()


def expected_rows(storage: Storage, pool: PoolRecord, secret: pa.Table) -> ExpectedRows:
    """Return what predictions for a pool must cover, in the pool's order."""
    return rows_with_columns(storage, pool, secret, ())[0]


def rows_with_columns(
    storage: Storage, pool: PoolRecord, secret: pa.Table, columns: Sequence[str]
) -> tuple[ExpectedRows, pa.Table]:
    """Return what predictions for a pool must cover, and columns of its rows, all in the pool's order."""
    reader = open_version(storage, pool.dataset, pool.version)
    keys = list(pool.dataset.key)
    names = list(dict.fromkeys([*keys, *columns]))
    table = rows_in_order(reader, secret, names) if names else pa.table({})
    rows = ExpectedRows(
        label_type=secret.schema.field(LABEL).type,
        keys=table.select(keys),
        num_rows=secret.num_rows,
        pool_rows=secret.column(POOL_ROW).to_numpy(),
    )
    return rows, table.select(list(columns))


def rows_in_order(reader: FragmentReader, secret: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Read rows of the version in the pool's order."""
    ids = secret.column(ROW_ID).to_numpy()
    masks = read_masks(ids, {fragment.id: fragment.num_rows for fragment in reader.fragments})
    stored = list_row_ids(reader, masks)
    order = np.argsort(stored, kind="stable")
    return read_rows(reader, masks, columns).take(pa.array(order[find_places(stored[order], ids)]))


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
