"""The `foldstore` command. stdout is data, stderr is talk; exit codes say what happened.

0 passed, 1 checks ran and failed, 2 usage, 3 could not decide, 4 refused by policy, 70 a fault of ours,
130 interrupted.
"""

from foldstore.cli.app import main

__all__ = ["main"]
