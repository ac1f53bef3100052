"""The review queue: versions that wait for a person, and what persons decided about them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from foldstore.consumers import register_own
from foldstore.datastore.catalog.records import DatasetRecord, VersionRecord
from foldstore.datastore.catalog.registry import Registry
from foldstore.datastore.catalog.runs import list_consumers
from foldstore.datastore.commit import CommitOptions
from foldstore.datastore.free_text import check_text
from foldstore.datastore.lineage.catalog_relations import TRAINING_SET
from foldstore.datastore.merge import merge_version
from foldstore.datastore.retention import parse_span
from foldstore.datastore.storage import Storage
from foldstore.errors import ConflictError, UsageError
from foldstore.types import Status, format_time, parse_time
from foldstore.validation.drift.windows import RELEASED
from foldstore.validation.gate import ReleaseGate
from foldstore.validation.report import Report

_LONGEST_TEXT: Final = 2_000


class ReviewState(StrEnum):
    """Where the review of a version stands."""

    WAITING = "waiting"
    POSTPONED = "postponed"
    RELEASED = "released"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A quarantined version, and what was decided about it last.

    Attributes
    ----------
    address : str
        The version, such as ``flights@3``.
    state : ReviewState
    since : str
        When it was committed.
    author : str
        Who committed it.
    rows : int
        How many rows it added.
    reasons : tuple of str
        What failed: the messages of its report's errors, or of its warnings and notes where there are none.
    decided_by, decided_at, reason : str or None
        The last act of a person.
    until : str or None
        Until when it was postponed.
    released_as : str or None
        The version that published its rows.
    acts : tuple of dict
        Everything that persons decided, the oldest first: ``act`` (``release``, ``reject`` or ``postpone``), ``by``,
        ``at`` and ``reason``, with ``until`` or ``as`` where there is one.
    """

    address: str
    state: ReviewState
    since: str
    author: str
    rows: int
    reasons: tuple[str, ...]
    decided_by: str | None = None
    decided_at: str | None = None
    reason: str | None = None
    until: str | None = None
    released_as: str | None = None
    acts: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain, JSON-safe data."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        lists = {"reasons": list(self.reasons), "acts": [dict(each) for each in self.acts]}
        return plain | {"state": str(self.state), **lists}


def list_reviews(storage: Storage, dataset: DatasetRecord, *, every: bool = False) -> list[Review]:
    """List the versions of a dataset that wait for a person, the oldest first.

    Parameters
    ----------
    every : bool
        Also those that are postponed or decided.
    """
    acts = _list_acts(storage, dataset)
    now = format_time(storage.clock())
    found = []
    for version in storage.catalog.list_versions(dataset.id):
        if version.status is Status.QUARANTINED and version.expired_at is None:
            review = _review(storage, dataset, version, acts.get(version.id, []), now)
            if every or review.state is ReviewState.WAITING:
                found.append(review)
    return found


def find_review(storage: Storage, dataset: DatasetRecord, version: VersionRecord) -> Review | None:
    """Return the review of a version, or None when it never was quarantined."""
    if version.status is not Status.QUARANTINED:
        return None
    acts = _list_acts(storage, dataset).get(version.id, [])
    return _review(storage, dataset, version, acts, format_time(storage.clock()))


def release(
    storage: Storage, dataset: DatasetRecord, version: VersionRecord, *, reason: str, actor: str
) -> VersionRecord:
    """Publish what a quarantined version changed, as a new version on its branch.

    Raises
    ------
    UsageError
        When it is not quarantined.
    ConflictError
        When it was released before, was rejected and not put back into the queue since, or the branch has since
        changed the same rows or columns.
    DuplicateKeyError
        When a key value would occur twice.
    """
    review = _open_review(storage, dataset, version)
    if review.state is ReviewState.REJECTED:
        raise _rejected(review)
    checked = _reason(reason, "A version is released for a reason.")
    note = {"version": version.number, "by": actor, "reason": checked}
    options = CommitOptions(
        author=actor,
        message=f"Release {review.address}: {checked}"[:_LONGEST_TEXT],
        properties={RELEASED: note, **_made_of(storage, dataset, version)},
        branch=version.branch,
        # Two persons who release at once publish once.
        idempotency_key=f"release/{version.id}",
    )
    document = Registry(storage.catalog, "report").find(version.id)
    report = Report.from_dict(document.body) if document else None
    made = merge_version(storage, dataset, version, released=True, options=options, gate=ReleaseGate(storage, report))
    if TRAINING_SET in made.properties:
        read = [each.version_id for each in list_consumers(storage.catalog, kind=TRAINING_SET, name=review.address)]
        register_own(storage, read, TRAINING_SET, f"{dataset.name}@{made.number}", actor)
    _note(storage, dataset, version, {"act": "release", "reason": checked, "as": made.number}, actor)
    return made


def _made_of(storage: Storage, dataset: DatasetRecord, version: VersionRecord) -> dict[str, Any]:
    """Return what a training set was made of, which its rows alone go on to be made of."""
    head = storage.catalog.find_ref(dataset.id, version.branch)
    made = version.properties.get(TRAINING_SET)
    return {TRAINING_SET: made} if made is not None and head and head.version_id == version.parent_id else {}


