"""Commitments to labels: what a pool was sealed with, under a key, so that nobody can swap labels or guess at them.

A plain hash over labels of few classes would be found by trying; without the store's key nothing can be tried.
"""

import hashlib
import hmac
from typing import Final

import numpy as np
import pyarrow as pa

from foldstore.validation.pools.predictions import value_bytes

_PREFIX: Final = "hmac-sha256:"


def commit_labels(key: bytes, pool_id: str, identity: pa.ChunkedArray, labels: pa.ChunkedArray) -> str:
    """Return HMAC-SHA256 over the rows' digests and labels, in an order that shuffling does not change.

    The key is HMAC-SHA256 of the store's key over the pool's id, so that two pools of the same rows differ.

    Examples
    --------
    >>> rows, labels = pa.chunked_array([pa.array([7, 8], pa.uint64())]), pa.chunked_array([[True, False]])
    >>> first = commit_labels(b"k" * 32, "p1", rows, labels)
    >>> first == commit_labels(b"k" * 32, "p1", rows.take([1, 0]), labels.take([1, 0]))
    True
    >>> first == commit_labels(b"k" * 32, "p1", rows, labels.take([1, 0]))
    False
    """
    own = hmac.new(key, pool_id.encode(), hashlib.sha256).digest()
    digests = identity.to_numpy()
    order = np.argsort(digests, kind="stable")
    found = hmac.new(own, str(labels.type).encode(), hashlib.sha256)
    found.update(np.ascontiguousarray(digests[order]).tobytes())
    for part in value_bytes(labels.combine_chunks().take(pa.array(order))):
        found.update(part)
    return _PREFIX + found.hexdigest()


def is_kept(commitment: str, key: bytes, pool_id: str, identity: pa.ChunkedArray, labels: pa.ChunkedArray) -> bool:
    """Say whether labels are those that were committed to."""
    return hmac.compare_digest(commitment, commit_labels(key, pool_id, identity, labels))
