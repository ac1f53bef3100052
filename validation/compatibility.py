"""Whether a schema may follow another: what the older one promised, by environment."""

from foldstore.errors import InvalidSchemaError
from foldstore.validation.dataset_rules import Compatibility
from foldstore.validation.evolution import Change, Compat
from foldstore.validation.schema import DataSchema


def find_breaks(
    old: DataSchema, new: DataSchema, mode: Compatibility, *, environment: str | None = None
) -> list[Change]:
    """Return the changes that break a promise.

    Parameters
    ----------
    old, new : DataSchema
    mode : Compatibility
        `backward`: data that the old schema accepts, the new one accepts; `forward`: the other way round.
    environment : str, optional
        Only what this environment asks.

    Examples
    --------
    >>> from foldstore.validation.column_schema import ColumnSchema
    >>> old = DataSchema(columns={"x": ColumnSchema(type="int32")})
    >>> new = old.with_column("x", type="int64")
    >>> find_breaks(old, new, Compatibility.BACKWARD)
    []
    >>> [each.path for each in find_breaks(old, new, Compatibility.FORWARD)]
    ['columns.x.type']
    """
    before, after = (each.for_environment(environment) for each in (old, new))
    changes: list[Change] = []
    if mode in (Compatibility.BACKWARD, Compatibility.FULL):
        changes += before.diff(after)
    if mode in (Compatibility.FORWARD, Compatibility.FULL):
        changes += after.diff(before)
    return [each for each in changes if each.compat is Compat.MAJOR]


def check_compatible(old: DataSchema, new: DataSchema) -> None:
    """Refuse a schema that breaks what the one before promised.

    Raises
    ------
    InvalidSchemaError
        With code ``schema-incompatible``, the environment and the first change that breaks it.
    """
    for name, mode in old.compatibility.items():
        environment = None if name == "all" else name
        if environment is not None and environment not in new.environments:
            broken = [f"environments: {environment} is gone"]
        else:
            broken = [str(each) for each in find_breaks(old, new, mode, environment=environment)]
        if broken and mode is not Compatibility.NONE:
            more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
            raise InvalidSchemaError(
                f"This schema is not {mode} compatible for {name}: {broken[0]}{more}.",
                hint=f"Lower the promise first, in a schema of its own: compatibility: {{{name}: none}}.",
                code="schema-incompatible",
                environment=name,
                changes=broken,
            )
