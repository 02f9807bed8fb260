import os
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from weak2wise_core.errors import StoreError
from weak2wise_core.stores.files import (
    atomic_folder,
    atomic_write_bytes,
    atomic_write_text,
    atomic_writer,
)

Start = Callable[..., subprocess.Popen[str]]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(item.name for item in folder.iterdir())


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    """Bytes and text arrive unchanged, line ends and all, and missing folders are made."""
    path = tmp_path / "a" / "b" / "file"
    atomic_write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    atomic_write_text(path, "é\r\n😀\n")
    assert path.read_bytes() == "é\r\n😀\n".encode()
    assert names(path.parent) == ["file"]


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    """Others may read what the process's umask lets them read."""
    old = os.umask(0o027)
    try:
        atomic_write_bytes(tmp_path / "file", b"")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """An error inside the block leaves the old file, and nothing beside it."""
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with atomic_writer(path) as handle:
            handle.write(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_text_that_utf8_cannot_hold_changes_nothing(tmp_path: Path) -> None:
    """Half of a surrogate pair is an error before the file is touched."""
    with pytest.raises(UnicodeEncodeError):
        atomic_write_text(tmp_path / "file", "\ud83d")
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    """A file cannot take the place of a folder, nor lie under a file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"folder cannot be written: .*[Dd]irectory"):
        atomic_write_bytes(tmp_path / "folder", b"")
    with pytest.raises(StoreError, match="cannot be written"):
        atomic_write_bytes(tmp_path / "file" / "below", b"")
    assert names(tmp_path) == ["file", "folder"]


def test_long_names_work(tmp_path: Path) -> None:
    """The name beside is never longer than the file system allows."""
    path = tmp_path / ("é" * 127)
    atomic_write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


def test_readers_see_whole_files_only(tmp_path: Path) -> None:
    """While two threads replace a file, every reading gives one of the two contents."""
    path = tmp_path / "file"
    contents = [letter * 100_000 for letter in (b"a", b"b")]
    atomic_write_bytes(path, contents[0])

    def replace(content: bytes) -> None:
        for _ in range(30):
            atomic_write_bytes(path, content)

    threads = [threading.Thread(target=replace, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    readings = [path.read_bytes() for _ in range(200)]
    for thread in threads:
        thread.join()
    assert all(reading in contents for reading in readings)
    assert names(tmp_path) == ["file"]


@pytest.mark.slow
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path, start: Start) -> None:
    """A process that is killed in the middle of writing has changed nothing under the name."""
    path = tmp_path / "file"
    path.write_text("old")
    process = start("write_half", path)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.kill()
    process.communicate()
    assert path.read_text() == "old"
    assert [name.endswith(".tmp") for name in names(tmp_path)] == [True, False]


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_file(small_disk: tuple[str, ...], start: Start) -> None:
    """Without room for the new content the old stays, and the error says why."""
    prefix = (*small_disk, "sh", "-c", 'printf old > /mnt/file; exec "$@"', "sh")
    output, _ = start("write_file", "/mnt/file", prefix=prefix).communicate(timeout=60)
    error, content, listing = output.splitlines()
    assert "/mnt/file cannot be written: No space left on device" in error
    assert content == "old"
    assert listing == "['file']"


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    """Inside the block nothing bears the name; afterwards everything is there."""
    path = tmp_path / "datasets" / "v1"
    with atomic_folder(path) as beside:
        (beside / "sub").mkdir()
        (beside / "sub" / "data").write_text("x")
        (beside / "link").symlink_to("sub/data")
        assert not path.exists()
        assert beside.parent == path.parent
    assert names(path) == ["link", "sub"]
    assert (path / "sub" / "data").read_text() == "x"
    assert names(path.parent) == ["v1"]


@pytest.mark.parametrize(
    ("error", "seen"),
    [(ValueError, ValueError), (KeyboardInterrupt, KeyboardInterrupt), (OSError, StoreError)],
)
def test_a_failed_folder_is_removed(
    tmp_path: Path, error: type[BaseException], seen: type[BaseException]
) -> None:
    """An error inside the block leaves nothing behind; one of the disk names the folder."""

    def fill_half() -> None:
        with atomic_folder(tmp_path / "v1") as beside:
            (beside / "data").write_text("half")
            raise error

    with pytest.raises(seen):
        fill_half()
    assert names(tmp_path) == []


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    """Of two writers of one version the first wins, and the second leaves nothing behind."""
    path = tmp_path / "v1"
    with atomic_folder(path) as slower:
        (slower / "data").write_text("second")
        with atomic_folder(path) as faster:
            (faster / "data").write_text("first")
    assert (path / "data").read_text() == "first"
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as slower:
        (slower / "data").write_text("second")
    assert names(tmp_path / "empty") == []
    assert names(tmp_path) == ["empty", "v1"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """A folder cannot take the place of a file; the file stays."""
    (tmp_path / "v1").write_text("mine")
    with pytest.raises(StoreError, match="v1 cannot be written"), atomic_folder(tmp_path / "v1"):
        pass
    with pytest.raises(StoreError, match="cannot be written"), atomic_folder(tmp_path / "v1" / "a"):
        pass
    assert names(tmp_path) == ["v1"]
    assert (tmp_path / "v1").read_text() == "mine"
