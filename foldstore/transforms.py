"""The handle of a store's transforms: fitted on a train part, kept, judged, applied."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from foldstore.datastore.ingest.source import open_source
from foldstore.datastore.storage import Storage
from foldstore.drift_reference import read_subject
from foldstore.errors import RefusedError, UsageError
from foldstore.names import parse_address
from foldstore.split import SplitPart
from foldstore.split_address import FindVersion, find_part
from foldstore.types import format_time
from foldstore.validation.document import read_yaml
from foldstore.validation.report import Report
from foldstore.validation.subject import Subject, TableSubject
from foldstore.validation.transform_checks import judge_transform
from foldstore.views.transforms.registry import TransformRegistry
from foldstore.views.transforms.transform import FittedTransform, Transform
from foldstore.views.view import View

TRAIN = "train"


class Transforms:
    """Transforms of features: fitted once on a train part, kept as plain data, the same in training and in serving.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> rows = {"id": list(range(100)), "delay": [float(n % 7) for n in range(100)]}
    >>> _ = store.create_dataset("flights", key=["id"]).append(rows).split("half", train=0.5, test=0.5)
    >>> transform = foldstore.Transform("inputs", [foldstore.Clip("delay", high=5.0), foldstore.MinMax("delay")])
    >>> store.transforms.fit(transform, on="flights@1#half.train")
    'inputs@1'
    >>> store.transforms.apply("inputs@1", {"delay": [0.0, 6.0, None]})["delay"].to_pylist()
    [0.0, 1.0, None]
    >>> store.transforms.get("inputs@1").apply_row({"delay": 2.5})
    {'delay': 0.5}
    """

    def __init__(self, storage: Storage, version: FindVersion, rows: Callable[[str], View], author: str) -> None:
        self._storage = storage
        self._version = version
        self._rows = rows
        self._author = author
        self.registry = TransformRegistry(storage)

    def __repr__(self) -> str:
        return f"<Transforms: {', '.join(self.list()) or 'none fitted'}>"

    def fit(self, transform: Transform, on: str | SplitPart, *, message: str = "") -> str:
        """Learn from a train part and keep what was learnt as a new version; return its address.

        Parameters
        ----------
        transform : Transform
        on : str or SplitPart
            The train part of a split, or its address: ``training@1#split.train``. Nothing is learnt from rows that
            are to judge a model.
        message : str

        Raises
        ------
        RefusedError
            When the rows are no train part.
        SchemaMismatchError
            When a column is not there, or of a type that an operation is not made for.
        """
        if not isinstance(transform, Transform):
            raise UsageError(f"{type(transform).__name__!r} is no transform.", hint="Give a Transform.")
        address = self._train_part(on)
        table = self._rows(address).to_arrow()
        needed = {name for each in transform.operations for name in each.reads_to_fit}
        known = [name for name in table.column_names if name in needed]  # others are made on the way, or missing
        fitted = transform.fit(table.select(known), fitted_on=address, beside=table.column_names)
        return self.registry.put(fitted, author=self._author, message=message)

    def list(self) -> list[str]:
        """List the addresses of the fitted transforms, every version."""
        return self.registry.list_addresses()

    def get(self, address: str) -> FittedTransform:
        """Return a fitted transform; its kernels were compared with its golden sample, here.

        Raises
        ------
        NotFoundError
            When there is none.
        RefusedError
            When the kernels for tables and for single rows differ with these libraries.
        """
        return self.registry.find(address)

    def apply(self, address: str, data: Any) -> pa.Table:
        """Work on rows: an address, a version, a view, a part of a split, or anything that speaks Arrow."""
        fitted = self.get(address)
        return fitted.apply(self._table(data))

    def validate(self, address: str, data: Any) -> Report:
        """Judge rows by what a transform knows: too many imputed, clipped or outside, columns that do not fit.

        Parameters
        ----------
        address : str
            A fitted transform.
        data : object
            What `apply` takes.
        """
        pinned = self.registry.pin(address)
        now = format_time(self._storage.clock())
        return judge_transform(self._subject(data), self.registry.load(pinned), pinned, created_at=now)

    def _train_part(self, on: str | SplitPart) -> str:
        """Return the pinned address of a train part."""
        text = on.address if isinstance(on, SplitPart) else on
        if not isinstance(text, str):
            raise _refuse_part(type(on).__name__)
        parsed = parse_address(text)
        if parsed.split is None or parsed.part != TRAIN:
            raise _refuse_part(text)
        return find_part(parsed, self._version).address

    def _table(self, data: Any) -> pa.Table:
        if isinstance(data, str):
            data = self._rows(data)
        if callable(read := getattr(data, "to_arrow", None)) and hasattr(data, "arrow_schema"):
            table: pa.Table = read()
            return table
        source = open_source(data)
        return pa.Table.from_batches(source.batches, source.schema)

    def _subject(self, data: Any) -> Subject:
        if isinstance(data, str):
            data = self._rows(data)
        if hasattr(data, "arrow_schema"):
            return read_subject(data)
        return TableSubject(self._table(data), "the rows")


def read_transform(text: str) -> Transform:
    """Read a transform's definition from YAML, by the safe loader.

    Raises
    ------
    InvalidSchemaError, UsageError
        When it is no YAML, or the definition means nothing.
    """
    return Transform.from_dict(read_yaml(text))


def _refuse_part(what: str) -> RefusedError:
    return RefusedError(
        f"{what} is no train part of a split: a transform learns from nothing else.",
        hint="Name it: training@1#split.train.",
        code="not-a-train-part",
    )
