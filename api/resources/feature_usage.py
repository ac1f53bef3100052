"""Who consumes which feature."""

from typing import Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.query import QueryParameter
from foldstore.api.route import Call, Route


def _usage(call: Call) -> Response:
    call.refuse_bounded("Who consumes a feature")
    query = call.query
    found = call.store.features.usage(
        feature=query.text("feature"),
        dataset=query.text("dataset"),
        column=query.text("column"),
        since=query.text("since"),
    )
    return json_answer(found.to_dict())


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/feature-usage",
        scope="datasets:read",
        answer=_usage,
        summary="Say which services, models, runs and lookups consume which features, and which nobody does",
        parameters=(
            QueryParameter("feature", "One feature alone: view:feature.", "delays:mean"),
            QueryParameter("dataset", "Only features that are read from this dataset.", "hourly"),
            QueryParameter("column", "And of these such that may be read from this column.", "mean"),
            QueryParameter("since", "What was done before this instant is no use any more.", "2026-01-01T00:00:00Z"),
        ),
    ),
)
