"""The recipes for CI: each is read as its service reads it, and its commands run against a small store."""

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import foldstore
from foldstore.api.app import create_app
from foldstore.api.server import BackgroundServer
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "gate-models-in-ci.md"
FENCE = re.compile(r"^## (?P<title>[^\n]+)$|^```(?P<language>yaml|bash)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
# Stands in for foldstore and python: asks the test's own process, which has everything imported, to do it.
COMMAND = """#!{python} -SE
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    line.sendall(json.dumps({{"words": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ)}}).encode() + b"\\n")
    answer = json.loads(b"".join(iter(lambda: line.recv(65536), b"")))
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["code"])
"""
NOTING = """#!/bin/sh
echo "$0" "$@" >> {notes}
"""
STATUSES = {
    "passed": {"state": "success", "description": "passed"},
    "failed": {"state": "failure", "description": "failed"},
    "refused": {"state": "error", "description": "not answered"},
}
OUTCOMES = [("0.5", 0, "passed"), ("0.1", 1, "failed"), ("0.5", 0, "passed"), ("0.2", 4, "refused")]


pytestmark = pytest.mark.skipif(os.name != "posix", reason="the recipes are for shells of POSIX")


def predict(folder, source, target):
    """What predict.py does, in place of a job's own."""
    source = folder / source
    rows = pa.ipc.open_stream(source).read_all() if source.suffix == ".arrow" else pq.read_table(source)
    threshold = float((folder / "threshold").read_text(encoding="utf-8"))
    guesses = [value > threshold for value in rows["x"].to_pylist()]
    pq.write_table(pa.table({"pool_row": rows["pool_row"], "prediction": guesses}), folder / target)


def recipes():
    """The blocks of YAML and of shell, by the heading above them."""
    found, title = {}, None
    for each in FENCE.finditer(PAGE.read_text(encoding="utf-8")):
        if each["title"]:
            title = each["title"]
        else:
            found[title] = each["text"]
    return found


class Machine:
    """A runner: a folder, a path on which the commands are, and a store that outlives the jobs."""

    def __init__(self, folder, store):
        self.folder, self.store = folder, store
        self.notes = folder / "notes"
        tools = folder / "tools"
        tools.mkdir()
        self._place = tempfile.TemporaryDirectory(prefix="line", dir="/tmp")  # a socket's name is short
        address = f"{self._place.name}/s"
        self._line = socket.socket(socket.AF_UNIX)
        self._line.bind(address)
        self._line.listen()
        self._line.settimeout(0.05)
        for name in ("foldstore", "python"):
            self._put(tools / name, COMMAND.format(python=sys.executable, address=address))
        self._put(tools / "gh", NOTING.format(notes=self.notes))
        self._path = f"{tools}{os.pathsep}{os.environ['PATH']}"

    def close(self):
        self._line.close()
        self._place.cleanup()

    def set_threshold(self, threshold):
        (self.folder / "threshold").write_text(threshold, encoding="utf-8")
        for name in ("verdict.xml", "status.json", "notes", "predictions.parquet"):
            (self.folder / name).unlink(missing_ok=True)

    def run(self, script, *arguments, **variables):
        """Run a script as a step of a job, with /srv/foldstore where the store is."""
        environment = {"PATH": self._path, "HOME": str(self.folder), "COMMIT": "abc123", **variables}
        environment = {name: value.replace("/srv/foldstore", str(self.store)) for name, value in environment.items()}
        shell = subprocess.Popen(
            ["bash", "-e", "-c", script, "step", *arguments],  # noqa: S607  # the machine's own
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while shell.poll() is None:
            with contextlib.suppress(TimeoutError):
                self._serve(self._line.accept()[0])
        return shell.returncode, shell.communicate()[0]

    def _serve(self, line):
        with line:
            line.setblocking(True)
            asked = json.loads(line.makefile().readline())
            tool, *words = asked["words"]
            out, err, code = io.StringIO(), io.StringIO(), 0
            with (
                pytest.MonkeyPatch.context() as patch,
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                patch.chdir(asked["cwd"])
                patch.setenv("FOLDSTORE_STORE", asked["env"].get("FOLDSTORE_STORE", ""))
                if Path(tool).name == "foldstore":
                    code = run(words)
                else:
                    assert words[0] == "predict.py"
                    predict(self.folder, *words[1:])
            line.sendall(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}).encode())

    @staticmethod
    def _put(path, text):
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)


