"""Full and read-only disks: one clear error, nothing torn, and the same build goes on later.

The disk is a small file system in memory, which only the superuser may mount; without that right
these tests are skipped.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tasks.reserve import RESERVE_BYTES
from tests.flows.secured import write_recipe
from tests.flows.test_build import questions, script, server_recipe
from tests.flows.test_cli import invoke

pytestmark = pytest.mark.slow

__all__ = ["questions"]  # a fixture

MEGABYTE = 1 << 20
OPENING = 64 << 10
"""Room that opening a store takes."""
CALLS_OF_A_BUILD = 4 * (1 + 1 + 6)


class Disk:
    """A file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._filler = folder / "filler"

    def mount(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Mount it, or mount it anew with other options."""
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def unmount(self) -> None:
        """Take it away."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)

    def fill(self, *, but_for: int = 0) -> None:
        """Leave so many bytes free, rounded down to pages."""
        left = os.statvfs(self.folder)
        with suppress(OSError):  # somebody else took the last page: it is full all the same
            self._filler.write_bytes(bytes(max(left.f_bavail * left.f_bsize - but_for, 0)))

    def make_room(self) -> None:
        """Remove what filled it."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Forty megabytes."""
    (tmp_path / "disk").mkdir()
    found = Disk(tmp_path / "disk")
    try:
        mounted = found.mount(f"size={40 * MEGABYTE}")
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode != 0:
        pytest.skip(f"no right to mount a file system: {mounted.stderr.strip()}")
    try:
        yield found
    finally:
        found.unmount()


Build = Callable[..., tuple[int, str]]


@pytest.fixture
def build(engine: None, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """`weak2wise build` in this process, one call at a time; its exit code and output."""
    monkeypatch.setenv("WEAK2WISE_DATA", "")

    def run(server: LoopbackServer, data: Path) -> tuple[int, str]:
        recipe = server_recipe(
            server, questions, execution={"in_flight": 1, "questions_per_task": 1}
        )
        content = recipe.model_dump(mode="json", exclude_unset=True)
        path = write_recipe(tmp_path / "recipe.yaml", content)
        return invoke("build", path, "--data-dir", data, "--json")

    return run


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of the dataset that was built last."""
    found = folder / "datasets" / "served" / "latest"
    return {path.name: path.read_bytes() for path in sorted(found.resolve().iterdir())}


def check_nothing_is_torn(data: Path) -> int:
    """Every table is whole, every note beside one is JSON, and nothing half-written is left.

    Returns:
        How many replies the store holds; all of them are sound.
    """
    assert not list(data.rglob(".*.tmp"))
    for path in data.rglob("*.parquet"):
        if path.parent.parent.name == "keys":
            json.loads(path.read_bytes())
        else:
            pq.read_table(path)
    code, output = invoke("replies", "verify", "--data-dir", data, "--json")
    assert code == 0, output
    return int(json.loads(output)["replies"])


def check_one_sentence(code: int, output: str, *, about: str) -> None:
    """An error of one line that says where and what to do, and exit code 1."""
    error = output.splitlines()[-1]
    assert code == 1, output
    assert about in error
    assert "ree space" in error
    assert "Traceback" not in output


def test_a_disk_that_fills_up_loses_no_reply(build: Build, disk: Disk, tmp_path: Path) -> None:
    """The reply store: the build stops, and goes on with every reply that it ever got.

    One call is in flight at a time. So the reply that came when the disk was full had come, with
    all before it, when the next request was sent: all of them are in the store.
    """
    asked = 0

    def filling(request: dict[str, Any]) -> Reply | str:
        nonlocal asked
        asked += 1
        if asked == CALLS_OF_A_BUILD // 2:
            disk.fill()
        reply = script(request)
        made = reply if isinstance(reply, Reply) else Reply(content=reply)
        return replace(made, delay_s=0.2)  # so that the error comes before the last request

    with LoopbackServer(filling) as server:
        code, output = build(server, disk.data)
        check_one_sentence(code, output, about="replies.sqlite")
        stored = check_nothing_is_torn(disk.data)
        assert CALLS_OF_A_BUILD // 2 <= stored <= asked < CALLS_OF_A_BUILD
        disk.make_room()
        code, output = build(server, disk.data)
        assert code == 0, output
        assert json.loads(output)["run"]["calls"] == CALLS_OF_A_BUILD - stored
        assert build(server, tmp_path / "undisturbed")[0] == 0
    assert files_of(disk.data) == files_of(tmp_path / "undisturbed")


@pytest.mark.parametrize("full_while", ["results", "datasets"])
def test_a_full_disk_tears_no_result_and_no_dataset(
    build: Build, disk: Disk, full_while: str
) -> None:
    """Stage results and publishing: the build stops, and the next one pays nothing."""
    with LoopbackServer(script) as server:
        code, output = build(server, disk.data)
        assert code == 0, output
        published = files_of(disk.data)
        lost = (
            ["datasets"] if full_while == "datasets" else ["datasets", "shards", "results", "keys"]
        )
        size = sum(remove(disk.data / name) for name in lost)
        disk.fill(but_for=RESERVE_BYTES + OPENING + size // 3)

        code, output = build(server, disk.data)
        check_one_sentence(code, output, about=str(disk.data))
        assert any(f"/{name}/" in output for name in lost), output
        check_nothing_is_torn(disk.data)
        assert not (disk.data / "datasets" / "served" / "latest").exists()

        disk.make_room()
        code, output = build(server, disk.data)
        assert code == 0, output
        assert json.loads(output)["run"]["calls"] == 0
        assert len(server.requests) == CALLS_OF_A_BUILD
    assert files_of(disk.data) == published


def remove(folder: Path) -> int:
    """Remove a folder; the room it took on the disk, in whole pages."""
    size = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            size += -(-path.lstat().st_size // 4096) * 4096
            path.unlink()
    folder.rmdir()
    return size


@pytest.mark.parametrize("case", ["no room", "read-only"])
def test_a_disk_that_takes_nothing_is_found_before_anything_is_asked(
    build: Build, disk: Disk, case: str
) -> None:
    """Without room for the replies in flight, or on a read-only disk, no model is asked."""
    disk.data.mkdir()
    if case == "no room":
        disk.fill(but_for=RESERVE_BYTES // 2)
    else:
        assert disk.mount("remount", "ro").returncode == 0
    with LoopbackServer(script) as server:
        code, output = build(server, disk.data)
        check_one_sentence(code, output, about=str(disk.data))
        assert server.requests == []
        assert list(disk.data.iterdir()) == []
        if case == "no room":
            disk.make_room()
        else:
            assert disk.mount("remount", "rw").returncode == 0
        code, output = build(server, disk.data)
        assert code == 0, output
        assert len(server.requests) == CALLS_OF_A_BUILD
