"""What splits and folds have in common: whose rows are shared out, what stays together, what is spread evenly."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar, Final, TypeAlias, cast

from foldstore.errors import UsageError
from foldstore.names import check_name, check_split_name
from foldstore.views.instant import format_duration, format_instant, parse_duration, parse_instant

UNASSIGNED: Final = 0
NEAR: Final = "near/v1"
TIES: Final = "ties/v1"

Instant: TypeAlias = str | dt.datetime | dt.date
Columns: TypeAlias = Sequence[str]
Values: TypeAlias = Mapping[str, Any] | Sequence[tuple[str, Sequence[str]]]

_LEAST_SIMILARITY: Final = 0.5
_HASH_RANGE: Final = 2**64


@dataclass(frozen=True, slots=True)
class Sharing:
    """How rows are shared out, but for the parts; `SplitSpec` and `FoldSpec` are the two kinds.

    Parameters
    ----------
    name : str
        The name; it belongs to the dataset.
    dataset : str
        The dataset's name.
    key : sequence of str
        The columns that tell rows apart.
    group_by : sequence of str, or sequence of sequences of str
        Rows that agree in all of these columns stay together. With several lists, rows that agree in any of them do.
        A null makes a row a group of its own, found by `key`.
    stratify : str or sequence of str, optional
        Columns whose values are spread evenly: exactly for single rows, as nearly as whole groups allow else.
    duplicates : sequence of str
        Rows that agree in all of these (the features) stay together.
    near_duplicates : sequence of str
        Rows that are alike in these columns stay together: by the character trigrams of texts, and other values as
        they are.
    similarity : float
        How alike: the Jaccard similarity of two rows' tokens, from 0.5 to 1.
    by_column : str, optional
        The column that says where a row belongs.
    values : mapping, optional
        What its values mean: ``{"train": ["tr", "extra"], "test": ["te"]}``.
    by_time : str, optional
        The column of times to share out by.
    purge, embargo : str or timedelta
        How long before and after what is held out rows are left out.
    seed : int
        Another seed is another split.
    """

    name: str
    _: KW_ONLY
    dataset: str
    key: Columns = ()
    group_by: Columns | Sequence[Columns] = ()
    stratify: str | Columns | None = None
    duplicates: Columns = ()
    near_duplicates: Columns = ()
    similarity: float = 0.8
    by_column: str | None = None
    values: Values | None = None
    by_time: str | None = None
    purge: str | dt.timedelta = "0"
    embargo: str | dt.timedelta = "0"
    seed: int = 0

    # What it is called in messages.
    KIND: ClassVar[str] = "A split"
    # Whether a part is made of each value of a column when ``values=`` does not say what they mean.
    MAKES_PARTS: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_split_name(self.name)
        check_name(self.dataset)
        object.__setattr__(self, "group_by", check_groups(self.group_by))
        for role in ("key", "duplicates", "near_duplicates"):
            object.__setattr__(self, role, check_columns(getattr(self, role), role))
        object.__setattr__(self, "stratify", _strata(self.stratify))
        for role in ("by_column", "by_time"):
            if getattr(self, role) is not None:
                check_column(getattr(self, role), role)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < _HASH_RANGE:
            raise UsageError(f"{self.seed!r} is not a seed.", hint="Give a whole number from 0 to 2**64 - 1.")
        object.__setattr__(self, "similarity", _similarity(self.similarity))
        object.__setattr__(self, "values", check_values(self.values, self.by_column))
        for role in ("purge", "embargo"):
            object.__setattr__(self, role, format_duration(parse_duration(getattr(self, role))))
        self.check_kind()

    def check_kind(self) -> None:
        """Check what belongs to one kind of sharing alone, and bring it into its form.

        Raises
        ------
        UsageError
            When parts contradict each other.
        """
        if self.by_column is not None:
            self.refuse_others("by_time", "purge", "embargo", *_PLACING)
        elif self.by_time is not None:
            self.refuse_others(*_PLACING)
        else:
            self._check_hashed()

    def refuse_others(self, *roles: str) -> None:
        """Refuse what a column or times leave no room for.

        Raises
        ------
        UsageError
            When one of these is given.
        """
        extra = [role for role in roles if getattr(self, role) not in (None, (), "0")]
        if extra:
            kind, decide = (
                ("column", "its values say") if self.by_column is not None else ("time", "the boundaries say")
            )
            raise UsageError(
                f"{self.KIND} by {kind} takes no {extra[0]}: {decide} it all.",
                hint="Groups and duplicates that lie in several parts are counted by its report.",
            )

    def _check_hashed(self) -> None:
        if parse_duration(self.purge) or parse_duration(self.embargo):
            raise UsageError("Purge and embargo belong to a split by time.", hint="Give by_time=.")
        if not (self.key or self.group_by or self.duplicates):
            # Whoever has no key but texts tells rows apart by them: equal texts are alike in any case.
            object.__setattr__(self, "duplicates", self.near_duplicates)
        if not (self.key or self.group_by or self.duplicates):
            raise UsageError("A split needs to tell rows apart.", hint="Give key=, the dataset's key, or group_by=.")

    @property
    def salt(self) -> str:
        """What is hashed behind each key."""
        return f"{self.dataset}/{self.name}/{self.seed}"

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts: the first has code 1."""
        raise NotImplementedError

    @property
    def part_shares(self) -> tuple[Fraction, ...]:
        """The share of each part; all 0 where a column or times decide."""
        raise NotImplementedError

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The lists of columns that make groups: none, one, or several."""
        if not self.group_by:
            return ()
        lists = (self.group_by,) if isinstance(self.group_by[0], str) else self.group_by
        return cast("tuple[tuple[str, ...], ...]", lists)

    @property
    def meanings(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The names of parts with the values of the column that mean them; none unless they are given."""
        return cast("tuple[tuple[str, tuple[str, ...]], ...]", self.values or ())

    @property
    def strata(self) -> tuple[str, ...]:
        """The columns to stratify by."""
        if self.stratify is None:
            return ()
        return (self.stratify,) if isinstance(self.stratify, str) else tuple(self.stratify)

    @property
    def is_hashed(self) -> bool:
        """Whether neither a column nor times decide."""
        return self.by_column is None and self.by_time is None

    @property
    def is_tied(self) -> bool:
        """Whether rows hang together by more than one thing, and are placed by `ties/v1`."""
        return len(self.groups) > 1 or bool(self.near_duplicates)

    @property
    def is_fitted(self) -> bool:
        """Whether places depend on the rows that were there first, and are remembered."""
        return bool(self.strata) or bool(self.group_by and self.duplicates) or self.is_tied

    def columns(self) -> list[str]:
        """Return the columns that are read."""
        single = [column for column in (self.by_time, self.by_column) if column is not None]
        grouping = [column for group in self.groups for column in group]
        named = [*self.key, *grouping, *self.duplicates, *self.near_duplicates, *self.strata, *single]
        return list(dict.fromkeys(named))

    def to_dict(self) -> dict[str, Any]:
        """Return the specification as plain data, the same for the same split."""
        raise NotImplementedError

    def _plain(self) -> dict[str, Any]:
        """Return the fields as plain data; those that came later are left out at their defaults."""
        plain: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "_" or (field.name in _LATER and value == _LATER[field.name]):
                continue
            plain[field.name] = as_plain(value)
        if self.near_duplicates:
            plain["near"] = NEAR
        else:
            plain.pop("similarity", None)
        if self.is_tied:
            plain["ties"] = TIES
        if self.values:
            plain["values"] = {name: list(values) for name, values in self.meanings}
        return plain

    @property
    def hash(self) -> str:
        """The identity of the specification: BLAKE3 of its canonical JSON."""
        from blake3 import blake3

        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return blake3(text.encode()).hexdigest()


