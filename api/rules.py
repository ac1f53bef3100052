"""Rules about what some roles and tokens do not see of a dataset: columns by name, rows by a condition.

Rules only take away. Of several that meet a token and a dataset, every one holds. Who is under a rule about a dataset
reads its rows, by the ways that are known to obey, and does nothing else with it: statistics, reports, lookups and
commits tell, or touch, what is hidden.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from foldstore.api.access import ROLES
from foldstore.api.tokens import Token
from foldstore.datastore.engine import Engine
from foldstore.datastore.reader import FragmentReader
from foldstore.errors import FoldstoreError, NotFoundError, RefusedError, UsageError, did_you_mean
from foldstore.names import check_name
from foldstore.types import Clock, format_time, utc_now

if TYPE_CHECKING:
    from foldstore.store import Store

KIND: Final = "access-rule"
_STALE_AFTER: Final = timedelta(seconds=2)  # how long a running server may still go by what was
_PATTERN: Final = re.compile(r"[^\x00-\x1f]{1,255}")
_LONGEST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """What some do not see.

    Attributes
    ----------
    name : str
        The rule's own name.
    datasets : tuple of str
        Patterns of datasets' names, in which ``*`` stands for any letters.
    roles, tokens : tuple of str
        Whom it meets: holders of tokens of these roles, and of tokens with these ids.
    hide : tuple of str
        Patterns of columns that they do not see.
    where : str or None
        A condition, as in SQL's WHERE, that the rows they see meet.
    """

    name: str
    datasets: tuple[str, ...]
    roles: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    where: str | None = None

    def meets(self, token: Token) -> bool:
        """Say whether it is about the holder of a token."""
        return token.role in self.roles or token.id in self.tokens

    def is_about(self, dataset: str) -> bool:
        """Say whether it is about a dataset."""
        return any(fnmatchcase(dataset, pattern) for pattern in self.datasets)

    def hides(self, column: str) -> bool:
        """Say whether it hides a column."""
        return any(fnmatchcase(column, pattern) for pattern in self.hide)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


class RuleDocuments(Protocol):
    """Where rules are kept: the Registry of kind ``access-rule``."""

    def put(self, name: str, body: Any, *, author: str, message: str = "", created_at: str) -> Any:
        """Add a version of a document."""

    def find(self, name: str) -> Any:
        """Return the newest version of a document, its content as `body`; None when there is none."""

    def list_documents(self) -> Any:
        """List every version of every document, by name and version."""


class RuleBook:
    """Keeps rules, and says which meet a token.

    Parameters
    ----------
    documents : RuleDocuments
        ``Registry(catalog, "access-rule")``.
    clock : callable
        What time it is.
    """

    def __init__(self, documents: RuleDocuments, *, clock: Clock = utc_now) -> None:
        self._documents = documents
        self._clock = clock
        self._known: tuple[datetime, list[AccessRule]] | None = None
        self._engine: Engine | None = None
        self._lock = Lock()

    def put(self, rule: AccessRule, *, author: str) -> None:
        """Make a rule, or another of its name.

        Raises
        ------
        UsageError
            When it meets nobody, hides nothing, or names a role that there is not.
        """
        _check(rule)
        self._keep(rule.name, rule.to_dict(), author, "set")

    def remove(self, name: str, *, author: str) -> None:
        """Have a rule hold no longer.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        known = [rule.name for rule in self.list()]
        if name not in known:
            raise NotFoundError(f"There is no rule {ascii(name)[:60]}.", hint=did_you_mean(str(name)[:60], known))
        self._keep(name, {"removed": True}, author, "removed")

    def list(self) -> list[AccessRule]:
        """List the rules that hold, by name."""
        newest = {document.name: document for document in self._documents.list_documents()}  # oldest first
        found = [document.body for document in newest.values()]
        return sorted((_decode(body) for body in found if "removed" not in body), key=lambda rule: rule.name)

    def remembered(self, token: Token) -> Sequence[AccessRule] | None:
        """Return what `of` does, when that takes no look into the catalog; else None."""
        known = self._known
        if known is None or not timedelta(0) <= self._clock() - known[0] < _STALE_AFTER:
            return None
        return [rule for rule in known[1] if rule.meets(token)]

    def of(self, token: Token) -> Sequence[AccessRule]:
        """Return the rules that meet the holder of a token."""
        now = self._clock()
        with self._lock:
            if self._known is None or not timedelta(0) <= now - self._known[0] < _STALE_AFTER:
                self._known = now, self.list()
            return [rule for rule in self._known[1] if rule.meets(token)]

    def narrow(self, rows: FragmentReader, rules: Sequence[AccessRule]) -> FragmentReader:
        """Return the rows and columns that some rules leave.

        Raises
        ------
        RefusedError
            When a rule cannot be asked of these rows: then nothing is shown.
        """
        conditions = [rule.where for rule in rules if rule.where is not None]
        hidden = None
        for condition in conditions:
            here = ~self._mask(rows, condition)
            hidden = here if hidden is None else hidden | here
        names = rows.arrow_schema.names
        return rows.without({name for name in names if any(rule.hides(name) for rule in rules)}, hidden)

    def _mask(self, rows: FragmentReader, condition: str) -> NDArray[np.bool_]:
        if self._engine is None:
            self._engine = Engine(memory_limit="512MB", threads=1)
        try:
            predicate = self._engine.parse_predicate(condition, rows.arrow_schema, where="the rule")
            batches = rows.batches(predicate.columns or rows.arrow_schema.names[:1])
            schema = rows.project(predicate.columns or rows.arrow_schema.names[:1])
            parts = [mask.to_numpy(zero_copy_only=False) for mask in self._engine.mask(predicate, schema, batches)]
        except FoldstoreError as error:
            raise RefusedError(
                "A rule of access cannot be asked of these rows, so none is shown.",
                hint="Tell who administers the store: the rule's condition does not fit the columns.",
                code="rule-not-applicable",
            ) from error
        return np.concatenate([np.empty(0, np.bool_), *parts])

    def _keep(self, name: str, body: Any, author: str, message: str) -> None:
        self._documents.put(name, body, author=author, message=message, created_at=format_time(self._clock()))
        with self._lock:
            self._known = None


