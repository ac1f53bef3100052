"""A writer that is killed at any step of any operation leaves its version wholly there or wholly absent."""

from dataclasses import replace

import pytest

from foldstore.datastore.storage import open_storage
from tests import killing
from tests.datastore.faults.operations import NEXT, OPERATIONS, assert_sound, copy_store, perform, read_all

ACT = """
from tests.datastore.faults.operations import perform

perform(storage, operation)
print("acknowledged")
"""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_killed_operation_is_wholly_there_or_wholly_absent(template, before, tmp_path, operation):
    steps = []
    whole = copy_store(template, tmp_path / "whole")
    storage = open_storage(whole)
    perform(replace(storage, on_step=steps.append), operation)
    storage.close()
    done = read_all(whole)
    assert steps[0] == "begun"
    assert steps[-3:] == ["judged", "flipped", "recorded"]
    for place, step in enumerate(steps):
        folder = copy_store(template, tmp_path / f"{place}")
        nth = steps[: place + 1].count(step)
        killing.assert_killed(killing.run(ACT, folder, step, nth=nth, operation=operation))
        assert_sound(folder, done if step in ("flipped", "recorded") else before)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_that_nobody_kills_is_acknowledged(folder, operation):
    done = killing.run(ACT, folder, "-", operation=operation)
    assert (done.returncode, done.stdout) == (0, "acknowledged\n"), done.stderr
    assert max(read_all(folder)) == NEXT
