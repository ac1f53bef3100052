"""The verbs that keep a store in order, as a person types them."""

import json

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def made(folder):
    """A store with three versions that share nothing."""
    with foldstore.connect(folder, author="tester") as store:
        numbers = store.create_dataset("numbers", key=["id"])
        for n in range(3):
            numbers.overwrite({"id": [1, 2], "value": [n, n]})
    return folder


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_gc_changes_nothing_unless_it_is_told_to(command, made):
    assert command("retain", "numbers", "--keep-last", "1", "-s", made)[2].startswith("numbers keeps keep_last=1.")
    code, out, err = command("gc", "-s", made)
    assert code == 0
    assert "condemn 2" in " ".join(out.split())
    assert "numbers@1 would expire: keep_last=1" in err
    assert "foldstore gc --apply does it" in err
    with foldstore.connect(made) as store:
        assert store.version("numbers@1").to_arrow().num_rows == 2
    told = json.loads(command("gc", "--apply", "-s", made, "-o", "json")[1])
    assert (told["dry_run"], told["condemned"], told["removed"]) == (False, 2, 0)
    assert json.loads(command("gc", "--apply", "--grace", "0", "-s", made, "-o", "json")[1])["removed"] == 2
    assert command("verify", "-s", made)[0] == 0
    assert command("gc", "-s", made)[2] == ""


def test_gc_refuses_a_grace_that_is_none(command, made):
    code, _, err = command("gc", "--grace", "soon", "-s", made)
    assert code == 2
    assert "'soon' is not a length of time" in err


def test_pins_keep_and_are_taken_out(command, made):
    assert command("pin", "numbers@1", "audit", "-m", "asked for", "-s", made)[0] == 0
    command("retain", "numbers", "--keep-last", "1", "-s", made)
    expired = json.loads(command("gc", "-s", made, "-o", "json")[1])["datasets"][0]["expired"]
    assert [each["address"] for each in expired] == ["numbers@2"]
    assert command("unpin", "numbers@1", "audit", "-s", made)[0] == 0
    code, _, err = command("unpin", "numbers@1", "audit", "-s", made)
    assert code == 2
    assert "no pin 'audit'" in err


def test_usage_speaks_of_the_store_and_of_a_dataset(command, made):
    code, out, err = command("usage", "-s", made)
    assert code == 0
    assert "numbers" in out
    assert "0 B of garbage" in err
    rows = command("usage", "numbers", "-s", made, "-o", "csv")[1].splitlines()
    assert rows[0] == "address,what,bytes,own,added"
    assert [row.split(",")[0] for row in rows[1:]] == ["numbers@1", "numbers@2", "numbers@3", "numbers@main"]
    account = json.loads(command("usage", "numbers", "-s", made, "-o", "json")[1])
    assert account["num_bytes"] == sum(version["own"] for version in account["versions"])


def test_a_version_is_deprecated_and_published_again(command, made):
    code, _, err = command("deprecate", "numbers@3", "-m", "wrong", "--replacement", "numbers@2", "-s", made)
    assert (code, err) == (0, "numbers@3 is deprecated.\n")
    with foldstore.connect(made) as store:
        assert store.version("numbers").number == 2
    assert command("deprecate", "numbers@3", "--undo", "-s", made)[2] == "numbers@3 is published.\n"
    code, _, err = command("deprecate", "numbers@3", "-s", made)
    assert code == 2
    assert "deprecated for a reason" in err
