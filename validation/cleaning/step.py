"""The steps of a commit that clean: rows that change are written anew under their ids, rows that go are marked."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from foldstore.datastore.arrow_schema import expressions_of
from foldstore.datastore.catalog.seals import list_seals
from foldstore.datastore.commit import Transaction
from foldstore.datastore.draft import Draft
from foldstore.datastore.manifest import Fragment
from foldstore.datastore.replace_column import replace_column
from foldstore.datastore.replace_rows import ChangedRows, replace_rows
from foldstore.datastore.seal_guard import sealed_places
from foldstore.errors import RefusedError
from foldstore.types import Operation
from foldstore.validation.cleaning.action import CleaningAction
from foldstore.validation.cleaning.cell_repair import convert_texts
from foldstore.validation.cleaning.pipeline import Pipeline, cast_type, refuse_columns
from foldstore.validation.cleaning.row_source import RowSource
from foldstore.validation.cleaning.working import RowIds, Working


class CleanRows:
    """The step that does actions to the rows of a draft.

    It is not applied again when another writer was faster: a person saw what would happen to other rows.

    Parameters
    ----------
    actions : sequence of CleaningAction
        None of them a cast.
    train : array of uint64, optional
        The ids of the rows to learn from.

    Attributes
    ----------
    counts : list of int
        What each action did.
    fitted : list of dict
        What each action has learnt.
    """

    operation: ClassVar = Operation.CLEAN
    replays: ClassVar = False

    def __init__(self, actions: Sequence[CleaningAction], train: RowIds | None = None) -> None:
        self._actions = list(actions)
        self._train = train
        self.counts = [0] * len(self._actions)
        self.fitted: list[dict[str, object]] = []

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Write the rows that change, and mark those that go.

        Raises
        ------
        UsageError
            When an action does not fit the columns.
        """
        known = draft.known_schema(transaction.dataset.name)
        refuse_columns(self._actions, key=transaction.dataset.key, derived=expressions_of(known))
        reader = draft.reader(transaction.storage, transaction.dataset)
        sealed = sealed_places(transaction.storage, transaction.dataset)
        read = RowSource(reader, sealed, transaction.options.progress)
        pipeline = Pipeline(self._actions, reader.arrow_schema, transaction.storage.engine, self._train)
        pipeline.fit(read)
        self.fitted = pipeline.fitted
        return replace_rows(draft, transaction, self._changes(pipeline, read), act="clean")

    def _changes(self, pipeline: Pipeline, read: RowSource) -> Iterator[ChangedRows]:
        under_way: list[Working] = []
        for working in pipeline.run(read):
            self.counts = [a + b for a, b in zip(self.counts, working.counts, strict=True)]
            if under_way and under_way[0].chunk.fragment != working.chunk.fragment:
                yield _gather(under_way, pipeline.changed_columns)
                under_way = []
            under_way.append(_thinned(working, pipeline.changed_columns))
        if under_way:
            yield _gather(under_way, pipeline.changed_columns)


class CastColumn:
    """The step that turns a column of text into another type."""

    operation: ClassVar = Operation.CLEAN
    replays: ClassVar = False

    def __init__(self, action: CleaningAction) -> None:
        self._action = action
        self.counts = [0]
        self.fitted: list[dict[str, object]] = [{}]

    def apply(self, draft: Draft, transaction: Transaction) -> Draft:
        """Write the column anew.

        Raises
        ------
        UsageError
            With code ``not-castable``, or ``column-needed``.
        RefusedError
            When the dataset has a test pool: its rows stay as they were sealed.
        """
        if list_seals(transaction.storage.catalog, transaction.dataset.id):
            raise RefusedError(
                f"A cast would touch the rows of {transaction.dataset.name!r} that belong to a test pool.",
                hint="add_columns({...}) adds a column of the other type.",
                code="rows-sealed",
            )
        reader = draft.reader(transaction.storage, transaction.dataset)
        pipeline = Pipeline([self._action], reader.arrow_schema, transaction.storage.engine)
        read = RowSource(reader, np.empty(0, np.uint64), transaction.options.progress)
        pipeline.fit(read)
        self.counts = [sum(working.counts[0] for working in pipeline.run(read))]
        target = cast_type(self._action)
        name = self._action.column or ""
        return replace_column(draft, transaction, name, target, lambda column: convert_texts(column, target))


def make_steps(actions: Sequence[CleaningAction], train: RowIds | None) -> list[CleanRows | CastColumn]:
    """Cut a plan into steps: a cast is one of its own."""
    steps: list[CleanRows | CastColumn] = []
    run: list[CleaningAction] = []
    for action in actions:
        if action.op != "cast":
            run.append(action)
            continue
        steps += [CleanRows(run, train)] if run else []
        steps.append(CastColumn(action))
        run = []
    return [*steps, CleanRows(run, train)] if run else steps


def _thinned(working: Working, columns: Sequence[str]) -> Working:
    """Keep of a batch only what changed, so that a fragment's batches are not held."""
    kept = working.changed & working.alive
    mask = pa.array(kept)
    thin = {name: working.columns[name].filter(mask) for name in columns}
    return Working(working.chunk, thin, working.alive, kept)


def _gather(batches: Sequence[Working], columns: Sequence[str]) -> ChangedRows:
    fragment = batches[0].chunk.fragment
    assert isinstance(fragment, Fragment)  # noqa: S101  # rows of a draft lie in fragments
    positions = [each.chunk.positions[each.changed] for each in batches]
    dropped = [each.chunk.positions[~each.alive] for each in batches]
    cells = pa.table({name: pa.chunked_array([each.columns[name] for each in batches]) for name in columns})
    return ChangedRows(fragment, np.concatenate(positions), cells, np.concatenate(dropped))
