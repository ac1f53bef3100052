"""The server's log: one line of JSON an event, with the request's id, and without anything secret."""

import json
import logging
import re
import sys
from typing import Any, Final

from foldstore.api.request_record import LOOKUPS, RequestRecord
from foldstore.types import format_time, utc_now

LOGGER: Final = logging.getLogger("foldstore")
_REQUESTS: Final = logging.getLogger("foldstore.requests")
_TOKEN: Final = re.compile(r"foldstore_([a-z0-9]{8})_[0-9A-Za-z]+", re.ASCII)
_PASSWORD: Final = re.compile(r"(\w+://[^\s:/@]*:)[^\s@]+@")


def redact(text: str) -> str:
    """Return a text without secrets of tokens and passwords in URLs.

    Examples
    --------
    >>> redact("postgresql://me:hunter2@db/x")
    'postgresql://me:***@db/x'
    """
    return _PASSWORD.sub(r"\1***@", _TOKEN.sub(r"foldstore_\1_***", text))


class JsonLines(logging.Formatter):
    """Writes an event as one line; line ends and control characters in it are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "at": format_time(utc_now()),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **getattr(record, "foldstore", {}),
        }
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


def log_to_stderr(level: str) -> None:
    """Have everything that the server says go to stderr, line by line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.captureWarnings(capture=True)  # they quote what users wrote, and would be lines of their own
    for name in ("foldstore", "uvicorn", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())


def logs_lookups() -> bool:
    """Say whether lookups that were answered are written down."""
    return _REQUESTS.isEnabledFor(logging.DEBUG)


def log_request(record: RequestRecord) -> None:
    """Write a request down; lookups only where the level is ``debug``: there are many."""
    level = logging.DEBUG if record.route in LOOKUPS and record.status < 500 else logging.INFO
    if _REQUESTS.isEnabledFor(level):
        facts = {**record.to_dict(), "seconds": round(record.seconds, 6)}
        _REQUESTS.log(level, "%s %s %d", record.method, record.route, record.status, extra={"foldstore": facts})
