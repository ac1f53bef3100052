"""Cleaning actions: what to do to which cells or rows, as plain data that a person reads, keeps and accepts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final

from foldstore.datastore.canonical import canonical_json, content_hash
from foldstore.errors import UsageError, did_you_mean

MOST_ROWS: Final = 100_000
MOST_VALUES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Operation:
    """What a kind of action takes.

    Attributes
    ----------
    means : str
        What it does, in a few words.
    params : mapping of str to callable
        Its parameters, and what says whether a value fits.
    required : tuple of str
        Those that must be given.
    cells : bool
        Whether it changes cells of a column; else it takes rows out.
    fitted : bool
        Whether it learns from rows: from those of the train part alone where a split is named.
    """

    means: str
    params: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    cells: bool = True
    fitted: bool = False


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) <= MOST_VALUES and all(map(_is_plain, value))


def _is_pairs(value: Any) -> bool:
    pairs = isinstance(value, list | tuple) and 0 < len(value) <= MOST_VALUES
    return pairs and all(isinstance(each, list | tuple) and len(each) == 2 and _is_plain_list(each) for each in value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and 0 < len(value) <= 100 and all(isinstance(each, str) for each in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _one_of(*known: Any) -> Callable[[Any], bool]:
    return lambda value: any(value is each or (isinstance(value, str) and value == each) for each in known)


def _is_limit(value: Any) -> bool:
    return _is_number(value) or isinstance(value, str)


def _is_quantiles(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_share, value)) and value[0] < value[1]


def _is_determinants(value: Any) -> bool:
    return isinstance(value, list | tuple) and 0 < len(value) <= 100 and all(map(_is_names, value))


OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "replace": Operation("put values in the place of others", {"mapping": _is_pairs}, ("mapping",)),
        "set_null": Operation("make cells null", {"values": _is_plain_list, "nan": _is_bool}),
        "set_values": Operation("give rows their values", {"values": _is_plain_list}, ("values",)),
        "normalise": Operation(
            "write texts in one form",
            {
                "form": _one_of("NFC", "NFKC", None),
                "trim": _is_bool,
                "spaces": _is_bool,
                "case": _one_of("lower", "upper", None),
            },
        ),
        "fix_mojibake": Operation("undo UTF-8 that was read as another encoding", {"encodings": _is_names}),
        "clip": Operation("move values beyond limits to them", {"low": _is_limit, "high": _is_limit}),
        "winsorize": Operation(
            "move values beyond two quantiles to them", {"quantiles": _is_quantiles}, ("quantiles",), fitted=True
        ),
        "impute": Operation(
            "fill nulls",
            {"method": _one_of("const", "mean", "median", "mode"), "value": _is_plain, "nan": _is_bool},
            ("method",),
            fitted=True,
        ),
        "repair_dependency": Operation(
            "give cells the value of the majority with the same determinants",
            {
                "determinants": _is_determinants,
                "min_support": _is_count,
                "min_confidence": _is_share,
                "fill_nulls": _is_bool,
            },
            ("determinants",),
            fitted=True,
        ),
        "cast": Operation(
            "turn text into another type", {"type": _is_text, "on_error": _one_of("refuse", "null")}, ("type",)
        ),
        "drop_rows": Operation("delete rows", cells=False),
        "quarantine_rows": Operation("move rows to another dataset", {"into": _is_text}, cells=False),
        "deduplicate": Operation(
            "keep one of rows that are the same", {"by": _is_names, "keep": _one_of("first", "last")}, cells=False
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningAction:
    """One thing to do: to a column's cells, or to rows.

    Attributes
    ----------
    op : str
        A key of `OPERATIONS`.
    column : str or None
        Whose cells change; None when rows are taken out.
    params : mapping
        What the operation takes.
    where : str or None
        An SQL condition; only rows for which it is true are touched.
    rows : tuple of int or None
        Only these rows are touched, by row id.
    code : str
        What was found, such as ``domain_near_miss``; ``manual`` when a person wrote the action.
    reason : str
        Why, for people.
    confidence : float
        How sure whoever proposed it is, from 0 to 1.
    evidence : mapping
        Counts and examples behind the proposal.
    anomaly : mapping or None
        The anomaly of a report that it answers: its code and column.

    Examples
    --------
    >>> CleaningAction(op="set_null", column="age", params={"values": [-999]}, reason="stands for nothing")
    <CleaningAction set_null age [-999]: stands for nothing>
    >>> CleaningAction(op="set_nul", column="age")
    Traceback (most recent call last):
    foldstore.errors.UsageError: There is no cleaning operation 'set_nul'...
    """

    op: str
    column: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    where: str | None = None
    rows: tuple[int, ...] | None = None
    code: str = "manual"
    reason: str = ""
    confidence: float = 1.0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    anomaly: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        operation = OPERATIONS.get(self.op)
        if operation is None:
            raise invalid_action(f"There is no cleaning operation {self.op!r}.", did_you_mean(self.op, OPERATIONS))
        for name in ("params", "evidence"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if self.rows is not None:
            object.__setattr__(self, "rows", _check_rows(self.rows))
        _check_place(self, operation)
        _check_params(self, operation)
        _check_meaning(self)

    def __repr__(self) -> str:
        return f"<CleaningAction {self}>"

    def __str__(self) -> str:
        where = "" if self.column is None else f" {self.column}"
        told = _brief(self)
        return f"{self.op}{where}{told}" + (f": {self.reason}" if self.reason else "")

    @property
    def operation(self) -> Operation:
        """What the kind of action takes."""
        return OPERATIONS[self.op]

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data; what says nothing is left out."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain |= {name: _plain(plain[name]) for name in ("params", "evidence", "anomaly", "rows")}
        return {name: value for name, value in plain.items() if value not in (None, "", {})}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "CleaningAction":
        """Read what `to_dict` gave.

        Raises
        ------
        UsageError
            With code ``invalid-action``.
        """
        if not isinstance(data, Mapping):
            raise invalid_action("An action is an object.", "Write {'op': 'set_null', 'column': 'age', ...}.")
        known = {each.name for each in fields(cls)}
        strange = [name for name in data if name not in known]
        if strange or "op" not in data:
            name = strange[0] if strange else "op"
            said = f"An action has no {name!r}." if strange else "An action has no op."
            raise invalid_action(said, did_you_mean(name, known))
        made = dict(data)
        for name, kind in (("params", Mapping), ("evidence", Mapping), ("anomaly", Mapping), ("rows", list | tuple)):
            if name in made and made[name] is not None and not isinstance(made[name], kind):
                raise invalid_action(f"{name} of an action is {type(made[name]).__name__!r}.", "See docs/formats.md.")
        for name in ("op", "code", "reason", "column", "where"):
            if name in made and not isinstance(made[name], str):
                raise invalid_action(f"{name} of an action is no text.", "See docs/formats.md.")
        if "confidence" in made and not _is_share(made["confidence"]):
            raise invalid_action("The confidence of an action lies from 0 to 1.", "Write 0.9.")
        return cls(**made)

    @property
    def id(self) -> str:
        """The identity of what the action does; reason, evidence and confidence are no part of it."""
        does = [self.op, self.column, _plain(self.params), self.where, _plain(self.rows)]
        return content_hash(canonical_json(does).encode())


def invalid_action(message: str, hint: str, **facts: Any) -> UsageError:
    """Build the error for an action that means nothing."""
    return UsageError(message, hint=hint, code="invalid-action", **facts)


def _check_rows(rows: Sequence[Any]) -> tuple[int, ...]:
    made = tuple(rows)
    whole = all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 2**64 for each in made)
    if not whole or len(made) > MOST_ROWS or len(set(made)) != len(made):
        raise invalid_action(
            f"rows of an action are different row ids, at most {MOST_ROWS:,}.",
            "See version.row_ids(), or write where=.",
        )
    return made


def _check_place(action: CleaningAction, operation: Operation) -> None:
    if operation.cells and action.column is None:
        raise invalid_action(f"{action.op} needs a column.", "Name it: column='age'.")
    if not operation.cells and action.column is not None:
        raise invalid_action(f"{action.op} takes whole rows out, and has no column.", "Say which rows: where='...'.")
    if action.op in ("drop_rows", "quarantine_rows") and action.where is None and action.rows is None:
        raise invalid_action(f"{action.op} needs rows.", "Write where='amount < 0', or rows=[...].")
    if action.op in ("cast", "deduplicate") and (action.where is not None or action.rows is not None):
        raise invalid_action(f"{action.op} is done to all rows.", "Leave where and rows out.")


def _check_params(action: CleaningAction, operation: Operation) -> None:
    for name, value in action.params.items():
        fits = operation.params.get(name)
        if fits is None:
            known = did_you_mean(name, operation.params) if operation.params else "It takes none."
            raise invalid_action(f"{action.op} has no parameter {name!r}.", known)
        if not fits(value):
            raise invalid_action(f"{name}={_short(value)} of {action.op} means nothing.", "See docs/formats.md.")
    missing = [name for name in operation.required if name not in action.params]
    if missing:
        raise invalid_action(f"{action.op} needs {missing[0]}.", f"Write params={{'{missing[0]}': ...}}.")


def _check_meaning(action: CleaningAction) -> None:
    params = action.params
    if action.op == "replace":
        sources = [before for before, _ in params["mapping"]]
        chained = {after for before, after in params["mapping"] if after != before} & set(sources)
        if len(set(sources)) != len(sources) or chained:
            raise invalid_action(
                "A mapping names a value twice, or replaces what it puts in.", "Map each value straight to the last."
            )
    if action.op == "set_null" and not params and action.where is None and action.rows is None:
        raise invalid_action("set_null needs values, nan, where or rows.", "Write params={'values': [-999]}.")
    if action.op == "set_values" and (action.rows is None or len(action.rows) != len(params["values"])):
        raise invalid_action("set_values needs a value for each of its rows.", "Give rows and params['values'] alike.")
    if action.op == "clip" and not params:
        raise invalid_action("clip needs low or high.", "Write params={'low': 0}.")
    if action.op == "impute" and (params["method"] == "const") != ("value" in params):
        raise invalid_action("impute takes a value with method 'const', and only then.", "Write method='median'.")
    if action.op == "repair_dependency" and any(action.column in each for each in params["determinants"]):
        raise invalid_action(f"{action.column!r} cannot determine itself.", "Name other columns.")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _brief(action: CleaningAction) -> str:
    params = action.params
    if action.op == "replace":
        return (
            " "
            + ", ".join(f"{_short(a)} -> {_short(b)}" for a, b in params["mapping"][:3])
            + (f" and {len(params['mapping']) - 3} more" if len(params["mapping"]) > 3 else "")
        )
    if action.op == "set_values":
        return f" in {len(action.rows or ()):,} rows"
    if action.op == "repair_dependency":
        return " by " + "; ".join(", ".join(each) for each in params["determinants"][:3])
    told = [_short(params["values"])] if "values" in params else []
    told += [f"{name}={_short(value)}" for name, value in params.items() if name != "values"]
    told += [f"where {action.where}"] if action.where is not None else []
    told += [f"in {len(action.rows):,} rows"] if action.rows is not None else []
    return (" " + ", ".join(told)) if told else ""