def doubts_of(rule: AccessRule, store: "Store", met: Sequence[AccessRule] = ()) -> list[str]:
    """Say what a rule names that nothing has: it may be meant for what comes, or be written wrongly.

    Parameters
    ----------
    rule : AccessRule
        The rule.
    store : Store
        Has the datasets.
    met : sequence of AccessRule
        What hides things from whoever is told: of those datasets nothing is said, for their columns are not all seen.
    """
    schemas, unsaid = {}, []
    for each in store.datasets():
        if any(other.is_about(each.name) for other in met):
            unsaid.append(each.name)
        elif rule.is_about(each.name):
            with suppress(NotFoundError):  # it has no version
                schemas[each.name] = each.latest.arrow_schema
    doubts = [
        f"no dataset with a version is called {pattern}"
        for pattern in rule.datasets
        if not any(fnmatchcase(name, pattern) for name in (*schemas, *unsaid))
    ]
    columns = [name for schema in schemas.values() for name in schema.names]
    if schemas:
        doubts += [
            f"no column of {', '.join(schemas)} is called {pattern}, so it hides nothing there"
            for pattern in rule.hide
            if not any(fnmatchcase(name, pattern) for name in columns)
        ]
    if rule.where is not None:
        with Engine(memory_limit="256MB", threads=1) as engine:
            for name, schema in schemas.items():
                try:
                    engine.parse_predicate(rule.where, schema, where="the rule")
                except FoldstoreError as error:
                    doubts.append(f"the condition does not fit {name}, of which no row is shown: {error.message}")
    return doubts


def _decode(body: Any) -> AccessRule:
    return AccessRule(
        name=body["name"],
        datasets=tuple(body["datasets"]),
        roles=tuple(body["roles"]),
        tokens=tuple(body["tokens"]),
        hide=tuple(body["hide"]),
        where=body["where"],
    )


def _check(rule: AccessRule) -> None:
    check_name(rule.name, "rule")
    for role in rule.roles:
        if role not in ROLES:
            raise UsageError(f"There is no role {ascii(role)[:40]}.", hint=did_you_mean(str(role)[:40], ROLES))
    for pattern in (*rule.datasets, *rule.hide):
        if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
            raise UsageError(
                f"{ascii(pattern)[:60]} is no pattern of names.", hint="Write names, with * for any letters."
            )
    if not rule.datasets or not (rule.roles or rule.tokens):
        raise UsageError("A rule is about some datasets, and meets some roles or tokens.", hint="Name them.")
    if not rule.hide and rule.where is None:
        raise UsageError("The rule hides nothing.", hint="Name columns to hide, or a condition that rows must meet.")
    if rule.where is not None and (not isinstance(rule.where, str) or not 0 < len(rule.where) <= _LONGEST):
        raise UsageError("The condition of the rule is no text.", hint="Write it as in SQL's WHERE.")
