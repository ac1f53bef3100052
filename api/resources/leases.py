"""Leases: readers hold versions for a while, so that retention takes no rows from under them.

Who may read may hold, but not for long: a lease ends by itself within a day of its last renewal, and a week after it
was taken at the latest. It bears the id of the token that took it, and nobody else renews or releases it but who takes
care of the store.
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from foldstore.api.access import permits
from foldstore.api.answers import empty_answer, json_answer
from foldstore.api.body import Members
from foldstore.api.resources.versions import VERSION, find_version
from foldstore.api.route import BodyKind, Call, Route
from foldstore.datastore.catalog.holders import LeaseRecord
from foldstore.errors import NotFoundError, RefusedError, UsageError
from foldstore.types import parse_time

MOST_HOURS: Final = 24
LONGEST: Final = timedelta(days=7)
MOST_LEASES: Final = 100
_LONGEST_HOLDER: Final = 150


def _describe(record: LeaseRecord, address: str) -> dict[str, Any]:
    return {**asdict(record), "address": address}


def _mark(call: Call) -> str:
    """Return what the holder of each lease of the token ends with; whoever names a holder cannot write it."""
    return f" (token {call.token.id})"


def _read_hours(body: Members) -> float:
    hours = body.number("hours", most=24 * 366)
    if hours is not None and hours > MOST_HOURS:
        raise UsageError(
            f"Over the network a version is held for at most {MOST_HOURS} hours at a time.",
            hint="Renew the lease while you read, or pin the version.",
            code="lease-too-long",
        )
    return 1 if hours is None else hours


def _read_holder(call: Call, body: Members) -> str:
    holder = body.text("holder")
    if holder is None:
        return f"{(call.token.label or call.token.role)[:_LONGEST_HOLDER]}{_mark(call)}"
    if not 0 < len(holder) <= _LONGEST_HOLDER:
        raise UsageError(
            f"The holder has no letter, or more than {_LONGEST_HOLDER}.", hint='Write {"holder": "nightly report"}.'
        )
    return f"{holder}{_mark(call)}"


def _take(call: Call) -> Response:
    body = Members(call.body, "hours", "holder")
    hours, holder, version = _read_hours(body), _read_holder(call, body), find_version(call)
    if sum(each.holder.endswith(_mark(call)) for each in call.store.leases()) >= MOST_LEASES:
        raise RefusedError(
            f"This token holds {MOST_LEASES} versions already.",
            hint="Release leases that are not needed; those that ran out go with the next collection.",
            code="too-many-leases",
        )
    record = version.lease(hours=hours, holder=holder).record
    place = f"/v1/datasets/{version.dataset.name}/versions/{version.number}/leases/{record.id}"
    return json_answer(_describe(record, version.address), 201, {"location": place})


def _list(call: Call) -> Response:
    version = find_version(call)
    return json_answer({"items": [_describe(each, version.address) for each in version.leases()]})


def _find(call: Call) -> LeaseRecord:
    """Return the lease that the path names; another token's is told of as if it were not there."""
    version, lease_id = find_version(call), call.path["lease"]
    for record in version.leases():
        is_own = record.holder.endswith(_mark(call))
        if record.id == lease_id and (is_own or permits(call.token.scopes, "store:care")):
            return record
    raise NotFoundError(
        f"This token has no lease {ascii(lease_id)[:60]} of {version.address}.",
        hint="One that ran out is gone; take another one.",
    )


def _get(call: Call) -> Response:
    return json_answer(_describe(_find(call), find_version(call).address))


def _renew(call: Call) -> Response:
    hours, record, version = _read_hours(Members(call.body, "hours")), _find(call), find_version(call)
    if call.store.clock() + timedelta(hours=hours) > parse_time(record.created_at) + LONGEST:
        raise UsageError(
            f"A lease that is taken over the network ends {LONGEST.days} days after it was taken, at the latest.",
            hint="Take another one, or pin the version.",
            code="lease-too-long",
        )
    lease = version.find_lease(record.id, hours=hours)
    lease.renew()
    return json_answer(_describe(lease.record, version.address))


def _release(call: Call) -> Response:
    find_version(call).find_lease(_find(call).id).release()
    return empty_answer()


def _list_all(call: Call) -> Response:
    call.refuse_bounded("The list of leases")
    return json_answer({"items": [asdict(each) for each in call.store.leases()]})


_HOLD: Final = f"at most {MOST_HOURS}, and {LONGEST.days} days in all"
_PATH: Final = f"{VERSION}/leases/{{lease}}"
ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/leases",
        scope="store:care",
        answer=_list_all,
        summary="List the leases of readers, those that end first before the others",
    ),
    Route(
        method="GET",
        path=f"{VERSION}/leases",
        scope="datasets:read",
        answer=_list,
        summary="List the leases of a version",
    ),
    Route(
        method="POST",
        path=f"{VERSION}/leases",
        scope="datasets:read",
        answer=_take,
        summary=f"Keep the rows of a version while they are read, for so many hours: {_HOLD}",
        body=BodyKind.JSON,
        example={"hours": 12, "holder": "nightly report"},
        success=201,
    ),
    Route(
        method="GET",
        path=_PATH,
        scope="datasets:read",
        answer=_get,
        summary="Say until when a lease of this token's holds",
    ),
    Route(
        method="POST",
        path=f"{_PATH}:renew",
        scope="datasets:read",
        answer=_renew,
        summary=f"Hold the version for so many hours from now on: {_HOLD}",
        body=BodyKind.JSON,
        example={"hours": 12},
    ),
    Route(
        method="DELETE",
        path=_PATH,
        scope="datasets:read",
        answer=_release,
        summary="Let go of the version; with the scope `store:care` in anybody's place",
        success=204,
    ),
)
