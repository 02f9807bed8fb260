"""Laws of files for trainers: the same rows in every shape, and nothing of others is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from testbed.models import WEAK_MODEL_FOLDER
from tests.core.exporting.conftest import Load
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.exporting.trainers import export_jsonl, export_llama_factory, export_trl

FIELDS = {
    "hf_hub_url", "ms_hub_url", "script_url", "cloud_file_name", "file_name", "formatting",
    "ranking", "subset", "split", "folder", "num_samples", "columns", "tags",
}  # fmt: skip
"""What LLaMA-Factory's documentation lets an entry say."""
COLUMNS = {
    "prompt", "query", "response", "history", "messages", "system", "tools", "images", "videos",
    "audios", "chosen", "rejected", "kto_tag",
}  # fmt: skip


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_jsonl_is_what_the_dataset_holds(dataset: DatasetFolder, tmp_path: Path) -> None:
    """The lines are made anew and are the same bytes as the published ones."""
    out = export_jsonl(dataset, tmp_path / "out.jsonl")
    assert out.read_bytes() == dataset.file("train.jsonl").read_bytes()


def test_parquet_holds_the_rows_of_jsonl(
    dataset: DatasetFolder, tmp_path: Path, load: Load
) -> None:
    """Both shapes hold the same rows; the published file is the exported one."""
    out = export_trl(dataset, tmp_path / "out.parquet")
    assert out.read_bytes() == dataset.file("train_chat.parquet").read_bytes()
    rows = load("parquet", data_files=str(out), split="train").to_list()
    assert rows == lines(dataset.file("train.jsonl"))


@pytest.mark.slow
def test_trl_takes_the_rows_for_conversations(
    dataset: DatasetFolder, tmp_path: Path, load: Load
) -> None:
    """TRL renders prompt and completion in a chat template, with the loss on the whole response."""
    from transformers import AutoTokenizer
    from trl import apply_chat_template, is_conversational

    out = export_trl(dataset, tmp_path / "out.parquet")
    (row,) = load("parquet", data_files=str(out), split="train")
    assert is_conversational(row)
    tokenizer = AutoTokenizer.from_pretrained(WEAK_MODEL_FOLDER)
    rendered = apply_chat_template(row, tokenizer)
    assert "Question a?" in rendered["prompt"]
    assert rendered["completion"].startswith("<think> thinking é </think> 1")


def test_llama_factory_finds_the_file_by_its_entry(
    dataset: DatasetFolder, tmp_path: Path, load: Load
) -> None:
    """The entry says only what is documented, and the columns it names are text."""
    info = export_llama_factory(dataset, tmp_path / "data")
    entry = json.loads(info.read_text())["tiny"]
    assert set(entry) <= FIELDS
    assert set(entry["columns"]) <= COLUMNS
    file = info.parent / entry["file_name"]
    (row,) = load("parquet", data_files=str(file), split="train")
    named = {role: row[column] for role, column in entry["columns"].items()}
    assert named == {"prompt": "Question a?", "response": "<think> thinking é </think> 1"}


def test_other_entries_of_llama_factory_stay(dataset: DatasetFolder, tmp_path: Path) -> None:
    """Datasets that are there keep entry and order; exporting again changes nothing."""
    info = tmp_path / "dataset_info.json"
    others = {"zebra": {"hf_hub_url": "a/zebra"}, "ärger": {"file_name": "b.json"}}
    info.write_text(json.dumps(others, ensure_ascii=False), encoding="utf-8")
    export_llama_factory(dataset, tmp_path)
    found = json.loads(info.read_text(encoding="utf-8"))
    assert list(found) == ["zebra", "ärger", "tiny"]
    assert {name: found[name] for name in others} == others
    before = info.read_bytes()
    export_llama_factory(dataset, tmp_path)
    assert info.read_bytes() == before


def test_a_taken_name_gives_way_only_when_told(dataset: DatasetFolder, tmp_path: Path) -> None:
    """An entry of the same name that says something else is not overwritten by itself."""
    info = tmp_path / "dataset_info.json"
    info.write_text('{"tiny": {"hf_hub_url": "somebody/tiny"}}')
    with pytest.raises(UsageError, match="somebody/tiny"):
        export_llama_factory(dataset, tmp_path)
    assert [path.name for path in tmp_path.glob("*.parquet")] == []
    export_llama_factory(dataset, tmp_path, replace=True)
    assert json.loads(info.read_text())["tiny"]["file_name"].endswith(".parquet")


@pytest.mark.parametrize("text", ["[1]", "{", "\ufeff"])
def test_a_strange_dataset_info_is_refused(
    dataset: DatasetFolder, tmp_path: Path, text: str
) -> None:
    """What is no list of datasets is left as it is."""
    info = tmp_path / "dataset_info.json"
    info.write_text(text)
    with pytest.raises(InputFileError):
        export_llama_factory(dataset, tmp_path)
    assert info.read_text() == text


def test_a_file_that_differs_stays_unless_told(dataset: DatasetFolder, tmp_path: Path) -> None:
    """Somebody's file is not overwritten; the same export twice is no fault."""
    out = tmp_path / "mine.parquet"
    out.write_text("mine")
    with pytest.raises(UsageError, match="differs"):
        export_trl(dataset, out)
    assert out.read_text() == "mine"
    export_trl(dataset, out, replace=True)
    export_trl(dataset, out)


def test_damaged_rows_are_not_exported(dataset: DatasetFolder, tmp_path: Path) -> None:
    """A cut file of rows is refused, and nothing is written."""
    rows = dataset.file("train.parquet")
    rows.write_bytes(rows.read_bytes()[:-100])
    for export in (export_trl, export_jsonl, export_llama_factory):
        with pytest.raises(InputFileError):
            export(dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
