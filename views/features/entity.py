"""Entities: the things that features are about, and the columns that name one."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from foldstore.errors import UsageError, did_you_mean
from foldstore.names import check_name
from foldstore.views.features.about import MEMBERS, about_to_dict, check_about

KEY_TYPES: Final = (
    "string",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
    "binary",
    "date32",
)


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that features are about: a carrier, a driver, a route.

    Parameters
    ----------
    name : str
        In the grammar of names.
    keys : mapping of str to str
        The columns that together name one, and their types; floats are no keys. A null never matches.
    description, owner : str, optional
        What it is, and whose.
    tags : sequence of str
        What it is found by.

    Raises
    ------
    InvalidNameError
        When the name is outside the grammar.
    UsageError
        When there is no key, or a type that cannot be one.

    Examples
    --------
    >>> Entity("carrier", keys={"carrier": "string"}).join_keys
    ('carrier',)
    """

    name: str
    keys: Mapping[str, str] = field(hash=False)
    _: KW_ONLY
    description: str = ""
    owner: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "entity")
        if not isinstance(self.keys, Mapping) or not self.keys:
            raise UsageError(f"Entity {self.name!r} has no keys.", hint='Give them as keys={"carrier": "string"}.')
        for column, kind in self.keys.items():
            check_column(column, f"entity {self.name!r}")
            if kind not in KEY_TYPES:
                raise UsageError(
                    f"Key {column!r} of entity {self.name!r} cannot be {kind!r}.",
                    hint=did_you_mean(str(kind), KEY_TYPES, limit=len(KEY_TYPES)),
                    column=column,
                )
        object.__setattr__(self, "keys", MappingProxyType(dict(self.keys)))
        object.__setattr__(self, "tags", check_about(self, f"entity {self.name!r}"))

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The columns that name one, in order."""
        return tuple(self.keys)

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain data; keys are a list, for their order matters."""
        keys = [[column, kind] for column, kind in self.keys.items()]
        return {"name": self.name, "keys": keys, **about_to_dict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Entity":
        """Read what `to_dict` wrote; every part is checked as if it were typed anew."""
        try:
            name, pairs = data["name"], list(data["keys"])
            keys = dict(pairs) if all(isinstance(pair, list | tuple) for pair in pairs) else None
        except (KeyError, TypeError, ValueError) as error:
            raise not_a_definition("entity", error) from None
        if keys is None:
            raise not_a_definition("entity", TypeError())
        return cls(name, keys=keys, **{member: data[member] for member in MEMBERS if member in data})


def check_column(name: object, where: str) -> str:
    """Return the name of a column when it can be one: 1 to 255 printable characters."""
    if not isinstance(name, str) or not 1 <= len(name) <= 255 or not name.isprintable():
        raise UsageError(
            f"{ascii(name)[:80]} in {where} is not the name of a column.", hint="Give the column's name as text."
        )
    return name


def not_a_definition(kind: str, error: Exception) -> UsageError:
    """Build the error for plain data that does not describe what it should."""
    article = "an" if kind[0] in "aeiou" else "a"
    why = f"it has no {error.args[0]!a}" if isinstance(error, KeyError) and error.args else "a part is of another kind"
    return UsageError(
        f"This is not the definition of {article} {kind}: {why}.",
        hint="Write it as `foldstore features show` prints one.",
        kind=kind,
    )
