"""Acts on a store that are killed at a step: a process of their own each, ended by SIGKILL.

A process that has imported everything waits for jobs and forks one child for each, before any store is opened or
any thread is started: a kill costs what the act costs, not what the imports do.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(act, folder, step, *, nth=1, catalog_url=None, **values):
    """Run an act in a process of its own, which is killed when `storage.on_step` is told a step the nth time.

    Parameters
    ----------
    act : str
        Python text; it finds `storage` and whatever else is given.
    step : str
        The step; one that never comes kills nothing.

    Returns
    -------
    subprocess.CompletedProcess
        With what the act printed.
    """
    job = {"act": act, "folder": str(folder), "step": step, "nth": nth, "catalog_url": catalog_url, "values": values}
    waiting = _start()
    waiting.stdin.write(json.dumps(job) + "\n")
    waiting.stdin.flush()
    answer = json.loads(waiting.stdout.readline())
    return subprocess.CompletedProcess(act, answer["returncode"], answer["stdout"], answer["stderr"])


def assert_killed(done):
    """Check that an act ended where it was told to, and was not acknowledged."""
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == ""


@cache
def _start():
    code = "from tests.killing import wait_for_jobs; wait_for_jobs()"
    waiting = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    atexit.register(_stop, waiting)
    return waiting


def _stop(waiting):
    waiting.stdin.close()
    waiting.stdout.close()
    waiting.wait()


def wait_for_jobs():
    """Fork a child for each job on the standard input, and say how it ended."""
    import foldstore.connecting
    import foldstore.validation.pools.submission  # noqa: F401  # what acts need, once

    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = os.fork()
            if child == 0:
                _work(json.loads(line), out, err)
            _, status = os.waitpid(child, 0)
            out.seek(0)
            err.seek(0)
            answer = {
                "returncode": os.waitstatus_to_exitcode(status),
                "stdout": out.read(),
                "stderr": err.read(),
            }
        print(json.dumps(answer), flush=True)


def _work(job, out, err):
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    failed = 1
    try:
        exec(job["act"], {"storage": _open(job), **job["values"]})  # noqa: S102  # the tests' own text
        failed = 0
    except BaseException:  # noqa: BLE001  # whatever it is, the one who waits is told
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(failed)


def _open(job):
    from foldstore.datastore.storage import open_storage

    seen = []

    def stop(step):
        seen.append(step)
        if seen.count(job["step"]) == job["nth"]:
            os.kill(os.getpid(), signal.SIGKILL)

    return replace(open_storage(Path(job["folder"]), catalog_url=job["catalog_url"]), on_step=stop)
