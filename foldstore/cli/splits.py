"""The verbs that share rows out: split, folds."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli.output import Format, FormatOption, StoreOption, print_json, print_rows, printable, say, told
from foldstore.errors import SplitWarning, UsageError
from foldstore.names import parse_address

if TYPE_CHECKING:
    from foldstore.folds import Folds
    from foldstore.split import Split
    from foldstore.split_report import SplitReport
    from foldstore.store import Store

_HERE = "."

Name = Annotated[str | None, typer.Argument(help="The new name; without one, what there is is reported.")]
Where = Annotated[str | None, typer.Option(help="Share out only the rows that meet this SQL condition.")]
GroupBy = Annotated[
    list[str] | None,
    typer.Option(help="Columns, by commas: rows that agree in all stay together. Twice: that agree in either."),
]
Stratify = Annotated[str, typer.Option(help="Columns, by commas, whose values are spread evenly.")]
Duplicates = Annotated[str, typer.Option(help="Columns, by commas: rows that agree in all of these stay together.")]
NearDuplicates = Annotated[str, typer.Option(help="Columns, by commas: rows that are alike in these stay together.")]
Similarity = Annotated[float, typer.Option(help="How alike near duplicates are: 0.5 to 1.")]
Key = Annotated[str, typer.Option(help="Columns, by commas, that tell rows apart; the dataset's key unless given.")]
Seed = Annotated[int, typer.Option(help="Another seed is another split.")]
ByColumn = Annotated[str | None, typer.Option(help="The column that says where a row belongs.")]
Values = Annotated[list[str] | None, typer.Option(help="What its values mean: train=tr,extra; repeatable.")]
ByTime = Annotated[str | None, typer.Option(help="The column of times to share out by.")]
Purge = Annotated[str, typer.Option(help="Leave out rows this long before what is held out: 7d, 12h.")]
Embargo = Annotated[str, typer.Option(help="Leave out rows this long after what is held out.")]
Column = Annotated[
    list[str] | None, typer.Option(help="A column whose distributions are compared; repeatable; all when reporting.")
]
Label = Annotated[str | None, typer.Option(help="The column that is predicted.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(split)
    app.command()(folds)


def split(
    address: Annotated[
        str, typer.Argument(help="What to split: flights@13, or a part (f@13#a.train); or a split to report (f@13#a).")
    ],
    name: Name = None,
    store: StoreOption = _HERE,
    where: Where = None,
    train: Annotated[float | None, typer.Option(help="Share of rows.")] = None,
    validation: Annotated[float | None, typer.Option(help="Share of rows.")] = None,
    test: Annotated[float | None, typer.Option(help="Share of rows.")] = None,
    group_by: GroupBy = None,
    stratify: Stratify = "",
    duplicates: Duplicates = "",
    near_duplicates: NearDuplicates = "",
    similarity: Similarity = 0.8,
    key: Key = "",
    seed: Seed = 0,
    by_column: ByColumn = None,
    values: Values = None,
    by_time: ByTime = None,
    boundary: Annotated[
        list[str] | None, typer.Option(help="With --by-time: where parts begin; one or two, the earlier first.")
    ] = None,
    purge: Purge = "0",
    embargo: Embargo = "0",
    suggest: Annotated[bool, typer.Option("--suggest", help="Look at the data, suggest a split, make none.")] = False,
    label: Label = None,
    column: Column = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Share rows out to train, validation and test, for good, or report on a split, or suggest one.

    Examples:

    foldstore split flights@13 by_month --by-time departs --boundary 2013-10-01 --boundary 2013-11-01

    foldstore split flights@13 by_tail --group-by tailnum --stratify late --train 0.7 --validation 0.15 --test 0.15

    foldstore split flights@13 official --by-column fold --values train=tr,extra --values test=te

    foldstore split flights@13#by_tail --label late

    foldstore split flights@13 --suggest --label late
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if suggest:
            _suggest(opened, address, label, output)
            return
        if name is None:
            _report(opened, address, label, column, output)
            return
        how = _keeping(group_by, stratify, duplicates, near_duplicates, similarity, key, seed)
        how |= {"train": train, "validation": validation, "test": test}
        how |= _deciding(by_column, values, by_time, purge, embargo)
        if by_time is not None or boundary:
            how["boundaries"] = boundary or []
        with told(SplitWarning):
            found = opened.split_view(_source(opened, address), [where] if where else [], name, _given(how))
        say(f"Made {found!r}: no row will ever move.")
        _print_split(found.report(columns=column or [], label=label), output)


def folds(
    address: Annotated[
        str,
        typer.Argument(help="What to share out: flights@13, or a part (f@13#a.train); or folds to report (f@13#cv)."),
    ],
    name: Name = None,
    store: StoreOption = _HERE,
    k: Annotated[int | None, typer.Option("-k", help="How many folds; 5 unless given.")] = None,
    inner: Annotated[int, typer.Option(help="Inner folds for each, for nested cross-validation.")] = 0,
    where: Where = None,
    group_by: GroupBy = None,
    stratify: Stratify = "",
    duplicates: Duplicates = "",
    near_duplicates: NearDuplicates = "",
    similarity: Similarity = 0.8,
    key: Key = "",
    seed: Seed = 0,
    by_column: ByColumn = None,
    values: Values = None,
    by_time: ByTime = None,
    boundary: Annotated[
        list[str] | None, typer.Option(help="With --by-time: where folds begin; quantiles of the times unless given.")
    ] = None,
    purge: Purge = "0",
    embargo: Embargo = "0",
    past_only: Annotated[
        bool, typer.Option("--past-only", help="With --by-time: train on what lies before a fold alone.")
    ] = False,
    label: Label = None,
    column: Column = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Share rows out to k folds, each of which is held out once, for good, or report on folds.

    Fold 3 of cv has the parts flights@13#cv-3.train and flights@13#cv-3.validation; with --inner 4, fold 3 is held out
    as .test, and flights@13#cv-3-1.train and .validation share out the rest.

    Examples:

    foldstore folds flights@13 cv -k 5 --group-by tailnum --stratify late

    foldstore folds flights@13 walk -k 4 --by-time departs --past-only --purge 1d

    foldstore folds flights@13 nested -k 5 --inner 4

    foldstore folds flights@13#cv --label late
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        if name is None:
            _report(opened, address, label, column, output)
            return
        how = _keeping(group_by, stratify, duplicates, near_duplicates, similarity, key, seed)
        how |= {"k": k, "inner": inner, "past_only": past_only, "boundaries": boundary}
        how |= _deciding(by_column, values, by_time, purge, embargo)
        with told(SplitWarning):
            found = opened.fold_view(_source(opened, address), [where] if where else [], name, _given(how))
        say(f"Made {found!r}: no row will ever move.")
        _print_folds(found, label, column, output)


def _keeping(
    group_by: list[str] | None,
    stratify: str,
    duplicates: str,
    near_duplicates: str,
    similarity: float,
    key: str,
    seed: int,
) -> dict[str, Any]:
    """Return what stays together, and what is spread evenly."""
    lists = [_names(each or " ") for each in group_by or []]
    return {
        "group_by": lists[0] if len(lists) == 1 else lists,
        "stratify": _names(stratify),
        "duplicates": _names(duplicates),
        "near_duplicates": _names(near_duplicates),
        "similarity": similarity,
        "key": _names(key),
        "seed": seed,
    }


def _deciding(
    by_column: str | None, values: list[str] | None, by_time: str | None, purge: str, embargo: str
) -> dict[str, Any]:
    """Return what decides where rows belong, if not their hashes."""
    meant: dict[str, list[str]] = {}
    for text in values or []:
        part, equals, listed = text.partition("=")
        if not equals or not part:
            raise UsageError(f"--values {text!r} does not say what means what.", hint="Write --values train=tr,extra.")
        meant.setdefault(part.strip(), []).extend(_names(listed))
    how = {"by_column": by_column, "values": meant or None, "by_time": by_time}
    return how | {"purge": purge if purge != "0" else None, "embargo": embargo if embargo != "0" else None}


def _names(text: str) -> list[str]:
    """Return the names in a list by commas.

    Raises
    ------
    UsageError
        When something is given, and it names nothing: what is made is made for good.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    if text and not names:
        raise UsageError(f"{text!r} names nothing.", hint="Write names with commas between them: tailnum,origin.")
    return names


