"""What a run keeps beside versions: parameters without secrets, the code's revision, the environment."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstore.datastore.canonical import canonical_json
from foldstore.datastore.free_text import check_text, clean_text
from foldstore.datastore.lineage.parameters import MASK, check_params, describe_arguments, mask_text
from foldstore.datastore.lineage.surroundings import describe_code, describe_environment
from foldstore.errors import UsageError


class TestParameters:
    def test_plain_values_stay_and_others_get_a_plain_form(self):
        given_ = {"rate": np.float64(0.5), "n": np.int64(3), "path": Path("a/b"), "list": (1, [None, True])}
        assert check_params(given_) == {"rate": 0.5, "n": 3, "path": "a/b", "list": [1, [None, True]]}

    @pytest.mark.parametrize(
        "key",
        ["password", "DB_PASSWORD", "apiKey", "api_key", "api-key", "accessToken", "token", "client.secret", "pwd"],
    )
    def test_what_is_named_like_a_secret_is_masked_however_deep(self, key):
        assert check_params({"a": [{key: "hunter2"}], key: {"b": "hunter2"}}) == {"a": [{key: MASK}], key: MASK}

    @pytest.mark.parametrize("key", ["max_tokens", "tokenizer", "secretary", "key", "monkey", "passes"])
    def test_what_only_looks_alike_is_kept(self, key):
        assert check_params({key: 512}) == {key: 512}

    def test_a_password_inside_a_url_is_masked(self):
        assert check_params({"db": "postgresql://me:hunter2@h/x"}) == {"db": f"postgresql://me:{MASK}@h/x"}

    @pytest.mark.parametrize(
        "text",
        ["password=hunter2", "the token: hunter2", "https://u:hunter2@h", "Authorization: Bearer hunter2hunter2",
         '{"api_key": "hunter2"}', "DB_PASSWORD=hunter2"],
    )  # fmt: skip
    def test_secrets_in_messages_are_masked(self, text):
        assert "hunter2" not in mask_text(text)

    def test_an_ordinary_message_stays(self):
        text = "column 'token_count' is missing at https://h:8080/x: 3 rows, key 7"
        assert mask_text(text) == text

    @pytest.mark.parametrize(
        ("params", "message"),
        [([1], "not a dict"), ({1: 2}, "not the name"), ({"x": object()}, "no form"), ({"x": b"a"}, "no form"),
         ({"x": "a" * 70_000}, "at most 65,536"), ({"k" * 201: 1}, "not the name"), ({"x": "\ud800"}, "not Unicode")],
    )  # fmt: skip
    def test_what_cannot_be_kept_is_refused(self, params, message):
        with pytest.raises(UsageError, match=message):
            check_params(params)

    def test_a_value_that_holds_itself_is_refused(self):
        loop = []
        loop.append(loop)
        with pytest.raises(UsageError, match="nested deeper"):
            check_params({"x": loop})

    def test_arguments_that_are_not_plain_are_kept_as_the_names_of_their_types(self):
        assert describe_arguments({"x": object(), "y": [{1, 2}], "z": float("inf")}) == {
            "x": "<object>", "y": ["<set>"], "z": "inf",
        }  # fmt: skip

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        )
    )
    def test_whatever_is_kept_is_json_and_kept_the_same_again(self, value):
        try:
            kept = check_params({"x": value})
        except UsageError:
            return
        assert check_params(kept) == kept
        assert canonical_json(kept)


class TestText:
    @given(st.text(), st.integers(1, 20))
    def test_foreign_text_is_made_such_that_it_can_be_kept(self, text, limit):
        assert check_text(clean_text(text, limit), "It", limit) == clean_text(text, limit)

    @pytest.mark.parametrize("text", ["a\0b", "\ud800", 3, None, "x" * 11])
    def test_what_cannot_be_kept_is_refused(self, text):
        with pytest.raises(UsageError, match="It "):
            check_text(text, "It", 10)


def _git(folder, *arguments):
    command = [shutil.which("git"), "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    """A git work tree with one commit."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text("pass\n")
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        _git(work, *arguments)
    return work


class TestSurroundings:
    def test_the_commit_is_known_and_whether_files_differ_from_it(self, repository):
        code = describe_code(repository)
        assert len(code["commit"]) == 40
        assert code["dirty"] is False
        (repository / "untracked.py").write_text("pass\n")
        assert describe_code(repository)["dirty"] is False
        (repository / "train.py").write_text("import os\n")
        assert describe_code(repository) == {**code, "dirty": True}

    def test_outside_of_a_work_tree_there_is_no_commit(self, tmp_path):
        assert "commit" not in describe_code(tmp_path)
        assert "commit" not in describe_code(tmp_path / "missing")

    def test_without_git_there_is_no_commit(self, repository, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert "commit" not in describe_code(repository)

    def test_a_program_that_a_repository_names_is_not_run(self, repository):
        trap = repository.parent / "trap"
        trap.write_text(f"#!/bin/sh\ntouch {repository.parent}/sprung\n")
        trap.chmod(0o755)
        _git(repository, "config", "core.fsmonitor", str(trap))
        assert "commit" in describe_code(repository)
        assert not (repository.parent / "sprung").exists()

    def test_the_script_is_named_without_its_folder_and_arguments(self, monkeypatch, tmp_path):
        monkeypatch.setattr("sys.argv", ["/home/me/private/train.py", "--token", "hunter2"])
        assert describe_code(tmp_path) == {"script": "train.py"}

    def test_the_environment_names_releases_alone(self):
        found = describe_environment()
        assert set(found) == {"python", "implementation", "platform", "foldstore", "libraries"}
        assert {"pyarrow", "numpy", "polars", "duckdb"} <= set(found["libraries"])
