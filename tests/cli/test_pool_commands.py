"""The verbs that ask and end a test pool, as a person or a CI job types them: what they print, write and exit with."""

import io
import json
import sys
import xml.etree.ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import foldstore
from foldstore.cli.app import run

ROWS = 2_000


def _rows(first=0):
    ids = list(range(first, first + ROWS))
    return {"id": ids, "x": [n % 10 for n in ids], "y": [n % 10 < 5 for n in ids]}


@pytest.fixture
def sealed(folder, command):
    """A store with the pool 'late', which answers twice."""
    with foldstore.connect(folder, author="tester") as store:
        store.create_dataset("tasks", key=["id"]).append(_rows()).split("half", train=0.5, test=0.5)
    asked = ["-c", "n > 0.6 +/- 0.1", "--steps", 2, "--reliability", 0.9, "--expires", "2999-01-01", "--yes"]
    assert command("pool", "seal", "late", "tasks@1#half.test", "--label", "y", *asked, "-s", folder)[0] == 0
    return folder


@pytest.fixture
def command(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def predict(sealed, tmp_path):
    """Write predictions that are right but for the first rows; return the file."""

    def write(wrong=0, draw=None):
        with foldstore.connect(sealed) as store:
            rows = store.pools.get("late").features(draw=draw)
        truth = [x < 5 for x in rows["x"].to_pylist()]
        said = [value != (place < wrong) for place, value in enumerate(truth)]
        file = tmp_path / f"said-{wrong}-{draw}.parquet"
        pq.write_table(pa.table({"pool_row": rows["pool_row"], "prediction": said}), file)
        return file

    return write


def _case(file):
    (case,) = ET.parse(file).getroot().iter("testcase")  # noqa: S314  # our own file
    return case, [child.tag for child in case]


class TestEvaluate:
    def test_exits_with_0_1_and_4_and_writes_what_ci_reads(self, command, sealed, predict, tmp_path):
        junit, status = tmp_path / "pool.xml", tmp_path / "status.json"
        files = ["--junit", junit, "--commit-status", status]
        asked = [(0, 0, [], "success", "passed"), (600, 1, ["failure"], "failure", "failed")]
        for wrong, code, tags, state, said in asked:
            exits, out, _ = command("pool", "evaluate", "late", predict(wrong), *files, "-s", sealed, "-o", "json")
            assert (exits, json.loads(out)["answer"]) == (code, said)
            assert _case(junit)[1] == tags
            expected = {"state": state, "context": "foldstore/late", "description": said}
            assert json.loads(status.read_text()) == expected
        exits, out, err = command("pool", "evaluate", "late", predict(1), *files, "-s", sealed)
        assert (exits, out) == (4, "")
        assert "error[pool-spent]" in err
        case, tags = _case(junit)
        assert (tags, case[0].get("type")) == (["error"], "pool-spent")
        assert json.loads(status.read_text())["description"] == "not answered"

    def test_a_file_for_ci_has_no_figure_of_the_labels(self, command, sealed, predict, tmp_path):
        said = []
        for place, wrong in enumerate((3, 4)):
            file = tmp_path / f"{place}.xml"
            command("pool", "evaluate", "late", predict(wrong), "--junit", file, "-s", sealed)
            said.append(file.read_text().replace('value="1"', 'value="0"'))
        assert said[0] == said[1]

    def test_a_status_for_gitlab_has_its_words(self, command, sealed, predict, tmp_path):
        file = tmp_path / "status.json"
        command("pool", "evaluate", "late", predict(600), "--commit-status", file, "--forge", "gitlab", "-s", sealed)
        assert json.loads(file.read_text()) == {"state": "failed", "name": "foldstore/late", "description": "failed"}
        assert command("pool", "evaluate", "late", predict(1), "--forge", "svn", "-s", sealed)[0] == 2

    def test_a_withheld_answer_is_neither(self, command, folder, tmp_path):
        with foldstore.connect(folder, author="tester") as store:
            store.create_dataset("tasks", key=["id"]).append(_rows()).split("half", train=0.5, test=0.5)
        asked = ["-c", "n > 0.6 +/- 0.1", "--steps", 2, "--reliability", 0.9, "--reuse", "none", "--yes"]
        command("pool", "seal", "late", "tasks@1#half.test", "--label", "y", *asked, "-s", folder)
        with foldstore.connect(folder) as store:
            rows = store.pools.get("late").features()
        pq.write_table(
            pa.table({"pool_row": rows["pool_row"], "prediction": [True] * len(rows)}), tmp_path / "p.parquet"
        )
        files = ["--junit", tmp_path / "j.xml", "--commit-status", tmp_path / "s.json"]
        assert command("pool", "evaluate", "late", tmp_path / "p.parquet", *files, "-s", folder)[0] == 0
        assert _case(tmp_path / "j.xml")[1] == ["skipped"]
        assert json.loads((tmp_path / "s.json").read_text())["state"] == "pending"


def test_sealing_with_uses_counts_them_alone(command, folder):
    with foldstore.connect(folder, author="tester") as store:
        store.create_dataset("tasks", key=["id"]).append(_rows()).split("half", train=0.99, test=0.01)
    seal = ["pool", "seal", "small", "tasks@1#half.test", "--label", "y", "--uses", 20, "--yes", "-s", folder]
    assert command(*seal, "-c", "n > 0.6 +/- 0.1")[0] == 2
    assert command(*seal, "-c", "n > 0.6")[0] == 0
    assert json.loads(command("pool", "status", "small", "-o", "json", "-s", folder)[1])["steps_left"] == 20


class TestDraw:
    def test_draws_rows_to_a_file_that_evaluate_takes_the_number_of(self, command, sealed, predict, tmp_path):
        file = tmp_path / "some.parquet"
        with foldstore.connect(sealed) as store:
            needed = store.pools.get("late").record.plan.rows
        code, out, _ = command("pool", "draw", "late", needed, file, "--seed", 5, "-s", sealed, "-o", "json")
        assert (code, json.loads(out)) == (0, {"draw": 1, "rows": needed, "seed": 5})
        assert pq.read_metadata(file).num_rows == needed
        assert command("pool", "features", "late", file, "--draw", 1, "-s", sealed)[0] == 0
        assert command("pool", "evaluate", "late", predict(0, draw=1), "--draw", 1, "-s", sealed)[0] == 0
        assert command("pool", "draw", "late", 2, "-s", sealed)[0] == 4
        assert command("pool", "draw", "late", needed, tmp_path / "some.csv", "-s", sealed)[0] == 2


class TestTheEnd:
    def test_retiring_asks_first_and_then_tells_everything(self, command, sealed, predict, tmp_path):
        command("pool", "evaluate", "late", predict(50), "--model", "m1", "-s", sealed)
        code, out, err = command("pool", "retire", "late", "-s", sealed)
        assert (code, out) == (2, "")
        assert "--yes" in err
        assert command("pool", "report", "late", "-s", sealed)[0] == 4
        file = tmp_path / "late.parquet"
        code, out, _ = command("pool", "retire", "late", "--yes", "--rows", file, "--reason", "over", "-s", sealed)
        assert code == 0
        assert "m1 (question 1, passed)" in out
        assert "accuracy" in out
        assert pq.read_table(file)["y"].null_count == 0
        code, out, _ = command("pool", "report", "late", "-o", "json", "-s", sealed)
        assert (code, json.loads(out)["models"][0]["model"]) == (0, "m1")
        assert json.loads(command("pool", "status", "late", "-o", "json", "-s", sealed)[1])["state"] == "validation"
        assert command("pool", "evaluate", "late", predict(60), "-s", sealed)[0] == 4

    def test_rotating_seals_the_next_and_refuses_other_rows(self, command, sealed):
        with foldstore.connect(sealed) as store:
            store.dataset("tasks").append(_rows(ROWS))
            view = store.view("tasks")
            view.where(f"id >= {ROWS} AND x < 6").split("few", train=0.2, test=0.8)
            view.where(f"id >= {ROWS}").split("all", train=0.2, test=0.8)
        rotate = ("pool", "rotate", "late", "next")
        assert command(*rotate, "tasks@2#few.test", "-s", sealed)[0] == 2  # nobody said --yes
        code, _, err = command(*rotate, "tasks@2#few.test", "--yes", "-s", sealed)
        assert code == 4
        assert "error[pool-drifted]" in err
        code, _, err = command(*rotate, "tasks@2#all.test", "--yes", "-s", sealed)
        assert code == 0
        assert "late is retired" in err
        out = command("pool", "ls", "-o", "csv", "-s", sealed)[1]
        assert [line.split(",")[2] for line in out.splitlines()] == ["state", "validation", "sealed"]

    def test_a_reserve_fills_and_is_rotated_to(self, command, sealed):
        reserve = ("pool", "reserve", "more", "-s", sealed, "-o", "json")
        assert command("pool", "reserve", "more", "tasks", "-s", sealed)[0] == 2  # of which pool?
        code, out, _ = command(*reserve, "tasks", "--pool", "late", "--share", 0.5)
        assert (code, json.loads(out)["rows"]) == (0, 0)
        with foldstore.connect(sealed) as store:
            store.dataset("tasks").append(_rows(ROWS))
        assert json.loads(command(*reserve)[1])["ready"]
        rotate = ("pool", "rotate", "late", "next", "--yes", "-s", sealed)
        assert command(*rotate)[0] == 2
        code, _, err = command(*rotate, "--reserve", "more")
        assert (code, "late is retired" in err) == (0, True)

    def test_promoting_where_nothing_is_compared_is_a_usage_error(self, command, sealed, predict):
        command("pool", "evaluate", "late", predict(0), "--model", "m1", "-s", sealed)
        code, _, err = command("pool", "promote", "late", "m1", "-s", sealed)
        assert code == 2
        assert "error[baseline-needless]" in err


def test_rows_that_need_a_label_are_listed_and_nothing_is_charged(command, sealed, predict):
    code, out, err = command("pool", "rows-to-label", "late", predict(), "-s", sealed, "-o", "csv")
    rows = out.splitlines()
    assert (code, rows[0]) == (0, "pool_row,id")
    assert len(rows) - 1 == foldstore.connect(sealed).pools.get("late").record.num_rows
    assert f"{len(rows) - 1:,} of {len(rows) - 1:,} rows need a label." in err
    assert command("pool", "status", "late", "-s", sealed, "-o", "json")[1].count('"steps_used": 0') == 1


def test_a_pool_is_sealed_by_betting(command, folder):
    with foldstore.connect(folder, author="tester") as store:
        store.create_dataset("tasks", key=["id"]).append(_rows()).split("half", train=0.5, test=0.5)
    asked = ["-c", "n > 0.6 +/- 0.1", "--steps", 2, "--reliability", 0.9, "--method", "betting", "--yes"]
    assert command("pool", "seal", "late", "tasks@1#half.test", "--label", "y", *asked, "-s", folder)[0] == 0
    with foldstore.connect(folder) as store:
        pool = store.pools.get("late")
        assert pool.record.plan.method == "betting"
        assert pool.evaluate([x < 5 for x in pool.features()["x"].to_pylist()]).passed
    code, _, err = command("pool", "plan", "n > 0.6 +/- 0.1", "--method", "guess")
    assert (code, "exact, betting, hoeffding or bennett" in err) == (2, True)


def test_a_plan_by_betting_and_at_a_prevalence(command):
    asked = ["pool", "plan", "recall(n) > 0.8 +/- 0.05", "--steps", 4, "--method", "betting", "--prevalence", 0.1]
    code, out, _ = command(*asked)
    assert code == 0
    assert "looked at in order, about" in out
    assert json.loads(command(*asked, "-o", "json")[1])["prevalence"] == "1/10"


@pytest.mark.parametrize(
    "verb", ["seal", "status", "features", "draw", "rows-to-label", "evaluate", "promote", "rotate", "retire", "report"]
)
def test_the_help_of_each_verb_has_an_example(command, verb):
    code, out, _ = command("pool", verb, "--help")
    assert code == 0
    assert "Example: foldstore pool" in out
