"""A damaged object is found by its checksum and named; it never reads as other values, and the rest reads on."""

import json
import os
import subprocess
import sys

import pytest

from foldstore.datastore.storage import open_storage
from tests.datastore.faults.operations import perform
from tests.killing import ROOT

FLIPS = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 4


@pytest.fixture
def examined(folder):
    """What reading and verifying met after each damage of each object."""
    storage = open_storage(folder)
    for operation in ("add_columns", "compact"):
        perform(storage, operation)
    storage.close()
    code = "import sys; from tests.datastore.faults.damage import examine; examine(sys.argv[1], int(sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(FLIPS)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_damaged_object_is_named_and_the_rest_reads_on(examined):
    assert len({each["object"] for each in examined}) >= 6
    named = 0
    for each in examined:
        where = f"{each['object']} {each['how']}"
        assert [(fault["what"], fault["name"]) for fault in each["faults"]] == [("object", each["object"])], where
        assert each["faults"][0]["versions"] == [f"numbers@{number}" for number in each["needed"]], where
        for number, outcome in each["read"].items():
            assert outcome != "other", f"{where}: version {number} reads as other values"
            if int(number) not in each["needed"]:
                assert outcome == "same", f"{where}: version {number} does not need it"
            elif outcome != "same":
                assert outcome["object"] == each["object"], where
                named += "column" in outcome and "batch" in outcome
            else:  # there are bytes that no column uses, such as those that fill up to the next multiple of 64
                assert each["how"].startswith(("bit ", "zeros in part", "zeros at the end")), where
    assert named
