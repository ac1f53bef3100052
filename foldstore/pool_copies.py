"""What tells sealed cells elsewhere: training sets and logs that copied them, splits made by them, saved views.

A pool is not sealed while one of these does; the error says which.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.storage import Storage
from foldstore.datastore.view_document import DRAFT_KIND, list_sources, list_version_ids
from foldstore.errors import RefusedError
from foldstore.names import parse_address
from foldstore.split import SplitPart
from foldstore.split_columns import find_columns
from foldstore.split_documents import KeptSplit, SplitDocuments
from foldstore.training_set import PROPERTY, Inputs, find_view_text, list_features_of
from foldstore.views.features.feature_service import FEEDBACK_KIND, LOOKUP_LOG_KIND, SERVICE_KIND, FeatureService
from foldstore.views.features.feature_view import SqlSource
from foldstore.views.splits.fold_assignment import FoldAssignment
from foldstore.views.transforms.transform import TRANSFORM_KIND, FittedTransform

_VIEW_KIND: Final = "view"
# What `View.balance` writes of each value.
_EQUALS: Final = re.compile(r"""\(*"((?:[^"]|"")+)" = (?:'((?:[^']|'')*)'|(-?\d+|true|false))\)*""")
_ELSEWHERE: Final = "sealed-elsewhere"

Masks = Mapping[int, NDArray[np.bool_]]


def refuse_what_tells(storage: Storage, part: SplitPart, hidden: Collection[str], masks: Masks) -> None:
    """Refuse to seal when a split, a saved view or a log of lookups tells what would be hidden.

    Parameters
    ----------
    hidden : collection of str
        The columns, as the version of the part calls them.
    masks : mapping of int to ndarray of bool
        The rows, by fragment.

    Raises
    ------
    RefusedError
        With the code ``sealed-elsewhere``.
    """
    _refuse_splits(storage, part, frozenset(hidden), masks)
    _refuse_views(storage, part, frozenset(hidden), masks)
    _refuse_logs(storage, part, frozenset(hidden))
    _refuse_feedback(storage, part, frozenset(hidden))
    _refuse_transforms(storage, part, frozenset(hidden))


def _refuse_feedback(storage: Storage, part: SplitPart, hidden: frozenset[str]) -> None:
    """Refuse when outcomes that would be hidden were copied into labels, or labels out of outcomes.

    Outcomes that are sealed before labels are made of them are null there, too.
    """
    kept = Registry(storage.catalog, FEEDBACK_KIND)
    for name in kept.list_names():
        document = kept.find(name)
        if document is None or storage.catalog.find_dataset(document.body["labels"]) is None:
            continue
        others = {
            document.body[one]: document.body[two] for one, two in (("labels", "outcomes"), ("outcomes", "labels"))
        }
        if part.dataset in others and hidden:
            raise RefusedError(
                f"The labels of service {name!r} were made of its outcomes: {others[part.dataset]!r} has them too.",
                hint="Seal the outcomes before labels are made of them: what is sealed is null there.",
                code=_ELSEWHERE,
                datasets=[others[part.dataset]],
                columns=sorted(hidden),
            )


def _refuse_transforms(storage: Storage, part: SplitPart, hidden: frozenset[str]) -> None:
    """Refuse when a transform learnt from a column which would be hidden, by another split.

    The train part of the part's own split holds none of its rows; that of another may.
    """
    transforms = Registry(storage.catalog, TRANSFORM_KIND)
    for document in transforms.list_documents():
        fitted_on = parse_address(document.body["fitted_on"])
        if fitted_on.name != part.dataset or fitted_on.split == part.split_name:
            continue
        operations = FittedTransform.from_dict(document.body).definition.operations
        for column in sorted(hidden & {name for each in operations for name in each.reads_to_fit}):
            raise RefusedError(
                f"Transform {document.name}@{document.version} learnt from {column!r} of {document.body['fitted_on']}, "
                f"where rows of {part.address} may be.",
                hint="Seal before a transform learns by another split, or append the rows to a new dataset, and seal "
                "there.",
                code=_ELSEWHERE,
                transforms=[f"{document.name}@{document.version}"],
                columns=[column],
            )


def _refuse_logs(storage: Storage, part: SplitPart, hidden: frozenset[str]) -> None:
    """Refuse when lookups are kept of a service that serves a column which would be hidden.

    Which rows they were served from is not kept, and some may still wait in a process's memory to be committed: a
    service that was ever logged tells, whatever rows are sealed.
    """
    services = Registry(storage.catalog, SERVICE_KIND)
    logs = Registry(storage.catalog, LOOKUP_LOG_KIND)
    for name in logs.list_names():
        kept = logs.find(name)
        if kept is None:
            continue
        for document in services.list_versions(name):
            served = _served_of(storage, FeatureService.from_dict(document.body), part.dataset)
            for column in sorted(hidden & served):
                raise RefusedError(
                    f"Lookups of {name!r} are kept in {kept.body['dataset']!r}, and it serves {column!r} of "
                    f"{part.dataset!r}.",
                    hint="Seal before a service of such a column is logged; append the rows to a new dataset, and seal "
                    "there.",
                    code=_ELSEWHERE,
                    datasets=[str(kept.body["dataset"])],
                    columns=[column],
                )