_PLACING: Final = ("stratify", "group_by", "duplicates", "near_duplicates")
_LATER: Final[Mapping[str, Any]] = {"near_duplicates": (), "similarity": 0.8, "by_column": None, "values": None}


def drop_algorithms(given: dict[str, Any]) -> None:
    """Take the ids of algorithms out of a specification that was written; newer ones are refused.

    Raises
    ------
    UsageError
        When one is not known.
    """
    for role, known in (("near", NEAR), ("ties", TIES)):
        found = given.pop(role, known)
        if found != known:
            raise UsageError(f"The algorithm {ascii(found)[:40]} is not known.", hint="Use a newer Foldstore.")


def as_plain(value: Any) -> Any:
    """Return a field as JSON's kinds."""
    if isinstance(value, Fraction):
        return str(value)
    return [as_plain(item) for item in value] if isinstance(value, tuple) else value


def check_columns(columns: Any, role: str) -> tuple[str, ...]:
    """Return a list of columns as a tuple."""
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        shown = f'["{columns}"]' if isinstance(columns, str) and columns.isidentifier() else '["a"]'
        raise UsageError(f"{role}= takes a list of columns.", hint=f"Write {role}={shown}.")
    named = tuple(columns)
    if not all(isinstance(name, str) and name for name in named) or len(set(named)) != len(named):
        raise UsageError(f"{role}= names a column twice, or something that is none.", hint="Name each once, as text.")
    return named


