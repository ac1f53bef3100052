"""Patterns: texts whose form is unlike that of almost all others in their column, such as ``8x%`` among ``85%``.

The form of a text has ``9`` for a run of digits, ``a`` for a run of letters, and other signs as they are. Where a
few forms cover nearly all rows, the others are suspects. What was meant cannot be told from the form.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# How much of the rows the usual forms cover, and how much each of them has at least.
COVERED: Final = 0.9
USUAL: Final = 0.02
_MOST_FORMS: Final = 12
_RUNS: Final = re.compile(r"(\d+)|([^\W\d_]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class OddForm:
    """A value with an unusual form.

    Attributes
    ----------
    value, form : str
    count : int
    usual : tuple of str
        The forms of nearly all rows.
    """

    value: str
    form: str
    count: int
    usual: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        return {"value": self.value, "form": self.form, "count": self.count, "usual": list(self.usual)}


def form_of(text: str) -> str:
    """Return the form of a text.

    Examples
    --------
    >>> form_of("85%"), form_of("8x%"), form_of("12 patients")
    ('9%', '9a%', '9 a')
    """
    return _RUNS.sub(lambda found: "9" if found.group(1) else "a", text)


def find_odd_forms(counts: Mapping[str, int]) -> tuple[OddForm, ...]:
    """Find values whose form is rare where few forms are usual, one of them with digits; the most frequent first.

    Examples
    --------
    >>> shares = {f"{n}%": 5 for n in range(30)} | {"8x%": 1}
    >>> [each.value for each in find_odd_forms(shares)]
    ['8x%']
    """
    forms: Counter[str] = Counter()
    for value, count in counts.items():
        forms[form_of(value)] += count
    rows = sum(forms.values())
    usual = [form for form, count in forms.most_common(_MOST_FORMS) if count >= USUAL * rows]
    covered = sum(forms[form] for form in usual)
    # Words have one form, whatever they say: only where digits have a place does a form tell much.
    if not rows or covered < COVERED * rows or not any("9" in form for form in usual):
        return ()
    odd = [(value, form_of(value), count) for value, count in counts.items()]
    found = [
        OddForm(value=value, form=form, count=count, usual=tuple(usual))
        for value, form, count in odd
        if form not in usual
    ]
    return tuple(sorted(found, key=lambda each: (-each.count, each.value)))
