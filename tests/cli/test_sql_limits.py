"""The limits of a query, its plan and its errors, as a person meets them."""

import pytest

import foldstore
from foldstore.cli.app import run


@pytest.fixture
def ask(folder, capsys):
    with foldstore.connect(folder) as store:
        store.create_dataset("trips").append({"km": list(range(100))})

    def call(*arguments):
        code = run(["sql", *arguments, "-s", str(folder)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_plan_is_printed_as_it_is_drawn(ask):
    code, out, _ = ask("EXPLAIN SELECT count(*) FROM trips WHERE km > 10")
    assert code == 0
    assert "│" in out
    assert "\\n" not in out
    assert len(out.splitlines()) > 5


def test_a_query_is_stopped_when_its_time_is_over(ask):
    code, _, err = ask("SELECT count(*) FROM range(100000000000) a, range(1000) b", "--timeout", "0.3")
    assert code != 0
    assert "query-timeout" in err


def test_a_query_has_no_more_memory_than_it_was_given(ask):
    code, _, err = ask("SELECT list(i) FROM range(100000000) t(i)", "--memory-limit", "50MB", "--threads", "1")
    assert code != 0
    assert "out-of-memory" in err
    assert ask("SELECT 1", "--memory-limit", "much")[0] == 2
    assert ask("SELECT 1", "--threads", "0")[0] == 2


@pytest.mark.parametrize(
    "query", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE trips", "WITH a AS (SELECT 1) DELETE FROM a"]
)
def test_a_second_statement_and_one_that_writes_are_told_apart_from_queries(ask, query):
    code, _, err = ask(query)
    assert code != 0
    assert "SELECT is not allowed" not in err
    assert "WITH is not allowed" not in err


def test_limits_hold_for_a_file_as_well(ask, tmp_path):
    target = tmp_path / "rows.csv"
    assert ask("SELECT km FROM trips", "--to", str(target), "--timeout", "30")[0] == 0
    assert len(target.read_text().splitlines()) == 101
