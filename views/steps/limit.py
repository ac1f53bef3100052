"""The step that cuts: the first rows of what reaches it."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import pyarrow as pa

from foldstore.datastore.engine import Engine
from foldstore.errors import UsageError
from foldstore.views.cost import Flow, Part
from foldstore.views.steps.step import Batches, Effect, passed_on

_MAX_LIMIT: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Limit:
    """Keep the first rows."""

    rows: int
    arrow_schema: pa.Schema

    @property
    def effect(self) -> Effect:
        """It chooses rows."""
        return Effect.CHOOSES

    def spec(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {"limit": self.rows}

    def pruned(self, wanted: AbstractSet[str], before: pa.Schema) -> Self:
        """Hand on what is wanted."""
        return replace(self, arrow_schema=passed_on(wanted, before))

    def needed(self) -> set[str]:
        """Return what is handed on."""
        return set(self.arrow_schema.names)

    def run(self, engine: Engine, schema: pa.Schema, batches: Batches) -> Batches:  # noqa: ARG002
        """Yield rows until there are enough; no more is read."""
        rows = self.rows
        while rows > 0:
            batch = next(batches, None)
            if batch is None:
                return
            yield batch.slice(0, rows).select(self.arrow_schema.names)
            rows -= batch.num_rows

    def flow(self, flow: Flow) -> tuple[Part, Flow]:
        """It copies nothing."""
        rows = self.rows if flow.rows is None else min(flow.rows, self.rows)
        return Part("limit", f"{self.rows:,} rows", 0), Flow(rows, flow.widths)


def make_limit(rows: object, schema: pa.Schema) -> Limit:
    """Check a number of rows."""
    if not isinstance(rows, int) or isinstance(rows, bool) or not 0 <= rows <= _MAX_LIMIT:
        raise UsageError(f"limit() takes a number of rows from 0, not {str(rows)[:40]!r}.", hint="Such as limit(100).")
    return Limit(rows, schema)
