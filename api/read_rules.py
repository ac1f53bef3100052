"""What the holder of a token reads: what its names let through, less what rules take away."""

from collections.abc import Sequence

from foldstore.api.rules import AccessRule, RuleBook
from foldstore.api.tokens import Token
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.reader import FragmentReader


class TokenGuard:
    """Asked before every version is read, by whatever way it is reached.

    Parameters
    ----------
    token : Token
        Who reads.
    book : RuleBook
        Applies rules.
    rules : sequence of AccessRule
        Those that meet the token.
    """

    def __init__(self, token: Token, book: RuleBook, rules: Sequence[AccessRule]) -> None:
        self._token = token
        self._book = book
        self._rules = rules

    def permit(self, dataset: DatasetRecord, version: VersionRecord, rows: FragmentReader) -> FragmentReader:  # noqa: ARG002
        """Return the rows that may be read.

        Raises
        ------
        NotFoundError
            When the token is not for the dataset.
        RefusedError
            When a rule cannot be asked of the rows.
        """
        self._token.check_name(dataset.name)
        rules = [rule for rule in self._rules if rule.is_about(dataset.name)]
        return self._book.narrow(rows, rules) if rules else rows

    def may_know(self, dataset: str) -> bool:
        """Say whether the token is for a dataset of this name."""
        return self._token.may_name(dataset)
