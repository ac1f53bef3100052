"""What changed from one version of a feature service to another, and what of it breaks whoever uses it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from foldstore.names import parse_address
from foldstore.views.features.about import MEMBERS
from foldstore.views.features.feature_service import FeatureService
from foldstore.views.features.feature_view import FeatureSelection, FeatureView, SqlSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChange:
    """One difference.

    Attributes
    ----------
    feature : str or None
        In full, ``view__feature``; None for what concerns the service.
    what : str
        ``added``, ``removed``, ``renamed``, ``type``, ``keys``, ``ttl``, ``source``, ``event_time``,
        ``created_time``, ``window``, ``transform``, ``order``, or what was said of it: ``description``, ``owner``,
        ``tags``.
    before, after : object
        As they are written.
    breaks : bool
        Whether a model that uses the feature gets another value, or none.
    """

    feature: str | None
    what: str
    before: Any
    after: Any
    breaks: bool

    def __str__(self) -> str:
        named = self.feature or "the service"
        if self.what in ("added", "removed"):
            return f"{named} is {self.what}"
        if self.what == "order":
            return "the features stand in another order"
        return f"{named}: {self.what} {_shown(self.before)} -> {_shown(self.after)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "feature": self.feature,
            "what": self.what,
            "before": self.before,
            "after": self.after,
            "breaks": self.breaks,
        }


def compare_services(
    before: FeatureService,
    after: FeatureService,
    *,
    types_before: Mapping[str, str] | None = None,
    types_after: Mapping[str, str] | None = None,
) -> tuple[ServiceChange, ...]:
    """List what changed from one service to another, feature by feature.

    Parameters
    ----------
    before, after : FeatureService
        Two versions.
    types_before, types_after : mapping of str to str, optional
        The types of features by their full names, where they are known.

    Examples
    --------
    >>> delays = FeatureView("delays", source="hourly", event_time="ts", features=["mean", "n"])
    >>> changes = compare_services(FeatureService("s", [delays]), FeatureService("s", [delays[["n"]]]))
    >>> [(str(change), change.breaks) for change in changes]
    [('delays__mean is removed', True)]
    """
    old, new = _features(before), _features(after)
    renamed = _find_renamed(old, new)
    changes: list[ServiceChange] = []
    for name, (selection, column) in old.items():
        if name in renamed:
            changes.append(_change(name, "renamed", name, renamed[name], breaks=True))
        elif name not in new:
            changes.append(_change(name, "removed", column, None, breaks=True))
        else:
            changes += _of_feature(name, selection, new[name][0])
            kinds = (types_before or {}).get(name), (types_after or {}).get(name)
            if None not in kinds and kinds[0] != kinds[1]:
                changes.append(_change(name, "type", *kinds, breaks=True))
    fresh = [name for name in new if name not in old and name not in renamed.values()]
    changes += [_change(name, "added", None, new[name][1], breaks=False) for name in fresh]
    shared = [name for name in old if name in new]
    if shared != [name for name in new if name in old]:
        changes.append(_change(None, "order", list(old), list(new), breaks=False))
    if before.transform != after.transform:
        changes.append(_change(None, "transform", before.transform, after.transform, breaks=True))
    return (*changes, *_of_words(before, after, None))


def _features(service: FeatureService) -> dict[str, tuple[FeatureSelection, str]]:
    return {
        f"{selection.name}__{feature}": (selection, feature)
        for selection in service.selections
        for feature in selection.features
    }


def _find_renamed(
    old: Mapping[str, tuple[FeatureSelection, str]], new: Mapping[str, tuple[FeatureSelection, str]]
) -> dict[str, str]:
    """Return the features that are what they were, under another name."""
    fresh = {_meaning(*each): name for name, each in new.items() if name not in old}
    return {
        name: fresh[meaning] for name, each in old.items() if name not in new and (meaning := _meaning(*each)) in fresh
    }


def _meaning(selection: FeatureSelection, column: str) -> tuple[Any, ...]:
    view = selection.view
    column = _what(view, column)
    source = view.source.query if isinstance(view.source, SqlSource) else view.source
    return (source, view.event_time, view.created_time, view.ttl, column, tuple(_keys(selection).items()))


def _of_feature(name: str, before: FeatureSelection, after: FeatureSelection) -> Iterator[ServiceChange]:
    old, new = before.view, after.view
    feature = name.removeprefix(f"{before.name}__")
    was, is_now = _what(old, feature), _what(new, feature)
    if was != is_now:
        yield _change(name, "window", was, is_now, breaks=True)
    was_asked, is_asked = _keys(before), _keys(after)
    if list(was_asked.items()) != list(is_asked.items()):
        yield _change(name, "keys", was_asked, is_asked, breaks=True)
    pairs = {
        "ttl": (old.ttl, new.ttl),
        "event_time": (old.event_time, new.event_time),
        "created_time": (old.created_time, new.created_time),
    }
    for what, (one, other) in pairs.items():
        if one != other:
            yield _change(name, what, one, other, breaks=True)
    if old.source != new.source:
        yield _change(name, "source", _source(old), _source(new), breaks=not _same_dataset(old, new))
    yield from _of_words(old, new, name)


def _what(view: FeatureView, feature: str) -> str:
    """Return what a feature is: the column of its name, or an aggregation."""
    found = [str(each) for each in view.aggregations if each.name == feature]
    return found[0] if found else feature


def _of_words(before: Any, after: Any, feature: str | None) -> Iterator[ServiceChange]:
    for member in MEMBERS:
        was, is_now = getattr(before, member), getattr(after, member)
        if was != is_now:
            plain = [list(each) if isinstance(each, tuple) else each for each in (was, is_now)]
            yield _change(feature, member, *plain, breaks=False)


def _keys(selection: FeatureSelection) -> dict[str, str]:
    """Return the columns that ask, and their types."""
    return dict(zip(selection.label_keys, selection.view.keys.values(), strict=True))


def _source(view: FeatureView) -> str:
    return view.source.query if isinstance(view.source, SqlSource) else view.source


def _same_dataset(before: FeatureView, after: FeatureView) -> bool:
    """Say whether two sources are versions of one dataset: another version is no other meaning."""
    if isinstance(before.source, SqlSource) or isinstance(after.source, SqlSource):
        return False
    old, new = parse_address(before.source), parse_address(after.source)
    return (old.name, old.split, old.part) == (new.name, new.split, new.part)


def _change(feature: str | None, what: str, before: Any, after: Any, *, breaks: bool) -> ServiceChange:
    return ServiceChange(feature=feature, what=what, before=before, after=after, breaks=breaks)


def _shown(value: Any) -> str:
    text = "none" if value in (None, "", []) else value if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
