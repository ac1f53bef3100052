"""Files of definitions: YAML, JSON or Python, told apart by their endings; every refusal names the line."""

from pathlib import Path
from typing import Any, Final

from foldstore.errors import FoldstoreError, InvalidDefinitionError, InvalidSchemaError, UsageError
from foldstore.features.python_file import read_python
from foldstore.validation.document import find_line, read_json, read_yaml, write_yaml
from foldstore.views.features.definition_set import DefinitionSet
from foldstore.views.features.feature_service import FeatureService

_LARGEST: Final = 8 << 20


def read_definitions(path: str | Path) -> DefinitionSet:
    """Read a file of definitions; nothing in it is run.

    Parameters
    ----------
    path : str or pathlib.Path
        A file that ends in ``.yaml``, ``.yml``, ``.json`` or ``.py``.

    Raises
    ------
    InvalidDefinitionError
        When it says what cannot be; the message names the file and the line.
    UsageError
        When there is no such file, or it is too large.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise UsageError(f"{file} has more than 8 MB.", hint="A file of definitions is written by people.")
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}.", hint="Name a file of definitions.") from error
    try:
        return parse_definitions(text, file.suffix)
    except InvalidDefinitionError as error:
        line = error.facts.get("line")
        where = f"{file.name}, line {line}: " if line else f"{file.name}: "
        raise InvalidDefinitionError(f"{where}{error.message}", hint=error.hint, **error.facts) from error


def parse_definitions(text: str, ending: str = ".yaml") -> DefinitionSet:
    r"""Read definitions from text.

    Raises
    ------
    InvalidDefinitionError
        When it says what cannot be; `line` is among the facts.

    Examples
    --------
    >>> text = "views:\n  fx: {source: rates, event_time: ts, features: [usd]}\nservices:\n  money: {features: [fx]}\n"
    >>> print(write_definitions(parse_definitions(text)), end="")
    views:
      fx:
        source: rates
        event_time: ts
        features: [usd]
    services:
      money:
        features: [fx]
    """
    if ending == ".py":
        return read_python(text)
    data = _read(text, ending)
    try:
        if isinstance(data, dict) and "format" in data:
            return DefinitionSet.of([FeatureService.from_dict(data)])
        return DefinitionSet.from_dict(data)
    except InvalidDefinitionError as error:
        line = find_line(text, str(error.facts.get("where", "")))
        raise InvalidDefinitionError(error.message, hint=error.hint, **{**error.facts, "line": line}) from error


def write_definitions(definitions: DefinitionSet) -> str:
    """Write definitions as YAML; `parse_definitions` reads exactly these from it."""
    return write_yaml(definitions.to_dict())


def _read(text: str, ending: str) -> Any:
    try:
        return read_json(text) if ending == ".json" else read_yaml(text)
    except InvalidSchemaError as error:
        cause = error.__cause__
        mark = getattr(cause, "problem_mark", None)
        line = mark.line + 1 if mark is not None else getattr(cause, "lineno", None)
        message = error.message.replace("that a schema may use", "that a file of definitions may use")
        raise InvalidDefinitionError(message, hint=error.hint, line=line) from error
    except FoldstoreError:
        raise
