"""Aliases of feature services: `arrival@live` stands for a numbered version, and moving it moves traffic."""

from collections.abc import Callable
from typing import Final

from foldstore.errors import NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.features.alias_registry import AliasMove, AliasRegistry
from foldstore.features.definitions import Definitions
from foldstore.names import LATEST, parse_address

_HOW: Final = 'An alias is written "arrival@live".'


class ServiceAliases:
    """Movable names of versions of feature services: made, moved, removed, each move with who and when.

    A lookup, a join, a command and a server take an alias wherever they take ``arrival@3``; the answer names the
    version that answered. A move is one transaction, which servers that run notice at their next lookup.

    Examples
    --------
    >>> import datetime as dt
    >>> import foldstore
    >>> store = foldstore.connect(folder, author="ana")
    >>> day = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    >>> _ = store.create_dataset("rides").append({"driver": [1], "ts": [day], "trips": [10], "tips": [3]})
    >>> driver = foldstore.Entity("driver", keys={"driver": "int64"})
    >>> for features in (["trips"], ["trips", "tips"]):
    ...     view = foldstore.FeatureView("stats", entity=driver, source="rides", event_time="ts", features=features)
    ...     made = store.features.apply(foldstore.FeatureService("model", [view]))
    ...     _ = store.features.materialize(made)
    >>> store.features.aliases.set("model@live", "model@1")
    'model@1'
    >>> store.features.get_online_features("model@live", [{"driver": 1}]).service
    'model@1'
    >>> store.features.aliases.set("model@live", "model@2")
    'model@2'
    >>> answer = store.features.get_online_features("model@live", [{"driver": 1}])
    >>> answer.service, answer.to_dict()["tips"]
    ('model@2', [3])
    >>> [(move.service, move.author) for move in store.features.aliases.history("model@live")]
    [('model@1', 'ana'), ('model@2', 'ana')]
    """

    def __init__(self, registry: AliasRegistry, definitions: Definitions, is_served: Callable[[str], bool]) -> None:
        self._registry = registry
        self._definitions = definitions
        self._is_served = is_served

    def __repr__(self) -> str:
        return f"<ServiceAliases: {', '.join(f'{k} is {v}' for k, v in self.list().items()) or 'none'}>"

    def set(self, alias: str, service: str) -> str:
        """Point an alias at a version of its service, making it when it is new; return that version's address.

        Parameters
        ----------
        alias : str
            ``arrival@live``.
        service : str
            A version of the same service: ``arrival@3``, ``arrival`` for the newest, or another alias of it.

        Raises
        ------
        NotFoundError
            When there is no such service.
        RefusedError
            With the code ``not-materialized``, when lookups by the alias are answered and would not be any more.
        """
        name, label = _take_apart(alias)
        target, _, number = self._definitions.get(service)
        if target != name:
            raise UsageError(
                f"{alias!r} cannot stand for {service!r}: that is another service.", hint=f"Name a version of {name}."
            )
        before, after = self._registry.find(name, label), f"{name}@{number}"
        if before is not None and self._is_served(f"{name}@{before}") and not self._is_served(after):
            raise RefusedError(
                f"{after} is not materialized: lookups by {alias}, which {name}@{before} answers, would fail.",
                hint=f"Lay it out first: foldstore materialize {after}.",
                code="not-materialized",
                service=after,
            )
        self._registry.put(name, label, number)
        return after

    def get(self, alias: str) -> str:
        """Return the address of the version that an alias stands for.

        Raises
        ------
        NotFoundError
            When there is no such alias.
        """
        name, label = _take_apart(alias)
        number = self._registry.find(name, label)
        if number is None:
            raise self._not_found(alias)
        return f"{name}@{number}"

    def remove(self, alias: str) -> None:
        """Remove an alias; its history stays, and lookups by it fail from then on.

        Raises
        ------
        NotFoundError
            When there is no such alias.
        """
        name, label = _take_apart(alias)
        if self._registry.find(name, label) is None:
            raise self._not_found(alias)
        self._registry.put(name, label, None)

    def list(self, service: str | None = None) -> dict[str, str]:
        """Return what each alias stands for, all or those of a service."""
        name = None if service is None else parse_address(service).name
        found = self._registry.list(name)
        return {alias: f"{alias.partition('@')[0]}@{number}" for alias, number in found.items()}

    def history(self, alias: str) -> tuple[AliasMove, ...]:
        """Return the moves of an alias, oldest first: to which version, by whom, when; those of a removed one, too."""
        name, label = _take_apart(alias)
        moves = self._registry.history(name, label)
        if not moves:
            raise self._not_found(alias)
        return moves

    def _not_found(self, alias: str) -> NotFoundError:
        return NotFoundError(f"There is no alias {alias!r}.", hint=did_you_mean(alias, self.list()))


def _take_apart(alias: str) -> tuple[str, str]:
    parsed = parse_address(alias)
    if parsed.split is not None or parsed.ref == LATEST or parsed.ref.isdigit():
        raise UsageError(f"{alias!r} does not name an alias of a service.", hint=_HOW)
    return parsed.name, parsed.ref