def _given(how: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not said: what is missing has its default, and the dataset's key."""
    nothing: tuple[object, ...] = (None, [], 0, False)
    shares = ("train", "validation", "test")
    return {
        role: value
        for role, value in how.items()
        if value not in nothing
        or (role in shares and value is not None)
        or (role == "boundaries" and value is not None)
    }


def _source(opened: "Store", address: str) -> str:
    """Return the id of the version, or of the part, whose rows are shared out."""
    parsed = parse_address(address)
    if parsed.split is None:
        if opened.saved_views.has(parsed.name):
            reads = ", ".join(dict.fromkeys(each.source.address for each in opened.view(address).sources()))
            raise UsageError(
                f"{parsed.name!r} is a saved view: a split belongs to the dataset whose rows it shares out.",
                hint=f"Name what the view reads ({reads}), and its conditions with --where.",
            )
        return opened.version(address).version_id
    if parsed.part is None:
        raise UsageError(
            f"{address!r} is a split already.", hint=f"Share out a version, or a part of it: {address}.train."
        )
    whole = address.rpartition(".")[0] if parsed.split in address else f"{address.partition('#')[0]}#{parsed.split}"
    return str(opened.split(whole).part(parsed.part).version_id)


def _suggest(opened: "Store", address: str, label: str | None, output: Format) -> None:
    suggestion = opened.version(address).suggest_split(label)
    if output in (Format.JSON, Format.JSONL):
        print_json(suggestion.to_dict())
    else:
        typer.echo(printable(str(suggestion)))


def _report(opened: "Store", address: str, label: str | None, column: list[str] | None, output: Format) -> None:
    from foldstore.folds import Folds

    if parse_address(address).part is not None:
        raise UsageError(
            f"{address!r} is a part: there is no report of it alone.",
            hint="Give a name to share it out, or the address of its split for a report.",
        )
    found = opened.split(address)
    if isinstance(found, Folds):
        _print_folds(found, label, column, output)
    else:
        reported: Split = found
        _print_split(reported.report(columns=column, label=label), output)


def _print_split(report: "SplitReport", output: Format) -> None:
    if output in (Format.JSON, Format.JSONL):
        print_json(json.loads(json.dumps(report.to_dict(), default=str)))
        return
    times = report.times or {}
    rows = [
        (part, rows, report.shares.get(part), *times.get(part, (None, None))) for part, rows in report.sizes.items()
    ]
    print_rows(["part", "rows", "share", "first", "last"], rows, output)
    for name, parts in report.columns.items():
        summaries = [(part, each.nulls, each.mean, each.difference) for part, each in parts.items()]
        print_rows([f"{name} in", "nulls", "mean", "difference from train"], summaries, output)
    if output is Format.TABLE:
        _, _, answers = str(report).partition("Do they")
        typer.echo(printable(f"Do they{answers}"))


def _print_folds(found: "Folds", label: str | None, column: Sequence[str] | None, output: Format) -> None:
    report = found.report(columns=column or (), label=label)
    if output in (Format.JSON, Format.JSONL):
        print_json(json.loads(json.dumps(report.to_dict(), default=str)))
        return
    times = report.times or {}
    rows = [
        (fold, rows, report.shares.get(fold), *times.get(fold, (None, None))) for fold, rows in report.sizes.items()
    ]
    print_rows(["fold", "rows", "share", "first", "last"], rows, output)
    for name, parts in report.columns.items():
        summaries = [(fold, each.nulls, each.mean, each.difference) for fold, each in parts.items()]
        print_rows([f"{name} in fold", "nulls", "mean", "difference from all"], summaries, output)
    if output is Format.TABLE:
        for what, count in (
            ("Groups", report.groups_in_several_folds),
            ("Duplicates", report.duplicates_in_several_folds),
        ):
            if count is not None:
                typer.echo(f"{what} in several folds: {count:,}")
        if report.unknown_values:
            typer.echo(printable(f"Values that mean no fold: {dict(report.unknown_values)}"))
        for stratum in report.short_strata[:10]:
            typer.echo(printable(f"Stratum {', '.join(stratum.values)}: none in fold {', '.join(stratum.missing)}"))
