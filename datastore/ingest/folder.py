"""Folders and patterns: many files of one format as one source, in the order of their names."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from foldstore.datastore.exact_cast import can_cast, cast_exactly
from foldstore.datastore.ingest.batch_source import BatchSource
from foldstore.datastore.ingest.file_kind import ENDINGS, kind_of
from foldstore.errors import IngestError, SchemaMismatchError, UsageError, did_you_mean

_MAX_FILES: Final = 10_000
_SHOWN: Final = 1_000
_MAGIC: Final = frozenset("*?[")
# Reads one file: path, wanted columns.
Opener = Callable[[Path, pa.Schema | None], BatchSource]


@dataclass(slots=True)
class _Found:
    """What a folder or pattern holds."""

    root: Path
    files: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)


def names_many(path: Path) -> bool:
    """Say whether a path is a folder, or a pattern such as ``data/2013-*.parquet``."""
    return path.is_dir() or (not os.path.lexists(path) and bool(_MAGIC & set(str(path))))


def find_files(path: Path) -> tuple[list[Path], list[str]]:
    """Return the files of a folder (with its subfolders) or of a pattern, sorted, and the names passed over.

    In a folder, what begins with a dot or an underscore is passed over, and so are files of other endings; a
    pattern passes over folders alone.

    Raises
    ------
    IngestError
        When there is no such file, when one is a link, or when there are too many.
    UsageError
        When the pattern leaves its folder.
    """
    found = _walk(path) if path.is_dir() else _match(path)
    if found.links:
        names = [_relative(each, found.root) for each in sorted(found.links)]
        raise IngestError(
            f"{str(path)!r} holds {len(names)} that are links or leave the folder: {', '.join(map(repr, names[:5]))}"
            f"{' …' if len(names) > 5 else ''}.",
            hint="Nothing was committed. Links are not followed in folders and patterns; name such a file itself.",
            code="link-refused",
            path=str(path),
            links=names[:_SHOWN],
        )
    if not found.files:
        raise _nothing(path, found)
    if len(found.files) > _MAX_FILES:
        raise IngestError(
            f"{str(path)!r} holds {len(found.files):,} files; at most {_MAX_FILES:,} are read as one.",
            hint="Ingest them in several steps.",
            code="too-many-files",
            path=str(path),
        )
    key = found.root
    return sorted(found.files, key=lambda each: _relative(each, key)), sorted(_relative(p, key) for p in found.skipped)


def _nothing(path: Path, found: _Found) -> IngestError:
    others = sorted({each.suffix for each in found.skipped})
    hint = f"Known endings are {', '.join(ENDINGS)}." if others or path.is_dir() else "Check the pattern."
    if not path.is_dir() and not found.root.is_dir():
        near = [p.name for p in sorted(found.root.parent.glob("*"))][:200] if found.root.parent.is_dir() else []
        hint = f"There is no folder {str(found.root)!r}. {did_you_mean(found.root.name, near)}"
    return IngestError(
        f"No file to ingest in {str(path)!r}" + (f", only of endings {', '.join(others)}." if others else "."),
        hint=hint,
        code="file-not-found",
        path=str(path),
    )


def _walk(folder: Path) -> _Found:
    found = _Found(folder)
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith((".", "_")):
                    found.skipped.append(path)
                elif entry.is_symlink():
                    found.links.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    _check_partition(path)
                    waiting.append(path)
                else:
                    (found.files if kind_of(path) else found.skipped).append(path)
    return found


def _check_partition(folder: Path) -> None:
    name, equals, _ = folder.name.partition("=")
    if name and equals:
        raise IngestError(
            f"The folder {folder.name!r} keeps a column in its name, which is not read.",
            hint="Ingest a dataset of pyarrow: append(pyarrow.dataset.dataset(path, partitioning='hive').scanner()"
            ".to_reader()).",
            code="partitioned-folder",
            path=str(folder),
        )


def _match(pattern: Path) -> _Found:
    parts = pattern.parts
    first = next(place for place, part in enumerate(parts) if _MAGIC & set(part))
    root, rest = Path(*parts[:first]), parts[first:]
    if ".." in rest:
        raise UsageError(f"The pattern {str(pattern)!r} leaves its folder.", hint="Leave '..' out behind a '*'.")
    found = _Found(root)
    if not root.is_dir():
        return found
    for path in root.glob(str(Path(*rest))):
        if _through_link(path, root):
            found.links.append(path)
        else:
            (found.skipped if path.is_dir() else found.files).append(path)
    return found


def _through_link(path: Path, root: Path) -> bool:
    steps = [path, *path.parents]
    return any(step.is_symlink() for step in steps[: len(path.parts) - len(root.parts)])


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def open_files(path: Path, target: pa.Schema | None, open_one: Opener) -> BatchSource:
    """Open the files of a folder or pattern as one source.

    Every file is opened once to see its columns before any row is read. Columns that are null in some files
    take their type from the others; numbers take the wider type.

    Raises
    ------
    SchemaMismatchError
        When the columns of two files have nothing in common; file and column are named.
    """
    files, skipped = find_files(path)
    kinds = {kind_of(each) for each in files}
    if len(kinds) > 1:
        endings = sorted({each.suffix for each in files})
        raise IngestError(
            f"{str(path)!r} holds files of several formats ({', '.join(endings)}).",
            hint=f"Name one of them by a pattern: {path / ('*' + endings[0]) if path.is_dir() else '*' + endings[0]}.",
            code="mixed-formats",
            path=str(path),
        )
    root = path if path.is_dir() else _Found(Path(*path.parts[: _first_magic(path)])).root
    opened = [open_one(each, target) for each in files]
    schema = _common(files, [each.schema for each in opened])
    rows = [each.num_rows for each in opened]
    wanted = schema if target is None else _before(schema, target)
    return BatchSource(
        schema=schema,
        batches=_batches(files, schema, lambda each: open_one(each, wanted)),
        description=_describe(path, opened[0], schema, [_relative(each, root) for each in files], skipped),
        num_rows=None if None in rows else sum(count or 0 for count in rows),
    )


def _first_magic(path: Path) -> int:
    return next(place for place, part in enumerate(path.parts) if _MAGIC & set(part))


def _before(schema: pa.Schema, target: pa.Schema) -> pa.Schema:
    """Return the columns of a schema with the dataset's types where it has them: text is read as those."""
    names = set(target.names)
    return pa.schema([target.field(f.name) if f.name in names else f for f in schema])