def check_instants(boundaries: Any) -> list[int]:
    """Return boundaries as nanoseconds.

    Raises
    ------
    UsageError
        When one is not an instant.
    """
    if isinstance(boundaries, str | bytes) or not isinstance(boundaries, Sequence):
        raise UsageError(
            f"boundaries= takes a list of instants, not {ascii(boundaries)[:40]}.",
            hint='Write boundaries=["2013-10-01"].',
        )
    return [_instant(boundary) for boundary in boundaries]


def format_instants(instants: Sequence[int]) -> tuple[str, ...]:
    """Write boundaries as text."""
    return tuple(format_instant(instant) for instant in instants)


def _instant(value: Any) -> int:
    if isinstance(value, str | dt.date):  # a datetime is a date
        return parse_instant(value)
    raise UsageError(
        f"{ascii(value)[:40]} is not an instant: a plain number does not say its unit.",
        hint='Write "2013-10-01" or "2013-10-01T00:00:00Z", or give a datetime.',
    )


def check_column(name: Any, role: str) -> None:
    """Refuse what is no name of a column; None is none.

    Raises
    ------
    UsageError
        When it is something else.
    """
    if name is not None and not (isinstance(name, str) and name):
        raise UsageError(f"{role}={ascii(name)[:40]} is not the name of a column.", hint=f'Write {role}="a".')


def check_groups(given: Any) -> tuple[Any, ...]:
    """Return columns of groups, one list or several, as tuples.

    Raises
    ------
    UsageError
        When they are neither.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        return check_columns(given, "group_by")
    if not given or all(isinstance(each, str) for each in given):
        return check_columns(given, "group_by")
    if any(isinstance(each, str) for each in given):
        raise UsageError(
            "group_by= mixes columns and lists of columns.",
            hint='Write group_by=["a", "b"] for groups by both together, group_by=[["a"], ["b"]] for groups by either.',
        )
    lists = tuple(check_columns(each, "group_by") for each in given)
    if not all(lists) or len(set(lists)) != len(lists):
        raise UsageError("group_by= holds an empty list, or a list twice.", hint="Name the columns of each list once.")
    return lists[0] if len(lists) == 1 else lists


def _strata(given: Any) -> str | tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return check_columns([given], "stratify")[0]
    named = check_columns(given, "stratify")
    return named[0] if len(named) == 1 else (named or None)


def _similarity(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not _LEAST_SIMILARITY <= given <= 1:
        raise UsageError(
            f"{ascii(given)[:40]} is not a similarity.",
            hint=f"Give a number from {_LEAST_SIMILARITY} to 1: below, rows that have little in common would be tied.",
        )
    return float(given)


def check_values(given: Any, column: str | None) -> tuple[tuple[str, tuple[str, ...]], ...] | None:
    """Return what the values of a column mean as pairs of a name and texts.

    Raises
    ------
    UsageError
        When a value has two meanings, or there is no column.
    """
    if given is None:
        return None
    if column is None:
        raise UsageError("values= says what the values of a column mean.", hint='Give by_column="fold_name", too.')
    if not isinstance(given, Mapping | Sequence) or isinstance(given, str):
        raise UsageError(
            "values= is not a mapping of parts to values.", hint='Write values={"train": ["tr"], "test": ["te"]}.'
        )
    pairs = given.items() if isinstance(given, Mapping) else given
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
        raise UsageError(
            "values= does not say which values mean which part.",
            hint='Write values={"train": ["tr"], "test": ["te"]}.',
        )
    meanings = tuple((name, _texts(values)) for name, values in pairs)
    every = [text for _, texts in meanings for text in texts]
    twice = next((text for place, text in enumerate(every) if text in every[:place]), None)
    if twice is not None:
        raise UsageError(f"values= names {twice!r} twice.", hint="A row is in one part only.")
    if not every:
        raise UsageError("values= names no value.", hint='Write values={"train": ["tr"], "test": ["te"]}.')
    return meanings


def _texts(values: Any) -> tuple[str, ...]:
    items = [values] if isinstance(values, str | int) or not isinstance(values, Sequence) else list(values)
    return tuple(_text(item) for item in items)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise UsageError(
        f"{ascii(value)[:40]} is not a value of a column of parts.", hint="Texts, whole numbers and booleans are."
    )
