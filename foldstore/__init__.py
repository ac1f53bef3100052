"""Foldstore: versioned Arrow datasets, zero-copy views, validation, splits and features.

`connect` opens a store; everything else is reached from it. Importing this package loads the
standard library alone: the engines are loaded by the first name that needs them (PEP 562).

Examples
--------
>>> import foldstore
>>> store = foldstore.connect(folder)
>>> people = store.create_dataset("people", key=["id"])
>>> people.append({"id": [1, 2], "age": [34, 51]}).address
'people@1'
"""

TYPE_CHECKING = False  # as type checkers know it; `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

    from foldstore.connecting import connect
    from foldstore.dataset import Dataset
    from foldstore.datastore.statistics.segments import OTHER
    from foldstore.errors import EmptyReferenceWarning, FoldstoreError, SplitWarning
    from foldstore.feasibility_study import feasibility
    from foldstore.features.definition_file import read_definitions
    from foldstore.leakage import LeakageWarning
    from foldstore.store import Store
    from foldstore.store_views import DeprecatedInputWarning
    from foldstore.validation.bias.measure import measure_bias
    from foldstore.validation.bias.report import BiasReport
    from foldstore.validation.column_bounds import DriftPolicy
    from foldstore.validation.gate_policy import GatePolicy
    from foldstore.validation.pools.labelling import label_in_order, rows_to_label
    from foldstore.validation.pools.meter import meter_pool
    from foldstore.validation.pools.plan import plan_pool
    from foldstore.validation.pools.plan_table import PlanTable, plan_pool_table
    from foldstore.validation.pools.registered import register_score
    from foldstore.validation.report import Report
    from foldstore.validation.schema import DataSchema
    from foldstore.version import Version
    from foldstore.views.features.aggregation import Aggregation
    from foldstore.views.features.entity import Entity
    from foldstore.views.features.feature_service import FeatureService
    from foldstore.views.features.feature_view import FeatureView, SqlSource
    from foldstore.views.rule import Rule
    from foldstore.views.transforms.categories import Bucketize, CountEncode, HashBucket, OneHot, Vocabulary
    from foldstore.views.transforms.computing import Compute
    from foldstore.views.transforms.scaling import Clip, Impute, Log, MinMax, ZScore
    from foldstore.views.transforms.target import TargetEncode
    from foldstore.views.transforms.texts import Drop, NormalizeText
    from foldstore.views.transforms.times import DateParts
    from foldstore.views.transforms.transform import Transform
    from foldstore.views.view import View

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("EmptyReferenceWarning", "FoldstoreError", "SplitWarning"), "foldstore.errors"),
    "connect": "foldstore.connecting",
    "Store": "foldstore.store",
    "Dataset": "foldstore.dataset",
    "Version": "foldstore.version",
    "View": "foldstore.views.view",
    "Rule": "foldstore.views.rule",
    "DeprecatedInputWarning": "foldstore.store_views",
    "LeakageWarning": "foldstore.leakage",
    "DataSchema": "foldstore.validation.schema",
    "Report": "foldstore.validation.report",
    "Aggregation": "foldstore.views.features.aggregation",
    "Entity": "foldstore.views.features.entity",
    "FeatureView": "foldstore.views.features.feature_view",
    "FeatureService": "foldstore.views.features.feature_service",
    "read_definitions": "foldstore.features.definition_file",
    "DriftPolicy": "foldstore.validation.column_bounds",
    "GatePolicy": "foldstore.validation.gate_policy",
    "meter_pool": "foldstore.validation.pools.meter",
    "plan_pool": "foldstore.validation.pools.plan",
    "plan_pool_table": "foldstore.validation.pools.plan_table",
    "rows_to_label": "foldstore.validation.pools.labelling",
    "label_in_order": "foldstore.validation.pools.labelling",
    "register_score": "foldstore.validation.pools.registered",
    "PlanTable": "foldstore.validation.pools.plan_table",
    "feasibility": "foldstore.feasibility_study",
    "measure_bias": "foldstore.validation.bias.measure",
    "BiasReport": "foldstore.validation.bias.report",
    **{
        name: f"foldstore.views.transforms.{home}"
        for home, names in {
            "transform": ("Transform",),
            "scaling": ("Impute", "Clip", "ZScore", "MinMax", "Log"),
            "categories": ("Bucketize", "CountEncode", "HashBucket", "OneHot", "Vocabulary"),
            "target": ("TargetEncode",),
            "times": ("DateParts",),
            "texts": ("Drop", "NormalizeText"),
            "computing": ("Compute",),
        }.items()
        for name in names
    },
    "OTHER": "foldstore.datastore.statistics.segments",
}

__all__ = [
    "OTHER",
    "Aggregation",
    "BiasReport",
    "Bucketize",
    "Clip",
    "Compute",
    "CountEncode",
    "DataSchema",
    "Dataset",
    "DateParts",
    "DeprecatedInputWarning",
    "DriftPolicy",
    "Drop",
    "EmptyReferenceWarning",
    "Entity",
    "FeatureService",
    "FeatureView",
    "FoldstoreError",
    "GatePolicy",
    "HashBucket",
    "Impute",
    "LeakageWarning",
    "Log",
    "MinMax",
    "NormalizeText",
    "OneHot",
    "PlanTable",
    "Report",
    "Rule",
    "SplitWarning",
    "Store",
    "TargetEncode",
    "Transform",
    "Version",
    "View",
    "Vocabulary",
    "ZScore",
    "__version__",
    "connect",
    "feasibility",
    "label_in_order",
    "measure_bias",
    "meter_pool",
    "plan_pool",
    "plan_pool_table",
    "read_definitions",
    "register_score",
    "rows_to_label",
    "sql",
]


def sql(query: str) -> "SqlSource":
    """Return SQL over dataset versions as the source of a feature view.

    Examples
    --------
    >>> import foldstore
    >>> foldstore.sql("SELECT carrier, ts, mean_delay FROM hourly").query[:6]
    'SELECT'
    """
    from foldstore.views.features.feature_view import SqlSource

    return SqlSource(query)


def __getattr__(name: str) -> "Any":
    """Load a public name from its home on first use."""
    from importlib import import_module

    if name == "errors":  # `except foldstore.errors.NotFoundError` needs no import of its own
        return import_module("foldstore.errors")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'foldstore' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
