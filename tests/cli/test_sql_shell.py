"""The command `sql` and its shell: statements, completion, and a session at a terminal."""

import io
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foldstore
from foldstore.cli.app import run
from foldstore.cli.sql_completion import Names, complete, quote, tables_of
from foldstore.cli.sql_names import StoreNames
from foldstore.cli.sql_running import Printing
from foldstore.cli.sql_shell import COMMANDS, Shell, history_file
from foldstore.cli.sql_statements import cut_statements, is_blank, join_lines
from foldstore.datastore.reader import FragmentReader


@pytest.fixture
def made(folder, monkeypatch):
    with foldstore.connect(folder) as store:
        flights = store.create_dataset("flights", key=["id"])
        first = flights.append({"id": list(range(100)), "carrier": ["UA", "B6"] * 50, "dep delay": [1.5] * 100})
        flights.append({"id": [100], "carrier": ["AA"], "dep delay": [None]})
        flights.tag("paper", first)
        first.split("by_hash", train=0.8, test=0.2)
        first.folds("cv", k=2)
        store.view("flights@1").where("carrier = 'UA'").save("united")
        store.create_dataset("airlines").append({"carrier": ["UA"], "name": ["United"]})
    monkeypatch.setenv("FOLDSTORE_STORE", str(folder))
    return folder


# --- statements ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ended", "rest"),
    [
        ("SELECT 1;", ["SELECT 1"], ""),
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1; SELECT 2;\n", ["SELECT 1", "SELECT 2"], "\n"),
        ("SELECT ';', \"a;b\" -- ;\n/* ; */ , $$;$$, $x$;$$;$x$;", None, ""),
        ("SELECT 'it''s;'", [], "SELECT 'it''s;'"),
        (";;  ;", [], ""),
        ("-- nothing; here", [], "-- nothing; here"),
        ("SELECT '", [], "SELECT '"),
        ("SELECT /* ; never closed", [], "SELECT /* ; never closed"),
    ],
)
def test_text_is_cut_where_statements_end(text, ended, rest):
    found, left = cut_statements(text)
    assert found == ([text[:-1].strip()] if ended is None else ended)
    assert left == rest


SQL_TEXT = st.lists(
    st.sampled_from(["SELECT", " ", "'", '"', ";", "--", "\n", "/*", "*/", "$$", "$a$", "x", "1"]), max_size=25
).map("".join)


@given(SQL_TEXT, SQL_TEXT)
def test_what_is_cut_off_is_never_looked_at_again(first, second):
    ended, rest = cut_statements(first + second)
    at_once = [*cut_statements(first)[0]]
    before, left = cut_statements(first)
    assert at_once == before
    after, end = cut_statements(left + second)
    if "'" not in first and '"' not in first and "$" not in first and "/*" not in first and "--" not in first:
        assert (before + after, end) == (ended, rest)
    assert all(each == each.strip() and not is_blank(each) for each in ended)


def test_a_statement_comes_back_as_one_line_unless_a_comment_needs_its_own():
    assert join_lines("SELECT 1,\n   2;") == "SELECT 1, 2;"
    for kept in ("SELECT 1 -- one\n, 2;", "SELECT 'a\nb';"):
        assert join_lines(kept) == kept


# --- completion ---------------------------------------------------------------------------------------------------

NAMES = Names(
    tables=["airlines", "flights", "flights@1", "flights@paper", "flights@1#by_hash.train",
            "foldstore.versions", "united"],
    columns=lambda table: {
        "flights": ["carrier", "dep delay", "id"], "flights@1": ["carrier", "id"], "airlines": ["carrier", "name"],
        "foldstore.versions": ["address", "rows"],
    }.get(table, []),
    functions=["coalesce", "count", "sum"],
    commands={"\\d": ["flights", "airlines"], "\\o": ["csv", "json", "jsonl"], "\\q": []},
)  # fmt: skip


