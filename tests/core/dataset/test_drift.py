"""Laws of returned model ids: a change is named, and history never enters a dataset."""

import dataclasses
from pathlib import Path

from tests.core.dataset.test_publishing import SPENT, contents, digests
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.drift import ModelChange, earlier_ids, model_changes
from weak2wise_core.dataset.manifest import returned_models
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.returned import changed, merged


def answered_as(*ids: str, dataset: str = "tiny", asked: str = "weak") -> Contents:
    """The tables of a build whose weak model named these ids, one reply after the other."""
    plain = contents()
    weak = plain.recipe.models.weak.model_copy(update={"model": asked})
    models = plain.recipe.models.model_copy(update={"weak": weak})
    attempts = [
        dataclasses.replace(
            one, spent=(dataclasses.replace(SPENT, returned=ids[number % len(ids)]),)
        )
        for number, one in enumerate(plain.attempts)
    ]
    return dataclasses.replace(
        plain,
        recipe=plain.recipe.model_copy(update={"dataset": dataset, "models": models}),
        attempts=tuple(attempts),
        outcomes=(),
    )


def changes_of(contents: Contents, root: Path) -> list[ModelChange]:
    """What a build with these tables would report, given the datasets below a folder."""
    return model_changes(contents.recipe, returned_models(contents), earlier=earlier_ids(root))


def test_one_id_is_no_change(tmp_path: Path) -> None:
    """Manifest and card of a steady build have no word about changes."""
    published = publish(answered_as("weak-1"), root=tmp_path)
    assert "models_changed" not in published.manifest
    assert "more than one id" not in (published.folder / "README.md").read_text()
    assert changes_of(answered_as("weak-1"), tmp_path) == []


def test_two_ids_in_one_build_stand_in_manifest_and_card(tmp_path: Path) -> None:
    """Who reads the dataset sees that its replies may come from two models."""
    published = publish(answered_as("weak-1", "weak-2"), root=tmp_path)
    assert published.manifest["models_changed"] == {"weak": {"weak-1": 4, "weak-2": 2}}
    card = (published.folder / "README.md").read_text()
    assert "`weak-1` (4 replies), `weak-2` (2 replies)" in card


def test_a_reply_that_names_no_model_is_no_change() -> None:
    """Servers that leave the id out say nothing about a change."""
    assert changed({"weak": {"": 3, "weak-1": 2}}) == {}


def test_another_id_than_in_the_dataset_before_is_reported(tmp_path: Path) -> None:
    """The report names both ids and the version that had the earlier one."""
    before = publish(answered_as("weak-1"), root=tmp_path)
    (change,) = changes_of(answered_as("weak-2"), tmp_path)
    assert (change.earlier, dict(change.ids)) == (["weak-1"], {"weak-2": 6})
    assert f"tiny/{before.version}" in change.sentence
    assert "weak-1" in change.sentence
    assert "weak-2" in change.sentence


def test_history_changes_no_byte_of_a_dataset(tmp_path: Path) -> None:
    """The same tables give the same folder, whatever was published before."""
    publish(answered_as("weak-1"), root=tmp_path / "with")
    after = publish(answered_as("weak-2"), root=tmp_path / "with")
    alone = publish(answered_as("weak-2"), root=tmp_path / "without")
    assert after.version == alone.version
    assert digests(after.folder) == digests(alone.folder)


def test_the_same_model_in_another_dataset_counts_too(tmp_path: Path) -> None:
    """An alias that moved did so for every dataset of the folder."""
    publish(answered_as("weak-1", dataset="other"), root=tmp_path)
    (change,) = changes_of(answered_as("weak-2"), tmp_path)
    assert change.dataset.startswith("other/")


def test_another_model_in_the_recipe_is_no_change(tmp_path: Path) -> None:
    """Who asks for another model gets another one."""
    publish(answered_as("weak-1"), root=tmp_path)
    assert changes_of(answered_as("weak-2", asked="another"), tmp_path) == []


def test_an_id_that_some_dataset_had_is_known(tmp_path: Path) -> None:
    """An old dataset with an old id does not raise the same alarm for ever."""
    publish(answered_as("weak-1", dataset="old"), root=tmp_path)
    publish(answered_as("weak-2", dataset="new"), root=tmp_path)
    assert changes_of(answered_as("weak-2"), tmp_path) == []


def test_a_damaged_manifest_says_nothing(tmp_path: Path) -> None:
    """Another dataset's fault does not fail this build."""
    before = publish(answered_as("weak-1"), root=tmp_path)
    broken = '{"dataset": "d", "version": "v", "models": {}, "settings": {"models": %s}}'
    for text in ("", "[]", broken % 3, broken % '{"weak": 3, "strong": {}}'):
        (before.folder / "manifest.json").write_text(text)
        assert earlier_ids(tmp_path) == {}
    assert earlier_ids(tmp_path / "absent") == {}


def test_replies_of_two_sources_are_counted_once() -> None:
    """Tables and accounts count the same replies; neither hides an id of the other."""
    found = merged({"weak": {"a": 3}}, {"weak": {"a": 2, "b": 1}, "judge": {"c": 1}})
    assert found == {"weak": {"a": 3, "b": 1}, "judge": {"c": 1}}