def _served_of(storage: Storage, service: FeatureService, dataset: str) -> frozenset[str]:
    """Return the columns of a dataset that a service's values come from; of SQL all that the query may read."""
    found: set[str] = set()
    for selection in service.selections:
        source = selection.view.source
        if isinstance(source, SqlSource):
            query = storage.engine.parse_query(source.query)
            names = [parse_address(table.lower()).name for table in query.tables]
            found |= set(re.findall(r"\w+", source.query)) if dataset in names else set()
        elif parse_address(source).name == dataset or _view_reads(storage, source, dataset):
            found |= set(selection.features) | set(re.findall(r"\w+", find_view_text(storage, source) or ""))
    return frozenset(found)


def _view_reads(storage: Storage, address: str, dataset: str) -> bool:
    text = find_view_text(storage, address)
    ids = [] if text is None else list_version_ids(json.loads(text))
    versions = [version for each in ids if (version := storage.catalog.find_version_by_id(each)) is not None]
    record = storage.catalog.find_dataset(dataset)
    return record is not None and any(version.dataset_id == record.id for version in versions)


def _refuse_splits(storage: Storage, part: SplitPart, hidden: frozenset[str], masks: Masks) -> None:
    documents = SplitDocuments(storage, part.record)
    for name in documents.names():
        kept = documents.find(name)
        column = None if kept is None else _told_by(storage, part, kept, hidden, masks)
        if column is not None:
            raise RefusedError(
                f"Where rows are in {part.dataset}#{name} tells their {column!r}: it was made by that column.",
                hint="Seal before such a split is made, or make it of a part that is not sealed "
                f"({part.address.rpartition('.')[0]}.train). Where a row went is settled for good: to seal these rows "
                "all the same, append them to a new dataset, and seal there.",
                code=_ELSEWHERE,
                splits=[f"{part.dataset}#{name}"],
                columns=[column],
            )


def _told_by(storage: Storage, part: SplitPart, kept: KeptSplit, hidden: frozenset[str], masks: Masks) -> str | None:
    """Return a hidden column that the places of the rows in a split tell something of.

    A hash of a hidden value can be computed for each value that it could be, so even one place tells. A condition tells
    rows apart when some are in the split and others are not. What was decided
    by the value itself, or balanced by it to a row, tells rows apart when they are in several places. Whole groups are
    balanced as nearly as they allow, and their rows go together: where one is tells no row's value.
    """
    columns = find_columns(storage, kept.made_on, part.base_version_id)
    spec = columns.rename(kept.assignment.spec)
    grouping = [name for group in spec.groups for name in group]
    hashed = [*spec.key, *grouping, *spec.duplicates, *spec.near_duplicates]
    decided = [name for name in (spec.by_column, spec.by_time) if name is not None]
    decided += [] if spec.groups else spec.strata
    chosen = [
        columns.names[name]
        for text in kept.chosen.where
        for name in storage.engine.parse_predicate(text, columns.first).columns
        if name in columns.names
    ]
    if not hidden.intersection([*hashed, *decided, *chosen]):
        return None
    places = _places_of(kept, masks)
    tell = [
        (hashed, places.shape[1] > 0),
        (decided, (places != places[:, :1]).any()),
        (chosen, len(np.unique(places.any(axis=0))) > 1),
    ]
    return next((name for names, tells in tell if tells for name in names if name in hidden), None)


def _places_of(kept: KeptSplit, masks: Masks) -> NDArray[np.uint8]:
    """Return the codes of the rows that a split has placed, layer by layer."""
    assignment = kept.assignment
    if isinstance(assignment, FoldAssignment):
        codes = {each.fragment: each.layers for each in assignment.fragments}
        empty = np.empty((assignment.spec.layers, 0), np.uint8)
    else:
        codes = {each.fragment: each.parts()[None, :] for each in assignment.fragments}
        empty = np.empty((1, 0), np.uint8)
    here = [codes[str(fragment)][:, mask] for fragment, mask in masks.items() if str(fragment) in codes]
    return np.concatenate([empty, *here], axis=1)


def _refuse_views(storage: Storage, part: SplitPart, hidden: frozenset[str], masks: Masks) -> None:
    """Refuse when a view that is published, or a draft, keeps values that only the sealed rows have."""
    told: dict[str, list[str]] = {}
    alone: dict[str, frozenset[Any]] = {}
    for address, body in _list_views(storage):
        for column, value in _values_kept(storage, part, body, hidden):
            if column not in alone:
                alone[column] = _only_in(part, column, masks)
            if value in alone[column]:
                told.setdefault(column, []).append(address)
    for column, addresses in told.items():
        names = list(dict.fromkeys(addresses))
        raise RefusedError(
            f"Saved views keep values of {column!r} that only the rows to be sealed have: {', '.join(names[:5])}.",
            hint="Discard drafts: store.saved_views.discard_draft(name). Published versions stay: to seal these rows "
            "all the same, append them to a new dataset, and seal there before views are saved.",
            code=_ELSEWHERE,
            views=names,
            columns=[column],
        )


