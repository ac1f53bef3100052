"""The script of ease.ml/ci, read as it stands: the ``ml`` section of a CI file says what a model is tested for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from foldstore.errors import InvalidSchemaError, UsageError, did_you_mean
from foldstore.validation.document import read_yaml
from foldstore.validation.pools.plan import PoolPlan, plan_pool

_FIELDS: Final = ("script", "condition", "reliability", "mode", "adaptivity", "steps")
_NEEDED: Final = ("condition", "reliability", "steps")
_HINT: Final = (
    "Write ml: with script, condition, reliability, mode, adaptivity and steps (arXiv 1903.00278, section 2)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CiScript:
    r"""What an ease.ml/ci script asks for.

    Attributes
    ----------
    condition : str
    reliability : float
    steps : int
    mode : str
        ``fp-free`` unless the script says ``fn-free``.
    adaptivity : str
        ``full``, ``firstChange`` or ``none``.
    mail : str or None
        Who is told where the answers are withheld: ``none -> somebody@example.org``.
    command : str or None
        The test that the script runs.

    Examples
    --------
    >>> text = "ml:\n  - condition: n > 0.8 +/- 0.05\n  - reliability: 0.999\n  - steps: 8\n  - adaptivity: firstChange"
    >>> CiScript.read(text).plan().labels
    677
    """

    condition: str
    reliability: float
    steps: int
    mode: str = "fp-free"
    adaptivity: str = "full"
    mail: str | None = None
    command: str | None = None

    @classmethod
    def read(cls, text: str) -> "CiScript":
        """Read the text of a script, or of a CI file that has one.

        Raises
        ------
        UsageError
            With the code ``invalid-script``, when it is none.
        """
        said = _read_fields(text)
        for name in _NEEDED:
            if name not in said:
                raise _invalid(f"The script does not say its {name}.")
        adaptivity, _, mail = str(said.get("adaptivity", "full")).partition("->")
        return cls(
            condition=str(said["condition"]),
            reliability=said["reliability"],
            steps=said["steps"],
            mode=str(said.get("mode", "fp-free")),
            adaptivity=adaptivity.strip(),
            mail=mail.strip() or None,
            command=None if "script" not in said else str(said["script"]),
        )

    def plan(self, method: str = "exact") -> PoolPlan:
        """Return how many labels it takes; ``hoeffding`` and ``bennett`` compute as ease.ml/ci does.

        Raises
        ------
        UsageError
            When a field has a value that means nothing; the condition's error points at the character.
        """
        return plan_pool(
            self.condition,
            reliability=self.reliability,
            steps=self.steps,
            reuse=self.adaptivity,
            mode=self.mode,
            method=method,
        )


def _read_fields(text: str) -> dict[str, Any]:
    try:
        data = read_yaml(text)
    except InvalidSchemaError as error:
        raise _invalid("The script is no YAML that is read here.") from error
    section = data.get("ml") if isinstance(data, Mapping) else None
    if section is None:
        raise _invalid("There is no section ml.")
    items = section if isinstance(section, list) else [section]
    said: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, Mapping):
            raise _invalid("The section ml is no list of fields.")
        for name, value in item.items():
            if name not in _FIELDS:
                raise _invalid(f"The script has no field {ascii(name)[:60]}.", did_you_mean(str(name)[:60], _FIELDS))
            if name in said:
                raise _invalid(f"The script says its {name} twice.")
            said[name] = value
    return said


def _invalid(message: str, hint: str = _HINT) -> UsageError:
    return UsageError(message, hint=hint, code="invalid-script")
