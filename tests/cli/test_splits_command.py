"""The verbs split and folds as a person types them: every way to share rows out, reports, suggestions, refusals."""

import csv
import io
import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def made(folder, monkeypatch):
    """A store with a version of notes."""
    monkeypatch.setenv("FOLDSTORE_STORE", str(folder))
    numbers = range(600)
    with foldstore.connect(folder, author="tester") as store:
        notes = store.create_dataset("notes", key=["id"])
        notes.append(
            {
                "id": list(numbers),
                "who": [f"w{n % 90}" for n in numbers],
                "box": [n % 83 if n % 5 == 0 else None for n in numbers],
                "late": [n % 3 == 0 for n in numbers],
                "kind": [["tr", "extra", "te"][n % 3] for n in numbers],
                "text": [f"the note {n * 7919 % 997} of {n * 31 % 613} about {n // 2}" for n in numbers],
            }
        )
    return folder


def _open(made, name):
    with foldstore.connect(made) as store:
        found = store.split(f"notes@1#{name}")
        return found.spec, found.codes().tolist()


def _sizes(text, what="part"):
    lines = text.splitlines()
    end = next(place for place, line in enumerate(lines) if line.startswith("unassigned"))
    return {row[what]: int(row["rows"]) for row in csv.DictReader(io.StringIO("\n".join(lines[: end + 1])))}


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (["--train", "0.7", "--test", "0.3"], {"train": 0.7, "test": 0.3}),
        (["--group-by", "who", "--stratify", "late,kind"], {"group_by": ["who"], "stratify": ["late", "kind"]}),
        (["--group-by", "who", "--group-by", "box,late"], {"group_by": [["who"], ["box", "late"]]}),
        (["--duplicates", "who, late", "--seed", "3"], {"duplicates": ["who", "late"], "seed": 3}),
        (["--near-duplicates", "text", "--similarity", "0.9"], {"near_duplicates": ["text"], "similarity": 0.9}),
        (["--by-column", "kind", "--values", "train=tr,extra", "--values", "test=te"],
         {"by_column": "kind", "values": {"train": ["tr", "extra"], "test": ["te"]}}),
        (["--key", "who"], {"key": ["who"]}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::foldstore.SplitWarning")
def test_a_split_is_what_the_sdk_would_make(command, made, words, how):
    code, out, err = command("split", "notes@1", "typed", *words, "-o", "csv")
    assert code == 0, err
    assert "Made <Split notes@1#typed: " in err
    spec, codes = _open(made, "typed")
    with foldstore.connect(made) as store:
        version = store.version("notes@1")
        assert spec.to_dict() | {"name": ""} == version.split("called", **how).spec.to_dict() | {"name": ""}
    assert _sizes(out) == {
        part: codes.count(code) for code, part in enumerate(["unassigned", "train", "validation", "test"])
    }


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ([], {}),
        (["-k", "3", "--inner", "2", "--group-by", "who", "--stratify", "late"],
         {"k": 3, "inner": 2, "group_by": ["who"], "stratify": "late"}),
        (["--by-column", "kind"], {"by_column": "kind"}),
    ],
)  # fmt: skip
def test_folds_are_what_the_sdk_would_make(command, made, words, how):
    code, out, err = command("folds", "notes@1", "typed", *words, "-o", "csv")
    assert code == 0, err
    assert "Made <Folds notes@1#typed: " in err
    spec, codes = _open(made, "typed")
    with foldstore.connect(made) as store:
        called = store.version("notes@1").folds("called", **how)
        assert spec.to_dict() | {"name": ""} == called.spec.to_dict() | {"name": ""}
    expected = {name: codes.count(code) for code, name in enumerate(spec.parts, start=1)}
    assert _sizes(out, "fold") == expected | {"unassigned": codes.count(0)}


def test_folds_by_time_and_splits_by_time_take_a_purge(command, folder, monkeypatch):
    import datetime as dt

    monkeypatch.setenv("FOLDSTORE_STORE", str(folder))
    times = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=n) for n in range(240)]
    with foldstore.connect(folder) as store:
        store.create_dataset("t", event_time="at").append({"at": times})
    assert command("split", "t@1", "s", "--by-time", "at", "--boundary", "2026-01-06", "--purge", "12h")[0] == 0
    assert command("folds", "t@1", "walk", "-k", 3, "--by-time", "at", "--past-only", "--embargo", "1h")[0] == 0
    with foldstore.connect(folder) as store:
        assert (store.split("t@1#s").spec.purge, store.split("t@1#walk").spec.embargo) == ("12h", "1h")
        assert store.split("t@1#walk-1").train.num_rows == 60


def test_a_part_is_shared_out_alone(command, made):
    command("split", "notes@1", "outer", "--train", "0.5", "--test", "0.5")
    assert command("split", "notes@1#outer.train", "inner", "--train", "0.5", "--validation", "0.5")[0] == 0
    assert command("folds", "notes@1#outer.test", "cv", "-k", "2", "--where", "late")[0] == 0
    with foldstore.connect(made) as store:
        outer, inner = store.split("notes@1#outer"), store.split("notes@1#inner")
        assert inner.train.num_rows + inner.validation.num_rows == outer.train.num_rows
        assert (
            sum(fold.validation.num_rows for fold in store.split("notes@1#cv"))
            == store.view("notes@1#outer.test").where("late").count()
        )


