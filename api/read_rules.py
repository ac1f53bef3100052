"""What the holder of a token reads: only what its names let through."""

from foldstore.api.tokens import Token
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.reader import FragmentReader


class TokenGuard:
    """Asked before every version is read, by whatever way it is reached.

    Parameters
    ----------
    token : Token
        Who reads.
    """

    def __init__(self, token: Token) -> None:
        self._token = token

    def permit(self, dataset: DatasetRecord, version: VersionRecord, rows: FragmentReader) -> FragmentReader:  # noqa: ARG002
        """Return the rows that may be read.

        Raises
        ------
        NotFoundError
            When the token is not for the dataset.
        """
        self._token.check_name(dataset.name)
        return rows
