"""A ledger: durable charges, one per submission, tamper-evident."""

import sqlite3
import threading

import pytest

from foldstore.datastore.storage import open_storage
from foldstore.errors import CorruptObjectError, RefusedError
from foldstore.validation.pools.ledger import Ledger


@pytest.fixture
def storage(folder):
    opened = open_storage(folder)
    yield opened
    opened.close()


@pytest.fixture
def ledger(storage):
    made = Ledger(storage, "p1")
    made.open({"pool": "late"}, "steward")
    return made


def _free(_account):
    """Afford everything, at one level."""
    return -9.0


def _at_most(limit):
    def require(account):
        if len(account.charges) >= limit:
            raise RefusedError("spent", code="pool-spent")
        return -9.0

    return require


def test_a_submission_is_charged_once_and_answered_once(ledger):
    assert ledger.charge("a", model="m", actor="x", price=_free).fresh
    again = ledger.charge("a", model="other", actor="y", price=_at_most(0))
    assert (again.fresh, again.passed) == (False, None)
    assert ledger.answer("a", passed=True, actor="x") is True
    assert ledger.answer("a", passed=False, actor="x") is True  # the first answer stands
    assert ledger.charge("a", model="m", actor="x", price=_free).passed is True
    assert ledger.read().answers == (True,)


def test_the_level_that_was_charged_stays_with_the_charge(ledger):
    ledger.charge("a", model="m", actor="x", price=lambda account: -1.0 - len(account.charges))
    ledger.charge("b", model="m", actor="x", price=lambda account: -1.0 - len(account.charges))
    assert ledger.charge("a", model="m", actor="x", price=_at_most(0)).log_level == -1.0
    assert [charge.log_level for charge in ledger.read().charges] == [-1.0, -2.0]


def test_what_cannot_be_afforded_leaves_no_entry(ledger):
    with pytest.raises(RefusedError):
        ledger.charge("a", model="m", actor="x", price=_at_most(0))
    assert ledger.read().length == 1


def test_two_who_ask_for_the_last_step_get_one_between_them(folder, ledger):
    outcomes = []

    def ask(name):
        mine = open_storage(folder)
        try:
            charged = Ledger(mine, "p1").charge(name, model="m", actor=name, price=_at_most(3))
            outcomes.append(charged.fresh)
        except RefusedError:
            outcomes.append("refused")
        mine.close()

    threads = [threading.Thread(target=ask, args=(f"s{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["True"] * 3 + ["refused"] * 3
    assert len(ledger.read().charges) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET body = replace(body, 'false', 'true') WHERE position = 3",
        "UPDATE journal SET actor = 'nobody' WHERE position = 2",
        "DELETE FROM journal WHERE position = 2",
        "DELETE FROM journal WHERE stream LIKE 'pool/%'",
    ],
)
def test_a_ledger_that_was_meddled_with_is_not_read(folder, ledger, statement):
    ledger.charge("a", model="m", actor="x", price=_free)
    ledger.answer("a", passed=False, actor="x")
    with sqlite3.connect(folder / "catalog.db") as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(CorruptObjectError):
        ledger.read()
