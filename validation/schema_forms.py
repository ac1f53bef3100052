"""Schemas as texts of other systems: read from what a stranger sends, and written for what they use.

The text is hostile: YAML is read by the safe loader without aliases, and every reader bounds length, nesting and
numbers.
"""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

from foldstore.errors import UsageError
from foldstore.validation.document import check_document, read_mapping, read_yaml, write_yaml
from foldstore.validation.interchange.data_contract import from_contract
from foldstore.validation.interchange.json_schema import from_json_schema
from foldstore.validation.interchange.tfdv import from_tfdv
from foldstore.validation.schema import DataSchema, with_left_out


class SchemaForm(StrEnum):
    """Whose words a text is in; ``yaml`` is our own, which JSON is a part of."""

    YAML = "yaml"
    ODCS = "odcs"
    JSON_SCHEMA = "json-schema"
    PANDERA = "pandera"
    TFDV = "tfdv"


EXPORTED: Final = tuple(form for form in SchemaForm if form is not SchemaForm.TFDV)


def import_schema(text: str, form: SchemaForm, *, table: str | None = None) -> tuple[DataSchema, list[str]]:
    """Return the schema that a text describes, and what was left out, which its provenance keeps.

    Parameters
    ----------
    text : str
        A contract or a JSON Schema (as JSON or YAML), pandera's YAML, protobuf's text format, or our own YAML.
    form : SchemaForm
        Which of them.
    table : str, optional
        Which table of a contract, if it has more.

    Raises
    ------
    InvalidSchemaError
        When the text describes none.

    Examples
    --------
    >>> import_schema('feature { name: "x" type: INT presence { min_count: 1 } }', SchemaForm.TFDV)[0].columns["x"].type
    'int64'
    """
    if table is not None and form is not SchemaForm.ODCS:
        raise UsageError("A table is chosen of a contract alone.", hint="Leave table out.")
    if form is SchemaForm.YAML:
        return DataSchema.from_yaml(text), []
    if form is SchemaForm.TFDV:
        plain, left_out = from_tfdv(text)
    else:
        data = read_yaml(text)
        check_document(data, "The text")
        plain, left_out = _READERS[form](data, table)
    return DataSchema.from_dict(with_left_out(plain, left_out)), left_out


def export_schema(schema: DataSchema, form: SchemaForm) -> tuple[str, list[str]]:
    """Return a schema as a text of another system, and what that has no words for.

    Raises
    ------
    UsageError
        For a form that is read alone.

    Examples
    --------
    >>> made, left_out = export_schema(DataSchema(columns={}), SchemaForm.ODCS)
    >>> made.splitlines()[0], left_out
    ('apiVersion: v3.1.0', [])
    """
    if form is SchemaForm.PANDERA:
        # pandera is loaded for whoever asks for it alone.
        from foldstore.validation.interchange.pandera_schema import to_pandera, write_file

        made, left_out = to_pandera(schema.to_dict())
        return write_file(made), left_out
    if form is SchemaForm.TFDV:
        raise UsageError("Schemas are read of TFDV, not written for it.", hint=f"Write {', '.join(EXPORTED)}.")
    return _WRITERS[form](schema), []


def _read_pandera(data: Any, _: str | None) -> tuple[dict[str, Any], list[str]]:
    from foldstore.validation.interchange.pandera_schema import from_pandera

    return from_pandera(read_mapping(data, "The text"))


_READERS: Final[Mapping[SchemaForm, Callable[[Any, str | None], tuple[dict[str, Any], list[str]]]]] = {
    SchemaForm.ODCS: from_contract,
    SchemaForm.JSON_SCHEMA: lambda data, _: from_json_schema(data),
    SchemaForm.PANDERA: _read_pandera,
}
_WRITERS: Final[Mapping[SchemaForm, Callable[[DataSchema], str]]] = {
    SchemaForm.YAML: DataSchema.to_yaml,
    SchemaForm.ODCS: lambda schema: write_yaml(schema.to_contract()),
    SchemaForm.JSON_SCHEMA: lambda schema: json.dumps(schema.to_json_schema(), indent=2, ensure_ascii=False) + "\n",
}
