"""The `foldstore` command. stdout is data, stderr is talk; exit codes say what happened.

0 passed, 1 checks ran and failed, 2 usage, 3 could not decide, 4 refused by policy, 70 a fault of ours,
130 interrupted.
"""

import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if [*given[:1]] == ["serve"] and hasattr(signal, "SIGHUP"):
        # Whoever asks a server to begin anew while it begins would end it; the other imports take a tenth of a second.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from foldstore.cli.app import main as run_and_exit

    run_and_exit(arguments)
