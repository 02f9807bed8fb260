"""Laws of `weak2wise replies` that need no build."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.flows.test_cli import invoke
from weak2wise_core.records import ChatReply, FinishReason, Usage
from weak2wise_core.stores.replies import ReplyStore

KEYS = [f"{number:064x}" for number in range(4)]


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose store has four replies of two models, two of them damaged."""
    monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "none"))  # `--data-dir` changes it
    path = tmp_path / "data" / "replies.sqlite"
    with ReplyStore(path) as store:
        for number, key in enumerate(KEYS):
            reply = ChatReply(
                content=f"{number}",
                reasoning=None,
                finish_reason=FinishReason.STOP,
                usage=Usage(),
                model="m-1",
            )
            store.put(key, reply, model="judge" if number % 2 else "weak", stage="filter_qa")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update replies set body = x'00ff' where id in (1, 2)")
        connection.commit()
    return path.parent


def test_a_damaged_store_is_named_mended_and_sound_again(damaged: Path) -> None:
    """`verify` names what is damaged and leaves it, `--remove` takes it out, and says so."""
    for _ in range(2):
        code, output = invoke("replies", "verify", "--data-dir", damaged)
        assert (code, "4 replies, 2 damaged" in output) == (1, True)
        assert all(key in output for key in KEYS[:2])
    code, output = invoke("replies", "verify", "--remove", "--data-dir", damaged)
    assert (code, "2 removed; a build that needs them asks for them again" in output) == (1, True)
    code, output = invoke("replies", "verify", "--data-dir", damaged)
    assert (code, output.strip()) == (0, "2 replies, 0 damaged")


def test_a_damaged_store_is_not_exported(damaged: Path, tmp_path: Path) -> None:
    """The error names the record and the command that removes it; there is no half of a file."""
    code, output = invoke("replies", "export", tmp_path / "all.jsonl", "--data-dir", damaged)
    assert code == 1
    assert KEYS[0] in output
    assert "--remove" in output
    assert not (tmp_path / "all.jsonl").exists()


def test_a_store_that_can_only_be_read_is_read(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting, checking and exporting write nothing there, not even a lock."""
    assert invoke("replies", "verify", "--remove", "--data-dir", damaged)[0] == 1
    there, target = ("--data-dir", damaged), tmp_path / "all.jsonl"
    said = [invoke("replies", "stats", "--json", *there), invoke("replies", "verify", *there)]
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)
    for name in ("replies.sqlite.lock", "replies.sqlite.turns"):
        (damaged / name).unlink(missing_ok=True)
    before = {path.name: path.read_bytes() for path in damaged.iterdir()}
    again = [invoke("replies", "stats", "--json", *there), invoke("replies", "verify", *there)]
    assert again == said
    assert [code for code, _ in again] == [0, 0]
    assert invoke("replies", "export", target, *there)[0] == 0
    assert len(target.read_text().splitlines()) == 2
    assert {path.name: path.read_bytes() for path in damaged.iterdir()} == before


def test_pruning_takes_what_everything_given_applies_to(damaged: Path) -> None:
    """Nothing given is wrong usage; a model that is not there removes nothing."""
    data = ("--data-dir", damaged)
    assert invoke("replies", "prune", *data)[0] == 2
    assert "0 replies removed" in invoke("replies", "prune", "--model", "nobody", *data)[1]
    both = ("--model", "judge", "--stage", "filter_qa", "--older-than-days", "0")
    assert "2 replies removed" in invoke("replies", "prune", *both, *data)[1]
