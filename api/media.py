"""Kinds of answers, and which of them a client asks for."""

from collections.abc import Sequence

from foldstore.api.problem import NotAcceptableError


def choose_media(accept: str, offered: Sequence[str]) -> str:
    """Return the form that a client asks for first among those on offer (RFC 9110, 12.5.1; quality values count).

    Raises
    ------
    NotAcceptableError
        When it takes none of them.

    Examples
    --------
    >>> kinds = ["application/json", "text/csv", "text/html"]
    >>> choose_media("text/csv;q=0.5, text/html", kinds), choose_media("*/*", kinds)
    ('text/html', 'application/json')
    """
    ranges = [_read_range(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    ranges.sort(key=lambda each: ("*" in each[0], each[0] == "*/*"))  # the most exact range that fits decides
    quality = {media: next((q for pattern, q in ranges if _fits(media, pattern)), 0.0) for media in offered}
    best = max(offered, key=lambda media: quality[media])
    if not quality[best]:
        raise NotAcceptableError(
            f"There is no answer of the kind {ascii(accept)[:80]}.", hint=f"Accept one of {', '.join(offered)}."
        )
    return best


def _read_range(part: str) -> tuple[str, float]:
    pattern, *options = (each.strip().lower() for each in part.split(";"))
    for option in options:
        if option.startswith("q="):
            try:
                return pattern, min(max(float(option[2:]), 0.0), 1.0)
            except ValueError:
                return pattern, 0.0
    return pattern, 1.0


def _fits(media: str, pattern: str) -> bool:
    return pattern in ("*/*", media) or (pattern.endswith("/*") and media.startswith(pattern[:-1]))
