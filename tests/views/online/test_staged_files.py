"""What a killed writer left is removed; what another writes is not."""

import os
import time

import pytest

from foldstore.datastore.files import LocalFiles
from foldstore.views.online.staged_files import remove_abandoned, stage
from tests.views.online.rides import driver_view, open_view, ride_table


def old(path):
    os.utime(path, (time.time() - 3_600,) * 2)


def test_a_file_that_a_killed_writer_left_is_removed_by_the_next_one(tmp_path):
    left = tmp_path / "staged-1"
    left.write_bytes(b"half")
    old(left)
    open_view(ride_table([]), driver_view(), tmp_path)
    assert [each.suffix for each in tmp_path.iterdir()] == [".arrow"]


def test_a_file_that_is_written_to_stays_however_old_it_is(tmp_path):
    with stage(tmp_path, LocalFiles()) as (staged, _):
        old(staged)
        assert remove_abandoned(tmp_path) == 0
        assert staged.exists()
    assert not staged.exists()


def test_a_file_that_was_just_made_may_not_be_locked_yet(tmp_path):
    (tmp_path / "staged-1").write_bytes(b"")
    assert remove_abandoned(tmp_path) == 0


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), stage(tmp_path, LocalFiles()):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_other_files_are_nobody_s_leftovers(tmp_path):
    for name in ("b3-1.arrow", "unstaged-1"):
        (tmp_path / name).write_bytes(b"x")
        old(tmp_path / name)
    assert remove_abandoned(tmp_path) == 0
