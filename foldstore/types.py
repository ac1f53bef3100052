"""Small closed sets that all layers share; standard library only."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum


class Status(StrEnum):
    """Where a version or a view stands."""

    DRAFT = "draft"
    PUBLISHED = "published"
    QUARANTINED = "quarantined"
    DEPRECATED = "deprecated"


class Operation(StrEnum):
    """What a commit did."""

    CREATE = "create"
    APPEND = "append"
    OVERWRITE = "overwrite"
    UPSERT = "upsert"
    DELETE = "delete"
    ADD_COLUMNS = "add_columns"
    DROP_COLUMNS = "drop_columns"
    RENAME_COLUMNS = "rename_columns"
    WIDEN_COLUMNS = "widen_columns"
    RESTORE = "restore"
    COMPACT = "compact"
    MERGE = "merge"
    TRIM = "trim"
    CLEAN = "clean"
    TRANSACTION = "transaction"


class Severity(StrEnum):
    """How grave an anomaly is; `error` fails a report, `off` silences the check."""

    OFF = "off"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


Clock = Callable[[], datetime]
# Told about long work: (rows done, rows in all or None when unknown).
Progress = Callable[[int, int | None], None]


def utc_now() -> datetime:
    """Return the time in UTC; the one place that reads the clock."""
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """Write an instant as RFC 3339 in UTC, with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Read an instant; a time without a zone is UTC.

    Raises
    ------
    ValueError
        When the text is not RFC 3339, or the instant has no year in UTC.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} lies outside of the calendar in UTC") from error
