"""The command as a person types it: output, exit codes, hints. stdout is data, stderr is talk."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import foldstore
from foldstore.cli.app import OTHER_WORDS, run
from foldstore.sample_data import months, path
from foldstore.sample_data.damage import write_damaged


@pytest.fixture
def made(folder):
    """A store with two versions of people."""
    with foldstore.connect(folder, author="tester") as store:
        people = store.create_dataset("people", key=["id"])
        people.append({"id": [1, 2], "name": ["Ada", None], "age": [36, 41]}, message="first")
        people.append({"id": [3], "name": ["[bold]Eve"], "age": [7]}, message="second")
    return folder


@pytest.fixture
def command(capsys):
    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_help_teaches_each_verb(command):
    code, out, _ = command("--help")
    assert code == 0
    for verb in ("init", "demo", "ingest", "ls", "show", "log", "schema", "validate", "sql", "verify"):
        assert verb in out
        assert command(verb, "--help")[0] == 0


def test_no_arguments_show_the_help(command):
    assert "Usage" in command()[1]


def test_version_is_printed(command):
    assert command("--version") == (0, f"foldstore {foldstore.__version__}\n", "")


def test_init_ingest_and_log_from_nothing(command, folder, tmp_path):
    (tmp_path / "a.csv").write_text("id,name\n1,Ada\n2,NA\n")
    (tmp_path / "b.csv").write_text("id,name\n3,Eve\n")
    assert command("init", folder)[0] == 0
    code, out, err = command(
        "ingest", "people", tmp_path / "a.csv", tmp_path / "b.csv", "-s", folder, "--create", "--key", "id"
    )
    assert (code, out) == (0, "")
    assert "Committed people@1 (2 rows" in err
    assert "Committed people@2 (1 rows" in err
    code, out, _ = command("log", "people", "-s", folder, "-o", "json")
    assert [(row["version"], row["rows"], row["message"]) for row in json.loads(out)] == [
        (2, 3, "b.csv"),
        (1, 2, "a.csv"),
    ]
    assert json.loads(command("ls", "-s", folder, "-o", "json")[1]) == [
        {"name": "people", "kind": "dataset", "latest": 2, "rows": 3, "versions": 2, "key": "id"}
    ]


def test_ingest_into_a_dataset_that_is_not_there_says_how_to_make_it(command, made, tmp_path):
    (tmp_path / "a.csv").write_text("id\n1\n")
    code, out, err = command("ingest", "peple", tmp_path / "a.csv", "-s", made)
    assert (code, out) == (2, "")
    assert "Did you mean 'people'?" in err
    assert "--create" in err


@pytest.mark.parametrize(
    ("form", "read"), [("json", json.loads), ("csv", lambda t: list(csv.DictReader(t.splitlines())))]
)
def test_sql_prints_what_machines_read(command, made, form, read):
    code, out, err = command(
        "sql", 'SELECT id, name, age / 2 AS half FROM "people@1" ORDER BY id', "-s", made, "-o", form
    )
    assert (code, err) == (0, "")
    rows = read(out)
    assert [str(row["id"]) for row in rows] == ["1", "2"]
    assert rows[1]["name"] in (None, "")


def test_sql_prints_a_table_in_which_data_is_never_markup(command, made):
    code, out, err = command("sql", "SELECT name FROM people ORDER BY id", "-s", made)
    assert (code, err) == (0, "")
    assert "[bold]Eve" in out


def test_sql_cuts_long_tables_and_says_so(command, made):
    _, out, err = command("sql", "SELECT * FROM range(1000)", "-s", made, "--limit", "3")
    assert "999" not in out
    assert "The first 3 rows" in err
    assert "999" in command("sql", "SELECT * FROM range(1000)", "-s", made, "--limit", "0")[1]


def test_sql_takes_parameters_and_stdin(command, made, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT name FROM people WHERE name = ?"))
    assert command("sql", "-", "-s", made, "-p", "Ada", "-o", "jsonl")[1] == '{"name": "Ada"}\n'


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sql", "SELEC 1"], 2, "error[invalid-query]"),
        (["sql", "SELECT * FROM peoples"], 2, "Did you mean 'people'?"),
        (["sql", "SELECT * FROM read_csv('/etc/passwd')"], 2, "error[invalid-query]"),
        (["show", "people@9"], 2, "Versions run from 1 to 2."),
        (["show", "../people"], 2, "error[invalid-name]"),
        (["log", "nobody"], 2, "error[not-found]"),
        (["ingest", "people", "no/such.csv"], 3, "error[file-not-found]"),
        (["validate", "people"], 2, "error[schema-not-found]"),
        (["schema", "show", "people"], 2, "schema infer"),
        (["nonsense"], 2, "No such command"),
        (["append"], 2, "hint: Here it is foldstore ingest."),
        (["lookup"], 2, "hint: Here it is foldstore features."),
        (["split", "people"], 2, "foldstore split NAME@VERSION SPLIT makes one."),
        (["show"], 2, "Missing argument"),
        (["log", "people", "-o", "yaml"], 2, "Invalid value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_has_its_exit_code_and_says_what_to_do(command, made, arguments, code, message):
    found, out, err = command(*arguments, *([] if arguments[0] == "nonsense" else ["-s", made]))
    assert found == code, err
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_what_is_called_otherwise_is_a_command_that_there_is(command):
    for hint in OTHER_WORDS.values():
        words = re.findall(r"[a-z]+", hint.split(":")[0])
        assert command(words[0], "--help")[0] == 0
    assert {word for word in OTHER_WORDS if "No such" not in command(word)[2]} == set()
    assert "hint" not in command("view", "append")[2]


def test_a_folder_without_a_store_is_left_alone(command, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    code, _, err = command("ls", "-s", tmp_path)
    assert code == 3
    assert "foldstore init" in err
    assert command("init", tmp_path)[0] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_show_prints_columns_and_statistics(command, made):
    assert "name" in command("show", "people", "-s", made)[1]
    facts = json.loads(command("show", "people@1", "-s", made, "--stats", "-o", "json")[1])
    assert facts["rows"] == 2
    assert [(c["column"], c["nulls"]) for c in facts["columns"]] == [("id", 0), ("name", 1), ("age", 0)]


def test_verify_exits_1_when_a_file_is_damaged(command, made):
    assert command("verify", "-s", made)[0] == 0
    victim = next((made / "objects").rglob("*.arrow"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1])
    code, out, err = command("verify", "-s", made)
    assert code == 1
    assert victim.stem in out
    assert "1 damaged" in err
    assert json.loads(command("verify", "-s", made, "-o", "json")[1])["passed"] is False


def test_a_schema_is_inferred_reviewed_set_and_gates(command, folder, tmp_path):
    january, february = months()[:2]
    key = "carrier,flight,origin,time_hour"
    command("init", folder)
    command("ingest", "trial", january, "-s", folder, "--create", "--key", key)
    code, out, _ = command("schema", "infer", "trial@1", "-s", folder)
    assert code == 0
    file = tmp_path / "trial.yaml"
    file.write_text(out)
    code, _, err = command("schema", "set", "trial", file, "-s", folder, "-m", "reviewed")
    assert code == 0
    assert "gates what is published" in err

    code, out, _ = command("validate", "trial", "--data", february, "-s", folder, "-o", "json")
    assert code == 1
    codes = {anomaly["code"] for anomaly in json.loads(out)["anomalies"] if anomaly["severity"] == "error"}
    assert codes == {"null_fraction_high"}
    assert command("validate", "trial", "--data", february, "-s", folder, "--exit-zero")[0] == 0

    assert command("schema", "accept", "trial", "null_fraction_hi", "--data", february, "-s", folder)[0] == 2
    code, out, _ = command("schema", "accept", "trial", "null_fraction_high", "--data", february, "-s", folder)
    assert code == 0
    assert "minor: columns.arr_delay.min_fraction" in out
    assert command("validate", "trial", "--data", february, "-s", folder)[0] == 0
    assert len(json.loads(command("schema", "log", "trial", "-s", folder, "-o", "json")[1])) == 2

    damaged = tmp_path / "damaged.parquet"
    faults = write_damaged(february, damaged)
    code, _, err = command("ingest", "trial", damaged, "-s", folder)
    assert code == 1
    assert "trial@2" in err
    assert "quarantined" in err
    report = json.loads(command("validate", "trial@2", "--added", "-s", folder, "-o", "json")[1])
    assert {fault.anomaly for fault in faults} <= {anomaly["code"] for anomaly in report["anomalies"]}
    assert "trial@1" not in err
    assert json.loads(command("ls", "-s", folder, "-o", "json")[1])[0]["latest"] == 1


LONG = "SELECT * FROM range(20000)"  # more than a pipe holds, in any form

BUFFERED = {**os.environ, "PYTHONUNBUFFERED": ""}


def exit_code_unread(words, *, first):
    """Run the command, take so many bytes, and go away; nothing may be said of that."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "foldstore", *words]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=BUFFERED) as process:
        os.close(writer)
        os.read(reader, first)
        os.close(reader)
        assert process.stderr.read() == b""
    return process.returncode


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "table"])
def test_who_stops_to_read_ends_it_quietly(made, form):
    assert exit_code_unread(["sql", LONG, "--limit", "0", "-o", form, "-s", str(made)], first=10) == 141