@pytest.mark.parametrize(
    ("before", "word", "expected"),
    [
        ("SELECT * FROM ", "fl", ["flights"]),
        ("SELECT * FROM ", "flights@", ['"flights@1"', '"flights@1#by_hash.train"', '"flights@paper"']),
        ("SELECT * FROM ", '"flights@1#', ['"flights@1#by_hash.train"']),
        ("SELECT * FROM ", "fo", ["foldstore.versions"]),
        ("SELECT * FROM ", "nothing", []),
        ("SELECT * FROM flights f, ", "ai", ["airlines"]),
        ("SELECT * FROM flights JOIN ", "AI", ["airlines"]),
        ("DESCRIBE ", "un", ["united"]),
        ("SELECT * FROM flights WHERE ", "ca", ["carrier"]),
        ("SELECT * FROM flights WHERE ", "d", ['"dep delay"']),
        ("SELECT * FROM flights f JOIN airlines a ON ", "f.", ['f."dep delay"', "f.carrier", "f.id"]),
        ("SELECT * FROM flights f JOIN airlines a ON f.carrier = ", "a.n", ["a.name"]),
        ('SELECT * FROM "flights@1" GROUP BY ', "i", ["id"]),
        ("SELECT rows FROM foldstore.versions ORDER BY ", "ad", ["address"]),
        ("", "sel", ["select"]),
        ("", "SEL", ["SELECT"]),
        ("SELECT ", "co", ["coalesce(", "count("]),
        ("SELECT id FROM flights ", "wh", ["when", "where"]),
        ("SELECT id, ", "fl", []),
        ("", "\\", ["\\d", "\\o", "\\q"]),
        ("\\d ", "f", ["flights"]),
        ("\\o ", "j", ["json", "jsonl"]),
        ("\\q ", "x", []),
    ],
)
def test_a_word_is_completed_by_what_may_stand_there(before, word, expected):
    assert [each for each in complete(before, word, NAMES) if each.lower() not in ("false", "first")] == expected


def test_tables_behind_the_cursor_lend_their_columns():
    assert complete("SELECT ", "na", NAMES, after=" FROM airlines") == ["name"]


@given(st.text(max_size=60), st.text(max_size=12))
def test_no_text_breaks_the_completion(before, word):
    assert all(isinstance(each, str) for each in complete(before, word, NAMES))
    assert isinstance(tables_of(before), dict)


@given(st.text('abz_09.@#"- ', min_size=1, max_size=12))
def test_a_quoted_name_is_read_back(name):
    written = quote(name)
    if written.startswith('"'):
        assert tables_of(f"FROM {written} WHERE") == {name: name}


def test_the_names_of_a_store_are_read_without_a_data_file(made, monkeypatch):
    def refuse(*_given):
        raise AssertionError("a data file was opened")

    with foldstore.connect(made) as store:
        monkeypatch.setattr(FragmentReader, "_open_all", refuse)
        names = StoreNames(store)
        found = names.to_names(COMMANDS)
        addresses = "flights flights@2 flights@paper flights@main flights@1#by_hash.train flights@1#cv-2.validation"
        assert {*addresses.split(), "united", "united@1", "foldstore.versions", "airlines@1"} <= set(found.tables)
        assert found.columns("flights") == ["id", "carrier", "dep delay"]
        assert found.columns("flights@1#by_hash.train") == ["id", "carrier", "dep delay"]
        assert found.columns("united") == ["id", "carrier", "dep delay"]
        assert "address" in found.columns("foldstore.versions")
        assert found.columns("no such table") == []
        assert {"count", "round", "regexp_matches"} <= set(found.functions)
        assert found.commands["\\d"] == found.tables


# --- the command --------------------------------------------------------------------------------------------------


