"""The definitions of one file: entities, views and services by name, as people write them down.

The plain form is that of YAML: each thing once, under its name, and named by the others.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from foldstore.errors import FoldstoreError, InvalidDefinitionError, did_you_mean
from foldstore.views.features.about import MEMBERS, about_to_dict
from foldstore.views.features.aggregation import MEMBERS as AGGREGATION_MEMBERS
from foldstore.views.features.aggregation import Aggregation
from foldstore.views.features.entity import Entity
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureSelection, FeatureView, SqlSource

_QUOTED: Final = re.compile("'([^']+)'")
_TOP: Final = ("entities", "views", "services")
_ENTITY: Final = ("keys", *MEMBERS)
_VIEW: Final = ("entity", "source", "event_time", "created_time", "ttl", "features", "aggregations", *MEMBERS)
_SERVICE: Final = ("features", "transform", *MEMBERS)
_SELECTION: Final = ("view", "features", "as", "keys")


@dataclass(frozen=True, slots=True)
class DefinitionSet:
    """Feature services, and the views and entities that they are made of.

    Attributes
    ----------
    entities, views, services : mapping of str
        By name, in the order of the file.

    Examples
    --------
    >>> found = DefinitionSet.from_dict({
    ...     "entities": {"carrier": {"keys": {"carrier": "string"}}},
    ...     "views": {"delays": {"entity": "carrier", "source": "hourly", "event_time": "ts", "features": ["mean"]}},
    ...     "services": {"arrival": {"features": ["delays"]}},
    ... })
    >>> found.services["arrival"].output_names(full_feature_names=True)
    ['delays__mean']
    >>> DefinitionSet.from_dict(found.to_dict()) == found
    True
    """

    entities: Mapping[str, Entity]
    views: Mapping[str, FeatureView]
    services: Mapping[str, FeatureService]

    @classmethod
    def of(
        cls,
        services: Iterable[FeatureService],
        views: Iterable[FeatureView] = (),
        entities: Iterable[Entity] = (),
    ) -> "DefinitionSet":
        """Put services together with what they are made of.

        Raises
        ------
        InvalidDefinitionError
            When one name means two things.
        """
        given = tuple(services)
        used = [*views, *(selection.view for service in given for selection in service.selections)]
        about = [*entities, *(view.entity for view in used if view.entity is not None)]
        return cls(_by_name(about, "entities"), _by_name(used, "views"), _by_name(given, "services"))

    @property
    def unused_views(self) -> tuple[str, ...]:
        """The views that no service holds; they are not kept."""
        used = {selection.view.name for service in self.services.values() for selection in service.selections}
        return tuple(name for name in self.views if name not in used)

    def to_dict(self) -> dict[str, Any]:
        """Return the definitions as plain data; `from_dict` reads exactly these from it."""
        written = {
            "entities": {name: _entity_to_dict(each) for name, each in self.entities.items()},
            "views": {name: _view_to_dict(each) for name, each in self.views.items()},
            "services": {name: _service_to_dict(each) for name, each in self.services.items()},
        }
        return {part: members for part, members in written.items() if members}

    @classmethod
    def from_dict(cls, data: object) -> "DefinitionSet":
        """Read plain data; every part is checked.

        Raises
        ------
        InvalidDefinitionError
            With `where` among its facts: the path of the part, such as ``views.delays.ttl``.
        """
        parts = _members(data, _TOP, "")
        if "services" not in parts and "views" not in parts:
            raise InvalidDefinitionError(
                "There are no definitions here.", hint="Write entities:, views: and services:.", where=""
            )
        entities = {name: _read_entity(name, each) for name, each in _named(parts, "entities")}
        views = {name: _read_view(name, each, entities) for name, each in _named(parts, "views")}
        services = {name: _read_service(name, each, views) for name, each in _named(parts, "services")}
        return cls(entities, views, services)


def _by_name(things: Iterable[Any], part: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in things:
        if found.setdefault(each.name, each) != each:
            raise InvalidDefinitionError(
                f"{each.name!r} is defined twice, and differently.", hint="Define it once.", where=f"{part}.{each.name}"
            )
    return found


def _entity_to_dict(entity: Entity) -> dict[str, Any]:
    return {"keys": dict(entity.keys), **about_to_dict(entity)}


def _view_to_dict(view: FeatureView) -> dict[str, Any]:
    written = {
        "entity": None if view.entity is None else view.entity.name,
        "source": {"sql": view.source.query} if isinstance(view.source, SqlSource) else view.source,
        "event_time": view.event_time,
        "created_time": view.created_time,
        "ttl": view.ttl,
        "features": None if view.aggregations else list(view.features),
        "aggregations": [each.to_dict() for each in view.aggregations] or None,
    }
    return {**{member: value for member, value in written.items() if value is not None}, **about_to_dict(view)}


def _service_to_dict(service: FeatureService) -> dict[str, Any]:
    features = {"features": [_selection_to_plain(each) for each in service.selections]}
    transform = {} if service.transform is None else {"transform": service.transform}
    return {**features, **transform, **about_to_dict(service)}


def _selection_to_plain(selection: FeatureSelection) -> str | dict[str, Any]:
    written: dict[str, Any] = {"view": selection.view.name}
    if selection.features != tuple(selection.view.features):
        written["features"] = list(selection.features)
    if selection.alias is not None:
        written["as"] = selection.alias
    if selection.key_columns:
        written["keys"] = dict(sorted(selection.key_columns.items()))
    return written if len(written) > 1 else selection.view.name


def _read_entity(name: str, data: object) -> Entity:
    where = f"entities.{name}"
    given = _members(data, _ENTITY, where, required=("keys",))
    keys = _members(given.pop("keys"), None, f"{where}.keys")
    with _at(where, {"keys": keys, **given}):
        return Entity(name, keys=keys, **given)


def _read_view(name: str, data: object, entities: Mapping[str, Entity]) -> FeatureView:
    where = f"views.{name}"
    windowed = isinstance(data, Mapping) and "aggregations" in data
    needed = ("source", "event_time", *(() if windowed else ("features",)))
    given = _members(data, _VIEW, where, required=needed)
    entity = given.pop("entity", None)
    if entity is not None:
        entity = _find(entity, entities, "entity", f"{where}.entity")
    source = given.pop("source")
    if isinstance(source, Mapping):
        query = _members(source, ("sql",), f"{where}.source", required=("sql",))["sql"]
        with _at(f"{where}.source", {}):
            source = SqlSource(query)
    if "features" in given:
        _check_list(given["features"], f"{where}.features")
    if windowed:
        given["aggregations"] = _read_aggregations(given["aggregations"], f"{where}.aggregations")
    if given.get("ttl") == 0:
        given["ttl"] = None
    with _at(where, {"source": source, **given}):
        return FeatureView(name, entity=entity, source=source, **given)


def _read_aggregations(data: object, where: str) -> list[Aggregation]:
    _check_list(data, where)
    read = []
    for number, each in enumerate(data if isinstance(data, list) else []):
        here = f"{where}[{number}]"
        given = _members(each, AGGREGATION_MEMBERS, here, required=("function", "time_window"))
        with _at(here, given):
            read.append(Aggregation.from_dict(given))
    return read


def _read_service(name: str, data: object, views: Mapping[str, FeatureView]) -> FeatureService:
    where = f"services.{name}"
    given = _members(data, _SERVICE, where, required=("features",))
    listed = given.pop("features")
    _check_list(listed, f"{where}.features")
    chosen = [_read_selection(each, f"{where}.features[{number}]", views) for number, each in enumerate(listed)]
    with _at(where, given):
        return FeatureService(name, chosen, **given)


def _read_selection(data: object, where: str, views: Mapping[str, FeatureView]) -> FeatureSelection:
    if isinstance(data, str):
        view = _find(data, views, "view", where)
        return FeatureSelection(view, tuple(view.features))
    given = _members(data, _SELECTION, where, required=("view",))
    view = _find(given["view"], views, "view", f"{where}.view")
    features = given.get("features", list(view.features))
    _check_list(features, f"{where}.features")
    keys = _members(given.get("keys", {}), None, f"{where}.keys")
    with _at(where, {"features": features, "keys": keys, **given}):
        return FeatureSelection(view, tuple(features), given.get("as"), keys)


def _check_list(value: object, where: str) -> None:
    if not isinstance(value, list):
        raise InvalidDefinitionError(f"{where} is no list.", hint="Write [a, b], or - a, one a line.", where=where)


def _named(parts: Mapping[str, Any], part: str) -> Iterator[tuple[str, Any]]:
    return iter(_members(parts.get(part, {}), None, part).items())


def _members(data: object, known: Sequence[str] | None, where: str, *, required: Sequence[str] = ()) -> dict[str, Any]:
    """Return a mapping's members: known ones alone, and all that there must be."""
    shown = where or "The file"
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise InvalidDefinitionError(
            f"{shown} is no mapping of names.", hint="Write name: value; quote names such as yes and 7.", where=where
        )
    for name in data:
        if known is not None and name not in known:
            raise InvalidDefinitionError(
                f"{shown} has no member {ascii(name)[:80]}.",
                hint=did_you_mean(name, known),
                where=f"{where}.{name}".removeprefix("."),
            )
    for name in required:
        if name not in data:
            raise InvalidDefinitionError(
                f"{shown} has no {name!r}.", hint=f"Its members are {', '.join(known or ())}.", where=where
            )
    return dict(data)


