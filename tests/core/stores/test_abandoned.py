import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from weak2wise_core.stores.files import (
    atomic_folder,
    atomic_writer,
    only_writer,
    remove_abandoned,
    remove_abandoned_below,
    remove_folder,
    scratch_folder,
)

WRITER = """
import pathlib, sys, time
from weak2wise_core.stores.files import atomic_folder
with atomic_folder(pathlib.Path(sys.argv[1])) as beside:
    (beside / "half").write_text("half")
    print(beside, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process in the middle of writing `v1`, and its hidden folder."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "v1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


@pytest.mark.slow
def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(
    tmp_path: Path, writer: tuple[subprocess.Popen[str], Path]
) -> None:
    """A hidden folder is removed as soon as its writer is dead, and not a moment earlier."""
    process, beside = writer
    remove_abandoned(tmp_path)
    assert (beside / "half").read_text() == "half"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert beside.exists()
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_half_a_file_goes_when_its_writer_is_dead_and_not_before(tmp_path: Path) -> None:
    """Whether this process writes it or another one."""
    program = """
import pathlib, sys, time
from weak2wise_core.stores.files import atomic_writer
with atomic_writer(pathlib.Path(sys.argv[1])) as handle:
    handle.write(b"half")
    print(flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "theirs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with atomic_writer(tmp_path / "ours") as handle:
            handle.write(b"whole")
            remove_abandoned(tmp_path)
            assert len(list(tmp_path.iterdir())) == 2
        process.kill()
    assert len(list(tmp_path.iterdir())) == 2
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]
    assert (tmp_path / "ours").read_bytes() == b"whole"


REMOVER = """
import os, pathlib, signal, sys
from weak2wise_core.stores import files
def half(folder, **_):
    next(folder.iterdir()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)
files.shutil.rmtree = half
files.remove_folder(pathlib.Path(sys.argv[1]))
"""


def test_a_folder_is_removed_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed half-way, no half is found under its name, and what is left of it goes later."""
    folder = tmp_path / "model"
    for _ in range(2):
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_text("whole")
        done = subprocess.run([sys.executable, "-c", REMOVER, str(folder)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert not folder.exists()
    assert [len(list(path.iterdir())) for path in tmp_path.iterdir()] == [1, 1]
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []
    remove_folder(folder)
    folder.mkdir()
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_this_process_stay(tmp_path: Path) -> None:
    """Two builds in one process do not take each other's folders away."""
    with atomic_folder(tmp_path / "v1") as first, scratch_folder(tmp_path / "latest") as second:
        remove_abandoned(tmp_path)
        assert first.is_dir()
        assert second.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    """Folders and files with other names are not ours; a missing folder has nothing to remove."""
    hidden = f".v1.{'0' * 32}.tmp"
    (tmp_path / f"{hidden}.txt").mkdir()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "v1").mkdir()
    names = sorted(path.name for path in tmp_path.iterdir())
    remove_abandoned(tmp_path)
    remove_abandoned(tmp_path / "missing")
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    (tmp_path / hidden).mkdir()
    remove_abandoned(tmp_path)
    assert hidden not in {path.name for path in tmp_path.iterdir()}
    (tmp_path / "v1" / "deep").mkdir()
    (tmp_path / "v1" / "deep" / hidden).write_text("half a file of nobody's")
    remove_abandoned(tmp_path)
    assert (tmp_path / "v1" / "deep" / hidden).exists()
    remove_abandoned_below(tmp_path)
    assert list((tmp_path / "v1" / "deep").iterdir()) == []


def test_a_writer_inside_a_folder_that_is_being_written_waits_for_nobody(tmp_path: Path) -> None:
    """The lock of a folder is no lock on what is made in it, be it a file or another folder."""
    with atomic_folder(tmp_path / "v1") as outer:
        with atomic_writer(outer / "file") as handle:
            handle.write(b"whole")
        with atomic_folder(outer / "inner") as inner:
            (inner / "file").write_bytes(b"whole")
        with only_writer(outer / "file"), atomic_writer(outer / "file") as handle:
            handle.write(b"anew")
    found = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*"))
    assert found == ["v1", "v1/file", "v1/inner", "v1/inner/file"]
    assert (tmp_path / "v1" / "file").read_bytes() == b"anew"


def test_who_removes_at_the_moment_of_making_takes_nothing_away(tmp_path: Path) -> None:
    """Files and folders come to their places while others clear up without a pause."""
    done = threading.Event()

    def clear() -> None:
        while not done.is_set():
            remove_abandoned(tmp_path)

    clearing = [threading.Thread(target=clear) for _ in range(2)]
    for one in clearing:
        one.start()
    try:
        for number in range(150):
            with atomic_writer(tmp_path / f"{number}.txt") as handle:
                handle.write(b"whole")
            with atomic_folder(tmp_path / f"{number}") as beside:
                (beside / "file").write_bytes(b"whole")
    finally:
        done.set()
        for one in clearing:
            one.join()
    assert len(list(tmp_path.glob("*.txt"))) == len(list(tmp_path.glob("*/file"))) == 150
    assert len(list(tmp_path.iterdir())) == 300


def test_a_name_that_vanishes_does_not_end_the_clearing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that comes to its end meanwhile leaves the others to be removed."""
    left = [tmp_path / f".v{n}.{n:032x}.tmp" for n in range(4)]
    for one in left:
        one.write_text("half")
    opened = os.open

    def vanishing(path: Path, flags: int, *mode: int) -> int:
        if Path(path) == left[2]:
            raise FileNotFoundError(path)
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", vanishing)
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [left[2]]
