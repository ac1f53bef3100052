"""Saved views: drafts that are edited, versions that never change, copies, the archive, notices."""

import pytest

import foldstore
from foldstore.errors import AlreadyExistsError, InvalidNameError, NotFoundError, UsageError


@pytest.fixture
def numbers(store):
    data = store.create_dataset("numbers", key=["n"])
    data.append({"n": list(range(10))})
    return data


class TestPublished:
    def test_each_save_is_a_version_and_the_name_means_the_newest(self, store, numbers):
        view = store.view("numbers@1")
        assert view.where("n > 3").save("large") == 1
        assert view.where("n > 5").save("large", message="stricter") == 2
        assert (store.view("large@1").count(), store.view("large@2").count(), store.view("large").count()) == (6, 4, 4)
        saved = store.saved_views.get("large")
        assert [(each.address, each.status, each.message) for each in saved.versions] == [
            ("large@1", "published", ""),
            ("large@2", "published", "stricter"),
        ]
        assert saved.versions[0].hash == store.view("large@1").hash
        assert saved.versions[0].reads == ("numbers@1",)

    def test_the_same_view_saved_again_is_the_same_version(self, store, numbers):
        view = store.view("numbers@1").where("n > 3")
        assert (view.save("large"), view.save("large")) == (1, 1)

    def test_it_stays_with_the_rows_it_was_made_of(self, store, numbers):
        store.view("numbers").where("n > 3").save("large")
        numbers.append({"n": [100]})
        assert store.view("large").count() == 6

    def test_it_registers_itself_as_a_consumer_of_every_version_it_reads(self, store, numbers):
        numbers.append({"n": [100]})
        store.view(["numbers@1", "numbers@2"]).save("both")
        store.blend({"numbers@1": 1, "both@1": 2}).save("mixed")
        found = {(each.address, each.name) for each in store.consumers("view")}
        assert found == {(f"numbers@{number}", name) for number in (1, 2) for name in ("both@1", "mixed@1")}

    def test_its_name_is_not_that_of_a_dataset(self, store, numbers):
        with pytest.raises(AlreadyExistsError, match="already a dataset 'numbers'"):
            store.view("numbers@1").save("numbers")
        store.view("numbers@1").save_draft("large")
        with pytest.raises(AlreadyExistsError, match="already a view 'large'"):
            store.create_dataset("large")

    @pytest.mark.parametrize("name", ["../x", "A", "train", "", "a@1", None])
    def test_names_are_checked(self, store, numbers, name):
        with pytest.raises(InvalidNameError):
            store.view("numbers@1").save(name)
        with pytest.raises(InvalidNameError):
            store.view("numbers@1").save_draft(name)

    def test_a_version_that_is_not_there_says_which_are(self, store, numbers):
        store.view("numbers@1").save("large")
        for ref in ("2", "draft", "champion"):
            with pytest.raises(NotFoundError, match="no version") as caught:
                store.view(f"large@{ref}")
            assert "There is large@1." in str(caught.value)

    def test_a_view_is_read_after_the_store_is_opened_anew(self, folder):
        with foldstore.connect(folder) as store:
            store.create_dataset("d").append({"n": list(range(50)), "k": ["a", "b"] * 25})
            view = store.view("d@1").balance("k").shuffle(3).map("k", {"a": "A"})
            view.save("mix")
            expected, identity = view.to_arrow().to_pylist(), view.hash
        with foldstore.connect(folder) as store:
            again = store.view("mix@1")
            assert (again.to_arrow().to_pylist(), again.hash) == (expected, identity)