def test_values_are_given_in_turn_or_by_name(made, capsys):
    assert run(["sql", "SELECT ? || ?", "-p", "a=b", "-p", "c", "-o", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "a=bc"
    query = "SELECT count(*) AS n FROM flights WHERE carrier = $who AND '$.x' <> $other"
    assert run(["sql", query, "-p", "who=UA", "-p", "other=a=b", "-o", "jsonl"]) == 0
    assert capsys.readouterr().out == '{"n": 50}\n'
    assert run(["sql", "SELECT $who", "-p", "UA"]) == 2
    assert "--param who=value" in capsys.readouterr().err


def test_a_query_comes_from_a_file_or_from_stdin(made, capsys, tmp_path, monkeypatch):
    (tmp_path / "q.sql").write_text("SELECT count(*) AS n FROM flights")
    assert run(["sql", "--file", str(tmp_path / "q.sql"), "-o", "csv"]) == 0
    assert capsys.readouterr().out == "n\n101\n"
    assert run(["sql", "SELECT 1", "--file", "q.sql"]) == 2
    assert run(["sql", "--file", str(tmp_path / "none.sql")]) == 3
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 7 AS n"))
    capsys.readouterr()
    assert run(["sql", "-o", "csv"]) == 0
    assert capsys.readouterr().out == "n\n7\n"


def test_an_answer_is_written_to_a_file(made, capsys, tmp_path):
    target = tmp_path / "ua.parquet"
    assert run(["sql", "FROM flights WHERE carrier = $c", "-p", "c=UA", "--to", str(target)]) == 0
    assert pq.read_table(target).num_rows == 50
    assert "Wrote" in capsys.readouterr().err
    assert run(["sql", "FROM airlines", "--to", str(target)]) != 0
    assert run(["sql", "FROM airlines", "--to", str(target), "--overwrite"]) == 0
    assert pq.read_table(target).num_rows == 1


def helper_seconds(pid):
    """Return the CPU time of the threads of a process but its first: queries run in them, imports do not."""
    found = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if task.name != str(pid):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            found += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return found


def wait_until_busy(pid, before=0.0, seconds=120):
    """Wait until a process computes a query."""
    end = time.monotonic() + seconds
    while helper_seconds(pid) < before + 0.3:
        assert time.monotonic() < end, "the query never ran"
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="sees that a query runs in /proc")
def test_ctrl_c_stops_a_query_of_the_command(made):
    endless = "SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000000) b"
    process = subprocess.Popen(
        [sys.executable, "-m", "foldstore", "sql", endless], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    wait_until_busy(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


# --- the shell ----------------------------------------------------------------------------------------------------


@pytest.fixture
def talk(made, capsys, monkeypatch, tmp_path):
    """Return what a session prints, given the lines that are typed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def say_lines(*lines):
        typed = iter(lines)

        def read_line(prompt):
            prompts.append(prompt)
            line = next(typed, None)
            if line is None:
                raise EOFError
            if isinstance(line, BaseException):
                raise line
            return line

        prompts: list[str] = []
        with foldstore.connect(made) as store:
            Shell(store, Printing(), read_line).run()
        found = capsys.readouterr()
        return found.out, found.err, prompts

    return say_lines


def test_a_statement_takes_several_lines_and_ends_with_a_semicolon(talk):
    out, _, prompts = talk("SELECT count(*) AS n", "FROM flights", "WHERE carrier = 'UA'; SELECT 'two;' AS t;")
    assert "50" in out
    assert "two;" in out
    assert [prompt.strip() for prompt in prompts] == ["foldstore>", "...>", "...>", "foldstore>"]


def test_an_error_is_shown_and_the_shell_goes_on(talk):
    out, err, _ = talk("SELEC 1;", "FROM flihgts;", "\\nonsense", "\\o xml", "SELECT 42 AS n;")
    assert "error[invalid-query]" in err
    assert "Did you mean 'flights'?" in err
    assert "There is no command \\nonsense" in err
    assert "42" in out


def test_ctrl_c_at_the_prompt_forgets_what_was_written(talk):
    out, _, prompts = talk("SELECT 13 AS", KeyboardInterrupt(), "SELECT 42 AS n;")
    assert "42" in out
    assert "13" not in out
    assert prompts[2].startswith("foldstore>")


def test_the_commands_of_the_shell(talk):
    out, err, _ = talk(
        "\\h", "\\d", "\\d flights", '\\d "flights@1#by_hash.train"', "\\d foldstore.tags", "\\o csv", "\\timing",
        "SELECT 1 AS one;", "\\timing off", "\\o table", "\\l 1", "FROM flights;", "\\d nothing", "\\q", "SELECT 5555;",
    )  # fmt: skip
    assert "Tab completes names" in out
    for each in ("flights", "airlines", "united", "foldstore.versions", "dep delay", "What is", "Name of the tag."):
        assert each in out or each == "What is"
    assert "one\n1\n" in out
    assert re.search(r"\d\.\d{3} s", err)
    assert "The first 1 rows" in err
    assert "no dataset or view 'nothing'" in err
    assert "5555" not in out


def test_quit_and_exit_leave(talk):
    for word in ("quit", "exit;"):
        assert "5555" not in talk(word, "SELECT 5555;")[0]


class Terminal:
    """A child process behind a pseudo-terminal."""

    def __init__(self, *arguments, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            command = [sys.executable, "-m", "foldstore", *arguments]
            os.execvpe(sys.executable, command, environment)  # noqa: S606  # of ours
        self.seen = ""

    def expect(self, text, seconds=120):
        """Wait for a text and return what was printed up to it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} in {self.seen!r}")
            try:
                got = os.read(self.fd, 65536)
            except OSError:
                got = b""
            if not got:
                raise AssertionError(f"ended without {text!r}: {self.seen!r}")
            self.seen += got.decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def send(self, text):
        """Type."""
        os.write(self.fd, text.encode())

    def wait(self):
        """Return the exit code."""
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(made, tmp_path):
    state = tmp_path / "state"
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "TERM": "dumb", "INPUTRC": os.devnull, "COLUMNS": "200"}
    opened = []

    def open_terminal(*arguments):
        opened.append(Terminal("sql", *arguments, environment=environment))
        opened[-1].expect("foldstore>")
        return opened[-1]

    yield open_terminal
    for each in opened:
        try:
            os.kill(each.pid, signal.SIGKILL)
            os.waitpid(each.pid, 0)
        except OSError:
            pass


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="sees that a query runs in /proc")
def test_a_session_at_a_terminal(terminal, made, tmp_path):
    first = terminal()
    first.send("SELECT count(*) AS n\n")
    first.expect("...>")
    first.send("FROM fli\t WHERE carri\t = 'UA';\n")
    assert "50" in first.expect("foldstore>")
    before = helper_seconds(first.pid)
    first.send("SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000000) b;\n")
    wait_until_busy(first.pid, before)
    first.send("\x03")
    first.expect("Stopped.")
    first.expect("foldstore>")
    first.send("SELECT 6 * 7 AS answer;\n")
    assert "42" in first.expect("foldstore>")
    first.send("\x04")
    assert first.wait() == 0
    history = tmp_path / "state" / "foldstore" / "sql_history"
    assert "SELECT count(*) AS n FROM flights WHERE carrier = 'UA';" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert not list(made.rglob("*history*"))
    second = terminal()
    second.send("\x10\n")  # Ctrl-P: the newest line of the history
    assert "42" in second.expect("foldstore>")
    second.send("\\q\n")
    assert second.wait() == 0


def test_the_history_lies_in_the_state_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_file() == tmp_path / "foldstore" / "sql_history"
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert history_file() == Path.home() / ".local" / "state" / "foldstore" / "sql_history"


def test_the_shell_works_without_readline(talk, monkeypatch):
    monkeypatch.setitem(sys.modules, "readline", None)
    assert "42" in talk("SELECT 42 AS n;")[0]
