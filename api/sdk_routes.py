"""How each verb of the SDK is asked over HTTP: the reference shows it, and hints that speak Python name the routes.

A verb has routes, or a reason why it asks nothing; what a remote store lacks is said in `LOCAL_ONLY` of its handle.
"""

from collections.abc import Mapping
from typing import Final

_DATASET: Final = "/v1/datasets/{name}"
_VERSION: Final = f"{_DATASET}/versions/{{ref}}"
_SPLIT: Final = f"{_VERSION}/splits/{{split}}"
_FOLDS: Final = f"{_VERSION}/folds/{{folds}}"
_SERVICE: Final = "/v1/feature-services/{name}"
_SERVED: Final = f"{_SERVICE}/versions/{{ref}}"
_POOL: Final = "/v1/test-pools/{name}"
_VIEW: Final = "/v1/views/{name}"
_MONITOR: Final = "/v1/monitors/{name}"
_STREAM: Final = f"{_DATASET}/streams/{{stream}}"

_HANDLE: Final = "A handle asks nothing: its verbs do."
_STEP: Final = "A step of the specification that `POST /v1/views:read` takes: docs/views.md."
_LOCAL: Final = "It is worked out where the caller is, of what came."
_ROWS: Final = f"GET {_VERSION}/rows"
_READ: Final = "POST /v1/views:read"
_FACTS: Final = f"GET {_VERSION}"

_FORMS: Final = (
    "to_arrow to_table to_batches to_reader to_polars to_pandas to_numpy to_xy to_duckdb loader to_torch "
    "to_huggingface scan export"
)
_STEPS: Final = (
    "balance blend enumerate explode keep_elements limit map order_by repeat sample select sequences shuffle union "
    "where where_any where_elements"
)


_RECORDED: Final = "POST /v1/runs; POST /v1/runs/{run}:use; POST /v1/runs/{run}:made; POST /v1/runs/{run}:end"


def _each(verbs: str, said: str) -> dict[str, str]:
    return dict.fromkeys(verbs.split(), said)


# What is at the top of the package and does something.
PACKAGE: Final[Mapping[str, str]] = {
    "connect": "The URL and the token of a server are what curl is given.",
    "feasibility": "POST /v1/views:feasibility",
    "measure_bias": "POST /v1/views:measure-bias",
    "plan_pool": "POST /v1/test-pools:plan",
    "plan_pool_table": "POST /v1/test-pools:plan-table",
    "meter_pool": "POST /v1/test-pools:plan",
    "rows_to_label": f"POST {_POOL}:rows-to-label",
    "label_in_order": "It calls code of the caller's for each batch of labels.",
    "register_score": "It registers code of the caller's, and none runs in a server.",
    "read_definitions": "It reads a file; `POST /v1/feature-services` takes what is in it, as JSON.",
    "sql": 'It writes a source of a definition: `{"source": {"sql": "SELECT ..."}}`.',
}

