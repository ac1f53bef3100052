"""Canonical JSON and content addresses: the same value has the same bytes, and so the same name."""

import json
import re
from typing import Any, Final

import blake3

HASH_PREFIX: Final = "b3-"
_CONTENT_HASH = re.compile(r"b3-[0-9a-f]{64}", re.ASCII)


def canonical_json(value: Any) -> str:
    """Write plain data as JSON in one way: sorted keys, no spaces, no NaN.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(data: bytes) -> str:
    """Return the BLAKE3-256 content address of some bytes, the algorithm in front."""
    return HASH_PREFIX + blake3.blake3(data).hexdigest()


def is_content_hash(text: str) -> bool:
    """Say whether the text is a content address, and so safe as part of a path."""
    return _CONTENT_HASH.fullmatch(text) is not None
