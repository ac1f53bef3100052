"""The online store on a Redis server, for stores whose servers run on several machines; `foldstore[redis]` brings it.

The rows of an entity are members of one sorted set, all with the score 0: then Redis sorts them by their bytes, which
begin with the order (Redis, "ZRANGEBYLEX": members of one score are compared as arrays of bytes). The newest row below
an order is one command. A write is one MULTI: all or none. How durable it is, the server's `appendfsync` says.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from foldstore.views.online.redis_base import TRIMMED, RedisBase, entities_of, rows_of
from foldstore.views.online.redis_connection import RedisConnection
from foldstore.views.online.store import ORDER_BYTES, FoundPushed, NewRow, PushedQuestion, StoredRow

_AT_ONCE: Final = 1_000


class RedisStore:
    """Pushed rows on a Redis server.

    Parameters
    ----------
    url : str
        ``redis://host:6379/0``.
    prefix : str
        What the names of its keys begin with: each store has its own.

    Raises
    ------
    UsageError
        When the client is not installed.
    StoreError
        When the server does not answer.
    """

    def __init__(self, url: str, *, prefix: str) -> None:
        self._server = RedisConnection(url, prefix=prefix)
        self.base = RedisBase(self._server)
        self.id = self._identity()

    def mark(self) -> int:
        """Return the number of the newest write."""
        return int(self._server.ask("GET", self._server.name(b"mark")) or 0)

    def write(self, view: bytes, rows: Sequence[NewRow], documents: Mapping[bytes, bytes] | None = None) -> int:
        """Add rows, all or none; return the number of the write."""
        number = int(self._server.ask("INCR", self._server.name(b"mark")))
        last = number.to_bytes(8, "big")
        pipe = self._server.pipeline()
        for name, text in (documents or {}).items():
            pipe.hsetnx(self._server.name(b"documents"), name, text)
        members: dict[bytes, dict[bytes, int]] = {}
        newest = {(row.entity, row.times): row for row in rows}  # of equal orders the last one counts
        for row in newest.values():
            members.setdefault(row.entity, {})[row.times + last + row.value] = 0
        for entity, held in members.items():
            pipe.zadd(self._rows_of(view, entity), held)
        if members:
            pipe.sadd(self._entities_of(view), *members)
        self._server.run(pipe)
        return number

    def document(self, name: bytes) -> bytes | None:
        """Return a document that came with rows."""
        found = self._server.ask("HGET", self._server.name(b"documents"), name)
        return None if found is None else bytes(found)

    def state(self, view: bytes) -> tuple[bool, int]:
        """Say whether a view has rows, and the `known` of its newest `trim`."""
        pipe = self._server.pipeline()
        pipe.exists(self._entities_of(view))
        pipe.hget(self._server.name(TRIMMED), view)
        there, known = self._server.run(pipe)
        return bool(there), int(known or 0)

    def find(self, view: bytes, entities: Sequence[bytes], below: bytes) -> list[StoredRow | None]:
        """Return of each entity the row with the greatest order that is less than `below`."""
        pipe = self._server.pipeline()
        for entity in entities:
            pipe.zrevrangebylex(self._rows_of(view, entity), b"(" + below, b"-", start=0, num=1)
        found = self._server.run(pipe) if entities else []
        return [_row(entity, taken[0]) if taken else None for entity, taken in zip(entities, found, strict=True)]

    def find_all(self, questions: Sequence[PushedQuestion]) -> list[FoundPushed]:
        """Do what `find` and `state` do for several views, in one round trip and of one moment."""
        pipe = self._server.pipeline()
        for view, entities, below in questions:
            pipe.exists(self._entities_of(view))
            pipe.hget(self._server.name(TRIMMED), view)
            for entity in entities:
                pipe.zrevrangebylex(self._rows_of(view, entity), b"(" + below, b"-", start=0, num=1)
        found = iter(self._server.run(pipe) if questions else [])
        answers = []
        for each in questions:
            state = bool(next(found)), int(next(found) or 0)
            taken = [(entity, next(found)) for entity in each.entities]
            answers.append(FoundPushed(state, [_row(entity, rows[0]) if rows else None for entity, rows in taken]))
        return answers

    def rows(self, view: bytes) -> Iterator[StoredRow]:
        """Yield the rows of a view: by entity, and of each in order."""
        for entity in sorted(self._server.ask("SMEMBERS", self._entities_of(view))):
            for member in self._server.ask("ZRANGE", self._rows_of(view, entity), 0, -1):
                yield _row(entity, member)

    def count(self, view: bytes) -> int:
        """Return how many rows a view has."""
        return sum(1 for _ in self.rows(view))

    def trim(self, view: bytes, rows: Iterable[tuple[bytes, bytes]], known: int) -> int:
        """Remove rows by entity and order, and keep `known`, both at once; return how many rows there were."""
        number = max(known, self.state(view)[1])
        gone = list(rows)
        pipe = self._server.pipeline()
        pipe.hset(self._server.name(TRIMMED), view, number)
        for entity, order in gone:
            pipe.zremrangebylex(self._rows_of(view, entity), b"[" + order, b"(" + _next(order))
        removed = sum(int(count) for count in self._server.run(pipe)[1:])
        self._forget_empty(view, sorted({entity for entity, _ in gone}))
        return removed

    def clear(self, view: bytes) -> int:
        """Remove all rows of a view; return how many there were."""
        entities = sorted(self._server.ask("SMEMBERS", self._entities_of(view)))
        pipe = self._server.pipeline()
        for entity in entities:
            pipe.zcard(self._rows_of(view, entity))
            pipe.delete(self._rows_of(view, entity))
        pipe.delete(self._entities_of(view))
        return sum(int(count) for count in self._server.run(pipe)[: 2 * len(entities) : 2])

    def close(self) -> None:
        """Let go of the connections."""
        self._server.close()

    def _forget_empty(self, view: bytes, entities: Sequence[bytes]) -> None:
        """Take entities without rows off the list, unless somebody writes to them meanwhile."""

        def forget(pipe: Any) -> None:
            empty = [entity for entity in part if not pipe.exists(self._rows_of(view, entity))]
            pipe.multi()
            if empty:
                pipe.srem(self._entities_of(view), *empty)

        for start in range(0, len(entities), _AT_ONCE):
            part = entities[start : start + _AT_ONCE]
            names = [self._rows_of(view, entity) for entity in part]
            while not self._server.change(forget, *names):
                pass

    def _identity(self) -> str:
        self._server.ask("SETNX", self._server.name(b"id"), secrets.token_hex(16))
        return bytes(self._server.ask("GET", self._server.name(b"id"))).decode()

    def _entities_of(self, view: bytes) -> bytes:
        return self._server.name(entities_of(view))

    def _rows_of(self, view: bytes, entity: bytes) -> bytes:
        return self._server.name(rows_of(view, entity))


def _row(entity: bytes, member: bytes) -> StoredRow:
    return StoredRow(entity, member[:ORDER_BYTES], member[ORDER_BYTES:])


def _next(order: bytes) -> bytes:
    """Return the least bytes that are greater than all that begin with an order."""
    return (int.from_bytes(order, "big") + 1).to_bytes(ORDER_BYTES + 1, "big")[1:]
