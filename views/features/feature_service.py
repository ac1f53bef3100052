"""Feature services: the immutable list of features that a model consumes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final

from foldstore.errors import UsageError
from foldstore.names import check_name, parse_address
from foldstore.views.features.about import MEMBERS, about_to_dict, check_about
from foldstore.views.features.entity import Entity, not_a_definition
from foldstore.views.features.feature_view import FeatureSelection, FeatureView

FORMAT: Final = 1
# The kinds of documents of services, of where their lookups are kept, and what came of them.
SERVICE_KIND: Final = "feature_service"
LOOKUP_LOG_KIND: Final = "lookup_log"
FEEDBACK_KIND: Final = "feedback"


@dataclass(frozen=True, slots=True)
class FeatureService:
    """The features that a model consumes, in order, with the definitions that they had.

    Parameters
    ----------
    name : str
        In the grammar of names.
    features : sequence of FeatureView or FeatureSelection
        Whole views, or ``view[["a", "b"]]``, or ``view.as_("origin", keys=...)``.
    transform : str, optional
        The fitted transform that the features go through, ``inputs@1``; what it needs beside them, a request brings.
    description, owner : str, optional
        What it is for, and whose it is.
    tags : sequence of str
        What it is found by.

    Raises
    ------
    UsageError
        When two of them have one name, or one entity's name means two things.

    Examples
    --------
    >>> carrier = Entity("carrier", keys={"carrier": "string"})
    >>> view = FeatureView("delays", entity=carrier, source="hourly", event_time="ts", features=["mean", "n"])
    >>> FeatureService("arrival", [view[["mean"]]]).output_names(full_feature_names=True)
    ['delays__mean']
    """

    name: str
    features: Sequence[FeatureView | FeatureSelection]
    _: KW_ONLY
    transform: str | None = None
    description: str = ""
    owner: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "feature service")
        if not isinstance(self.features, list | tuple) or not self.features:
            raise UsageError(f"Feature service {self.name!r} is not given a list.", hint="Write [view, view[['a']]].")
        object.__setattr__(self, "features", tuple(_selection(item, self.name) for item in self.features))
        _check_distinct([selection.name for selection in self.selections], self.name)
        _check_entities([each.view.entity for each in self.selections if each.view.entity is not None], self.name)
        _check_views([selection.view for selection in self.selections], self.name)
        object.__setattr__(self, "tags", check_about(self, f"feature service {self.name!r}"))
        if self.transform is not None:
            _check_transform(self.transform, self.name)
            self.output_names()

    @property
    def selections(self) -> tuple[FeatureSelection, ...]:
        """The features, view by view, in order."""
        return tuple(_selection(item, self.name) for item in self.features)

    def output_names(self, *, full_feature_names: bool = False) -> list[str]:
        """Return what the features are called in an answer, in order.

        Raises
        ------
        UsageError
            When two features have one name; full names tell them apart.
        """
        names = [
            name
            for selection in self.selections
            for name in selection.output_names(full_feature_names=full_feature_names)
        ]
        check_collisions(names)
        return names

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data, every view's definition included."""
        return {
            "format": FORMAT,
            "name": self.name,
            "features": [selection.to_dict() for selection in self.selections],
            **({} if self.transform is None else {"transform": self.transform}),
            **about_to_dict(self),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FeatureService":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        try:
            if data["format"] != FORMAT:
                raise UsageError(
                    f"Feature services of format {data['format']} are not known.", hint="Use a newer Foldstore."
                )
            about = {member: data[member] for member in ("transform", *MEMBERS) if member in data}
            return cls(data["name"], [FeatureSelection.from_dict(item) for item in data["features"]], **about)
        except (KeyError, TypeError) as error:
            raise not_a_definition("feature service", error) from None

    @property
    def hash(self) -> str:
        """The identity of the definition: BLAKE3 of its canonical JSON."""
        from blake3 import blake3

        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return blake3(text.encode()).hexdigest()


def check_collisions(names: Sequence[str], taken: Sequence[str] = ()) -> None:
    """Refuse features that would have one name in an answer, or the name of a column that asks."""
    seen = set(taken)
    for name in names:
        if name in seen:
            raise UsageError(
                f"The answer would have two columns {name!r}.",
                hint="Ask with full_feature_names=True, or give a view another name by as_().",
                column=name,
            )
        seen.add(name)


def _selection(item: object, service: str) -> FeatureSelection:
    if isinstance(item, FeatureSelection):
        return item
    if isinstance(item, FeatureView):
        return FeatureSelection(item, tuple(item.features))
    raise UsageError(
        f"Feature service {service!r} cannot hold {ascii(item)[:80]}.", hint="Give views, or view[['a', 'b']]."
    )


def refuse_full_names(service: FeatureService, *, full_feature_names: bool) -> None:
    """Refuse full names of a service with a transform, whose columns have the names that it gives them."""
    if service.transform is not None and full_feature_names:
        raise UsageError(
            f"Feature service {service.name!r} answers what {service.transform} makes of its features.",
            hint="Ask without full_feature_names.",
        )


def _check_transform(address: str, service: str) -> None:
    parsed = parse_address(address)
    if parsed.split is not None or not parsed.ref.isdigit():
        raise UsageError(
            f"Feature service {service!r} names a transform without its version, {address!r}.",
            hint="Write inputs@1: a service is pinned.",
        )


def _check_distinct(names: Sequence[str], service: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"Feature service {service!r} holds {twice[0]!r} twice.", hint="Give one of them another name by as_()."
        )


def _check_entities(entities: Sequence[Entity], service: str) -> None:
    known: dict[str, Entity] = {}
    for entity in entities:
        if known.setdefault(entity.name, entity) != entity:
            raise UsageError(
                f"Feature service {service!r} uses two entities called {entity.name!r}.", hint="Define it once."
            )


def _check_views(views: Sequence[FeatureView], service: str) -> None:
    known: dict[str, FeatureView] = {}
    for view in views:
        if known.setdefault(view.name, view) != view:
            raise UsageError(
                f"Feature service {service!r} uses two views called {view.name!r}.", hint="Define it once."
            )