def test_a_report_answers_four_questions_and_is_plain_data(command, made):
    command("split", "notes@1", "s", "--stratify", "late")
    code, out, _ = command("split", "notes@1#s", "--label", "late")
    assert code == 0
    for question in ("part ", "Do they come from one distribution?", "Do they share", "What can the"):
        assert question in out
    plain = json.loads(command("split", "notes@1#s", "--label", "late", "-o", "json")[1])
    assert plain["label"] == "late"
    assert set(plain["drift"]) == {"validation", "test"}
    named = json.loads(command("split", "notes@1#s", "--column", "kind", "-o", "json")[1])
    assert set(named["drift"]["test"]["columns"]) == {"kind", "late"}


def test_a_report_of_folds_shows_the_label_in_each(command, made):
    command("folds", "notes@1", "cv", "-k", "3", "--group-by", "who")
    code, out, _ = command("folds", "notes@1#cv", "--label", "late")
    assert code == 0
    assert "late in fold" in out
    assert "Groups in several folds: 0" in out
    assert json.loads(command("folds", "notes@1#cv", "-o", "json")[1])["groups_in_several_folds"] == 0
    assert command("split", "notes@1#cv", "-o", "csv")[1].startswith("fold,rows,share")
    assert command("folds", "notes@1#cv-2", "-o", "csv")[1].startswith("part,rows,share")


def test_a_suggestion_is_printed_and_nothing_is_made(command, made):
    code, out, _ = command("split", "notes@1", "--suggest", "--label", "late")
    assert code == 0
    assert out.startswith("notes@1: version.folds('name', k=5")
    assert "Because" in out
    plain = json.loads(command("split", "notes@1", "--suggest", "-o", "json")[1])
    assert plain["verb"] == "folds"
    assert command("split", "notes@1#name")[0] == 2


def test_what_is_worth_a_look_is_told_on_stderr_and_the_split_is_made(command, made):
    code, _, err = command("split", "notes@1", "s", "--group-by", "kind", "--train", "0.8", "--test", "0.2")
    assert code == 0
    assert "warning: notes@1#s: The group kind=" in err
    assert "SplitWarning" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["notes@1", "s", "--train", "1.5"], "1.5 is not a share"),
        (["notes@1", "s", "--train", "0.9", "--test", "0.2"], "add up to 1.1"),
        (["notes@1", "s", "--train", "nan"], "nan is not a share"),
        (["notes@1", "s", "--by-column", "kind"], "'extra' in 'kind' is not train, validation, test"),
        (["notes@1", "s", "--by-column", "kind", "--values", "tr"], "does not say what means what"),
        (["notes@1", "s", "--values", "train=tr"], "values of a column"),
        (["notes@1", "s", "--boundary", "2026-01-01"], "Boundaries belong to a split by time"),
        (["notes@1", "s", "--near-duplicates", "text", "--similarity", "0.1"], "not a similarity"),
        (["notes@1", "s", "--stratify", "id"], "they are numbers"),
        (["notes@1", "a.b"], "holds a dot"),
        (['"notes@1"', "s"], "is not an address"),
        (["notes@1#half", "s"], "'notes@1#half' is a split already"),
        (["notes@1#half.train"], "is a part: there is no report of it alone"),
    ],
)
def test_a_mistake_is_answered_with_a_hint(command, made, words, message):
    code, out, err = command("split", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "hint: " in err


def test_a_split_is_not_shared_out_as_a_whole(command, made):
    command("split", "notes@1", "half", "--train", "0.5", "--test", "0.5")
    code, _, err = command("split", "notes@1#half", "again")
    assert code == 2
    assert "'notes@1#half' is a split already" in err
    assert "notes@1#half.train" in err


def test_help_teaches_with_examples(command):
    for verb, words in (
        ("split", ("--near-duplicates", "--suggest", "by_month")),
        ("folds", ("--inner", "cv-3.train")),
    ):
        code, out, _ = command(verb, "--help")
        assert code == 0
        for word in words:
            assert word in out


@pytest.mark.parametrize(
    "words", [("--group-by", ","), ("--group-by", ""), ("--stratify", ","), ("--duplicates", " , "), ("--key", ",")]
)
def test_a_list_that_names_nothing_makes_no_split(command, made, words):
    code, _, said = command("split", "notes", "s", *words)
    assert code == 2
    assert "names nothing" in said
    with foldstore.connect(made) as store, pytest.raises(foldstore.errors.NotFoundError):
        store.split("notes@1#s")


def test_what_to_do_about_a_saved_view_is_said(command, made):
    with foldstore.connect(made) as store:
        store.view("notes@1").where("late").save("lates")
    for verb in ("split", "folds"):
        code, _, said = command(verb, "lates", "s")
        assert code == 2
        assert "'lates' is a saved view" in said
        assert "notes@1" in said
        assert "--where" in said
    code, _, said = command("split", "lates", "--suggest")
    assert code == 2
    assert "'lates' is a saved view, not a dataset" in said
