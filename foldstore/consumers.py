"""The handle of a version's consumers: models, views, services and people that depend on it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from foldstore.datastore.catalog.records import ConsumerRecord, VersionRecord
from foldstore.datastore.catalog.runs import add_consumers, list_consumers, read_versions, remove_consumer
from foldstore.datastore.free_text import check_text
from foldstore.datastore.storage import Storage
from foldstore.errors import UsageError
from foldstore.names import check_label
from foldstore.types import format_time

PIN: Final = "pin"
_MAX_KIND: Final = 32
_MAX_NAME: Final = 200
_MAX_REASON: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """Whoever depends on a version.

    Attributes
    ----------
    address : str
        The version.
    kind : str
        ``model``, ``service``, ``pin``; ``view`` and ``training_set`` register themselves.
    name : str
        Which one: ``churn@3``, ``git:abc123``.
    """

    address: str
    kind: str
    name: str
    reason: str
    author: str
    created_at: str

    def to_dict(self) -> dict[str, str]:
        """Return plain data."""
        return asdict(self)


# The class `Consumers` has a method of the name `list`.
Listing = list[Consumer]


class Consumers:
    """The consumers of one version; a version that has any is not collected.

    Examples
    --------
    >>> import foldstore
    >>> store = foldstore.connect(folder)
    >>> version = store.create_dataset("flights").append({"delay": [3, 40]})
    >>> version.consumers.register("model", "churn@3", reason="in production").address
    'flights@1'
    >>> [(each.kind, each.name) for each in version.consumers.list()]
    [('model', 'churn@3')]
    >>> version.consumers.release("model", "churn@3")
    True
    """

    def __init__(self, storage: Storage, version_id: str, address: str, author: str) -> None:
        self._storage = storage
        self._version_id = version_id
        self._address = address
        self._author = author

    def __repr__(self) -> str:
        return f"<Consumers of {self._address}: {', '.join(f'{c.kind} {c.name}' for c in self.list()) or 'none'}>"

    def register(self, kind: str, name: str, *, reason: str = "") -> Consumer:
        """Say that somebody depends on the version; saying it again changes nothing.

        Parameters
        ----------
        kind : str
            What it is, in a name of at most 32 characters: ``model``, ``service``.
        name : str
            Which one, in one line of at most 200 characters.
        reason : str
            Why, for whoever asks later.

        Raises
        ------
        UsageError
            When a text cannot be kept, or the version was given up by retention (code ``version-expired``).
        """
        record = ConsumerRecord(
            version_id=self._version_id,
            kind=_check_kind(kind),
            name=check_text(name, "The name of a consumer", _MAX_NAME, line=True),
            reason=check_text(reason, "The reason", _MAX_REASON),
            author=self._author,
            created_at=format_time(self._storage.clock()),
        )
        add_consumers(self._storage.catalog, [record])
        return _named(record, self._address)

    def release(self, kind: str, name: str) -> bool:
        """Take the claim back; False when there was none."""
        return remove_consumer(self._storage.catalog, self._version_id, str(kind), str(name))

    def list(self, kind: str | None = None) -> Listing:
        """List them by kind and name."""
        found = list_consumers(self._storage.catalog, versions=[self._version_id], kind=kind)
        return [_named(each, self._address) for each in found]


class Consumed:
    """The part of a version's handle that speaks of who depends on it."""

    _storage: Storage
    _record: VersionRecord
    _author: str

    @property
    def address(self) -> str:
        """The address with the number; the handle that has these verbs says it."""
        raise NotImplementedError

    @property
    def consumers(self) -> Consumers:
        """Who depends on it: listed, registered, released."""
        return Consumers(self._storage, self._record.id, self.address, self._author)

    def pin(self, name: str, reason: str = "") -> Consumer:
        """Keep the version whatever retention says; ``consumers.release("pin", name)`` takes it back."""
        return self.consumers.register(PIN, name, reason=reason)


def list_all_consumers(storage: Storage, kind: str | None = None, name: str | None = None) -> list[Consumer]:
    """List the consumers of every version, all or those of a kind or a name."""
    found = list_consumers(storage.catalog, kind=kind, name=name)
    versions = read_versions(storage.catalog, sorted({each.version_id for each in found}))
    return [_named(each, versions[each.version_id].address) for each in found]


def register_own(storage: Storage, versions: Iterable[str], kind: str, name: str, author: str) -> None:
    """Register what the store itself keeps: a saved view, a training set."""
    now = format_time(storage.clock())
    ids: Any = dict.fromkeys(versions)
    records = [
        ConsumerRecord(version_id=each, kind=kind, name=name, reason="", author=author, created_at=now) for each in ids
    ]
    add_consumers(storage.catalog, records)


def _check_kind(kind: object) -> str:
    checked = check_label(kind, "kind")
    if len(checked) > _MAX_KIND:
        raise UsageError(f"{checked!r} is too long for a kind of consumer.", hint=f"At most {_MAX_KIND} characters.")
    return checked


def _named(record: ConsumerRecord, address: str) -> Consumer:
    return Consumer(
        address=address,
        kind=record.kind,
        name=record.name,
        reason=record.reason,
        author=record.author,
        created_at=record.created_at,
    )
