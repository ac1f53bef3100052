"""Environments: every entrance of validation takes one, and a column that is not in it is not missing there."""

import pyarrow as pa
import pytest

import foldstore
from foldstore.cli.app import run
from foldstore.errors import InvalidSchemaError
from foldstore.types import Severity
from foldstore.validation.check import validate
from foldstore.validation.column_schema import ColumnSchema
from foldstore.validation.dataset_rules import RowRule
from foldstore.validation.schema import DataSchema
from foldstore.validation.subject import TableSubject
from foldstore.validation.surroundings import Surroundings

SCHEMA = DataSchema(
    columns={
        "id": ColumnSchema(type="int64", nullable=False),
        "km": ColumnSchema(type="double"),
        "tip": ColumnSchema(type="double", not_in_environment=("serving",)),
    },
    environments=("training", "serving"),
    label="tip",
    rules=(RowRule(expr="km >= 0"), RowRule(expr="tip >= 0")),
)
SERVED = {"id": [1, 2], "km": [1.0, 2.0]}


def codes(report):
    return [each.code for each in report.anomalies]


def judged(rows, **options):
    return codes(validate(TableSubject(pa.table(rows), "t"), SCHEMA, Surroundings(**options)))


def test_rules_on_columns_of_another_environment_are_not_asked():
    assert judged(SERVED, environment="serving") == []
    assert judged({**SERVED, "km": [1.0, -2.0]}, environment="serving") == ["row_rule_failed"]
    assert judged(SERVED, environment="training") == ["column_missing", "schema_invalid"]
    assert judged({"id": [1, 2], "tip": [1.0, 2.0]}, environment="serving") == ["column_missing", "schema_invalid"]
    # What is there all the same is judged.
    assert judged({**SERVED, "tip": [1.0, -2.0]}, environment="serving") == ["row_rule_failed"]


@pytest.fixture
def requests(folder):
    with foldstore.connect(folder) as store:
        dataset = store.create_dataset("requests")
        dataset.set_schema(SCHEMA)
        yield dataset


def test_a_dataset_judges_data_for_an_environment(requests):
    assert codes(requests.validate(SERVED, environment="serving")) == []
    assert codes(requests.validate(SERVED)) == ["column_missing", "schema_invalid"]
    unknown = requests.validate({**SERVED, "tip": [1.0, 2.0]}, environment="production")
    assert codes(unknown) == ["schema_unknown_environment"]
    assert unknown.environment == "production"


def test_a_gate_asks_for_the_columns_of_its_environment(requests):
    assert str(requests.append(SERVED).status) == "quarantined"
    requests.set_gate(foldstore.GatePolicy(environment="serving"))
    version = requests.append(SERVED)
    assert str(version.status) == "published"
    assert version.report.environment == "serving"
    assert "environment serving" in version.report.to_text()
    assert ">serving<" in version.report.to_html()
    # What the gate says goes for who asks without saying where the rows are from.
    assert codes(version.validate()) == codes(requests.validate(SERVED)) == []
    assert codes(version.validate(environment="training")) == ["column_missing", "schema_invalid"]
    assert codes(version.validate(SCHEMA)) == ["column_missing", "schema_invalid"]


def test_a_gate_with_an_environment_that_the_schema_lacks_refuses(requests):
    requests.set_gate(foldstore.GatePolicy(environment="servign"))
    version = requests.append({**SERVED, "tip": [1.0, 2.0]})
    assert str(version.status) == "quarantined"
    assert [each.severity for each in version.report.anomalies] == [Severity.ERROR]
    assert "'servign'; it has training, serving" in str(version.report)


def test_a_policy_keeps_its_environment_and_is_nothing_but_a_name():
    policy = foldstore.GatePolicy(environment="serving")
    assert foldstore.GatePolicy.from_dict(policy.to_dict()) == policy
    for wrong in ("", 3, ["serving"]):
        with pytest.raises(InvalidSchemaError, match="environment"):
            foldstore.GatePolicy(environment=wrong)


def test_the_command_takes_an_environment(requests, folder, tmp_path, capsys):
    (tmp_path / "served.csv").write_text("id,km\n1,1.5\n")
    ask = ["validate", "requests", "--data", str(tmp_path / "served.csv"), "-s", str(folder)]
    assert run(ask) == 1
    assert run([*ask, "--environment", "serving"]) == 0
    assert run([*ask, "--environment", "elsewhere"]) == 1
    assert "no environment 'elsewhere'" in capsys.readouterr().out
    assert run(["gate", "set", "requests", "--environment", "serving", "-s", str(folder)]) == 0
    assert run(ask) == 0
    version = requests.append(SERVED)
    assert run(["validate", version.address, "--environment", "training", "-s", str(folder)]) == 1
    assert run(["validate", version.address, "-s", str(folder)]) == 0