HANDLES: Final[Mapping[str, Mapping[str, str]]] = {
    "store": {
        **_each("consumers features monitors pools runs saved_views transforms", _HANDLE),
        "backup": "POST /v1/backup",
        "blend": _READ,
        "check_leakage": "POST /v1/views:leakage",
        "warn_of_leakage": "POST /v1/views:leakage",
        "close": "It closes the caller's connections.",
        "create_dataset": "POST /v1/datasets",
        "dataset": f"GET {_DATASET}",
        "datasets": "GET /v1/datasets",
        "fold_view": f"POST {_VERSION}:folds",
        "freeze": f"POST {_DATASET}:freeze; POST {_VERSION}:freeze",
        "gc": "POST /v1/store:gc",
        "leases": "GET /v1/leases",
        "lineage": "GET /v1/lineage",
        "remove_empty_dataset": f"DELETE {_DATASET}",
        "repin_view": f"PUT {_VIEW}",
        "reviews": f"GET {_DATASET}/reviews",
        "run": _RECORDED,
        "save_draft": f"PUT {_VIEW}/draft",
        "save_view": f"PUT {_VIEW}",
        "split": f"GET {_SPLIT}",
        "split_view": f"POST {_VERSION}:split",
        "sql": "POST /v1/sql",
        "thaw": f"POST {_DATASET}:thaw; POST {_VERSION}:thaw",
        "training_set": "GET /v1/training-sets/{name}/versions/{ref}; GET /v1/training-sets",
        "usage": "GET /v1/store/usage",
        "verify": "POST /v1/store:verify",
        "version": _FACTS,
        "view": f"{_READ}; GET {_VIEW}/versions/{{ref}}/rows",
        "views": "GET /v1/views",
    },
    "dataset": {
        **_each("event_time key name record description", f"GET {_DATASET}"),
        "add_columns": f"POST {_DATASET}:add-columns; POST {_DATASET}:join-columns",
        "append": f"POST {_DATASET}/versions",
        "as_of": f"GET {_DATASET}:as-of",
        "branch": f"GET {_DATASET}/refs",
        "compact": f"POST {_DATASET}:compact",
        "create_branch": f"PUT {_DATASET}/refs/{{ref}}",
        "delete": f"POST {_DATASET}:delete; POST {_DATASET}:delete-keys",
        "describe": f"POST {_DATASET}:describe",
        "descriptions": f"GET {_DATASET}/descriptions",
        "diff": f"GET {_DATASET}:diff; POST {_DATASET}:diff-rows",
        "drop_columns": f"POST {_DATASET}:drop-columns",
        "erase": f"POST {_DATASET}:erase; POST {_DATASET}:erase-keys",
        "erasures": f"GET {_DATASET}/erasures",
        "gate": f"GET {_DATASET}/gate",
        "history": f"GET {_DATASET}/refs/{{ref}}/history",
        "latest": _FACTS,
        "matches": "GET /v1/datasets",
        "merge": f"POST {_DATASET}:merge",
        "overwrite": f"POST {_DATASET}/versions",
        "refs": f"GET {_DATASET}/refs",
        "remove_ref": f"DELETE {_DATASET}/refs/{{ref}}",
        "rename_columns": f"POST {_DATASET}:rename-columns",
        "report_history": f"GET {_DATASET}/report-history",
        "restore": f"POST {_DATASET}:restore",
        "retention": f"GET {_DATASET}/retention",
        "reviews": f"GET {_DATASET}/reviews",
        "schema": f"GET {_DATASET}/schema",
        "schemas": f"GET {_DATASET}/schemas",
        "set_alias": f"PUT {_DATASET}/refs/{{ref}}",
        "set_gate": f"PUT {_DATASET}/gate",
        "set_retention": f"PUT {_DATASET}/retention",
        "set_schema": f"PUT {_DATASET}/schema",
        "stream": f"GET {_STREAM}",
        "sync": f"POST {_DATASET}/versions",
        "tag": f"PUT {_DATASET}/refs/{{ref}}",
        "transaction": f"POST {_DATASET}:transact",
        "trends": f"GET {_DATASET}/trends",
        "upsert": f"POST {_DATASET}/versions",
        "validate": f"POST {_DATASET}:validate",
        "usage": f"GET {_DATASET}/usage",
        "version": _FACTS,
        "versions": f"GET {_DATASET}/versions",
        "widen_columns": f"POST {_DATASET}:widen-columns",
    },
    "version": {
        **_each(
            "address arrow_schema created_at dataset deprecation num_rows number record status to_dict version_id",
            _FACTS,
        ),
        **_each(_FORMS, _ROWS),
        "generation": _LOCAL,
        "cleaning_plan": f"POST {_VERSION}:preview-cleaning; POST {_VERSION}:clean; "
        f"POST {_VERSION}:cleaning-statistics",
        "cleaning_priority": f"POST {_VERSION}:cleaning-priority",
        "cold_bytes": f"GET {_VERSION}/cold-bytes",
        "concept_drift": f"POST {_VERSION}:concept-drift",
        "consumers": f"GET {_VERSION}/consumers; POST {_VERSION}:register-consumer; POST {_VERSION}:release-consumer",
        "deny": f"POST {_VERSION}:deny",
        "deprecate": f"POST {_VERSION}:deprecate",
        "drift": f"POST {_VERSION}:drift",
        "find_dependencies": f"POST {_VERSION}:find-dependencies",
        "find_lease": f"GET {_VERSION}/leases/{{lease}}; POST {_VERSION}/leases/{{lease}}:renew; "
        f"DELETE {_VERSION}/leases/{{lease}}",
        "find_sharing": f"GET {_SPLIT}; GET {_FOLDS}",
        "find_split": f"GET {_SPLIT}",
        "folds": f"POST {_VERSION}:folds",
        "freeze": f"POST {_VERSION}:freeze",
        "label_issues": f"POST {_VERSION}:label-issues",
        "lease": f"POST {_VERSION}/leases; POST {_VERSION}/leases/{{lease}}:renew; DELETE {_VERSION}/leases/{{lease}}",
        "leases": f"GET {_VERSION}/leases",
        "pin": f"POST {_VERSION}:pin",
        "pins": f"GET {_VERSION}/pins",
        "postpone": f"POST {_VERSION}:postpone",
        "profile": f"GET {_VERSION}/profile; GET {_VERSION}/statistics",
        "reject": f"POST {_VERSION}:reject",
        "release": f"POST {_VERSION}:release",
        "report": f"GET {_VERSION}/report",
        "review": f"GET {_DATASET}/reviews",
        "row_ids": f"GET {_VERSION}/row-ids",
        "split": f"POST {_VERSION}:split",
        "suggest_cleaning": f"POST {_VERSION}:suggest-cleaning",
        "suggest_split": f"GET {_VERSION}:suggest-split",
        "take": f"POST {_VERSION}:take",
        "thaw": f"POST {_VERSION}:thaw",
        "trends": f"GET {_VERSION}/trends",
        "two_sample_test": f"POST {_VERSION}:two-sample-test",
        "undeprecate": f"POST {_VERSION}:undeprecate",
        "undo_cleaning": f"POST {_VERSION}:undo-cleaning",
        "unpin": f"POST {_VERSION}:unpin",
        "validate": f"POST {_VERSION}:validate",
        "view": _READ,
    },
    "view": {
        **_each(_STEPS, _STEP),
        **_each(_FORMS.replace("to_table ", ""), _READ),
        **_each("from_spec hash inputs is_endless opened_as rows shown_inputs sources spec steps", _LOCAL),
        "select_batches": _READ,
        "arrow_schema": _READ,
        "count": "POST /v1/views:count",
        "counts": "POST /v1/sql",
        "diff": "POST /v1/views:diff",
        "explain": "POST /v1/views:explain",
        "folds": f"POST {_VERSION}:folds",
        "leakage": "POST /v1/views:leakage",
        "moved": "POST /v1/views:moved",
        "num_rows": "POST /v1/views:count",
        "profile": "POST /v1/views:profile",
        "repinned": "POST /v1/views:moved",
        "save": f"PUT {_VIEW}",
        "save_draft": f"PUT {_VIEW}/draft",
        "split": f"POST {_VERSION}:split",
        "warn_of_leakage": "POST /v1/views:leakage",
    },
    "saved_views": {
        "archive": f"POST {_VIEW}:archive",
        "clone": f"POST {_VIEW}:clone",
        "deprecate": f"POST {_VIEW}/versions/{{ref}}:deprecate",
        "discard_draft": f"DELETE {_VIEW}/draft",
        "get": f"GET {_VIEW}; GET {_VIEW}/versions/{{ref}}; GET {_VIEW}/draft",
        "has": f"GET {_VIEW}",
        "list": "GET /v1/views",
        "publish": f"POST {_VIEW}:publish",
        "put": f"PUT {_VIEW}",
        "put_draft": f"PUT {_VIEW}/draft",
        "restore": f"POST {_VIEW}:restore",
    },
    "split": {
        **_each("address name part record spec test train validation", f"GET {_SPLIT}"),
        "codes": f"GET {_SPLIT}/codes",
        "report": f"GET {_SPLIT}/report",
    },
    "part": {
        **_each("address arrow_schema base_version_id dataset num_rows record split_name version_id", f"GET {_SPLIT}"),
        **_each(_FORMS, f"GET {_SPLIT}/{{part}}/rows"),
        "generation": _LOCAL,
        "folds": f"POST {_VERSION}:folds",
        "profile": "POST /v1/views:profile",
        "split": f"POST {_VERSION}:split",
        "view": _READ,
    },
    "folds": {
        **_each("address count fold index name record spec", f"GET {_FOLDS}"),
        "codes": f"GET {_FOLDS}/codes",
        "report": f"GET {_FOLDS}/report",
    },
    "fold": {
        **_each("address held_out inner name number part record spec test train validation", f"GET {_SPLIT}"),
        "codes": f"GET {_SPLIT}/codes",
        "report": f"GET {_SPLIT}/report",
    },
    "transforms": {
        "apply": "POST /v1/transforms/{name}/versions/{ref}:apply",
        "fit": "POST /v1/transforms",
        "get": "GET /v1/transforms/{name}/versions/{ref}",
        "list": "GET /v1/transforms",
        "validate": "POST /v1/transforms/{name}/versions/{ref}:validate",
    },
    "consumers": {
        "list": f"GET /v1/consumers; GET {_VERSION}/consumers",
        "register": f"POST {_VERSION}:register-consumer",
        "release": f"POST {_VERSION}:release-consumer",
    },
    "feedback": {
        "datasets": f"GET {_SERVICE}/feedback",
        "log_outcomes": f"POST {_SERVICE}/outcomes",
        "log_predictions": f"POST {_SERVED}/predictions",
        "make_labels": f"POST {_SERVICE}/labels",
    },
    "pools": {
        "get": f"GET {_POOL}",
        "get_reserve": "GET /v1/reserves/{name}; GET /v1/reserves/{name}/features",
        "list_pools": "GET /v1/test-pools",
        "list_reserves": "GET /v1/reserves",
        "reserve": "POST /v1/reserves",
        "seal": "POST /v1/test-pools",
    },
    "pool": {
        **_each("hidden name record status", f"GET {_POOL}"),
        "draw": f"POST {_POOL}/draws",
        "evaluate": f"POST {_POOL}:evaluate",
        "features": f"GET {_POOL}/features",
        "promote": f"POST {_POOL}:promote",
        "report": f"GET {_POOL}/report",
        "retire": f"POST {_POOL}:retire",
        "rotate": f"POST {_POOL}:rotate",
        "rows_to_label": f"POST {_POOL}:rows-to-label",
    },
    "features": {
        "aliases": f"GET {_SERVICE}/aliases; PUT {_SERVICE}/aliases/{{alias}}; DELETE {_SERVICE}/aliases/{{alias}}; "
        f"GET {_SERVICE}/aliases/{{alias}}/history",
        "apply": "POST /v1/feature-services",
        "apply_file": "POST /v1/feature-services",
        "audit": f"POST {_SERVED}:audit",
        "create_training_set": "POST /v1/training-sets",
        "delete_online": "POST /v1/feature-views/{view}:delete-online",
        "diff": f"GET {_SERVED}:diff",
        "feedback": _HANDLE,
        "get_features": "POST /v1/features:look-up",
        "get_historical_features": f"POST {_SERVED}:join; POST {_SERVED}:history",
        "get_online_features": "POST /v1/features:get; POST /get-online-features; POST /v1/features:look-up",
        "list_services": "GET /v1/feature-services",
        "log_lookups": f"PUT {_SERVICE}/lookup-log; GET {_SERVICE}/lookup-log",
        "materialize": f"POST {_SERVED}:materialize; POST /materialize; POST /materialize-incremental",
        "online": "POST /v1/features:get; POST /v1/features:look-up",
        "online_status": "GET /v1/online",
        "plan": "POST /v1/feature-services:plan",
        "push": "POST /v1/feature-views/{view}:push; POST /push; POST /write-to-online-store",
        "reproduce": "POST /v1/training-sets/{name}/versions/{ref}:reproduce",
        "service": f"GET {_SERVED}",
        "shadows": f"POST {_SERVED}/shadow; GET {_SERVED}/shadow; DELETE {_SERVED}/shadow",
        "skew": f"POST {_SERVED}:skew",
        "usage": "GET /v1/feature-usage",
    },
    "monitors": {
        "find": f"GET {_MONITOR}",
        "follow": f"POST {_MONITOR}:run",
        "history": f"GET {_MONITOR}/history",
        "list_names": "GET /v1/monitors",
        "note_told": f"POST {_MONITOR}:note-told",
        "run": f"POST {_MONITOR}:run",
        "set": f"PUT {_MONITOR}",
        "waiting": f"GET {_MONITOR}/waiting",
    },
    "runs": {
        "get": "GET /v1/runs/{run}",
        "list": "GET /v1/runs",
        **_each("record repeat start", _RECORDED),
        "resume": "Send the header `Foldstore-Run` with the id of the run.",
        "to_openlineage": "GET /v1/runs/{run}/openlineage",
    },
    "stream": {
        **_each("status last_version quarantined", f"GET {_STREAM}"),
        "close": f"POST {_STREAM}:flush",
        "cut_when_due": f"POST {_STREAM}:flush",
        "flush": f"POST {_STREAM}:flush",
        "take_failed": f"POST {_STREAM}:take-failed",
        "write": f"POST {_STREAM}:write",
    },
    "lineage": dict.fromkeys(("downstream", "upstream", "to_dict"), f"GET /v1/lineage; GET {_VERSION}/lineage"),
}