def _find(name: object, known: Mapping[str, Any], kind: str, where: str) -> Any:
    if not isinstance(name, str) or name not in known:
        raise InvalidDefinitionError(
            f"There is no {kind} {ascii(name)[:80]} in this file.", hint=did_you_mean(name, known), where=where
        )
    return known[name]


@contextmanager
def _at(where: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Say of a part that contradicts itself where it stands: at the member whose value the error speaks of."""
    try:
        yield
    except InvalidDefinitionError:
        raise
    except (FoldstoreError, TypeError) as error:
        message = error.message if isinstance(error, FoldstoreError) else "A part is of another kind."
        hint = error.hint if isinstance(error, FoldstoreError) else None
        facts = error.facts if isinstance(error, FoldstoreError) else {}
        member = _find_member(message, given)
        path = where if member is None else f"{where}.{member}"
        raise InvalidDefinitionError(message, hint=hint, **{**facts, "where": path}) from error


def _find_member(message: str, given: Mapping[str, Any]) -> str | None:
    """Return the member that holds what a message quotes, or a text with that in it."""
    quoted = set(_QUOTED.findall(message))
    texts = {name: set(_texts(value)) for name, value in given.items()}
    whole = next((name for name, held in texts.items() if held & quoted), None)
    return whole or next(
        (name for name, held in texts.items() if any(q in each for q in quoted for each in held)), None
    )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
