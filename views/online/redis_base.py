"""The rows of versions on a Redis server: whole files of a materialization, each under a name of its own.

A file is written part by part, and is there when its `about` is, which is written last: nobody sees half of one, and
who was killed goes on with the part that comes next. The only row of an entity is a string, which takes a quarter of
what a sorted set does; several are members of one, as pushed rows are, under the name with a plus. One script answers a
whole batch from the files of a view and what was pushed over them, at one moment.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from foldstore.errors import ConflictError, RefusedError
from foldstore.views.online.redis_connection import RedisConnection
from foldstore.views.online.store import (
    ENTITY_BYTES,
    ORDER_BYTES,
    TIMES_BYTES,
    BaseRow,
    FoundOver,
    OverQuestion,
    StoredRow,
)

TRIMMED: Final = b"trimmed"
_FILES: Final = b"files"
# Whether each file is there, whether the view has pushed rows, what it was trimmed to, then the rows, file by file.
# The names of rows are made here: sent once each, entities are half of a question's bytes.
_FIND: Final = """
local files = #KEYS - 3
local below = ARGV[2]
local found = {}
for i = 1, files do
  found[i] = redis.call('HEXISTS', KEYS[i], 'about')
end
local pushed = redis.call('EXISTS', KEYS[files + 1])
found[files + 1] = pushed
found[files + 2] = redis.call('HGET', KEYS[files + 2], ARGV[1])
local place = files + 2
for i = 1, files do
  for j = 3, #ARGV do
    local name = KEYS[i] .. ':' .. ARGV[j]
    local row = redis.call('GET', name)
    place = place + 1
    found[place] = row or redis.call('ZREVRANGEBYLEX', name .. '+', below, '-', 'LIMIT', 0, 1)[1] or false
  end
end
if pushed == 1 then
  local function hex(byte) return string.format('%02x', string.byte(byte)) end
  for j = 3, #ARGV do
    local name = KEYS[files + 3] .. string.gsub(ARGV[j], '.', hex)
    place = place + 1
    found[place] = redis.call('ZREVRANGEBYLEX', name, below, '-', 'LIMIT', 0, 1)[1] or false
  end