def _list_views(storage: Storage) -> Iterator[tuple[str, Mapping[str, Any]]]:
    published, drafts = Registry(storage.catalog, _VIEW_KIND), Registry(storage.catalog, DRAFT_KIND)
    for name in published.list_names():
        for document in published.list_versions(name):
            yield f"{name}@{document.version}", document.body
    for name in drafts.list_names():
        draft = drafts.find(name)
        if draft is not None:
            yield f"{name}@draft", draft.body


def _values_kept(
    storage: Storage, part: SplitPart, body: Mapping[str, Any], hidden: frozenset[str]
) -> Iterator[tuple[str, Any]]:
    """Yield the values that a view keeps, with each hidden column that they may be of."""
    names: dict[str, str] = {}
    for version_id in {source["version_id"].partition("#")[0] for source in list_sources(body)}:
        version = storage.catalog.find_version_by_id(version_id)
        if version is not None and version.dataset_id == part.record.id:
            names |= find_columns(storage, version_id, part.base_version_id).names
    if not names:
        return
    for named, value in _walk(body):
        column = named.partition(".")[0].partition("[")[0]
        # A name that no version has was computed in the view, from any column.
        for name in [names[column]] if column in names else sorted(hidden):
            if name in hidden:
                yield name, value


def _walk(body: object) -> Iterator[tuple[str, Any]]:
    """Yield columns with values from the steps that keep values: maps, numbers of labels, balances."""
    if isinstance(body, Mapping):
        for verb, said in body.items():
            if verb in ("enumerate", "map") and isinstance(said, Mapping) and isinstance(said.get("column"), str):
                for pair in said.get("labels") or said.get("values") or ():
                    labels = pair[0] if isinstance(pair[0], list) else [pair[0]]
                    yield from ((said["column"], label) for label in labels)
            else:
                yield from _walk(said)
    elif isinstance(body, list):
        for each in body:
            yield from _walk(each)
    elif isinstance(body, str) and (found := _EQUALS.fullmatch(body)):
        column, text, plain = found.groups()
        yield column.replace('""', '"'), _read_literal(text, plain)


def _read_literal(text: str | None, plain: str) -> Any:
    if text is not None:
        return text.replace("''", "'")
    return plain == "true" if plain in ("true", "false") else int(plain)


def _only_in(part: SplitPart, column: str, masks: Masks) -> frozenset[Any]:
    """Return the values that only some rows of the part's version have; of a list, those in it."""
    rows = part.base.rows
    inside: set[Any] = set()
    outside: set[Any] = set()
    for fragment in rows.fragments:
        chosen = masks.get(fragment.id, np.zeros(fragment.num_rows, np.bool_))[rows.live(fragment)]
        column_here = rows.restricted([fragment]).to_table([column]).column(0)
        inside.update(*map(_leaves, column_here.filter(pa.array(chosen)).chunks))
        outside.update(*map(_leaves, column_here.filter(pa.array(~chosen)).chunks))
    return frozenset(inside - outside)


def _leaves(values: pa.Array) -> set[Any]:
    """Return the values of an array; of lists and structs, what is in them."""
    if pa.types.is_struct(values.type):
        return set().union(*map(_leaves, values.flatten()))
    if pa.types.is_map(values.type):
        return _leaves(values.keys) | _leaves(values.items)
    if pa.types.is_nested(values.type):
        return _leaves(values.flatten())
    return set(pc.unique(values.drop_null()).to_pylist())


def refuse_training_sets(storage: Storage, part: SplitPart, hidden: set[str]) -> None:
    """Refuse to seal what a training set may have copied: there it would stay readable."""
    sealed = {fragment for fragment, mask in part.masks.items() if mask.any()}
    for record in storage.catalog.list_datasets():
        for version in storage.catalog.list_versions(record.id):
            described = version.properties.get(PROPERTY)
            if not isinstance(described, dict):
                continue
            inputs = Inputs.from_dict(described)
            copied = []
            if _any_reads(storage, inputs.versions, part, sealed):
                copied = list_features_of(storage, inputs.features, hidden)
            if _any_reads(storage, [inputs.labels], part, sealed):
                names = decode_schema(storage.catalog.read_arrow_schema(version.arrow_schema_id)).names
                copied += sorted(hidden & set(names))
            if copied:
                raise RefusedError(
                    f"{record.name}@{version.number} was made from {part.dataset!r}; its {copied[0]!r} may hold what "
                    "is sealed.",
                    hint="Seal a pool before training sets are made of its rows.",
                    code=_ELSEWHERE,
                    versions=[f"{record.name}@{version.number}"],
                    columns=copied,
                )


def _any_reads(storage: Storage, addresses: Sequence[str], part: SplitPart, sealed: set[int]) -> bool:
    """Say whether a pinned version of the part's dataset, among these addresses, has rows that are to be sealed."""
    for address in map(parse_address, addresses):
        if address.name == part.dataset:
            version = storage.catalog.find_version(part.record.id, int(address.ref))
            if version is not None and sealed & {fragment.id for fragment in storage.pages.fragments(version)}:
                return True
    return False
