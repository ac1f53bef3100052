"""Transactions: several steps that become one version, or none, in one request."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NoReturn, TypeAlias

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members, inline_rows, read_rows, rows_of
from foldstore.api.resources.datasets import RETRY, commit_words, committed, own_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.errors import FoldstoreError, UsageError, did_you_mean
from foldstore.transaction import DatasetTransaction

_MOST_STEPS: Final = 100
_DEEPEST: Final = 36  # as deep as rows are, within a list of steps
_MOST_VERSIONS: Final = 1 << 53


class _TriedError(Exception):
    """Ends a transaction that was to be tried alone; it never leaves this module."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows


class _SentRows:
    """The rows of a request: in parts of their own, or in the document.

    Parameters
    ----------
    files : mapping of str to Path
        The parts.
    folder : Path
        Where rows of the document are written to.
    """

    def __init__(self, files: Mapping[str, Path], folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._left = set(files)

    def find(self, step: Members, member: str) -> Path:
        """Return the file of the rows that a step brings."""
        value = step.given().get(member)
        if not isinstance(value, str):
            return inline_rows(value, self._folder)
        if value not in self._files:
            raise UsageError(
                f"There is no part {ascii(value)[:60]}.",
                hint=did_you_mean(value[:60], list(self._files)) if self._files else "Send rows as parts, with -F.",
            )
        self._left.discard(value)
        return self._files[value]

    def refuse_unused(self) -> None:
        """Refuse parts that no step takes."""
        if self._left:
            raise UsageError(f"No step takes the part {min(self._left)!r}.", hint='Write {"rows": "the part\'s name"}.')


_Apply: TypeAlias = Callable[[DatasetTransaction, Members, _SentRows], None]


def _append(change: DatasetTransaction, step: Members, rows: _SentRows) -> None:
    with _read(rows.find(step, "rows")) as file:
        change.append(file, order_by=step.texts("order_by") or (), evolve=step.flag("evolve"))


def _overwrite(change: DatasetTransaction, step: Members, rows: _SentRows) -> None:
    with _read(rows.find(step, "rows")) as file:
        change.overwrite(file, order_by=step.texts("order_by") or ())


def _upsert(change: DatasetTransaction, step: Members, rows: _SentRows) -> None:
    with _read(rows.find(step, "rows")) as file:
        change.upsert(file)


def _delete(change: DatasetTransaction, step: Members, rows: _SentRows) -> None:
    keys = None if step.given().get("keys") is None else read_rows(rows.find(step, "keys"))
    change.delete(step.text("where"), keys=keys)


def _add(change: DatasetTransaction, step: Members, rows: _SentRows) -> None:
    columns = step.text_mapping("columns")
    if (columns is None) == (step.given().get("rows") is None):
        raise UsageError("Columns are added by expressions or by rows.", hint='Write {"columns": {"late": "x > 15"}}.')
    if columns is not None:
        change.add_columns(columns)
        return
    with _read(rows.find(step, "rows")) as file:
        change.add_columns(file)


def _drop(change: DatasetTransaction, step: Members, _rows: _SentRows) -> None:
    change.drop_columns(_given(step.texts("columns"), "columns"))


def _rename(change: DatasetTransaction, step: Members, _rows: _SentRows) -> None:
    change.rename_columns(_given(step.text_mapping("names"), "names"))


def _widen(change: DatasetTransaction, step: Members, _rows: _SentRows) -> None:
    change.widen_columns(_given(step.text_mapping("types"), "types"))


# By the words that versions have for what was done.
_STEPS: Final[Mapping[str, tuple[_Apply, tuple[str, ...]]]] = {
    "append": (_append, ("rows", "order_by", "evolve")),
    "overwrite": (_overwrite, ("rows", "order_by")),
    "upsert": (_upsert, ("rows",)),
    "delete": (_delete, ("where", "keys")),
    "add_columns": (_add, ("columns", "rows")),
    "drop_columns": (_drop, ("columns",)),
    "rename_columns": (_rename, ("names",)),
    "widen_columns": (_widen, ("types",)),
}


@contextmanager
def _read(file: Path) -> Iterator[Path]:
    with rows_of(file):
        yield file


def _given(value: Any, member: str) -> Any:
    if value is None:
        raise UsageError(f"The member {member!r} is missing.", hint=f'Write {{"{member}": ...}}.')
    return value


def _read_steps(document: Members) -> list[Any]:
    steps = document.given().get("steps")
    if not isinstance(steps, list) or len(steps) > _MOST_STEPS:
        raise UsageError(
            f"The member 'steps' is no list of at most {_MOST_STEPS} steps.",
            hint='Write {"steps": [{"operation": "delete", "where": "age > 90"}, ...]}.',
        )
    return steps


def _apply(change: DatasetTransaction, given: Any, rows: _SentRows) -> None:
    operation = given.get("operation") if isinstance(given, dict) else None
    if not isinstance(operation, str) or operation not in _STEPS:
        raise UsageError(
            f"operation={ascii(operation)[:40]} is no step of a transaction.", hint=f"Write one of {', '.join(_STEPS)}."
        )
    apply, members = _STEPS[operation]
    apply(change, Members(given, "operation", *members), rows)


@contextmanager
def _naming(place: int) -> Iterator[None]:
    """Say of what goes wrong in which step it does."""
    try:
        yield
    except FoldstoreError as error:
        error.message = f"Step {place}: {error.message}"
        raise


def _parent(document: Members) -> int | None:
    value = document.given().get("parent")
    if value is None or (type(value) is int and 0 <= value < _MOST_VERSIONS):
        return value
    raise UsageError("The member 'parent' is not the number of a version.", hint='Write {"parent": 3}, 0 for none.')


def _stop(rows: int) -> NoReturn:
    raise _TriedError(rows)


def _transact(call: Call) -> Response:
    document = Members(call.body.document, "steps", "branch", "message", "properties", "parent", "commit")
    steps, is_kept = _read_steps(document), document.flag("commit", default=True)
    words = commit_words(call, document.text("message"), document.mapping("properties"))
    branch, dataset = document.text("branch"), call.store.dataset(call.path["name"])
    writing = dataset if branch is None else dataset.branch(branch)
    with TemporaryDirectory(prefix="foldstore-") as folder:
        rows = _SentRows(call.body.files, Path(folder))
        try:
            with writing.transaction(parent=_parent(document), **words) as change:
                for place, step in enumerate(steps, 1):
                    with _naming(place):
                        _apply(change, step, rows)
                rows.refuse_unused()
                if not is_kept:
                    _stop(change.num_rows)
        except _TriedError as tried:
            return json_answer({"rows": tried.rows})
    assert change.version is not None  # noqa: S101  # the block was left without an error
    return committed(own_version(change.version, words))


_EXAMPLE: Final = {
    "steps": [
        {"operation": "delete", "where": "carrier = 'XX'"},
        {"operation": "append", "rows": [{"id": 7, "carrier": "UA", "arr_delay": 12}]},
        {"operation": "add_columns", "columns": {"late": "arr_delay > 15"}},
    ],
    "message": "spring cleaning",
}
ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/datasets/{name}:transact",
        scope="datasets:write",
        answer=_transact,
        is_long=True,
        summary=f"Commit several steps as one version, or none of them. {RETRY}",
        body=BodyKind.PARTS,
        example=_EXAMPLE,
        deepest=_DEEPEST,
        success=201,
        finds=True,
    ),
)