end
return found
"""


class RedisBase:
    """Rows of versions on a Redis server.

    Parameters
    ----------
    server : RedisConnection
        Where they are.
    """

    def __init__(self, server: RedisConnection) -> None:
        self._server = server
        self._find = server.script(_FIND)

    def put(self, file: bytes, about: bytes, parts: int, read_part: Callable[[int], Sequence[BaseRow]]) -> bool:
        """Keep a file's rows, unless they are there; say whether any was written."""
        held = self._about_and_more(file)
        if held[b"about"] is not None:
            return False
        self._refuse_forgetful()
        if held[b"removing"] is not None:
            self.remove(file)
            held = self._about_and_more(file)
        for part in range(int(held[b"next"] or 0), parts):
            self._write_part(file, part, read_part(part))
        now = self._now()

        def finish(pipe: Any) -> None:
            pipe.sadd(self._server.name(_FILES), file)
            pipe.hset(self._file(file), mapping={"about": about, "written": now})

        self._expect(file, parts, finish)
        return True

    def about(self, file: bytes) -> bytes | None:
        """Return what was said of a file; None when not all of it is there."""
        return self._about_and_more(file)[b"about"]

    def find_over(self, files: Sequence[bytes], view: bytes, entities: Sequence[bytes], below: bytes) -> FoundOver:
        """Return of each entity the newest row before `below` in each file and of what was pushed, of one moment."""
        question = OverQuestion(files, view, entities, below)
        return _read_over(question, self._server.call(self._find, *self._command(question)))

    def find_over_all(self, questions: Sequence[OverQuestion]) -> list[FoundOver]:
        """Do what `find_over` does for several views, in one round trip; each answer is of a moment of its own."""
        found = self._server.call_all(self._find, [self._command(each) for each in questions])
        return [_read_over(*each) for each in zip(questions, found, strict=True)]

    def _command(self, question: OverQuestion) -> tuple[list[bytes], list[bytes]]:
        """Return the names and what else the script is given."""
        names = [self._file(file) for file in question.files]
        view = question.view
        names += [self._server.name(part) for part in (entities_of(view), TRIMMED, rows_of(view, b""))]
        return names, [view, b"(" + question.below, *question.entities]

    def files(self) -> Mapping[bytes, int]:
        """Return the files that are there, in part or whole, and how many seconds ago each was written to."""
        ids = sorted(self._server.ask("SMEMBERS", self._server.name(_FILES)))
        now = self._now()
        pipe = self._server.pipeline()
        for file in ids:
            pipe.hget(self._file(file), "written")
        return {file: now - int(at or 0) for file, at in zip(ids, self._server.run(pipe), strict=True)}

    def remove(self, file: bytes) -> None:
        """Remove a file's rows: whoever looks up in it is told at once."""
        pipe = self._server.pipeline()
        pipe.hdel(self._file(file), "about")
        pipe.hset(self._file(file), "removing", 1)
        pipe.hget(self._file(file), "next")
        parts = int(self._server.run(pipe)[-1] or 0)
        for part in range(parts):
            entities = self._server.ask("GET", self._entities(file, part)) or b""
            pipe = self._server.pipeline()
            for start in range(0, len(entities), ENTITY_BYTES):
                name = self._row(file, entities[start : start + ENTITY_BYTES])
                pipe.unlink(name, name + b"+")
            pipe.unlink(self._entities(file, part))
            self._server.run(pipe)
        pipe = self._server.pipeline()
        pipe.delete(self._file(file))
        pipe.srem(self._server.name(_FILES), file)
        self._server.run(pipe)

    def _write_part(self, file: bytes, part: int, rows: Sequence[BaseRow]) -> None:
        members: dict[bytes, dict[bytes, int]] = {}
        for row in rows:
            members.setdefault(row.entity, {})[row.times + row.value] = 0
        alone = {row.entity for row in rows if row.alone}
        now = self._now()

        def write(pipe: Any) -> None:
            pipe.sadd(self._server.name(_FILES), file)
            pipe.set(self._entities(file, part), b"".join(members))
            for entity, held in members.items():
                if entity in alone:
                    pipe.set(self._row(file, entity), next(iter(held)))
                else:
                    pipe.zadd(self._row(file, entity) + b"+", held)
            pipe.hset(self._file(file), mapping={"next": part + 1, "written": now})

        self._expect(file, part, write)

    def _expect(self, file: bytes, part: int, write: Callable[[Any], None]) -> None:
        """Write while this part is the next one; of two that write a file at once one is enough."""

        def change(pipe: Any) -> None:
            held, removing, about = pipe.hmget(self._file(file), "next", "removing", "about")
            if about is not None:
                return
            if int(held or 0) < part or removing is not None:
                raise ConflictError(
                    "What is materialized was removed from the online store while it was written.",
                    retry=True,
                    hint="Materialize again.",
                )
            if int(held or 0) == part:
                pipe.multi()
                write(pipe)

        while not self._server.change(change, self._file(file)):
            pass

    def _about_and_more(self, file: bytes) -> dict[bytes, bytes | None]:
        names = (b"about", b"next", b"removing")
        return dict(zip(names, self._server.ask("HMGET", self._file(file), *names), strict=True))

    def _refuse_forgetful(self) -> None:
        policy = self._server.memory_policy()
        if policy.startswith("allkeys"):
            raise RefusedError(
                f"The Redis server drops rows when its memory is full: maxmemory-policy is {policy}.",
                hint="Set it to noeviction: a row that was dropped looks like one that never was.",
                code="online-store-forgets",
            )

    def _now(self) -> int:
        return int(self._server.ask("TIME")[0])

    def _file(self, file: bytes) -> bytes:
        return self._server.name(b"file:" + file.hex().encode())

    def _entities(self, file: bytes, part: int) -> bytes:
        return self._file(file) + b":part:%d" % part

    def _row(self, file: bytes, entity: bytes) -> bytes:
        return self._file(file) + b":" + entity


def entities_of(view: bytes) -> bytes:
    """Return the name of the set of a view's entities with pushed rows."""
    return b"entities:" + view.hex().encode()


def rows_of(view: bytes, entity: bytes) -> bytes:
    """Return the name of an entity's pushed rows."""
    return b"rows:" + view.hex().encode() + b":" + entity.hex().encode()


def _read_over(question: OverQuestion, found: Sequence[Any]) -> FoundOver:
    """Read what the script answered."""
    entities, below = question.entities, question.below
    width, count = len(entities), len(question.files)
    first = count + 2
    rows = [found[start : start + width] for start in (first + number * width for number in range(count))]
    pushed = found[first + count * width :] or [None] * width
    return FoundOver(
        complete=all(found[:count]),
        state=(bool(found[first - 2]), int(found[first - 1] or 0)),
        rows=[[_older(*each, below) for each in zip(entities, row, strict=True)] for row in rows],
        pushed=[_split(*each, ORDER_BYTES) for each in zip(entities, pushed, strict=True)],
    )


def _older(entity: bytes, member: bytes | None, below: bytes) -> StoredRow | None:
    """Return a row of a file when its order is less than `below`; an only row is found whatever its order."""
    return None if member is None or member[:TIMES_BYTES] >= below else _split(entity, member, TIMES_BYTES)


def _split(entity: bytes, member: bytes | None, size: int) -> StoredRow | None:
    return None if member is None else StoredRow(entity, member[:size], member[size:])
