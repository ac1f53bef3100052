"""`python -m foldstore` is the `foldstore` command."""

from foldstore.cli import main

main()
