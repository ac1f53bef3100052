"""The image of deploy/Dockerfile, built by `make image`: it runs as its user, and writes to its volume alone."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

import foldstore

IMAGE = os.environ.get("FOLDSTORE_REQUIRE_IMAGE")
PATIENCE = 120
pytestmark = pytest.mark.skipif(IMAGE is None, reason="needs an image: make image")


def buildah(*words, **options):
    done = subprocess.run(["buildah", *words], capture_output=True, text=True, check=False, **options)  # noqa: S607
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Container:
    """A container of the image, with a folder as its volume; Buildah takes its rights, and filters its calls."""

    def __init__(self, volume):
        self.config = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
        self.name = buildah("from", "--pull-never", IMAGE)
        self.root = Path(buildah("mount", self.name))
        self.volume = volume

    def command(self, words):
        volumes = ["--volume", f"{self.volume}:/data"]
        return ["buildah", "run", "--isolation", "chroot", "--cap-drop", "ALL", *volumes, self.name, "--", *words]

    def run(self, *words):
        """Run the image's program; return its exit code and what it said."""
        command = self.command([*self.config["Entrypoint"], *words])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def changed_since(self, instant):
        """Return what was written beside the volume and /tmp; folders that Buildah mounts upon are no files."""
        found = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        inside = {path.relative_to(self.root) for path in found if path.stat().st_mtime > instant}
        return {path for path in inside if path.parts[0] not in ("tmp", "data", "proc", "sys", "dev", "run", "etc")}

    def close(self):
        buildah("rm", self.name)


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volume")
    os.chown(folder, 10001, 10001)
    folder.chmod(0o700)
    return folder


@pytest.fixture(scope="module")
def container(volume):
    made = Container(volume)
    yield made
    made.close()


@pytest.fixture(scope="module")
def token(container):
    """A token, after the program said what is missing."""
    code, _, said = container.run(*container.config["Cmd"])
    assert code == 3
    assert "foldstore init" in said
    assert container.run("init", "/data/store")[0] == 0
    code, _, said = container.run(*container.config["Cmd"])
    assert code == 4
    assert "foldstore token create" in said
    code, out, _ = container.run("token", "create", "admin")
    assert code == 0
    return out.strip()


class Served:
    """The image's process, as the image says, on a port of its own."""

    def __init__(self, container, token):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.container, self.token = container, token
        words = [*container.config["Entrypoint"], *container.config["Cmd"], "--port", str(self.port)]
        self.process = subprocess.Popen(container.command(words), stderr=subprocess.DEVNULL)

    def __enter__(self):
        deadline = time.monotonic() + PATIENCE
        while self.status("/readyz") != 200:
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.kill(self.first(), signal.SIGKILL)
            self.process.wait(PATIENCE)

    def ask(self, method, path, body=None, kind="application/json"):
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        head = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", data, head, method=method), timeout=60) as answer:
            return json.load(answer)

    def status(self, path):
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.status
        except HTTPError as error:
            return error.code
        except (URLError, OSError):
            return None

    def processes(self):
        """Return the numbers of the processes that serve this port, and of those that wait for queries."""
        lines = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended
                lines[int(folder.name)] = (folder / "cmdline").read_bytes().split(b"\0")
        program = b"/opt/foldstore/bin/python"
        ours = {n for n, line in lines.items() if line[0].startswith(program) and str(self.port).encode() in line}
        return ours | {n for n, line in lines.items() if line[0].startswith(program) and parent_of(n) in ours}

    def first(self):
        """Return the one that watches over the others."""
        found = self.processes()
        return next(number for number in found if parent_of(number) not in found)


def status_of(number):
    return Path(f"/proc/{number}/status").read_text()


def parent_of(number):
    return int(re.search(r"PPid:\s*(\d+)", status_of(number))[1])


def test_it_serves_as_its_user_without_rights_and_keeps_its_volume(container, token):
    began = time.time()
    with Served(container, token) as served:
        assert served.ask("POST", "/v1/datasets", {"name": "cities", "key": ["city"]})["key"] == ["city"]
        rows = b"city,people,at\nOslo,709000,2024-01-01\nBern,134000,2024-01-01\n"
        assert served.ask("POST", "/v1/datasets/cities/versions", rows, "text/csv")["address"] == "cities@1"
        most = served.ask("POST", "/v1/sql", {"sql": "SELECT max(people) AS most FROM cities"})
        assert most["rows"] == [{"most": 709000}]
        view = {"source": "cities", "event_time": "at", "features": ["people"], "entity": "city"}
        defined = {"entities": {"city": {"keys": {"city": "string"}}}, "views": {"sizes": view}}
        defined["services"] = {"sizes": {"features": ["sizes"]}}
        served.ask("POST", "/v1/feature-services", {"definitions": defined})
        served.ask("POST", "/v1/feature-services/sizes/versions/1:materialize", {})

        inside = [status_of(number) for number in served.processes()]
        assert len(inside) >= 3
        for text in inside:
            assert set(re.search(r"Uid:(.*)", text)[1].split()) == {"10001"}
            assert int(re.search(r"CapEff:\s*(\w+)", text)[1], 16) == 0
            assert re.search(r"Seccomp:\s*(\d)", text)[1] == "2"

        probe = container.config["Healthcheck"]["Test"]
        assert probe[0] == "CMD"
        asked = [word.replace("8765", str(served.port)) for word in probe[1:]]
        assert subprocess.run(container.command(asked), check=False).returncode == 0

        os.kill(served.first(), signal.SIGTERM)
        while served.status("/readyz") == 200:
            assert served.process.poll() is None
            time.sleep(0.02)
        # It says that it is not ready, and answers for a while.
        assert served.status("/readyz") == 503
        assert served.ask("GET", "/v1/datasets/cities/versions/1/rows")["rows"][0]["city"] == "Oslo"
        assert served.process.wait(PATIENCE) == 0
        assert subprocess.run(container.command(asked), stderr=subprocess.DEVNULL, check=False).returncode != 0
    assert container.changed_since(began) == set()

    with Served(container, token) as served:
        wanted = {"feature_service": "sizes@1", "entities": {"city": ["Oslo", "Rome"]}}
        found = served.ask("POST", "/get-online-features", wanted)["results"]
        assert found[1]["values"] == [709000, None]


def test_nothing_but_what_is_installed_is_in_it(container):
    assert not (container.root / "source").exists()
    assert not (container.root / "opt/code").exists()
    names = {path.name for path in container.root.rglob("foldstore/**/*")}
    assert {"app.py", "sandbox"} <= names
    assert not names & {".git", ".venv", "constraints.txt", ".dockerignore", ".pytest_cache", "Makefile"}
    assert list((container.root / "data").iterdir()) == []


def test_the_code_is_that_of_the_clone_and_compiled(container):
    """Else it would be that of an older build, or be compiled at each start, for it cannot be written to."""
    (installed,) = container.root.glob("opt/foldstore/lib/python3*/site-packages/foldstore")
    clone = Path(foldstore.__file__).parent
    for name in ("__init__.py", "cli/app.py", "api/workers.py", "views/view.py"):
        assert (installed / name).read_bytes() == (clone / name).read_bytes()
        source = installed / name
        (compiled,) = source.parent.glob(f"__pycache__/{source.stem}.cpython-3*.pyc")
        head = compiled.read_bytes()[:16]  # flags, the source's time and its size, after four bytes of magic: PEP 552
        assert struct.unpack("<III", head[4:]) == (0, int(source.stat().st_mtime), source.stat().st_size)
