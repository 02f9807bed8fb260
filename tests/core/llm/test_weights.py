"""A digest of a model folder changes with what decides replies, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from weak2wise_core.errors import InputFileError
from weak2wise_core.llm.weights import folder_digest, model_folder, model_name

DECISIVE = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model-00001-of-00002.safetensors",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the names of a model's files."""
    for name in DECISIVE:
        (tmp_path / name).write_text(f"content of {name}")
    return tmp_path


@pytest.mark.parametrize("name", DECISIVE)
def test_each_decisive_file_is_part_of_the_digest(folder: Path, name: str) -> None:
    """Weights, settings, tokenizer and template each change the digest."""
    before = folder_digest(folder)
    (folder / name).write_text("CONTENT of " + name)
    assert folder_digest(folder) != before
    (folder / name).unlink()
    assert folder_digest(folder) != before


def test_a_copy_elsewhere_with_other_notes_has_the_same_digest_and_name(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Neither the path nor a README nor an optimiser's state decides replies."""
    copy = tmp_path_factory.mktemp("elsewhere") / folder.name
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("notes")
    (copy / "optimizer.pt").write_text("momenta")
    assert folder_digest(copy) == folder_digest(folder)
    assert model_name(str(copy)) == model_name(str(folder))
    assert model_name(str(folder)).startswith(f"{folder.name}@")


@pytest.mark.parametrize("place", [0, 16 << 20, 32 << 20, (70 << 20) - 1])
def test_large_files_are_sampled(folder: Path, place: int) -> None:
    """Edges and every 16 MB of a large file are read, and so is its size."""
    weights = folder / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(70 << 20)
    before = folder_digest(folder)
    with weights.open("r+b") as file:
        file.seek(place)
        file.write(b"x")
    assert folder_digest(folder) != before
    with weights.open("wb") as file:
        file.truncate((70 << 20) + 1)
    assert folder_digest(folder) != before


def test_a_path_without_a_folder_is_refused_and_a_hub_id_is_not(tmp_path: Path) -> None:
    """What looks like a path must exist; `owner/name` may be fetched later."""
    assert model_folder("Qwen/Qwen2.5-0.5B-Instruct") is None
    assert model_name("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"
    assert model_folder(str(tmp_path)) == tmp_path.resolve()
    for missing in (str(tmp_path / "model"), "./model", "data/models/weak"):
        with pytest.raises(InputFileError, match="does not exist"):
            model_folder(missing)
