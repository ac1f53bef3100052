"""The step that names columns: keeps some, reads fields inside others, computes new ones."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Self

import pyarrow as pa

from foldstore.datastore.engine import Engine, Expression
from foldstore.errors import UsageError
from foldstore.views.cost import Flow, Part, type_width
from foldstore.views.nested import FieldPath, find_path, read_field
from foldstore.views.steps.step import Batches, Effect, hidden_of


@dataclass(frozen=True, slots=True)
class Select:
    """Keep some columns, or fields of them, and compute others."""

    columns: tuple[FieldPath, ...]
    expressions: Mapping[str, Expression]
    arrow_schema: pa.Schema

    @property
    def effect(self) -> Effect:
        """It keeps the rows."""
        return Effect.KEEPS

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data: names, then one object for each computed column."""
        computed = [{name: expression.text} for name, expression in self.expressions.items()]
        return {"select": [*(path.text for path in self.columns), *computed]}

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Keep and compute what is wanted."""
        hidden = [FieldPath(name, name, (), before.field(name).type) for name in hidden_of(wanted, before)]
        columns = [path for path in self.columns if path.text in wanted] + hidden
        expressions = {name: each for name, each in self.expressions.items() if name in wanted}
        if not columns and not expressions:
            columns = [FieldPath(before.names[0], before.names[0], (), before.field(0).type)]
        fields = [pa.field(path.text, path.type) for path in columns]
        fields += [pa.field(name, each.type) for name, each in expressions.items()]
        return replace(self, columns=tuple(columns), expressions=expressions, arrow_schema=pa.schema(fields))

    def needed(self) -> set[str]:
        """Return what is kept and what expressions read."""
        return {*(p.column for p in self.columns), *(c for each in self.expressions.values() for c in each.columns)}

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:
        """Yield the kept columns, and the computed ones beside them."""
        if not self.expressions:
            for batch in batches:
                yield pa.RecordBatch.from_arrays(self._kept(batch), schema=self.arrow_schema)
            return
        waiting: deque[list[pa.Array]] = deque()

        def remember() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                waiting.append(self._kept(batch))
                yield batch

        for computed in engine.evaluate(self.expressions, schema, remember()):
            yield pa.RecordBatch.from_arrays([*waiting.popleft(), *computed.columns], schema=self.arrow_schema)

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies what it computes."""
        computed = {name: type_width(each.type) for name, each in self.expressions.items()}
        kept = {
            path.text: type_width(path.type) if path.fields else flow.widths.get(path.column) for path in self.columns
        }
        said = [
            item if isinstance(item, str) else "{} = {}".format(*next(iter(item.items())))
            for item in self.spec()["select"]
        ]
        return Part("select", ", ".join(said), Flow(flow.rows, computed).num_bytes()), Flow(
            flow.rows, {**kept, **computed}
        )

    def _kept(self, batch: pa.RecordBatch) -> list[pa.Array]:
        return [read_field(batch.column(path.column), path.fields) for path in self.columns]


def make_select(
    engine: Engine, columns: Sequence[str], expressions: Mapping[str, str], schema: pa.Schema, address: str
) -> Select:
    """Check names and expressions against the columns that reach them.

    Raises
    ------
    UsageError
        When nothing is named, or something twice.
    ColumnNotFoundError
        When a column, or a field of one, is not there.
    """
    names = [*columns, *expressions]
    if not names:
        raise UsageError("select() needs at least one column.", hint="Name columns, or give name='expression'.")
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"A column is named by a str, not {type(name).__name__}.", hint="select('a', b='x + 1')")
        if not name or not name.isprintable():
            raise UsageError(f"{ascii(name)[:80]} cannot name a column.", hint="select('a', b='x + 1')")
        if names.count(name) > 1:
            raise UsageError(f"select() names {name!r} twice.", hint="Give each column a name of its own.", column=name)
    paths = [find_path(name, schema, where=f"the view of {address}") for name in columns]
    checked = {
        name: engine.parse_expression(text, schema, where=f"{name!r} in the view of {address}")
        for name, text in expressions.items()
    }
    fields = [schema.field(path.column) if not path.fields else pa.field(path.text, path.type) for path in paths]
    fields += [pa.field(name, expression.type) for name, expression in checked.items()]
    return Select(tuple(paths), checked, pa.schema(fields))