def reject(storage: Storage, dataset: DatasetRecord, version: VersionRecord, *, reason: str, actor: str) -> None:
    """Write down that a version will not be published; it stays quarantined, and retention may remove it.

    Raises
    ------
    UsageError
        When it is not quarantined.
    ConflictError
        When it was released, or rejected before.
    """
    review = _open_review(storage, dataset, version)
    if review.state is ReviewState.REJECTED:
        raise _rejected(review)
    checked = _reason(reason, "A version is rejected for a reason.")
    _note(storage, dataset, version, {"act": "reject", "reason": checked}, actor)


def postpone(
    storage: Storage,
    dataset: DatasetRecord,
    version: VersionRecord,
    *,
    until: str | datetime,
    reason: str,
    actor: str,
) -> str:
    """Ask again later; return until when.

    That puts a rejected version back into the queue, for a reason.

    Raises
    ------
    UsageError
        When it is not quarantined, the time is past, or it was rejected and no reason is given.
    ConflictError
        When it was released.
    """
    review = _open_review(storage, dataset, version)
    if review.state is ReviewState.REJECTED:
        _reason(reason, f"{review.address} was rejected: it is put back into the queue for a reason.")
    now = storage.clock()
    moment = _moment(until, now)
    if moment <= now:
        raise UsageError("A review is postponed to a time that is to come.", hint='Write "3d" or an instant.')
    text = format_time(moment)
    checked = check_text(reason, "The reason", _LONGEST_TEXT)
    _note(storage, dataset, version, {"act": "postpone", "reason": checked, "until": text}, actor)
    return text


def _moment(until: str | datetime, now: datetime) -> datetime:
    if isinstance(until, datetime):
        return until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    if isinstance(until, str) and "-" in until:
        try:
            return parse_time(until)
        except ValueError:
            raise UsageError(
                f"{until[:80]!r} is not an instant.", hint='Write "3d", or "2026-12-24T09:00:00Z".'
            ) from None
    return now + parse_span(until)


def _reason(text: str, why: str) -> str:
    if not text:
        raise UsageError(why, hint="Say why in a sentence.")
    return check_text(text, "The reason", _LONGEST_TEXT)


def _open_review(storage: Storage, dataset: DatasetRecord, version: VersionRecord) -> Review:
    review = find_review(storage, dataset, version)
    if review is None:
        raise UsageError(
            f"{dataset.name}@{version.number} is {version.status}: there is nothing to decide.",
            hint="Quarantined versions wait for a review.",
            code="invalid-status",
            status=str(version.status),
        )
    if review.state is ReviewState.RELEASED:
        raise ConflictError(
            f"{review.address} was released as {review.released_as}.", retry=False, hint="Look at that version."
        )
    return review


def _rejected(review: Review) -> ConflictError:
    """Say who rejected a version, and that overruling it takes an act of its own."""
    return ConflictError(
        f"{review.address} was rejected by {review.decided_by}: {review.reason}",
        retry=False,
        hint=f"To decide anew, put it back into the queue first: version.postpone('1h', reason), or "
        f"foldstore review later {review.address} 1h -r REASON.",
        decided_by=review.decided_by,
        decided_at=review.decided_at,
    )


def _note(storage: Storage, dataset: DatasetRecord, version: VersionRecord, body: dict[str, Any], actor: str) -> None:
    with storage.catalog.write() as connection:
        storage.journal.append(
            connection,
            _stream(dataset),
            {"version": version.id, "number": version.number, **body},
            actor=actor,
            created_at=format_time(storage.clock()),
        )


def _list_acts(storage: Storage, dataset: DatasetRecord) -> dict[str, list[dict[str, Any]]]:
    """Return the acts on each version, the oldest first, with who did them and when."""
    acts: dict[str, list[dict[str, Any]]] = {}
    for entry in storage.journal.list_entries(_stream(dataset)):
        body = json.loads(entry.body)
        said = {"act": body["act"], "by": entry.actor, "at": entry.created_at, "reason": body.get("reason")}
        said |= {"until": body["until"]} if "until" in body else {}
        said |= {"as": f"{dataset.name}@{body['as']}"} if "as" in body else {}
        acts.setdefault(body["version"], []).append(said)
    return acts


def _review(
    storage: Storage, dataset: DatasetRecord, version: VersionRecord, acts: list[dict[str, Any]], now: str
) -> Review:
    last = acts[-1] if acts else {}
    state = {"release": ReviewState.RELEASED, "reject": ReviewState.REJECTED}.get(
        last.get("act", ""), ReviewState.WAITING
    )
    until = last.get("until")
    if until is not None and until > now:
        state = ReviewState.POSTPONED
    return Review(
        address=f"{dataset.name}@{version.number}",
        state=state,
        since=version.created_at,
        author=version.author,
        rows=version.rows_added,
        reasons=tuple(_reasons(storage, version)),
        decided_by=last.get("by"),
        decided_at=last.get("at"),
        reason=last.get("reason"),
        until=until if state is ReviewState.POSTPONED else None,
        released_as=last.get("as"),
        acts=tuple(acts),
    )


def _reasons(storage: Storage, version: VersionRecord) -> Iterator[str]:
    document = Registry(storage.catalog, "report").find(version.id)
    if document is None:
        return
    report = Report.from_dict(document.body)
    gravest = report.anomalies[0].severity if report.anomalies else None
    for anomaly in report.anomalies:
        if anomaly.severity is gravest:
            yield f"{anomaly.column}: {anomaly.message}" if anomaly.column else anomaly.message


def _stream(dataset: DatasetRecord) -> str:
    return f"review/{dataset.id}"
