"""Numbers that were typed, read exactly: 0.1 is a tenth, and not the nearest double."""

from fractions import Fraction


def read_fraction(value: object) -> Fraction | None:
    """Return a number exactly as it was written: an int, a float, a Fraction, or a text such as "1/3"; None otherwise.

    Examples
    --------
    >>> read_fraction(0.1), read_fraction("1/3"), read_fraction(float("nan"))
    (Fraction(1, 10), Fraction(1, 3), None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        return None
    try:
        # A float's shortest text is what was typed.
        return Fraction(repr(value) if isinstance(value, float) else value)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
