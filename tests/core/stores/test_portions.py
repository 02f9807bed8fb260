"""Laws of portion files: what was written is read, and nothing that is damaged is."""

from pathlib import Path

import pytest

from tests.core.dataset.test_publishing import contents, digests
from weak2wise_core.dataset.contents import StoredContents
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.tally import Tally
from weak2wise_core.errors import InputFileError, StoreError
from weak2wise_core.stores.portions import Portion, open_portions, write_portions


def test_portions_come_back_as_they_were(tmp_path: Path) -> None:
    """Every record of every table, and the facts beside them."""
    portions = list(contents().portions())
    assert len(portions) == 3
    path = tmp_path / "x" / "a.portions"
    write_portions(path, portions, facts={"a": [1, "b"]})
    found = open_portions(path)
    assert [found.read(one.question_id) for one in portions] == portions
    assert found.facts == {"a": [1, "b"]}


def test_one_changed_byte_is_found(tmp_path: Path) -> None:
    """Wherever it is; half a file and no file are refused as well."""
    path = tmp_path / "a.portions"
    write_portions(path, list(contents().portions()), facts={})
    data = path.read_bytes()
    broken = [data[: len(data) // 2], b"", b"x" * 100]
    broken += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(0, len(data), 37)]
    for one in broken:
        path.write_bytes(one)
        with pytest.raises(InputFileError):
            open_portions(path)
    with pytest.raises(InputFileError, match="cannot be read"):
        open_portions(tmp_path / "absent")


def test_half_a_surrogate_pair_is_named(tmp_path: Path) -> None:
    """The message says which question; nothing is written."""
    bad = Portion(question_id="q\ud800")
    with pytest.raises(StoreError, match="question"):
        write_portions(tmp_path / "a.portions", [bad], facts={})
    with pytest.raises(StoreError, match="facts about a shard"):
        write_portions(tmp_path / "a.portions", [], facts={"a": "\ud800"})
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_from_files_has_the_bytes_of_one_from_memory(tmp_path: Path) -> None:
    """Whatever file a question lies in, and in whatever order files are counted."""
    plain = contents()
    tally, files = Tally(), []
    for number, portion in enumerate(reversed(list(plain.portions()))):
        one = Tally()
        one.add(portion, recipe=plain.recipe)
        tally.absorb(Tally.from_plain(one.as_plain()))
        files.append(write_portions(tmp_path / f"{number}.portions", [portion], facts={}))
    stored = StoredContents(
        recipe=plain.recipe,
        rows=plain.rows,
        questions=plain.questions,
        files=files,
        tally=tally,
        rejections=plain.rejections,
    )
    first = publish(plain, root=tmp_path / "memory")
    second = publish(stored, root=tmp_path / "files")
    assert first.version == second.version
    assert digests(first.folder) == digests(second.folder)
