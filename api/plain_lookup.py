"""Lookups as nearly all are: one entity of one service, in our shape; each step done once, and others left out.

What does not fit goes the way of every lookup, as does what is wrong: the answer here is the one that is given there.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from foldstore.api.json_values import json_text, load_plain, row_texts
from foldstore.api.lookup_text import instant_text, status_list
from foldstore.api.metrics import Metrics
from foldstore.api.tokens import Token
from foldstore.types import utc_now
from foldstore.views.instant import parse_instant
from foldstore.views.online.plain import PlainPart, PlainService
from foldstore.views.online.reader import Found

_NULL: Final = b"null"
_MEMBERS: Final = frozenset({"service", "entities", "at"})
Entities: TypeAlias = Mapping[str, Sequence[Any]]


class PlainFeatures(Protocol):
    """What finds services whose lookups need no more than to be answered; see `PlainServices`."""

    def find(self, service: str) -> PlainService | None:
        """Return what answers for a service; None where a lookup takes other steps."""


class Asked(NamedTuple):
    """What a plain body asks."""

    service: str
    entities: Entities
    at: str | None


class PlainLookups:
    """Answers plain lookups.

    Parameters
    ----------
    services : PlainFeatures
        What can be looked up so.
    metrics : Metrics
        Is told what was found.
    """

    __slots__ = ("_metrics", "_services", "_texts")

    def __init__(self, services: PlainFeatures, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics
        self._texts: WeakKeyDictionary[PlainService, _AnswerText] = WeakKeyDictionary()

    def answer(self, token: Token, body: bytes) -> bytes | None:
        """Answer a whole body; None where it has to be looked at in another way, right or wrong.

        Raises
        ------
        FoldstoreError
            When the lookup cannot be answered.
        """
        asked = read_plain_lookup(body)
        if asked is None or token.is_bounded:
            return None
        service = self._services.find(asked.service)
        if service is None:
            return None
        at = parse_instant(utc_now() if asked.at is None else asked.at)
        found = service.find(asked.entities, at)
        text = None if found is None else self._text_of(service).write(asked.entities, at, found)
        if text is not None and found is not None:
            self._metrics.note_found(str(service.service.address), [each for _, each in found], at)
        return text

    def _text_of(self, service: PlainService) -> "_AnswerText":
        known = self._texts.get(service)
        if known is None:
            known = self._texts[service] = _AnswerText(service)
        return known


class _AnswerText:
    """Writes the answers of a service; what is the same in all is written once."""

    __slots__ = ("_keys", "_parts", "_start")

    def __init__(self, service: PlainService) -> None:
        self._start = b'{"service":%b,"at":' % json_text(service.service.address)
        self._keys = service.service.join_keys
        self._parts = [_PartText(part, is_first=number == 0) for number, part in enumerate(service.parts)]

    def write(self, entities: Entities, at: int, found: Sequence[tuple[int, Found]]) -> bytes | None:
        """Return the answer; None when a value is null though its row is there, for then features differ in status."""
        keys = entities if len(self._keys) == 1 else {name: entities[name] for name in self._keys}
        pieces = [self._start, _instant(at), b',"entities":', json_text(keys), b',"features":{']
        for part, each in zip(self._parts, found, strict=True):
            written = part.write(*each)
            if written is None:
                return None
            pieces += written
        pieces.append(b"}}")
        return b"".join(pieces)


class _PartText:
    """Writes the features of one view."""

    __slots__ = ("_columns", "_heads", "_nothing", "_sources", "_width")

    def __init__(self, part: PlainPart, *, is_first: bool) -> None:
        self._columns = part.columns
        heads = [b',%b:{"values":[' % json_text(name) for name in part.names]
        if is_first and heads:
            heads[0] = heads[0][1:]
        self._heads = heads
        self._width = 3 * len(heads)
        self._nothing = [_NULL] * len(heads)
        self._sources = json_text(part.reader.sources)

    def write(self, file: int, found: Found) -> list[bytes] | None:
        row, event, status = found
        texts = self._nothing if row < 0 else row_texts(self._columns[file], row)
        if row >= 0 and _NULL in texts:
            return None
        time = _NULL if event is None else _instant(event)
        tail = b'],"statuses":%b,"event_timestamps":[%b],"sources":%b}' % (status_list(status), time, self._sources)
        pieces = [tail] * self._width
        pieces[::3], pieces[1::3] = self._heads, texts
        return pieces


@lru_cache(maxsize=10_000)
def _instant(nanoseconds: int) -> bytes:
    return instant_text(nanoseconds)


def read_plain_lookup(data: bytes) -> Asked | None:
    """Return what a body asks that asks for one entity of a service, and nothing beside; None for any other.

    Of two members of one name the parser keeps the last. There is no escape in a plain body, so that every colon either
    stands in a text or follows a name: when those of the texts that were kept and the names make up all of them, no
    name was lost.

    Examples
    --------
    >>> read_plain_lookup(b'{"service": "arrival@1", "entities": {"carrier": ["UA"]}}')
    Asked(service='arrival@1', entities={'carrier': ['UA']}, at=None)
    >>> read_plain_lookup(b'{"service": "a@1", "service": "a@2", "entities": {"carrier": ["UA"]}}')
    """
    said = load_plain(data)
    if type(said) is not dict or not _MEMBERS.issuperset(said):
        return None
    service, entities, at = said.get("service"), said.get("entities"), said.get("at")
    if type(service) is not str or type(entities) is not dict or (at is not None and type(at) is not str):
        return None
    colons = len(said) + len(entities) + service.count(":") + (0 if at is None else at.count(":"))
    for name, values in entities.items():
        if type(values) is not list or len(values) != 1:
            return None
        value = values[0]
        if type(value) is str:
            colons += value.count(":")
        elif type(value) is not int:
            return None
        colons += name.count(":")
    return Asked(service, entities, at) if colons == data.count(b":") else None