def _describe(
    path: Path, first: BatchSource, schema: pa.Schema, names: Sequence[str], skipped: Sequence[str]
) -> dict[str, Any]:
    described = {**first.description, "file": str(path), "files": list(names[:_SHOWN]), "num_files": len(names)}
    if "types" in described:
        described["types"] = {field.name: str(field.type) for field in schema}
    if skipped:
        described["passed_over"] = list(skipped[:_SHOWN])
    return described


def _common(files: Sequence[Path], schemas: Sequence[pa.Schema]) -> pa.Schema:
    first = schemas[0]
    for path, schema in zip(files[1:], schemas[1:], strict=True):
        _check_names(files[0], first, path, schema)
    return pa.schema([_common_field(name, files, [s.field(name) for s in schemas]) for name in first.names])


def _check_names(first_path: Path, first: pa.Schema, path: Path, schema: pa.Schema) -> None:
    if len(set(first.names)) < len(first) or len(set(schema.names)) < len(schema):
        return  # repeated names are refused by name behind this
    for one, other, where, not_in in ((first, schema, first_path, path), (schema, first, path, first_path)):
        missing = [name for name in one.names if name not in set(other.names)]
        if missing:
            raise SchemaMismatchError(
                f"{where.name!r} has a column {missing[0]!r:.80}, and {not_in.name!r} has none.",
                hint=f"Files of one version have the same columns. {did_you_mean(missing[0], other.names)}",
                code="column-missing",
                column=missing[0],
                file=not_in.name,
            )


def _common_field(name: str, files: Sequence[Path], fields: Sequence[pa.Field]) -> pa.Field:
    kinds = list(dict.fromkeys(f.type for f in fields if not pa.types.is_null(f.type))) or [pa.null()]
    kind = kinds[0] if len(kinds) == 1 else _wider(kinds)
    for path, each in zip(files, fields, strict=True):
        if not can_cast(each.type, kind):
            raise SchemaMismatchError(
                f"{path.name!r}: column {name!r} is {each.type}, and {kind} in {files[0].name!r}.",
                hint="Files of one version have the same types. For text, declare it: types={...}.",
                code="type-mismatch",
                column=name,
                file=path.name,
            )
    return pa.field(name, kind)


def _wider(kinds: Sequence[pa.DataType]) -> pa.DataType:
    try:
        unified = pa.unify_schemas([pa.schema([("c", kind)]) for kind in kinds], promote_options="permissive")
    except pa.ArrowException:
        return kinds[0]
    found: pa.DataType = unified.field(0).type
    return found if all(can_cast(kind, found) for kind in kinds) else kinds[0]


def _batches(
    files: Sequence[Path], schema: pa.Schema, open_one: Callable[[Path], BatchSource]
) -> Iterator[pa.RecordBatch]:
    for path in files:
        source = open_one(path)
        _check_names(files[0], schema, path, source.schema)  # it may have changed since it was looked at
        for batch in source.batches:
            yield _conformed(path, batch, schema)


def _conformed(path: Path, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    if len(set(schema.names)) < len(schema):
        return batch
    try:
        arrays = [cast_exactly(batch.column(f.name), f.type, name=f.name) for f in schema]
    except SchemaMismatchError as error:
        raise SchemaMismatchError(
            f"{path.name!r}: {error.message}", hint=error.hint, code=error.code, **{**error.facts, "file": path.name}
        ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
