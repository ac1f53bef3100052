"""What is in deploy/ runs as nobody special, ends gracefully, and says only what the command takes."""

import configparser
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from foldstore.cli.app import app

DEPLOY = Path(__file__).parents[2] / "deploy"


def options_of_serve():
    command = typer.main.get_command(app).commands["serve"]
    return {name for parameter in command.params for name in parameter.opts}


def assert_is_serve(words):
    assert words[0] == "serve"
    assert {word for word in words if word.startswith("--")} <= options_of_serve()


def read_unit():
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string((DEPLOY / "foldstore.service").read_text())
    return parser


def read_dockerfile():
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


def test_the_unit_runs_without_rights_and_ends_gracefully():
    unit = read_unit()
    service = unit["Service"]
    env, ignored, program, *words = shlex.split(service["ExecStart"])
    assert (env, ignored) == ("/usr/bin/env", "--ignore-signal=HUP")  # a reload must not end what has only begun
    assert program.endswith("/foldstore")
    assert_is_serve(words)
    assert service["User"] not in ("", "root")
    assert service["NoNewPrivileges"] == service["ProtectHome"] == "yes"
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
    grace = int(words[words.index("--grace") + 1]) + int(words[words.index("--drain") + 1])
    assert int(service["TimeoutStopSec"]) > grace
    assert service["KillSignal"] == "SIGTERM"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_knows_every_word_of_the_unit_and_calls_it_safe(tmp_path):
    unit = tmp_path / "foldstore.service"
    unit.write_text((DEPLOY / "foldstore.service").read_text().replace("/opt/foldstore/bin/foldstore", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)  # noqa: S607
    assert (checked.returncode, checked.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout  # its exposure is at most 2.0 of 10
    assert "SystemCallFilter=~@privileged" in judged.stdout


def test_the_image_runs_as_a_user_without_rights_and_is_asked_for_its_health():
    steps = read_dockerfile()
    last = dict(steps[max(place for place, (name, _) in enumerate(steps) if name == "FROM") :])
    assert last["USER"].strip() not in ("", "root", "0")
    assert json.loads(last["ENTRYPOINT"]) == ["foldstore"]
    assert_is_serve(json.loads(last["CMD"]))
    assert "/readyz" in last["HEALTHCHECK"]
    assert last["STOPSIGNAL"] == "SIGTERM"
    probe = json.loads(last["HEALTHCHECK"].partition("CMD")[2])
    compile(probe[2], "HEALTHCHECK", "exec")


def test_a_change_of_the_code_leaves_the_layer_of_what_it_needs_as_it_is():
    steps = read_dockerfile()
    assert {words for name, words in steps if name == "FROM"} == {
        "${PYTHON_IMAGE} AS needs", "needs AS code", "${PYTHON_IMAGE}"
    }  # fmt: skip
    needs = steps[: steps.index(("FROM", "needs AS code"))]
    assert [words for name, words in needs if name == "COPY"] == ["pyproject.toml constraints.txt ./"]
    last = steps[steps.index(("FROM", "${PYTHON_IMAGE}")) :]
    assert [words for name, words in last if name == "COPY"] == [
        "--from=needs /opt/foldstore /opt/foldstore",
        "--from=code /opt/code /opt/foldstore",
    ]


def test_the_image_is_made_of_what_is_named_and_no_store_or_history():
    root = DEPLOY.parent
    lines = [line for line in (root / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert (lines[0], lines[-1]) == ("*", "**/__pycache__")
    named = {line.removeprefix("!") for line in lines[1:-1]}
    assert all((root / name).exists() for name in named)
    links = {path.name for path in (root / "foldstore").iterdir() if path.is_symlink()}
    assert named == {"foldstore", *links, "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}


def test_the_unit_and_its_first_lines_speak_of_the_same_places():
    text = (DEPLOY / "foldstore.service").read_text()
    told = " ".join(line.removeprefix("#") for line in text.splitlines() if line.startswith("#   "))
    service = read_unit()["Service"]
    store = service["Environment"].removeprefix("FOLDSTORE_STORE=")
    assert f"$AS init {store}" in told
    assert f"$AS token create admin --store {store}" in told
    assert f"-m 700 {service['ReadWritePaths']}\n" in text
    assert service["ReadWritePaths"] == f"/var/lib/{service['StateDirectory']}" == str(Path(store).parent)
    assert shlex.split(service["ExecStart"])[2] in told
    assert f"useradd --system --user-group --home-dir {service['ReadWritePaths']}" in told


def test_nothing_secret_is_in_it():
    for file in DEPLOY.iterdir():
        assert "foldstore_" not in file.read_text()
