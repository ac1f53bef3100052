"""Free text that users give (messages, reasons, names of models): bounded, and such that every catalog can keep it."""

from foldstore.errors import UsageError


def check_text(value: object, what: str, limit: int, *, line: bool = False) -> str:
    r"""Return the text when it can be kept.

    Parameters
    ----------
    value : object
        What the user gave; anything but a str is refused.
    what : str
        What it is, for the message.
    limit : int
        How many characters it may have.
    line : bool
        Whether it is one line that is not empty, of printable characters.

    Raises
    ------
    UsageError
        When it cannot be kept.

    Examples
    --------
    >>> check_text("git:abc123", "the name of a consumer", 200, line=True)
    'git:abc123'
    """
    if not isinstance(value, str):
        raise UsageError(f"{what} is of type {type(value).__name__!r}.", hint="Give a text.")
    if len(value) > limit:
        raise UsageError(f"{what} has {len(value):,} characters; at most {limit:,} are kept.", hint="Shorten it.")
    # PostgreSQL keeps no NUL in a text, and nobody a half of a surrogate pair.
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise UsageError(f"{what} holds characters that are no text.", hint="Leave NUL and lone surrogates out.")
    if line and not (value.strip() and value.isprintable()):
        raise UsageError(f"{what} is empty or holds control characters.", hint="Write one line.")
    return value


def clean_text(value: str, limit: int) -> str:
    """Return a text of foreign origin as it can be kept: cut, with what is no text replaced."""
    whole = value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"
