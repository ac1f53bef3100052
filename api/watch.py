"""What goes along with every request: its id, how often it may come, and who is told of it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from anyio import to_thread

from foldstore.api.access import PRINCIPAL_KEY
from foldstore.api.audit import AuditLog
from foldstore.api.metrics import Metrics
from foldstore.api.problem import RateLimitedError
from foldstore.api.rate import RateLimit, whole_seconds
from foldstore.api.request_log import log_request, redact
from foldstore.api.request_record import RequestRecord
from foldstore.api.rules import RuleBook
from foldstore.api.tokens import Token
from foldstore.errors import RefusedError

ID_KEY: Final = "foldstore.request_id"
_FAILURES: Final = 20
_DRAWN: Final = 64
_VARIANTS: Final = {digit: "89ab"[number % 4] for number, digit in enumerate("0123456789abcdef")}


@dataclass(slots=True, kw_only=True)
class Watch:
    """Watches requests.

    Attributes
    ----------
    audit : AuditLog or None
        Is told who did what.
    book : RuleBook or None
        Says what is hidden from whom.
    metrics : Metrics or None
        Counts.
    requests : RateLimit or None
        How often a token may ask.
    failures : RateLimit
        How often one address may be wrong about the secret of one token: then it is not compared any more.
    """

    audit: AuditLog | None = None
    book: RuleBook | None = None
    metrics: Metrics | None = None
    requests: RateLimit | None = None
    failures: RateLimit = field(default_factory=lambda: RateLimit(per_second=_FAILURES / 60, burst=_FAILURES))

    def check_rate(self, token: Token) -> None:
        """Count a request of a token.

        Raises
        ------
        RateLimitedError
            When it comes too soon.
        """
        seconds = 0.0 if self.requests is None else self.requests.take(token.id)
        if seconds:
            raise _too_often("This token asks more often than it may.", seconds)

    def may_ask(self, token: Token) -> bool:
        """Say whether `check_rate` would let a token pass now; count nothing."""
        return self.requests is None or not self.requests.look(token.id)

    def may_look_up(self, token: Token) -> bool:
        """Say whether it is known, without a look into the catalog, that no rule refuses lookups to a token."""
        return self.book is None or self.book.remembered(token) == []

    async def check_lookup(self, token: Token) -> None:
        """Refuse lookups to whom a rule hides something: features are made of cells that it may hide.

        Raises
        ------
        RefusedError
            When there is such a rule.
        """
        if self.book is None:
            return
        # From memory as a rule: a thread for each lookup would cost more than the lookup.
        rules = self.book.remembered(token)
        if rules is None:
            rules = await to_thread.run_sync(self.book.of, token)
        if rules:
            raise RefusedError(
                "A rule hides a part of the data from you, and features may be made of it.",
                hint="Ask for a token that no rule meets.",
                code="hidden-by-rule",
            )

    def check_failures(self, address: str, token_id: str) -> None:
        """Refuse to compare a secret when that failed too often.

        Raises
        ------
        RateLimitedError
            When it did.
        """
        seconds = self.failures.look(f"{address} {token_id}")
        if seconds:
            raise _too_often("This token was wrong too often.", seconds)

    def note_failure(self, address: str, token_id: str) -> None:
        """Count a wrong secret."""
        self.failures.take(f"{address} {token_id}")

    async def begin(self, record: RequestRecord) -> None:
        """Write down who did what, before the answer leaves."""
        if self.audit is not None and record.changes:
            await to_thread.run_sync(self.audit.note, record)
        elif self.audit is not None:
            self.audit.note(record)

    def end(self, record: RequestRecord) -> None:
        """Count and log a request that was answered."""
        if self.metrics is not None:
            self.metrics.note(record)
        log_request(record)

    def end_lookups(self, route: str, answered: Sequence[tuple[Token, float]]) -> None:
        """Do what `begin` and `end` do for lookups that were answered: whose each was, and how many seconds it took."""
        if self.metrics is not None:
            self.metrics.note_all("POST", route, 200, [seconds for _, seconds in answered])
            self.metrics.settle()
        if self.audit is not None:
            for token, many in groupby([token for token, _ in answered]):
                self.audit.note_lookups(token, route, 200, len(list(many)))


def record_of(scope: Any, status: int, began: float, find_route: Callable[[str, str], str]) -> RequestRecord:
    """Return what is remembered of a request."""
    token, client = scope.get(PRINCIPAL_KEY), scope.get("client")
    named = scope.get("path_params") if token is not None else None
    return RequestRecord(
        id=scope[ID_KEY],
        method=scope["method"] if len(scope["method"]) < 10 else "other",
        route=find_route(scope["method"], scope["path"]),
        named={} if not named else {name: redact(str(value))[:100] for name, value in named.items()},
        status=status,
        seconds=time.perf_counter() - began,
        token=token,
        address=client[0] if client else "",
    )


def new_id() -> str:
    """Return the id of a request, a random UUID; it is ours, whatever the client calls it."""
    while True:
        try:
            return _IDS.pop()  # one thread gets one
        except IndexError:
            _IDS.extend(_draw_ids())


def _draw_ids() -> Iterator[str]:
    """Yield ids for some requests: the system is asked once for all of them."""
    digits = os.urandom(16 * _DRAWN).hex()
    for start in range(0, len(digits), 32):
        each = digits[start : start + 32]
        yield f"{each[:8]}-{each[8:12]}-4{each[13:16]}-{_VARIANTS[each[16]]}{each[17:20]}-{each[20:]}"


_IDS: Final[list[str]] = []
os.register_at_fork(after_in_child=_IDS.clear)  # a child does not give the ids of its parent


def _too_often(message: str, seconds: float) -> RateLimitedError:
    return RateLimitedError(message, hint="Wait for as long as Retry-After says.", retry_after=whole_seconds(seconds))