@pytest.mark.parametrize("words", [["ls", "-o", "csv"], ["ls", "-o", "jsonl"], ["ls"], ["ls", "--help"], ["--version"]])
def test_so_does_who_reads_nothing_of_a_short_answer(made, words, monkeypatch):
    """It waits in a buffer for the end."""
    monkeypatch.setitem(BUFFERED, "FOLDSTORE_STORE", str(made))
    assert exit_code_unread(words, first=0) == 141


@pytest.mark.parametrize("words", ["ls --store nowhere", "nonsense"])
def test_so_does_who_reads_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "foldstore", *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 141


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_shell_takes_the_first_lines_and_no_more(made, form):
    program = f"'{sys.executable}' -m foldstore sql '{LONG}' -s '{made}' -o {form} | head -n 2"
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True)  # noqa: S607
    assert (len(done.stdout.splitlines()), done.stderr) == (2, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_output_that_finds_no_room_is_told_of(made, form):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "foldstore", "ls", "-s", str(made), "-o", form]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=BUFFERED, text=True, check=False)
    assert done.returncode == 70
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_stderr_is_empty_on_success(made):
    done = subprocess.run(
        [sys.executable, "-m", "foldstore", "sql", "SELECT count(*) AS n FROM people", "-s", str(made), "-o", "csv"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("n\n3\n", "")


def test_a_setting_that_does_not_fit_is_named(command, made, monkeypatch):
    monkeypatch.setenv("FOLDSTORE_SQL_THREADS", "many")
    code, _, err = command("ls", "-s", made)
    assert code == 2
    assert "sql_threads" in err


@pytest.mark.parametrize("limit", ["5iB", "5B", "0GB", "many", "99999999999TB", "-1GB", "80%", "1KB"])
def test_a_limit_of_memory_that_the_engine_would_not_take_is_named(command, made, monkeypatch, limit):
    monkeypatch.setenv("FOLDSTORE_SQL_MEMORY_LIMIT", limit)
    code, _, err = command("ls", "-s", made)
    assert code == 2
    assert "sql_memory_limit" in err


@pytest.mark.parametrize("limit", ["2GB", "1.5 GiB", "500MB", "1TiB"])
def test_a_limit_of_memory_is_taken(command, made, monkeypatch, limit):
    monkeypatch.setenv("FOLDSTORE_SQL_MEMORY_LIMIT", limit)
    assert command("sql", "SELECT 1", "-s", made)[0] == 0


@pytest.mark.parametrize("content", [b"author = ", b"\xff\xfe", b"sql_threads = [1", b"author = " + b"[" * 5_000])
def test_a_file_of_settings_that_cannot_be_read_is_named(command, made, monkeypatch, tmp_path, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foldstore.toml").write_bytes(content)
    code, _, err = command("ls", "-s", made)
    assert (code, "error[invalid-setting]" in err) == (2, True), err
    assert "foldstore.toml" in err


def test_a_home_that_cannot_be_looked_into_is_no_bug(made):
    """Such as that of another user: from Python 3.14 on it is as good as empty, before it is told of."""
    command = [sys.executable, "-m", "foldstore", "ls", "-s", str(made)]
    home = f"/{'x' * 300}"  # too long for a name, so that it is refused to root, too
    done = subprocess.run(command, env={**os.environ, "HOME": home}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or (done.returncode == 2 and home in done.stderr)


def test_a_result_that_repeats_a_name_is_no_json(command, made):
    for form in ("json", "jsonl"):
        code, out, err = command("sql", "SELECT 1 AS a, 2 AS a", "-s", made, "-o", form)
        assert (code, out) == (2, "")
        assert "error[repeated-column]" in err
        assert "AS" in err
    assert command("sql", "SELECT 1 AS a, 2 AS a", "-s", made, "-o", "csv")[1] == "a,a\n1,2\n"
    assert command("sql", "SELECT 1 AS a, 2 AS a", "-s", made)[0] == 0


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_moment_that_python_does_not_have_is_printed(command, made, form):
    query = "SELECT TIMESTAMP '290000-01-01' AS t, TIMESTAMP_NS '2020-01-01 00:00:00.000000001' AS n"
    code, out, err = command("sql", query, "-s", made, "-o", form)
    assert (code, err) == (0, "")
    assert "290000-01-01T00:00:00" in out
    assert "2020-01-01T00:00:00.000000001" in out


def test_what_data_holds_does_not_steer_the_terminal(command, made):
    query = "SELECT 'a' || chr(27) || '[31m' || chr(155) || chr(8238) AS \"b\x1b[32m\", ['c' || chr(127)] AS l"
    for form in ("table", "json", "jsonl"):
        code, out, _ = command("sql", query, "-s", made, "-o", form)
        assert code == 0
        assert all(c.isprintable() or c == "\n" for c in out), ascii(out)
    assert json.loads(command("sql", query, "-s", made, "-o", "json")[1]) == [
        {"b\x1b[32m": "a\x1b[31m\x9b\u202e", "l": ["c\x7f"]}
    ]
    assert "\x1b" in command("sql", query, "-s", made, "-o", "csv")[1]
    _, _, err = command("sql", "SELECT '\x1b[31m' FROM nowhere\x1b", "-s", made)
    assert "\x1b" not in err


def test_names_in_sql_ignore_case(command, made):
    assert command("sql", "SELECT count(*) AS n FROM PEOPLE", "-s", made, "-o", "csv")[1] == "n\n3\n"


@pytest.mark.parametrize("name", ["nope.csv", "a.xlsx", "broken.parquet", "empty.csv"])
def test_a_file_that_does_not_open_leaves_no_dataset_behind(command, folder, tmp_path, name):
    command("init", folder)
    if name != "nope.csv":
        (tmp_path / name).write_bytes(b"" if name == "empty.csv" else b"nothing of the kind")
    code, _, err = command("ingest", "new", tmp_path / name, "-s", folder, "--create")
    assert code in (2, 3), err
    assert json.loads(command("ls", "-s", folder, "-o", "json")[1]) == []


def test_a_later_file_that_is_missing_is_found_before_the_first_is_committed(command, folder, tmp_path):
    command("init", folder)
    (tmp_path / "a.csv").write_text("id\n1\n")
    code, _, _ = command("ingest", "new", tmp_path / "a.csv", tmp_path / "nope.csv", "-s", folder, "--create")
    assert code == 3
    assert json.loads(command("ls", "-s", folder, "-o", "json")[1]) == []


def test_a_first_file_that_does_not_fit_leaves_no_dataset_and_its_name_free(command, folder, tmp_path):
    command("init", folder)
    (tmp_path / "a.csv").write_text("id\n1\n1\n")
    code, _, err = command("ingest", "new", tmp_path / "a.csv", "-s", folder, "--create", "--key", "id")
    assert code == 2
    assert "error[duplicate-key]" in err
    assert command("ls", "-s", folder, "-o", "json")[1] == "[]\n"
    for _again in range(2):  # a monthly loop may say --create every time
        assert command("ingest", "new", tmp_path / "a.csv", "-s", folder, "--create")[0] == 0
    code, _, err = command("ingest", "new", tmp_path / "a.csv", "-s", folder, "--create", "--key", "id")
    assert code == 2
    assert "with key none" in err


def test_the_sample_data_is_what_its_readme_says():
    assert sum(pq.read_metadata(month).num_rows for month in months()) == 336_776
    with pytest.raises(foldstore.FoldstoreError, match="no sample file"):
        path("plane.csv")
