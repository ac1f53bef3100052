"""Feature views: columns of a source that describe an entity at a time, and selections of them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from foldstore.errors import UsageError, column_not_found
from foldstore.names import check_name, parse_address
from foldstore.views.features.about import MEMBERS, about_to_dict, check_about
from foldstore.views.features.aggregation import Aggregation, check_aggregations
from foldstore.views.features.entity import Entity, check_column, not_a_definition
from foldstore.views.instant import format_duration, parse_duration

_QUERY_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class SqlSource:
    """SQL over dataset versions, as the source of a feature view.

    Examples
    --------
    >>> SqlSource("SELECT carrier, ts, mean_delay FROM hourly").query[:6]
    'SELECT'
    """

    query: str

    def __post_init__(self) -> None:
        if not isinstance(self.query, str) or not self.query.strip() or len(self.query) > _QUERY_LIMIT:
            raise UsageError("A source in SQL is a query of up to 100,000 characters.", hint='Write sql("SELECT ...").')


@dataclass(frozen=True, slots=True)
class FeatureView:
    """What is known about an entity, and from when on.

    Parameters
    ----------
    name : str
        In the grammar of names.
    entity : Entity, optional
        What the features describe; without one they are the same for all, as a rate of exchange is.
    source : str or SqlSource
        The address of a dataset, of a part of a split or of a saved view, or SQL over some.
    event_time : str
        The column that says when a row became true.
    features : sequence of str
        The columns that are features; with aggregations these are, and it is left out.
    created_time : str, optional
        The column that says when a row was written down; of rows with one event time the latest counts.
    ttl : str or timedelta, optional
        How old a value may be, at the time of the row that asks; nothing, ``"0"`` and zero mean any age.
    aggregations : sequence of Aggregation
        What is computed of the rows in windows of time, instead of columns; see `Aggregation`.
    description, owner : str, optional
        What it is, and whose.
    tags : sequence of str
        What it is found by.

    Raises
    ------
    InvalidNameError
        When the name or the address is outside the grammar.
    UsageError
        When a column is named twice, or a part is of the wrong kind.

    Examples
    --------
    >>> carrier = Entity("carrier", keys={"carrier": "string"})
    >>> view = FeatureView("delays", entity=carrier, source="hourly", event_time="ts", ttl="7d", features=["mean", "n"])
    >>> view[["n"]].features
    ('n',)
    >>> week = Aggregation("mean", "arr_delay", time_window="7d")
    >>> FeatureView("week", entity=carrier, source="flights", event_time="landed", aggregations=[week]).features
    ('arr_delay_mean_7d',)
    """

    name: str
    _: KW_ONLY
    entity: Entity | None = None
    source: str | SqlSource
    event_time: str
    features: Sequence[str] = ()
    created_time: str | None = None
    ttl: str | dt.timedelta | None = None
    description: str = ""
    owner: str | None = None
    tags: Sequence[str] = ()
    aggregations: Sequence[Aggregation] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "feature view")
        where = f"feature view {self.name!r}"
        if self.entity is not None and not isinstance(self.entity, Entity):
            raise UsageError(f"The entity of {where} is {ascii(self.entity)[:80]}.", hint="Give an Entity.")
        if not isinstance(self.source, SqlSource):
            _check_source(self.source, where)
        times = [self.event_time] if self.created_time is None else [self.event_time, self.created_time]
        aggregations = check_aggregations(self.aggregations, where)
        object.__setattr__(self, "aggregations", aggregations)
        features = self._windowed(where) if aggregations else _columns(self.features, where)
        for column in times:
            check_column(column, where)
        taken = [*self.join_keys, *times, *features]
        twice = sorted({column for column in taken if taken.count(column) > 1})
        if twice:
            raise UsageError(f"{where.capitalize()} uses {twice[0]!r} twice.", hint="A column has one part to play.")
        ttl = 0 if self.ttl is None else parse_duration(self.ttl)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "ttl", format_duration(ttl) if ttl else None)
        object.__setattr__(self, "tags", check_about(self, where))

    def _windowed(self, where: str) -> tuple[str, ...]:
        """Return the names of the windows, and refuse what does not go with them."""
        names = tuple(each.name for each in self.aggregations)
        if tuple(self.features) not in ((), names):
            raise UsageError(
                f"{where.capitalize()} has aggregations, and its features are others.",
                hint="Leave features out: each aggregation is one; plain columns are of another view.",
            )
        if self.ttl is not None and parse_duration(self.ttl):
            raise UsageError(f"{where.capitalize()} has windows and a ttl.", hint="A window says what is too old.")
        return names

    @property
    def keys(self) -> Mapping[str, str]:
        """The entity's key columns and their types; none without an entity."""
        return {} if self.entity is None else self.entity.keys

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The entity's key columns, in order."""
        return tuple(self.keys)

    @property
    def ttl_nanoseconds(self) -> int:
        """The greatest age in nanoseconds; 0 for any."""
        return 0 if self.ttl is None else parse_duration(self.ttl)

    def columns(self) -> list[str]:
        """Return the columns that the source must have: keys, times, features or what is aggregated."""
        times = [self.event_time] if self.created_time is None else [self.event_time, self.created_time]
        if not self.aggregations:
            return [*self.join_keys, *times, *self.features]
        aggregated = [each.column for each in self.aggregations if each.column is not None]
        return list(dict.fromkeys([*self.join_keys, *times, *aggregated]))

    def to_plain(self) -> "FeatureView":
        """Return the view over what its windows came to: as it is served, without aggregations and created times."""
        return replace(self, aggregations=(), created_time=None) if self.aggregations else self

    def __getitem__(self, features: str | Sequence[str]) -> "FeatureSelection":
        return FeatureSelection(self, tuple([features] if isinstance(features, str) else features))

    def as_(self, alias: str, *, keys: Mapping[str, str] | None = None) -> "FeatureSelection":
        """Use the view under another name, and its keys under other columns: an airport as origin and destination."""
        return FeatureSelection(self, tuple(self.features), alias=alias, key_columns=keys or {})

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data."""
        source = {"sql": self.source.query} if isinstance(self.source, SqlSource) else {"address": self.source}
        return {
            "name": self.name,
            "entity": None if self.entity is None else self.entity.to_dict(),
            "source": source,
            "event_time": self.event_time,
            "created_time": self.created_time,
            "ttl": self.ttl,
            "features": list(self.features),
            **({"aggregations": [each.to_dict() for each in self.aggregations]} if self.aggregations else {}),
            **about_to_dict(self),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FeatureView":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        try:
            source = data["source"]
            return cls(
                data["name"],
                entity=None if data["entity"] is None else Entity.from_dict(data["entity"]),
                source=SqlSource(source["sql"]) if "sql" in source else source["address"],
                event_time=data["event_time"],
                created_time=data["created_time"],
                ttl=data["ttl"],
                features=data["features"],
                aggregations=[Aggregation.from_dict(each) for each in data.get("aggregations", ())],
                **{member: data[member] for member in MEMBERS if member in data},
            )
        except (KeyError, TypeError) as error:
            raise not_a_definition("feature view", error) from None


@dataclass(frozen=True, slots=True)
class FeatureSelection:
    """Some features of a view, perhaps under another name and other key columns.

    Attributes
    ----------
    view : FeatureView
    features : tuple of str
        In the order in which they are answered.
    alias : str or None
        What stands before the feature in full names, instead of the view's name.
    key_columns : mapping of str to str
        For keys that the asking table calls otherwise: the entity's key to the table's column.
    """

    view: FeatureView
    features: tuple[str, ...]
    alias: str | None = None
    key_columns: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for feature in _columns(self.features, f"a selection of {self.view.name!r}"):
            if feature not in self.view.features:
                raise column_not_found(feature, self.view.features, where=f"feature view {self.view.name!r}")
        if self.alias is not None:
            check_name(self.alias, "feature view")
        for key, column in self.key_columns.items():
            if key not in self.view.keys:
                raise column_not_found(key, self.view.join_keys, where=f"the keys of {self.view.name!r}")
            check_column(column, f"a selection of {self.view.name!r}")
        object.__setattr__(self, "key_columns", MappingProxyType(dict(self.key_columns)))

    @property
    def name(self) -> str:
        """What stands before the feature in full names."""
        return self.alias or self.view.name

    @property
    def label_keys(self) -> tuple[str, ...]:
        """The columns of the asking table that hold the entity's keys, in the entity's order."""
        return tuple(self.key_columns.get(key, key) for key in self.view.join_keys)

    def __getitem__(self, features: str | Sequence[str]) -> "FeatureSelection":
        chosen = (features,) if isinstance(features, str) else tuple(features)
        return FeatureSelection(self.view, chosen, self.alias, self.key_columns)

    def output_names(self, *, full_feature_names: bool) -> list[str]:
        """Return what the features are called in an answer: ``feature``, or ``view__feature``."""
        return [f"{self.name}__{feature}" if full_feature_names else feature for feature in self.features]

    def to_dict(self) -> dict[str, Any]:
        """Return the selection as plain data, the view's definition included."""
        return {
            "view": self.view.to_dict(),
            "features": list(self.features),
            "alias": self.alias,
            "key_columns": dict(sorted(self.key_columns.items())),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FeatureSelection":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        try:
            view = FeatureView.from_dict(data["view"])
            return cls(view, tuple(data["features"]), data["alias"], data["key_columns"])
        except (KeyError, TypeError, AttributeError) as error:
            raise not_a_definition("selection of features", error) from None


def _check_source(source: object, where: str) -> None:
    address = parse_address(source)
    if address.split is not None and address.part is None:
        raise UsageError(
            f"The source of {where} is a whole split.", hint=f"Name a part of it: {source}.train, or its dataset."
        )


def _columns(features: Any, where: str) -> tuple[str, ...]:
    if isinstance(features, str) or not isinstance(features, Sequence) or not features:
        raise UsageError(f"The features of {where} are not a list of columns.", hint='Write features=["a", "b"].')
    named = tuple(check_column(feature, where) for feature in features)
    if len(set(named)) != len(named):
        raise UsageError(f"A feature occurs twice in {where}.", hint="Name each once.")
    return named
