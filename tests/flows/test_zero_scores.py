"""Laws of the questions that no trace helps with: asking people, and drawing again."""

import csv
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.auditing import check_adds_up, file_bytes, manifest_of, read
from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from benchmarks.orchard import answer, content_for, recipe_for, rows, write_rows
from flows.commands.app import app
from tasks.progress import Progress
from tests.flows.processes import BuildProcess

pytestmark = pytest.mark.slow

Build = Callable[..., Awaitable[Any]]
QUESTIONS = rows(60)
IDS = [row["id"] for row in QUESTIONS]
HELPLESS = [f"q{number:03}" for number in range(1, 60, 10)]


def command(*words: object) -> tuple[int, dict[str, Any]]:
    """Exit code and printed JSON of a command."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, json.loads(result.stdout)


def fill(path: Path, reasoning: dict[str, str]) -> None:
    """Write into the reasoning column of a CSV file, as a person would in a spreadsheet."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        row["reasoning"] = reasoning.get(row["id"], row["reasoning"])
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)


async def test_what_people_write_comes_into_the_next_dataset(build: Build, tmp_path: Path) -> None:
    """Queue, spreadsheet, merge, build: the counts of the manifest follow, and nothing is asked.

    A row that cannot be used is named and waits on; merging the same file again changes nothing.
    """
    questions = write_rows(tmp_path / "q.jsonl", QUESTIONS)
    notes, sheet = tmp_path / "notes.jsonl", tmp_path / "to_fill.csv"

    async def built(server: LoopbackServer, *, asked: bool) -> Path:
        progress = Progress()
        zero = {"action": "annotate"} | ({"annotations": str(notes)} if notes.exists() else {})
        state = await build(
            recipe_for(server.base_url, questions, zero_score=zero), progress=progress
        )
        assert state.name == "Completed", state.message
        assert bool(progress.calls) == asked
        folder: Path = (await state.aresult()).folder
        check_adds_up(folder, ids=IDS)
        return folder

    with LoopbackServer(answer) as server:
        first = await built(server, asked=True)
        assert manifest_of(first)["zero_score"] == {"awaiting": 6, "annotated": 0}
        lines = (first / "annotation_queue.jsonl").read_text(encoding="utf-8").splitlines()
        queued = [json.loads(line) for line in lines]
        assert [row["id"] for row in queued] == HELPLESS
        assert pd.read_parquet(first / "annotation_queue.parquet").to_dict("records") == queued

        assert (
            CliRunner().invoke(app, ["annotate", "queue", str(first), "-o", str(sheet)]).exit_code
            == 0
        )
        good = {name: f"Adding both crates gives {2 * int(name[1:]) + 7}." for name in HELPLESS}
        fill(sheet, {HELPLESS[0]: good[HELPLESS[0]], HELPLESS[1]: "Easy.</think> 29"})
        code, merged = command("annotate", "merge", first, sheet, "--into", notes, "--json")
        assert (code, merged["new"], merged["refused"]) == (1, 1, {"control_token": 1})
        assert merged["waiting"] == HELPLESS[1:]

        second = await built(server, asked=False)
        assert manifest_of(second)["zero_score"] == {"awaiting": 5, "annotated": 1}
        (trained,) = [row for row in read(second, "train") if row["question_id"] == HELPLESS[0]]
        assert good[HELPLESS[0]] in trained["response"]

        fill(sheet, good)
        before = notes.read_bytes()
        code, merged = command("annotate", "merge", second, sheet, "--into", notes, "--json")
        assert (code, merged["new"], merged["kept"], merged["waiting"]) == (0, 5, 1, [])
        assert notes.read_bytes().startswith(before)
        merged_bytes = notes.read_bytes()
        third = await built(server, asked=False)
        assert manifest_of(third)["zero_score"] == {"awaiting": 0, "annotated": 6}
        assert not (third / "annotation_queue.jsonl").exists()
        code, merged = command("annotate", "merge", third, sheet, "--into", notes, "--json")
        assert (code, merged["new"], merged["kept"]) == (0, 0, 6)
        assert notes.read_bytes() == merged_bytes
        assert await built(server, asked=False) == third


RESAMPLE = {
    "zero_score": {"action": "resample", "max_draws": 4},
    # one shard, so that no second round begins before the first one has ended for all
    "execution": {"questions_per_task": 100, "speculate": "never"},
}


async def test_drawing_again_goes_on_where_it_was_killed(build: Build, tmp_path: Path) -> None:
    """Killed between two rounds, a build ends with the bytes of an undisturbed one.

    No draw of the round before is asked for again. The manifest says how many questions were drawn
    again, how many candidates that took, and how many questions it rescued.
    """
    questions = write_rows(tmp_path / "q.jsonl", QUESTIONS)
    with LoopbackServer(answer) as server:
        state = await build(recipe_for(server.base_url, questions, **RESAMPLE))
    whole = (await state.aresult()).folder
    # two more rounds for the three that the third draw helps, three for the others; two teachers
    assert manifest_of(whole)["zero_score"] == {
        "drawn_again": 6,
        "further_candidates": 3 * 2 * 2 + 3 * 3 * 2,
        "rescued": 3,
    }
    assert manifest_of(whole)["dropped"] == {"select_golden": {"zero_score": 3}}
    check_adds_up(whole, ids=IDS)

    running: list[BuildProcess] = []

    def deadly(request: dict[str, Any]) -> Reply:
        if request["model"] != "weak" and request["seed"] == 2 and len(running) == 1:
            running[0].kill()
        return answer(request)

    with LoopbackServer(deadly) as server:
        content = content_for(server.base_url, questions) | RESAMPLE
        for _ in range(2):
            running.append(
                BuildProcess(content, recipe=tmp_path / "r.yaml", data=tmp_path / "killed")
            )
            if len(running) == 1:
                assert running[0].died() != 0
        facts = running[1].facts()
    assert file_bytes(Path(facts["folder"])) == file_bytes(whole)
    asked = Counter(
        (one.body["model"], one.body["messages"][0]["content"], one.body["seed"])
        for one in server.requests
    )
    first_round = {key: count for key, count in asked.items() if key[2] == 1}
    assert len(first_round) >= 54
    assert set(first_round.values()) == {1}
