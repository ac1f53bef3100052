"""The answer of a pool as the services of a forge take it: a JUnit file, the body of a commit status.

Neither has more than pass or fail, the number of rows and what is left; a commit status has pass or fail alone.
"""

import json
import xml.etree.ElementTree as ET  # only writes; nothing is parsed
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from foldstore.errors import RefusedError
from foldstore.validation.pools.pool_status import PoolStatus
from foldstore.validation.pools.submission import Verdict
from foldstore.validation.reporting.wording import one_line


class Forge(StrEnum):
    """Whose commit statuses are meant."""

    GITHUB = "github"
    GITLAB = "gitlab"


class Answer(StrEnum):
    """What a pool said."""

    PASSED = "passed"
    FAILED = "failed"
    WITHHELD = "withheld"
    REFUSED = "refused"


_STATES: Final[dict[Forge, dict[Answer, str]]] = {
    Forge.GITHUB: {
        Answer.PASSED: "success",
        Answer.FAILED: "failure",
        Answer.WITHHELD: "pending",
        Answer.REFUSED: "error",
    },
    Forge.GITLAB: {
        Answer.PASSED: "success",
        Answer.FAILED: "failed",
        Answer.WITHHELD: "pending",
        Answer.REFUSED: "canceled",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAnswer:
    """What a pool said of one submission, and what is left of it.

    Attributes
    ----------
    pool, condition, model : str
        What was asked of what.
    charged : bool
        Whether a step was spent.
    refusal : RefusedError or None
        Why there is no answer.
    """

    pool: str
    condition: str
    model: str
    answer: Answer
    charged: bool
    rows: int
    steps_left: int
    refusal: RefusedError | None = None

    @classmethod
    def of(
        cls, status: PoolStatus, said: Verdict | RefusedError, *, model: str, rows: int | None = None
    ) -> "GateAnswer":
        """Put a verdict, or the refusal to give one, together with the pool's status after it."""
        refusal = said if isinstance(said, RefusedError) else None
        words = {True: Answer.PASSED, False: Answer.FAILED, None: Answer.WITHHELD}
        return cls(
            pool=status.name,
            condition=str(status.plan.condition),
            model=model,
            answer=words[said.passed] if isinstance(said, Verdict) else Answer.REFUSED,
            charged=isinstance(said, Verdict) and said.charged,
            rows=status.num_rows if rows is None else rows,
            steps_left=status.steps_left,
            refusal=refusal,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        names = ("pool", "answer", "charged", "steps_left")
        return {name: str(value) if name == "answer" else value for name in names for value in [getattr(self, name)]}

    def to_junit(self) -> str:
        """Return a JUnit file with one test case: it fails when the model does, and is in error without an answer."""
        counts = {
            "tests": "1",
            "failures": str(int(self.answer is Answer.FAILED)),
            "errors": str(int(self.answer is Answer.REFUSED)),
            "skipped": str(int(self.answer is Answer.WITHHELD)),
            "time": "0",  # how long an answer took is an answer, too
        }
        suites = ET.Element("testsuites", {"name": "foldstore pool", **counts})
        suite = ET.SubElement(suites, "testsuite", {"name": one_line(self.pool), **counts})
        properties = ET.SubElement(suite, "properties")
        for name, value in (("rows", self.rows), ("steps_left", self.steps_left), ("model", self.model)):
            ET.SubElement(properties, "property", name=name, value=one_line(str(value)))
        case = ET.SubElement(suite, "testcase", classname=one_line(self.pool), name=one_line(self.condition), time="0")
        if self.answer is Answer.FAILED:
            ET.SubElement(case, "failure", type="pool-failed", message="The model does not fulfil the condition.")
        elif self.answer is Answer.WITHHELD:
            ET.SubElement(case, "skipped", message="The answer is withheld until the pool retires.")
        elif self.refusal is not None:
            ET.SubElement(case, "error", type=self.refusal.code, message=one_line(self.refusal.message))
        ET.indent(suites)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'

    def to_commit_status(self, forge: Forge | str = Forge.GITHUB) -> str:
        """Return the body to post to a forge's API of commit statuses: pass or fail, and nothing else.

        Examples
        --------
        >>> answer = GateAnswer(
        ...     pool="late", condition="n > 0.8", model="m", answer=Answer.FAILED, charged=True, rows=900, steps_left=3
        ... )
        >>> print(answer.to_commit_status("gitlab"), end="")
        {"state": "failed", "name": "foldstore/late", "description": "failed"}
        """
        kind = Forge(forge)
        name = "context" if kind is Forge.GITHUB else "name"
        said = str(self.answer) if self.answer in (Answer.PASSED, Answer.FAILED) else "not answered"
        body = {"state": _STATES[kind][self.answer], name: f"foldstore/{self.pool}", "description": said}
        return json.dumps(body) + "\n"
