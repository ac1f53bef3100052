"""Rows that are judged before anybody commits them."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.body import Members, inline_rows, rows_of
from foldstore.api.documents import REPORT_FORMS, document_answer
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route
from foldstore.api.sent_parts import SentParts
from foldstore.errors import UsageError
from foldstore.validation.schema import DataSchema

_ROWS: Final = "rows"
_MEMBERS: Final = ("schema", "environment", "branch", "name")
_LONGEST_NAME: Final = 200
_DEEPEST: Final = 34
_UNNAMED: Final = "the data"


def _validate(call: Call) -> Response:
    if isinstance(call.body, Path):
        about = {name: value for name in _MEMBERS[1:] if (value := call.query.text(name)) is not None}
        return _judged(call, Members(about, *_MEMBERS), call.body)
    sent: SentParts = call.body
    given = {_ROWS: sent.document} if isinstance(sent.document, list) else sent.document
    document = Members(given, _ROWS, *_MEMBERS)
    if _ROWS in sent.files and set(sent.files) == {_ROWS} and _ROWS not in document.given():
        return _judged(call, document, sent.files[_ROWS])
    if sent.files or _ROWS not in document.given():
        raise UsageError(
            "The rows are neither a member of the document nor its one part.",
            hint="Write {\"rows\": [...]}, or send a part: curl -F 'rows=@rows.csv;type=text/csv'.",
        )
    with TemporaryDirectory(prefix="foldstore-") as folder:
        return _judged(call, document, inline_rows(document.given()[_ROWS], Path(folder)))


def _judged(call: Call, document: Members, rows: Path) -> Response:
    schema, branch = document.mapping("schema"), document.text("branch")
    name = document.text("name") or _UNNAMED
    if len(name) > _LONGEST_NAME:
        raise UsageError("The rows have too long a name.", hint=f"At most {_LONGEST_NAME} characters.")
    how: dict[str, Any] = {"environment": document.text("environment")}
    if schema:
        how["schema"] = DataSchema.from_dict(schema)
    dataset = call.store.dataset(call.path["name"])
    with rows_of(rows):
        report = (dataset if branch is None else dataset.branch(branch)).validate(rows, **how)
    return document_answer(call, replace(report, subject=name))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/datasets/{name}:validate",
        scope="datasets:read",
        answer=_validate,
        is_long=True,
        forms=REPORT_FORMS,
        summary="Judge rows before they are committed, by the dataset's schema or another; `passed` says how it went",
        parameters=(
            QueryParameter("environment", "Where they are from; of rows alone.", "serving"),
            QueryParameter("branch", "The branch; the main one unless given; of rows alone.", "main"),
            QueryParameter("name", "What the report calls them; of rows alone.", "february.parquet"),
        ),
        body=BodyKind.PARTS_OR_ROWS,
        example={"rows": [{"id": 7, "arr_delay": 12}], "environment": "serving"},
        deepest=_DEEPEST,
    ),
)
