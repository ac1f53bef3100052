"""Scripts of ease.ml/ci are read as they stand, and say what is wrong with them."""

import pytest

from foldstore.errors import UsageError
from foldstore.validation.pools.plan import plan_pool
from foldstore.validation.pools.script import CiScript

PAPER = """
language: python
ml:
 - script: ./test_model.py
 - condition: n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01
 - reliability: 0.9999
 - mode: fp-free
 - adaptivity: full
 - steps: 32
"""


def test_the_script_of_the_paper_is_planned_as_it_says():
    script = CiScript.read(PAPER)
    assert script.command == "./test_model.py"
    asked = {"reliability": 0.9999, "steps": 32, "reuse": "full", "mode": "fp-free"}
    condition = "n - o > 0.02 +/- 0.01 /\\ d < 0.1 +/- 0.01"
    assert script.plan() == plan_pool(condition, **asked)
    assert script.plan("bennett").labels == plan_pool(condition, method="bennett", **asked).labels == 67_706


@pytest.mark.parametrize(
    ("said", "policy", "mail"),
    [
        ("full", "full", None),
        ("firstChange", "first_change", None),
        ("none -> ana@example.org", "none", "ana@example.org"),
    ],
)
def test_adaptivity_is_a_policy_of_reuse(said, policy, mail):
    script = CiScript.read(PAPER.replace("adaptivity: full", f"adaptivity: {said}"))
    assert (str(script.plan().reuse), script.mail) == (policy, mail)


def test_what_is_left_out_is_as_usual_and_one_mapping_will_do():
    script = CiScript.read("ml: {condition: n > 0.8 +/- 0.05, reliability: 0.99, steps: 2}")
    assert (script.mode, script.adaptivity, script.command) == ("fp-free", "full", None)
    assert script.plan().labels > 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ml:",
        "ml: 3",
        "ml: [3]",
        "ml: [condition]",
        "- ml",
        PAPER.replace("steps", "step"),
        PAPER.replace(" - steps: 32\n", ""),
        PAPER + " - steps: 32\n",
        "ml: !!python/object/apply:os.system [ls]",
        "ml: &a [*a]",
        "ml: [" * 500,
    ],
)
def test_what_is_no_script_is_refused(text):
    with pytest.raises(UsageError) as caught:
        CiScript.read(text)
    assert caught.value.code == "invalid-script"
    assert caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        ("0.9999", "2"),
        ("32", "many"),
        ("fp-free", "fp"),
        ("adaptivity: full", "adaptivity: some"),
        ("n - o", "n + + o"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_the_plan(change):
    with pytest.raises(UsageError):
        CiScript.read(PAPER.replace(*change)).plan()
