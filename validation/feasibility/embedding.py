"""Embeddings of rows: features made into vectors, learnt on some rows and applied to others."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.statistics.reading import Kind, kind_of, plain_array
from foldstore.errors import UsageError
from foldstore.validation.feasibility.options import Embedding

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Apply = Callable[[Floats], Floats]

# Of texts the most frequent values have a dimension each, the others one together.
_MOST_VALUES: Final = 20
_COMPONENTS: Final = 10
READ_KINDS: Final = frozenset(
    (Kind.BOOLEAN, Kind.INTEGER, Kind.UNSIGNED, Kind.FLOAT, Kind.DECIMAL, Kind.TEXT, Kind.TEMPORAL)
)


class Encoder:
    """Makes numbers of columns, as it learnt them from some rows.

    Parameters
    ----------
    table : pyarrow.Table
        The rows to learn from: the median that stands for a null, and which texts are frequent.

    Examples
    --------
    >>> rows = pa.table({"x": [1.0, None, 3.0], "c": ["a", "b", "a"]})
    >>> Encoder(rows).encode(rows).tolist()
    [[1.0, 1.0, 0.0], [2.0, 0.0, 1.0], [3.0, 1.0, 0.0]]
    """

    def __init__(self, table: pa.Table) -> None:
        self._columns = [(name, _learn(table.column(name))) for name in table.column_names]

    def encode(self, table: pa.Table) -> Floats:
        """Return rows as vectors."""
        parts = [encode(table.column(name)) for name, encode in self._columns]
        return np.column_stack(parts) if parts else np.empty((table.num_rows, 0))


def _learn(column: pa.ChunkedArray) -> Callable[[pa.ChunkedArray], Floats]:
    if kind_of(column.type) is Kind.TEXT:
        counts = pc.value_counts(_texts(column))
        order = np.argsort(-counts.field("counts").to_numpy(), kind="stable")[:_MOST_VALUES]
        frequent = [each for each in counts.field("values").take(pa.array(order)).to_pylist() if each is not None]
        return lambda given: _one_hot(given, frequent)
    numbers = _numbers(column)
    known = numbers[np.isfinite(numbers)]
    middle = float(np.median(known)) if len(known) else 0.0
    return lambda given: np.where(np.isfinite(found := _numbers(given)), found, middle)


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(
        [plain_array(chunk).cast(pa.large_string()) for chunk in column.chunks] or [pa.array([], pa.large_string())]
    )


def _one_hot(column: pa.ChunkedArray, frequent: list[str]) -> Floats:
    places = pc.index_in(_texts(column), value_set=pa.array(frequent, pa.large_string()))
    found = np.zeros((len(column), len(frequent)))
    at = places.fill_null(-1).to_numpy()
    rows = np.flatnonzero(at >= 0)
    found[rows, at[rows]] = 1.0
    return found


def _numbers(column: pa.ChunkedArray) -> Floats:
    kind = column.type
    if pa.types.is_temporal(kind):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def learn_embedding(name: str, rows: Floats, labels: Ints, seed: int) -> Apply:
    """Return the function that embeds rows, learnt from rows with labels.

    ``raw`` takes them as they are; ``standardised`` gives each dimension the mean 0 and the deviation 1; ``pca`` turns
    these to at most ten directions of most variance (Pearson 1901); ``lda`` to those that tell classes apart (Fisher
    1936), for which the rows must not be the neighbours, too; ``random_projection`` to ten random ones (Johnson and
    Lindenstrauss 1984).
    """
    if name == "raw":
        return lambda given: given
    middle, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread == 0] = 1.0

    def standard(given: Floats) -> Floats:
        return np.asarray((given - middle) / spread)

    if name == "standardised":
        return standard
    turn = {"pca": _principal, "lda": _discriminant, "random_projection": _random}[name](standard(rows), labels, seed)
    return lambda given: standard(given) @ turn


def _principal(rows: Floats, _labels: Ints, _seed: int) -> Floats:
    values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False).reshape(rows.shape[1], -1))
    return np.asarray(vectors[:, np.argsort(-values)[:_COMPONENTS]])


def _discriminant(rows: Floats, labels: Ints, _seed: int) -> Floats:
    classes = np.unique(labels)
    means = np.array([rows[labels == each].mean(axis=0) for each in classes])
    shares = np.array([(labels == each).mean() for each in classes])
    centred = rows - means[np.searchsorted(classes, labels)]
    within = centred.T @ centred / len(rows) + 1e-3 * np.eye(rows.shape[1])
    between = (means - rows.mean(axis=0)).T * shares @ (means - rows.mean(axis=0))
    values, vectors = np.linalg.eig(np.linalg.solve(within, between))
    return np.asarray(np.real(vectors[:, np.argsort(-np.real(values))[: max(1, len(classes) - 1)]]))


def _random(rows: Floats, _labels: Ints, seed: int) -> Floats:
    size = min(_COMPONENTS, rows.shape[1])
    return np.asarray(np.random.default_rng(seed).normal(size=(rows.shape[1], size)) / np.sqrt(size))


def embed_by_user(name: str, embedding: Embedding, table: pa.Table) -> Floats:
    """Return the vectors that a person's function, or columns of vectors, give.

    Raises
    ------
    UsageError
        When they are no vectors of numbers, one a row.
    """
    made: Any = embedding(table) if callable(embedding) else _columns(embedding, table)
    try:
        found = np.asarray(made, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The embedding {name!r} gives no numbers: {error}.", hint="Return rows x dimensions."
        ) from error
    found = found.reshape(len(found), -1) if found.ndim == 1 else found
    if found.ndim != 2 or len(found) != table.num_rows or not np.isfinite(found).all():
        raise UsageError(
            f"The embedding {name!r} gives an array of shape {found.shape} for {table.num_rows} rows, or no number.",
            hint="Return one vector of finite numbers a row.",
        )
    return found


def _columns(names: Any, table: pa.Table) -> Any:
    chosen = [names] if isinstance(names, str) else list(names)
    return np.column_stack([np.asarray(table.column(name).to_pylist(), np.float64) for name in chosen])


def user_columns(own: Mapping[str, Embedding]) -> list[str]:
    """Return the columns that a person's embeddings name."""
    named = [made for made in own.values() if not callable(made)]
    return [name for each in named for name in ([each] if isinstance(each, str) else each)]
