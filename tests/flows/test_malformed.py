"""Laws of a build whose question file is full of rows that cannot be used."""

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.auditing import check_adds_up, manifest_of, read
from benchmarks.loopback import LoopbackServer
from benchmarks.orchard import answer, recipe_for, rows, write_rows
from tests.flows.malformed import KINDS, mixed

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
GOOD = rows(40)


@pytest.mark.parametrize("seed", [1, 2])
async def test_two_hundred_bad_rows_are_named_and_the_good_ones_are_built(
    build: Build, tmp_path: Path, seed: int
) -> None:
    """Every bad row is one quarantine row with its reason and its place in the file.

    What is trained on is, byte for byte, what a file of the good rows alone gives.
    """
    assert len(KINDS) >= 25
    lines, reasons = mixed(GOOD, bad=200, seed=seed)
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    folders = []
    with LoopbackServer(answer) as server:
        for questions in (path, write_rows(tmp_path / "good.jsonl", GOOD)):
            state = await build(
                recipe_for(server.base_url, questions), data=tmp_path / questions.stem
            )
            assert state.name == ("CompletedWithQuarantine" if questions == path else "Completed")
            folders.append((await state.aresult()).folder)
        asked = Counter(str(one.body) for one in server.requests)
    found = {row["detail"].partition(":")[0]: row for row in read(folders[0], "quarantine")}
    for number, reason in enumerate(reasons, start=1):
        if reason:
            row = found.pop(f"row {number}")
            assert (row["stage"], row["reason"]) == ("load", reason), lines[number - 1][:200]
            assert row["kind"] == ("dropped" if reason == "duplicate" else "quarantined")
            assert len(row["detail"].split()) >= 5
    assert {row["reason"] for row in found.values()} == {"zero_score"}
    labels = [row["question_id"] for row in read(folders[0], "quarantine", "question_id, stage")]
    kept = [row["id"] for row in GOOD if row["id"] not in HELPLESS]
    check_adds_up(folders[0], ids=kept + labels)
    assert manifest_of(folders[0])["counts"]["rows"] == len(lines) == 240
    for name in ("train.parquet", "train.jsonl", "golden.parquet"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    assert set(asked.values()) == {2}  # once for each build: a bad row was asked about by nobody


HELPLESS = {row["id"] for number, row in enumerate(GOOD) if number % 10 == 1}
