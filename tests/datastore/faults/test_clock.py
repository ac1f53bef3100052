"""A clock that jumps, forward and back, between commits and within them: nothing is lost or put in another order."""

from datetime import UTC, datetime, timedelta
from random import Random

import pyarrow as pa
import pytest

from foldstore.datastore.storage import open_storage
from foldstore.errors import NotFoundError
from foldstore.store import Store
from tests.datastore.faults.operations import CORE, NAME, NEXT, OPERATIONS, assert_sound, read_all, rows

START = datetime(2026, 6, 1, tzinfo=UTC)
JUMPS = [timedelta(hours=hours) for hours in (0, 5, -30, 9_600, -19_200)]


class JumpingClock:
    """A clock that jumps whenever it is looked at."""

    def __init__(self, seed):
        self._random = Random(seed)  # a sample, not a secret

    def __call__(self):
        return START + self._random.choice(JUMPS) + timedelta(seconds=self._random.randrange(100))


@pytest.mark.parametrize("operation", CORE)
def test_every_operation_is_committed_whatever_the_clock_says(folder, operation):
    with Store(open_storage(folder, clock=JumpingClock(operation)), "writer") as store:
        dataset = store.dataset(NAME)
        assert OPERATIONS[operation](dataset).number == NEXT
        assert dataset.append(rows([99]), evolve=True).number == NEXT + 1
    assert_sound(folder, read_all(folder))


def test_versions_are_in_the_order_of_their_commits_and_not_of_the_clock(folder):
    moments = [START + timedelta(days=days) for days in (0, 2, -2, 1, 0)]
    hands = [START]
    with Store(open_storage(folder, clock=lambda: hands[0]), "writer") as store:
        dataset = store.create_dataset("jumps")
        for number, moment in enumerate(moments, start=1):
            hands[0] = moment
            assert dataset.append({"n": [number]}).number == number
        versions = dataset.versions()
        assert [version.created_at for version in versions] == moments
        assert [version.record.parent_id for version in versions[1:]] == [each.version_id for each in versions[:-1]]
        assert dataset.latest.to_arrow()["n"].to_pylist() == [1, 2, 3, 4, 5]
        # The newest of those whose clock had come so far: a later moment never gives an older version.
        with pytest.raises(NotFoundError):
            dataset.as_of(START - timedelta(days=3))
        asked = [dataset.as_of(START + timedelta(days=days)).number for days in (-2, -1, 0, 1, 2, 3)]
        assert asked == [3, 3, 5, 5, 5, 5]
        assert store.verify().faults == ()


def test_a_commit_of_many_batches_outlives_a_clock_that_jumps_over_its_lease(folder):
    batches = (pa.record_batch(rows(range(start, start + 10))) for start in range(1_000, 1_050, 10))
    with Store(open_storage(folder, clock=JumpingClock("lease")), "writer") as store:
        assert store.dataset(NAME).append(batches).num_rows == 57
        assert store.verify().faults == ()