@pytest.fixture
def store(folder):
    """The store that the page makes, with the code of the page."""
    code = re.search(r"## A pool to ask.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    exec(code.replace('"ci_store"', repr(str(folder))), {})  # noqa: S102  # our own page
    return folder


@pytest.fixture
def machine(tmp_path_factory, store):
    made = Machine(tmp_path_factory.mktemp("m"), store)
    yield made
    made.close()


def check_junit(file, words):
    """Check that a file says what came out."""
    suites = ET.parse(file).getroot()  # noqa: S314  # our own file
    (case,) = suites.iter("testcase")
    assert case.get("name") == "n > 0.7 +/- 0.1"
    assert [each.tag for each in case] == {"passed": [], "failed": ["failure"], "refused": ["error"]}[words]
    assert {suites.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} <= {"0", "1"}


def test_every_recipe_is_here():
    titles = ["GitHub Actions", "GitLab CI", "Azure Pipelines", "A plain shell", "Over HTTP"]
    assert [title for title in recipes() if title in titles] == titles


def test_github_actions(machine):
    job = yaml.safe_load(recipes()["GitHub Actions"])
    assert job[True] == {"pull_request": None}  # YAML 1.1 reads `on` as a truth value
    assert job["permissions"] == {"contents": "read", "statuses": "write"}
    (gate,) = job["jobs"].values()
    for threshold, wanted, words in OUTCOMES:
        machine.set_threshold(threshold)
        codes = []
        for step in gate["steps"]:
            if "run" in step and not any(codes):
                constant = {name: value for name, value in gate["env"].items() if "${{" not in value}
                code, said = machine.run(step["run"], **constant, GITHUB_REPOSITORY="o/r")
                codes.append(code)
        assert codes == [0, wanted], said
        (noted,) = machine.notes.read_text(encoding="utf-8").splitlines()
        assert noted.endswith("gh api --method POST repos/o/r/statuses/abc123 --input status.json")
        told = json.loads((machine.folder / "status.json").read_text(encoding="utf-8"))
        assert told == {"context": "foldstore/releases", **STATUSES[words]}
        check_junit(machine.folder / "verdict.xml", words)
    (kept,) = [step["with"] for step in gate["steps"] if "upload-artifact" in step.get("uses", "")]
    assert kept["path"] == "verdict.xml"


def test_gitlab(machine):
    (job,) = yaml.safe_load(recipes()["GitLab CI"]).values()
    for threshold, wanted, words in OUTCOMES:
        machine.set_threshold(threshold)
        code, said = machine.run("\n".join(job["script"]), CI_COMMIT_SHA="abc123", **job["variables"])
        assert code == wanted, said
        check_junit(machine.folder / job["artifacts"]["reports"]["junit"], words)
    assert job["allow_failure"] == {"exit_codes": [4]}


def test_azure(machine):
    job = yaml.safe_load(recipes()["Azure Pipelines"])
    scripts = [step["bash"] for step in job["steps"] if "bash" in step]
    for threshold, wanted, words in OUTCOMES:
        machine.set_threshold(threshold)
        ended = [machine.run(each, BUILD_SOURCEVERSION="abc123", **job["variables"]) for each in scripts]
        assert [code for code, _ in ended] == [0, wanted], ended
        assert ("logissue" in ended[1][1]) is (wanted == 4)
        (published,) = [step["inputs"] for step in job["steps"] if "task" in step]
        check_junit(machine.folder / published["testResultsFiles"], words)


def test_a_plain_shell(machine):
    for threshold, wanted, words in OUTCOMES:
        machine.set_threshold(threshold)
        code, said = machine.run(recipes()["A plain shell"], "releases", FOLDSTORE_STORE="/srv/foldstore")
        assert code == wanted, said
        assert said.splitlines()[-1].startswith({"refused": "no answer left"}.get(words, words))
    machine.set_threshold("0.3")
    assert machine.run(recipes()["A plain shell"], "nothing", FOLDSTORE_STORE="/srv/foldstore")[0] == 2


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the recipe needs curl and jq")
def test_over_http(machine, store):
    with foldstore.connect(store) as opened:
        vault = TokenVault(opened.registry("token"))
        token, _ = vault.create("evaluator", author="tests")
        with BackgroundServer(create_app(opened.features, vault, store=opened)) as server:
            variables = {"FOLDSTORE_URL": server.url, "FOLDSTORE_TOKEN": token}
            for threshold, wanted, words in OUTCOMES:
                machine.set_threshold(threshold)
                code, said = machine.run(recipes()["Over HTTP"], "releases", **variables)
                assert code == wanted, said
                assert said.startswith(words)
            assert machine.run(recipes()["Over HTTP"], "nothing", **variables)[0] != 0
