"""Laws of stored results: whole or absent, with a note that only we can have written."""

import json
from pathlib import Path

import pytest

from tasks.reserve import RESERVE_BYTES, Reserve
from tasks.storage import keys_in, results_in
from weak2wise_core.errors import InputFileError, StoreError

OURS = {"type": "weak2wise-parquet"}


def note(data: Path, text: str) -> None:
    """A note beside a result, as somebody else may have written it."""
    (data / "keys").mkdir(exist_ok=True)
    (data / "keys" / "note").write_text(text)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Also through the coroutines, and with the folder made on the way."""
    storage = results_in(tmp_path)
    assert storage.write_path("stage=a/b.parquet", b"1") == str(
        tmp_path / "results" / "stage=a" / "b.parquet"
    )
    assert storage.read_path("stage=a/b.parquet") == b"1"


async def test_coroutines_do_the_same(tmp_path: Path) -> None:
    """The engine awaits them."""
    storage = keys_in(tmp_path)
    await storage.awrite_path("a", json.dumps({"serializer": OURS}).encode())
    assert json.loads(await storage.aread_path("a")) == {"serializer": OURS}


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../outside"])
def test_no_path_leaves_the_folder(tmp_path: Path, path: str) -> None:
    """A note can name no file elsewhere as its result."""
    (tmp_path / "outside").write_text("x")
    for storage in (results_in(tmp_path), keys_in(tmp_path)):
        with pytest.raises(ValueError, match="outside"):
            storage.read_path(path)
        with pytest.raises(ValueError, match="outside"):
            storage.write_path(path, b"y")
    assert (tmp_path / "outside").read_text() == "x"


def test_a_link_does_not_lead_out_either(tmp_path: Path) -> None:
    """Links are followed before it is decided."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="outside"):
        results_in(tmp_path).read_path("link")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "\x80\x04",
        '{"serializer": null}',
        '{"serializer": "pickle"}',
        '{"serializer": {"type": "pickle"}}',
        '{"serializer": {"type": "json"}}',
        '{"serializer": {"type": "weak2wise-parquet", "picklelib": "antigravity"}}',
        '{"serializer": {"type": "pickle", "picklelib": "antigravity"}}',
        "[" * 100_000,
    ],
)
def test_a_note_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    """Before the engine sees it: it imports what some notes name."""
    note(tmp_path, text)
    with pytest.raises(InputFileError):
        keys_in(tmp_path).read_path("note")


def test_a_note_is_handed_out_as_it_was_understood(tmp_path: Path) -> None:
    """A key that stands twice cannot mean one serializer here and another to the engine."""
    note(
        tmp_path, '{"serializer": {"type": "pickle"}, "serializer": {"type": "weak2wise-parquet"}}'
    )
    assert keys_in(tmp_path).read_path("note") == b'{"serializer": {"type": "weak2wise-parquet"}}'


def test_a_result_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A folder in its place is a named error; a file that was there is unchanged."""
    storage = results_in(tmp_path)
    storage.write_path("a", b"old")
    (tmp_path / "results" / "b").mkdir()
    with pytest.raises(StoreError):
        storage.write_path("b", b"new")
    with pytest.raises(StoreError):
        storage.write_path("a/c", b"new")
    assert storage.read_path("a") == b"old"
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["a", "b"]


def test_a_reserve_takes_room_without_a_name_and_gives_it_back(tmp_path: Path) -> None:
    """No file is seen, so that none is left behind by a process that is killed."""
    reserve = Reserve(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
    assert reserve._file.tell() == RESERVE_BYTES
    reserve.close()
    reserve.close()


def test_a_reserve_in_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    """A file in place of the data folder."""
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match="choose another data folder"):
        Reserve(tmp_path / "data")
