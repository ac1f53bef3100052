"""SARIF 2.1.0, against the structure of the OASIS schema: what is required, and of which values."""

import json
import re

from foldstore.types import Severity
from foldstore.validation.anomaly import CODES
from tests.validation.reporting.hostile_reports import HOSTILE, describe, find

# From sarif-schema-2.1.0.json: the required properties, and the values of its enumerations.
LEVELS = {"none", "note", "warning", "error"}
KINDS_OF_COLUMNS = {"utf16CodeUnits", "unicodeCodePoints"}


def check_log(log):
    """Check what the schema requires, and of every object that it closes that nothing else is there."""
    assert set(log) <= {"$schema", "version", "runs", "inlineExternalProperties", "properties"}
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        assert set(driver) <= {"name", "version", "rules"}
        assert driver["name"]
        assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+.*", driver["version"])
        assert run["columnKind"] in KINDS_OF_COLUMNS
        rules = driver["rules"]
        assert len({rule["id"] for rule in rules}) == len(rules)
        for rule in rules:
            check_rule(rule)
        for result in run["results"]:
            check_result(result, rules)
    return log["runs"][0]


def check_rule(rule):
    assert set(rule) <= {"id", "name", "shortDescription", "fullDescription", "help", "defaultConfiguration"}
    for name in ("shortDescription", "fullDescription", "help"):
        assert rule[name]["text"]
    assert rule["defaultConfiguration"]["level"] in LEVELS


def check_result(result, rules):
    known = {"ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints", "properties"}
    assert set(result) <= known
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert result["level"] in LEVELS
    assert isinstance(result["message"]["text"], str)
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
    for location in result["locations"]:
        assert set(location) <= {"logicalLocations", "physicalLocation"}
        for logical in location["logicalLocations"]:
            assert set(logical) <= {"name", "fullyQualifiedName", "kind"}


def test_a_report_of_real_rows_is_a_sarif_log(judged):
    run = check_log(json.loads(judged.to_sarif()))
    levels = {"error": "error", "warn": "warning", "info": "note"}
    assert [(each["ruleId"], each["level"]) for each in run["results"]] == [
        (each.code, levels[each.severity]) for each in judged.anomalies
    ]
    assert run["properties"]["passed"] is False


def test_a_report_without_anomalies_is_a_log_without_results():
    run = check_log(json.loads(describe().to_sarif()))
    assert run["results"] == []
    assert run["tool"]["driver"]["rules"] == []


def test_every_code_has_a_rule_with_help_and_an_unknown_one_too():
    anomalies = tuple(find(code) for code in [*CODES, "a_code_of_tomorrow"])
    rules = check_log(json.loads(describe(anomalies=anomalies).to_sarif()))["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [*CODES, "a_code_of_tomorrow"]
    assert rules[-1]["name"] == "ACodeOfTomorrow"
    assert not any(mark in rule["help"]["text"] for rule in rules for mark in "{}")


def test_hostile_texts_stay_texts(hostile):
    run = check_log(json.loads(hostile.to_sarif()))
    assert len(run["results"]) == len(HOSTILE)
    said = [each["message"]["text"] for each in run["results"]]
    assert not any("](" in text for text in said)  # 3.11.6: a link
    assert any("{{0}}" in text for text in said)  # 3.11.5: a place for an argument
    assert all(len(text) < 2_100 for text in said)


def test_a_finding_is_known_again_when_its_numbers_change():
    def fingerprint(**more):
        report = describe(anomalies=(find(**more),))
        return json.loads(report.to_sarif())["runs"][0]["results"][0]["partialFingerprints"]

    assert fingerprint(message="3 values") == fingerprint(message="4 values", severity=Severity.WARN)
    assert fingerprint() != fingerprint(column="y")
    assert fingerprint() != fingerprint(column=None)
    assert fingerprint() != fingerprint(code="above_max")


def test_a_source_becomes_an_escaped_place():
    report = describe(anomalies=(find(),))
    location = json.loads(report.to_sarif(source="in coming/ä.csv"))["runs"][0]["results"][0]["locations"][0]
    place = {"artifactLocation": {"uri": "in%20coming/%C3%A4.csv"}, "region": {"startLine": 1}}
    assert location["physicalLocation"] == place  # code scanning asks for a line