class TestDrafts:
    def test_a_draft_is_replaced_until_it_is_published(self, store, numbers):
        view = store.view("numbers@1")
        view.where("n > 3").save_draft("large")
        view.where("n > 5").save_draft("large", message="stricter")
        assert store.view("large@draft").count() == 4
        with pytest.raises(NotFoundError, match="no version 'latest'"):
            store.view("large")
        published = store.saved_views.publish("large")
        assert (published.address, published.message) == ("large@1", "stricter")
        assert store.view("large").count() == 4
        with pytest.raises(NotFoundError):
            store.view("large@draft")
        with pytest.raises(UsageError, match="has no draft") as caught:
            store.saved_views.publish("large")
        assert caught.value.code == "no-draft"

    def test_a_draft_of_a_published_view_leaves_it_alone(self, store, numbers):
        store.view("numbers@1").where("n > 3").save("large")
        store.view("large@1").where("n > 8").save_draft("large")
        assert (store.view("large").count(), store.view("large@draft").count()) == (6, 1)
        store.saved_views.discard_draft("large")
        assert store.saved_views.get("large").draft is None
        store.view("large@1").where("n > 8").save_draft("large")
        assert store.saved_views.publish("large").address == "large@2"

    def test_a_copy_is_a_draft_of_another_name(self, store, numbers):
        store.view("numbers@1").where("n > 3").save("large")
        store.saved_views.clone("large@1", "larger")
        store.view("larger@draft").where("n > 8").save_draft("larger")
        store.saved_views.publish("larger")
        assert (store.view("large").count(), store.view("larger").count()) == (6, 1)
        with pytest.raises(NotFoundError, match="There is no large@7"):
            store.saved_views.clone("large@7", "other")
        with pytest.raises(NotFoundError, match="no view 'lrge'"):
            store.saved_views.clone("lrge", "other")

    def test_rows_that_a_draft_reads_are_kept(self, store):
        data = store.create_dataset("d", key=["n"])
        data.append({"n": [1, 2]})
        store.view("d@1").save_draft("kept")
        data.overwrite({"n": [3]})
        data.set_retention(keep_last=1)
        store.gc(dry_run=False)
        store.gc(dry_run=False)
        assert store.view("kept@draft").count() == 2


class TestArchive:
    def test_an_archived_view_is_left_out_of_lists_and_still_opens(self, store, numbers):
        store.view("numbers@1").save("old")
        store.view("numbers@1").save("new")
        assert store.saved_views.archive("old").is_archived
        assert store.views() == ["new"]
        assert [each.name for each in store.saved_views.list(archived=True)] == ["new", "old"]
        assert store.view("old").count() == 10
        assert not store.saved_views.restore("old").is_archived
        assert store.views() == ["new", "old"]

    def test_what_is_not_there_cannot_be_archived(self, store):
        with pytest.raises(NotFoundError, match="no view 'x'"):
            store.saved_views.archive("x")


class TestNotices:
    def test_whoever_opens_a_deprecated_version_is_warned(self, store, numbers):
        view = store.view("numbers@1")
        view.save("large")
        view.where("n > 1").save("large")
        saved = store.saved_views.deprecate("large@1", "counts small ones", replacement="large@2")
        assert [each.status for each in saved.versions] == ["deprecated", "published"]
        with pytest.warns(foldstore.DeprecatedInputWarning, match="large@1 is deprecated: counts small .* Use large@2"):
            store.view("large@1")
        assert store.view("large").count() == 8

    def test_a_view_over_a_deprecated_version_warns(self, store, numbers):
        store.view("numbers@1").save("all")
        numbers.append({"n": [100]})
        numbers.version(1).deprecate("has no hundred", replacement="numbers@2")
        with pytest.warns(foldstore.DeprecatedInputWarning, match="numbers@1 is deprecated: has .* Use numbers@2"):
            store.view("numbers@1")
        with pytest.warns(foldstore.DeprecatedInputWarning, match="numbers@1"):
            store.view("all")

    @pytest.mark.parametrize(("address", "reason"), [("large", "old"), ("large@9", "old"), ("large@1", "")])
    def test_a_notice_is_about_a_version_and_has_a_reason(self, store, numbers, address, reason):
        store.view("numbers@1").save("large")
        with pytest.raises(UsageError):
            store.saved_views.deprecate(address, reason)
