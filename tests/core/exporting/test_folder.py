"""Laws of what is given away: it can be loaded, and holds no table that was not asked for."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.core.dataset.test_publishing import contents
from tests.core.exporting.conftest import Load
from weak2wise_core.dataset.card import CONFIGURATIONS
from weak2wise_core.dataset.card_parts import CardDetails
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset
from weak2wise_core.errors import InputFileError, UsageError
from weak2wise_core.exporting.folder import TABLES, select, write_folder


def header(text: str) -> dict[str, object]:
    """The metadata of a card."""
    found: dict[str, object] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_a_published_folder_can_be_loaded(dataset: DatasetFolder, load: Load) -> None:
    """Every table is a configuration of the folder itself; the default are conversations."""
    written = {name: file for name, file in CONFIGURATIONS.items() if name != "measures"}
    for name, file in written.items():  # measures are there only where a selector reads traces
        rows = load(str(dataset.folder), name, split="train")
        assert rows.to_list() == pq.read_table(dataset.folder / file).to_pylist(), name
    (row,) = load(str(dataset.folder), split="train")
    assert row["completion"] == [{"role": "assistant", "content": "<think> thinking é </think> 1"}]


def test_the_header_describes_every_table(dataset: DatasetFolder) -> None:
    """Columns are those that `datasets` reads in the file, rows are counted."""
    from datasets import Features

    described = header((dataset.folder / "README.md").read_text())["dataset_info"]
    assert isinstance(described, list)
    there = [name for name, file in CONFIGURATIONS.items() if file in dataset.manifest["files"]]
    assert [one["config_name"] for one in described] == there
    for one in described:
        file = dataset.folder / CONFIGURATIONS[one["config_name"]]
        read = Features.from_arrow_schema(pq.read_schema(file).remove_metadata())
        assert Features._from_yaml_list(one["features"]) == read
        assert one["splits"][0]["num_examples"] == pq.read_metadata(file).num_rows


def test_a_table_without_rows_is_no_configuration(tmp_path: Path, load: Load) -> None:
    """A build without filter and rejections has no attempts and no quarantine to load."""
    whole = contents()
    small = Contents(
        recipe=whole.recipe.model_copy(
            update={"filter": whole.recipe.filter.model_copy(update={"enabled": False})}
        ),
        rows=1,
        questions=whole.questions[:1],
        candidates=whole.candidates,
        outcomes=whole.outcomes,
        golden=whole.golden,
        train=whole.train,
    )
    folder = publish(small, root=tmp_path / "small").folder
    named = [one["config_name"] for one in header((folder / "README.md").read_text())["configs"]]  # type: ignore[attr-defined]
    there = {name: file for name, file in CONFIGURATIONS.items() if (folder / file).exists()}
    assert set(there) == set(CONFIGURATIONS) - {"measures"}
    empty = {name for name, file in there.items() if not pq.read_table(folder / file)}
    assert empty == {"attempts", "quarantine"}
    assert set(named) == set(there) - empty
    assert all(len(load(str(folder), name, split="train")) for name in named)


def test_teachers_texts_go_nowhere_by_themselves(dataset: DatasetFolder) -> None:
    """Without being asked, a selection has the training set and numbers, and says what it lacks."""
    found = select(dataset)
    assert set(found.files) == {
        "train_chat.parquet", "train.parquet", "train.jsonl", "dataset_info.json", "scores.parquet",
    }  # fmt: skip
    assert {"candidates", "quarantine", "attempts", "outcomes"} <= set(found.left_out)
    assert "thinking" not in str(pq.read_table(dataset.file("scores.parquet")).to_pylist())


def test_asked_tables_are_given(dataset: DatasetFolder) -> None:
    """A named table goes along; `all` names every one."""
    assert "candidates.parquet" in select(dataset, tables=["candidates"]).files
    assert "quarantine.parquet" not in select(dataset, tables=["candidates"]).files
    listed = {f"{table}.parquet" for table in TABLES} & set(dataset.manifest["files"])
    assert len(listed) == len(TABLES) - 1  # all but measures
    assert listed <= set(select(dataset, tables=["all"]).files)
    with pytest.raises(UsageError, match="candidate'; there are"):
        select(dataset, tables=["candidate"])


@pytest.mark.parametrize("tables", [(), ("candidates",), ("all",)])
def test_a_given_folder_can_be_loaded(
    dataset: DatasetFolder, tmp_path: Path, load: Load, tables: tuple[str, ...]
) -> None:
    """The card names the files that are there and no others, and each can be loaded."""
    out = write_folder(select(dataset, tables=tables), tmp_path / "given")
    configs = header((out / "README.md").read_text())["configs"]
    assert isinstance(configs, list)
    files = {one["data_files"][0]["path"] for one in configs}
    assert files == {path.name for path in out.glob("*.parquet")}
    assert all(len(load(str(out), one["config_name"], split="train")) for one in configs)
    found = open_dataset(out)
    assert (found.version, found.file("train.jsonl").is_file()) == (dataset.version, True)


def test_the_card_says_what_a_person_knows(dataset: DatasetFolder) -> None:
    """Licence and languages are a person's; size, models and version are the dataset's."""
    details = CardDetails(license="apache-2.0", languages=("en", "de"), place="me/tiny")
    text = select(dataset, details=details).card
    metadata = header(text)
    assert (metadata["license"], metadata["language"]) == ("apache-2.0", ["en", "de"])
    assert metadata["size_categories"] == ["n<1K"]
    assert metadata["weak2wise"] == {
        "version": dataset.version,
        "weak_model": "weak",
        "strong_models": ["weak"],
    }
    assert 'load_dataset("me/tiny", split="train")' in text
    assert "language" not in header(select(dataset).card)
    assert "given under `apache-2.0`" in text
    assert header(select(dataset).card)["license_name"] == "terms-of-the-source-models"
    assert "report.html" not in text


def test_a_changed_dataset_is_not_given(dataset: DatasetFolder) -> None:
    """What is given away is what was published, or nothing."""
    with dataset.file("train.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputFileError, match="SHA-256"):
        select(dataset)


def test_a_folder_that_is_there_stays(dataset: DatasetFolder, tmp_path: Path) -> None:
    """Nothing is written over somebody's folder."""
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="already"):
        write_folder(select(dataset), tmp_path / "there")
