"""Schemas in the words of other systems: read of what somebody sends, and written for what they use."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.body import Members
from foldstore.api.documents import DocumentForm, document_answer
from foldstore.api.problem import BodyTooLargeError
from foldstore.api.query import QueryParameter
from foldstore.api.route import BodyKind, Call, Route
from foldstore.validation.schema import DataSchema
from foldstore.validation.schema_forms import EXPORTED, SchemaForm, export_schema, import_schema

_MEDIA: Final = {
    SchemaForm.YAML: "application/yaml",
    SchemaForm.ODCS: "application/odcs+yaml",
    SchemaForm.JSON_SCHEMA: "application/schema+json",
    SchemaForm.PANDERA: "application/x-pandera+yaml",
}


# YAML takes two seconds a MiB to read, and more where it is made to.
_MOST_LETTERS: Final = 1 << 18
_MOST_COLUMNS: Final = 5_000  # to write it takes two seconds then


def _form(form: SchemaForm) -> DocumentForm:
    return DocumentForm(str(form), _MEDIA[form], lambda schema: export_schema(schema, form)[0])


SCHEMA_FORMS: Final = tuple(_form(form) for form in EXPORTED)


def schema_answer(call: Call, schema: DataSchema) -> Response:
    """Answer with a schema in the form that is asked for; as JSON with its id, to be sent back as it is."""
    return document_answer(call, schema, {"id": schema.id, "schema": schema.to_dict()})


def _import(call: Call) -> Response:
    form = SchemaForm(call.query.choice("form", [str(each) for each in SchemaForm]))
    if len(call.body) > _MOST_LETTERS:
        raise BodyTooLargeError(
            f"The text has {len(call.body):,} characters, more than {_MOST_LETTERS:,}.",
            hint="Convert it on your machine, with foldstore.DataSchema, and PUT the schema as JSON.",
        )
    schema, _ = import_schema(call.body, form, table=call.query.text("table"))
    return json_answer({"id": schema.id, "schema": schema.to_dict()})


def _export(call: Call) -> Response:
    body = Members(call.body, "schema", "id")
    schema = DataSchema.from_dict(body.mapping("schema", required=True))
    if call.form is not None and len(schema.columns) > _MOST_COLUMNS:
        raise BodyTooLargeError(
            f"The schema has {len(schema.columns):,} columns, more than {_MOST_COLUMNS:,}.",
            hint="Write it on your machine, with foldstore.DataSchema.",
        )
    return schema_answer(call, schema)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/schemas:import",
        scope="datasets:read",
        answer=_import,
        summary="Read a schema of another system; nothing is kept. What was left out is in its provenance",
        parameters=(
            QueryParameter("form", f"Whose words the text is in: {', '.join(SchemaForm)}; yaml unless given.", "tfdv"),
            QueryParameter("table", "Which table of a contract, if it has more.", "trips"),
        ),
        body=BodyKind.TEXT,
        example='feature { name: "carrier" type: BYTES presence { min_fraction: 1 } }',
        is_long=True,
        obeys_rules=True,
    ),
    Route(
        method="POST",
        path="/v1/schemas:export",
        scope="datasets:read",
        answer=_export,
        summary="Write a schema for another system; nothing is kept",
        body=BodyKind.JSON,
        example={"schema": {"columns": {"carrier": {"type": "string"}}}},
        deepest=16,
        forms=SCHEMA_FORMS,
        obeys_rules=True,
    ),
)
