"""What is around rows that are judged: when it is, where they are from, what was there before them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from foldstore.datastore.engine import Engine
from foldstore.types import parse_time
from foldstore.validation.history import History
from foldstore.validation.row_sets import Others
from foldstore.validation.transform_checks import Transforms


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is around rows that are judged; what is left out, no rule can ask for.

    Attributes
    ----------
    created_at : str or None
        The instant of judgement, noted on the report and what ages are counted from; nothing here reads a clock.
    environment : str or None
        Where the rows are from, such as ``serving``: columns that do not belong there are not asked for. All columns
        are, unless it is given.
    previous_rows : int or None
        How many rows the version before has, for `DataSchema.rows_vs_previous`.
    others : callable or None
        Returns the newest rows of another dataset by its name, for `refs` and `overlap`.
    history : History or None
        The versions before, for what is compared with them.
    transforms : callable or None
        Returns a fitted transform by its address, for `DataSchema.transforms`.
    engine : Engine or None
        Evaluates rules and segments; one of its own, which takes 20 ms to open, unless given.

    Examples
    --------
    >>> Surroundings(created_at="2026-01-01T00:00:00Z").now.year
    2026
    """

    created_at: str | None = None
    environment: str | None = None
    previous_rows: int | None = None
    others: Others | None = None
    history: History | None = None
    transforms: Transforms | None = None
    engine: Engine | None = None

    @property
    def now(self) -> datetime | None:
        """The instant of judgement."""
        return None if self.created_at is None else parse_time(self.created_at)


NOTHING_AROUND: Final = Surroundings()
