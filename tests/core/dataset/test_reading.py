"""Laws of datasets that are read back: only what is listed, only inside the folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.dataset.test_publishing import contents
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.errors import InputFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of one version of a small dataset."""
    return publish(contents(), root=tmp_path / "datasets").folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of a dataset."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("way", [".", "..", "../latest"])
def test_a_dataset_is_found_by_version_by_name_and_by_latest(folder: Path, way: str) -> None:
    """All three paths lead to the same folder, whose content is what was published."""
    found = open_dataset(folder / way)
    assert found.folder == folder.resolve()
    assert (found.name, found.version) == ("tiny", folder.name)
    assert found.manifest["counts"]["train"] == 1
    found.verify()
    assert found.file("train.parquet").read_bytes() == (folder / "train.parquet").read_bytes()


def test_a_copy_elsewhere_is_the_same_dataset(folder: Path, tmp_path: Path) -> None:
    """A dataset does not depend on where it lies."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    found = open_dataset(copy)
    found.verify()
    assert found.version == folder.name


ESCAPES = ["../secret", "/etc/passwd", "a/../../secret", "..", "", ".", "a//b", "a\\..\\b", "c:x"]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    """A manifest that lists such a name is not opened at all, whatever is asked of it."""
    (folder.parent / "secret").write_text("secret")
    edit(folder, lambda manifest: manifest["files"].update({name: {"sha256": "0" * 64}}))
    with pytest.raises(InputFileError, match="leads out of the folder"):
        open_dataset(folder)


def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """A listed name that is a link to another place is not read, also not to verify it."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folder / "train.jsonl").unlink()
    (folder / "train.jsonl").symlink_to(secret)
    found = open_dataset(folder)
    with pytest.raises(InputFileError, match="out of the dataset"):
        found.file("train.jsonl")
    with pytest.raises(InputFileError, match="out of the dataset"):
        found.verify()


def test_a_folder_behind_a_link_that_leaves_is_refused(folder: Path, tmp_path: Path) -> None:
    """The same holds for a link on the way to a listed file."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("x")
    (folder / "sub").symlink_to(tmp_path / "outside")
    edit(folder, lambda manifest: manifest["files"].update({"sub/x": {"sha256": "0" * 64}}))
    with pytest.raises(InputFileError, match="out of the dataset"):
        open_dataset(folder).file("sub/x")


def test_latest_leads_to_a_version_of_the_same_dataset(folder: Path, tmp_path: Path) -> None:
    """A `latest` that points elsewhere is refused, even where a whole dataset lies there."""
    other = publish(contents(), root=tmp_path / "others").folder
    latest = folder.parent / "latest"
    latest.unlink()
    latest.symlink_to(other)
    for path in (folder.parent, latest):
        with pytest.raises(InputFileError, match="out of its dataset"):
            open_dataset(path)


def test_a_manifest_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    """The manifest itself lies in the folder."""
    shutil.move(folder / "manifest.json", tmp_path / "manifest.json")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(InputFileError, match="out of the dataset"):
        open_dataset(folder)


def test_only_what_the_manifest_lists_is_handed_out(folder: Path) -> None:
    """A file beside the listed ones is not part of the dataset."""
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(InputFileError, match=r"no file 'extra.bin'"):
        open_dataset(folder).file("extra.bin")


def test_a_changed_file_does_not_verify(folder: Path) -> None:
    """One byte is enough."""
    with (folder / "train.jsonl").open("ab") as file:
        file.write(b" ")
    found = open_dataset(folder)
    with pytest.raises(InputFileError, match=r"train\.jsonl is not the file"):
        found.verify()


def test_a_missing_file_does_not_verify(folder: Path) -> None:
    """A dataset without one of its tables is not whole."""
    (folder / "scores.parquet").unlink()
    with pytest.raises(InputFileError, match=r"scores\.parquet is missing"):
        open_dataset(folder).verify()


def test_a_changed_manifest_does_not_verify(folder: Path) -> None:
    """A version is a hash of all that its manifest says: no figure can be touched up."""
    edit(folder, lambda manifest: manifest["counts"].update(train=2))
    with pytest.raises(InputFileError, match="was changed after it was published"):
        open_dataset(folder).verify()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "weak2wise.dataset/99"),
        ("dataset", "../evil"),
        ("dataset", None),
        ("version", "../../evil"),
        ("version", 12),
        ("files", ["train.parquet"]),
        ("files", {"train.parquet": {"sha256": "x"}}),
        ("files", {"train.parquet": None}),
    ],
)
def test_a_manifest_of_another_form_is_refused(folder: Path, key: str, value: object) -> None:
    """Name and version may become parts of paths: they have the form that a build gives them."""
    edit(folder, lambda manifest: manifest.update({key: value}))
    with pytest.raises(InputFileError):
        open_dataset(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 100_000])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    """What is no manifest is a named error."""
    (folder / "manifest.json").write_text(text)
    with pytest.raises(InputFileError):
        open_dataset(folder)


def test_a_folder_without_a_dataset_says_what_to_name(tmp_path: Path) -> None:
    """An empty folder and a missing one."""
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputFileError, match="is no dataset"):
            open_dataset(path)
