"""Laws of giving away what a related method taught: loadable, described, and nothing unasked."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.core.exporting.conftest import Load
from tests.core.exporting.taught import pairs_dataset, replies_dataset
from weak2wise_core.dataset.card_parts import CardDetails
from weak2wise_core.dataset.lessons_card import lessons_card
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.exporting.folder import select, write_folder
from weak2wise_core.exporting.sources import open_given

Make = Callable[[Path], DatasetFolder]
PAIR_FILES = {"pairs_chat.parquet", "pairs.parquet", "pairs.jsonl", "dataset_info.json"}
REPLY_FILES = {"train_chat.parquet", "train.parquet", "train.jsonl", "dataset_info.json"}
KINDS = pytest.mark.parametrize(
    ("make", "role", "files"),
    [(pairs_dataset, "m-plus", PAIR_FILES), (replies_dataset, "strong", REPLY_FILES)],
)


def header(text: str) -> dict[str, object]:
    """The metadata of a card."""
    found: dict[str, object] = yaml.safe_load(text.split("---\n")[1])
    return found


@KINDS
def test_answers_go_nowhere_by_themselves(
    tmp_path: Path, make: Make, role: str, files: set[str]
) -> None:
    """A selection has the rows to train on; every other table is named with what it holds."""
    found = select(make(tmp_path))
    assert set(found.files) == files
    assert set(found.left_out) == {"questions", "quarantine", "answers-weak", f"answers-{role}"}
    assert role in found.left_out[f"answers-{role}"]


@KINDS
def test_asked_tables_are_given(tmp_path: Path, make: Make, role: str, files: set[str]) -> None:
    """By name or all of them; a name that is none is refused with those that there are."""
    dataset = make(tmp_path)
    assert set(select(dataset, tables=[f"answers-{role}"]).files) == files | {
        f"answers-{role}.parquet"
    }
    everything = select(dataset, tables=["all"])
    assert set(everything.files) == set(dataset.manifest["files"])
    assert not everything.left_out
    with pytest.raises(UsageError, match="'scores'; there are questions, quarantine, answers-"):
        select(dataset, tables=["scores"])


@KINDS
@pytest.mark.parametrize("tables", [(), ("all",)])
def test_a_given_folder_can_be_loaded(
    tmp_path: Path, load: Load, make: Make, role: str, files: set[str], tables: tuple[str, ...]
) -> None:
    """Every table of the card is there with its columns and rows; the default is for TRL."""
    from datasets import Features

    dataset = make(tmp_path)
    out = write_folder(select(dataset, tables=tables), tmp_path / "given")
    found = header((out / "README.md").read_text())
    configs, described = found["configs"], found["dataset_info"]
    assert isinstance(configs, list)
    assert isinstance(described, list)
    named = {one["config_name"]: one["data_files"][0]["path"] for one in configs}
    assert set(named.values()) == {path.name for path in out.glob("*.parquet")}
    for one in described:
        path = out / named[one["config_name"]]
        assert Features._from_yaml_list(one["features"]) == Features.from_arrow_schema(
            pq.read_schema(path).remove_metadata()
        )
        rows = load(str(out), one["config_name"], split="train")
        assert rows.to_list() == pq.read_table(path).to_pylist()
    (row,) = load(str(out), split="train")
    replies = ("chosen", "rejected") if files is PAIR_FILES else ("completion",)
    assert all(row[key][0]["role"] == "assistant" for key in replies)
    assert open_dataset(out).version == dataset.version


@KINDS
def test_a_published_folder_can_be_loaded(
    tmp_path: Path, load: Load, make: Make, role: str, files: set[str]
) -> None:
    """The folder in its place has the card of all its tables."""
    dataset = make(tmp_path)
    assert load(str(dataset.folder), split="train").num_rows == 1
    assert load(str(dataset.folder), "plain", split="train").num_rows == 1
    assert load(str(dataset.folder), f"answers-{role}", split="train").num_rows == 1


def test_the_card_of_pairs_says_what_they_are_and_whose(tmp_path: Path) -> None:
    """Method, models, licence, what was left out; the words of every writer have their terms."""
    dataset = pairs_dataset(tmp_path)
    details = CardDetails(license="mit", languages=("en",), place="me/pairs")
    text = select(dataset, details=details).card
    metadata = header(text)
    assert (metadata["license"], metadata["language"]) == ("mit", ["en"])
    assert metadata["weak2wise"] == {
        "version": dataset.version,
        "method": "weak-to-strong",
        "step": "stage II",
        "models": {"weak": "small/weak", "strong": "large/strong"},
    }
    assert "a chosen and a rejected reply" in text
    assert 'load_dataset("me/pairs", split="train")  # preferences' in text
    assert "written by `large/strong`, `small/weak`" in text
    assert "`m-plus-as-returned`: 1" in text
    assert "| 1 | dropped: low_confidence (contrast) |" in text
    assert "completion" not in text


def test_a_model_that_only_learns_has_written_nothing(tmp_path: Path) -> None:
    """Its terms do not bind what others wrote for it."""
    manifest = dict(replies_dataset(tmp_path).manifest)
    manifest["models"] = {"weak": manifest["models"]["weak"]}
    assert "written by `small/weak`:" in lessons_card(manifest)


def test_what_is_no_dataset_is_told_what_it_is(tmp_path: Path) -> None:
    """A file of pairs, a model and results each get their own sentence."""
    (tmp_path / "pairs.json").write_text("[]")
    for folder, file in (("model/latest", "training.json"), ("results", "results.json")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).write_text("{}")
    for name, said in (
        ("pairs.json", "is a file.*hf upload OWNER/NAME .*pairs.json"),
        ("model", "holds a trained model"),
        ("results", "holds results"),
        ("nothing", "is no dataset"),
    ):
        with pytest.raises(InputFileError, match=said):
            open_given(tmp_path / name)