# Verbs of results: what a report, a schema, a profile does by itself.
RESULTS: Final[Mapping[str, Mapping[str, str]]] = {
    "report": {
        **_each(
            "to_text to_html to_json_lines to_junit to_sarif to_github",
            f"GET {_VERSION}/report; POST {_VERSION}:validate",
        ),
    },
    "schema": {
        **_each("to_yaml to_contract to_json_schema to_pandera", f"GET {_DATASET}/schema; POST /v1/schemas:export"),
        **_each("from_yaml from_contract from_json_schema from_pandera from_tfdv", "POST /v1/schemas:import"),
        "accept": f"POST {_DATASET}/schema:accept",
        "diff": f"POST {_DATASET}/schema:diff",
    },
    "profile": {"infer_schema": f"POST {_VERSION}:infer-schema"},
    "operations": {
        "start": "Send the request with `Prefer: respond-async`.",
        "list": "GET /v1/operations",
        "get": "GET /v1/operations/{operation}; GET /v1/operations/{operation}/result",
        "cancel": "POST /v1/operations/{operation}:cancel; DELETE /v1/operations/{operation}",
    },
}

# Routes that no verb has: what belongs to a server, and not to a store.
SERVER_ALONE: Final = (
    ("GET", "/v1/audit"),
    ("GET", "/v1/rules"),
    ("PUT", "/v1/rules/{rule}"),
    ("DELETE", "/v1/rules/{rule}"),
    ("GET", "/v1/tokens"),
    ("POST", "/v1/tokens"),
    ("POST", "/v1/tokens/{token}:rotate"),
    ("DELETE", "/v1/tokens/{token}"),
)


def routes_in(said: str) -> list[tuple[str, str]]:
    """Return the routes that an entry names; none when it is a reason.

    Examples
    --------
    >>> routes_in("GET /v1/views; POST /v1/sql"), routes_in("A handle asks nothing.")
    ([('GET', '/v1/views'), ('POST', '/v1/sql')], [])
    """
    parts = [each.split(" ", 1) for each in said.split("; ")]
    if all(len(part) == 2 and part[0] in ("GET", "POST", "PUT", "DELETE") for part in parts):
        return [(method, path) for method, path in parts]
    return []
