"""The Hugging Face end of a view; the only module that imports datasets, and only when it is asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from foldstore.errors import UsageError
from foldstore.views.arguments import check_flag
from foldstore.views.frames import check_names

if TYPE_CHECKING:
    from foldstore.views.view import View


def make_dataset(view: "View", *, streaming: bool) -> Any:
    """Return a ``datasets.Dataset`` over the rows of a view, or an ``IterableDataset`` that streams them.

    Raises
    ------
    UsageError
        When the package is not installed (code ``missing-extra``), or has no type for a column.
    """
    try:
        from datasets import Dataset, DatasetInfo, Features, IterableDataset
        from datasets.iterable_dataset import ArrowExamplesIterable
        from datasets.table import InMemoryTable
    except ImportError as error:
        raise UsageError(
            "to_huggingface() needs the package 'datasets', which is not installed.",
            hint="pip install 'foldstore[huggingface]'.",
            code="missing-extra",
        ) from error
    check_flag(streaming, "streaming")
    check_names(view.arrow_schema, "A dataset")
    view.warn_of_leakage()
    schema = _plain(view.arrow_schema)
    try:
        features = Features.from_arrow_schema(schema)
    except (ValueError, NotImplementedError, KeyError) as error:
        raise UsageError(
            f"The package 'datasets' has no type for a column: {error}.",
            hint="Leave it out with select(), or cast it.",
            code="unsupported-type",
        ) from error
    if not streaming:
        # The table is the mapped files themselves, where nothing is computed.
        return Dataset(InMemoryTable(view.to_arrow().cast(schema)), fingerprint=view.hash.removeprefix("b3-"))

    def generate() -> Iterator[tuple[int, pa.Table]]:
        for number, batch in enumerate(view.to_batches()):
            yield number, pa.Table.from_batches([batch]).cast(schema)

    return IterableDataset(ArrowExamplesIterable(generate, kwargs={}), info=DatasetInfo(features=features))


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema without dictionaries, which the package does not know."""
    types = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema]
    return pa.schema([field.with_type(kind) for field, kind in zip(schema, types, strict=True)])
