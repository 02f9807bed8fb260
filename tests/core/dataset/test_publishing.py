"""Laws of published datasets: whole or absent, the same bytes for the same content."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from weak2wise_core.config import Recipe
from weak2wise_core.dataset.contents import Contents
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.errors import BuildError, InputFileError
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import (
    Attempt,
    CandidateTrace,
    FinishReason,
    GoldenReasoning,
    GoldenSource,
    JudgedBy,
    MaskOutcomes,
    Question,
    Refusal,
    Rejection,
    RejectionKind,
    SFTExample,
    Spent,
    Truncation,
    Verdict,
)

SPENT = Spent(
    model="weak",
    returned="m-1",
    calls=2,
    prompt_tokens=1_000_000,
    completion_tokens=500_000,
    reasoning_tokens=0,
    cached_tokens=0,
)


def recipe() -> Recipe:
    """A small recipe with prices."""
    model = {"backend": "testbed", "model": "weak", "usd_per_mtok": {"input": 1, "output": 2}}
    return parse_recipe(
        {
            "dataset": "tiny",
            "questions": {"path": "q.jsonl"},
            "models": {"weak": model, "strong": [model | {"name": "strong"}]},
            "judging": {"method": "rule"},
            "truncation": {"method": "rule"},
        }
    )


def candidate(question: str, draw: int, refusal: Refusal | None = None) -> CandidateTrace:
    """A candidate of one strong model."""
    return CandidateTrace(
        question_id=question,
        strong_model="strong",
        draw=draw,
        normal_reasoning="thinking é",
        step_reasoning="## A\nx\n## Final Answer\n1",
        refusal=refusal,
        detail="",
        answer_leak=draw == 0,
        told_answer=False,
        model="strong-1",
        spent=(),
    )


def attempt(question: str, verdict: Verdict) -> Attempt:
    """An unaided attempt."""
    return Attempt(
        question_id=question,
        attempt="1",
        finish_reason=FinishReason.STOP,
        verdict=verdict,
        judged_by=JudgedBy.RULE,
        votes=(),
        model="weak-1",
        spent=(SPENT,),
    )


def contents() -> Contents:
    """Four rows: one trained on, one solved, one dropped, one quarantined."""
    outcomes = MaskOutcomes(
        question_id="a",
        strong_model="strong",
        draw=0,
        outcomes=(Verdict.CORRECT,) * 3 + (Verdict.INCORRECT,) * 3,
        asked=(True,) * 6,
        attempts=("1",) * 6,
        normal_tokens=2,
        spent=(SPENT,),
    )
    golden = GoldenReasoning(
        question_id="a",
        strong_model="strong",
        draw=0,
        source=GoldenSource.STEP_MASK,
        score=0.3,
        golden_reasoning="thinking é",
        truncation=Truncation.NOT_NEEDED,
        normal_tokens=2,
        golden_tokens=2,
        spent=(),
    )
    example = SFTExample(
        question_id="a",
        prompt="Question a?",
        response="<think> thinking é </think> 1",
        answer="1",
        strong_model="strong",
        draw=0,
        score=0.3,
        truncation=Truncation.NOT_NEEDED,
        tokens=9,
    )
    rejections = [
        Rejection(question_id=one, stage=stage, kind=kind, reason=reason, detail="d")
        for one, stage, kind, reason in (
            ("c", "select_golden", RejectionKind.DROPPED, "awaiting_annotation"),
            ("row-4", "load", RejectionKind.QUARANTINED, "no_answer"),
        )
    ]
    return Contents(
        recipe=recipe(),
        rows=4,
        questions=tuple(Question(id=one, question=f"Question {one}?", answer="1") for one in "abc"),
        attempts=(
            attempt("b", Verdict.CORRECT),
            attempt("a", Verdict.INCORRECT),
            attempt("c", Verdict.INCORRECT),
        ),
        candidates=(candidate("a", 1, Refusal.NO_STEP), candidate("a", 0)),
        outcomes=(outcomes,),
        golden=(golden,),
        train=(example,),
        rejections=tuple(rejections),
    )


def digests(folder: Path) -> dict[str, str]:
    """Content of every file below a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_dataset_holds_every_table_and_latest_points_to_it(tmp_path: Path) -> None:
    """The folder has the tables, the training lines, manifest, card and report."""
    published = publish(contents(), root=tmp_path)
    names = {path.name for path in published.folder.iterdir()}
    assert names == {
        "questions.parquet",
        "attempts.parquet",
        "candidates.parquet",
        "outcomes.parquet",
        "scores.parquet",
        "golden.parquet",
        "train.parquet",
        "train_chat.parquet",
        "quarantine.parquet",
        "audits.parquet",
        "train.jsonl",
        "dataset_info.json",
        "annotation_queue.jsonl",
        "annotation_queue.parquet",
        "README.md",
        "report.html",
        "manifest.json",
    }
    assert (tmp_path / "tiny" / "latest").resolve() == published.folder.resolve()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Order of arrival changes neither version nor bytes."""
    one = contents()
    other = Contents(
        recipe=one.recipe,
        rows=one.rows,
        questions=one.questions,
        attempts=one.attempts[::-1],
        candidates=one.candidates[::-1],
        outcomes=one.outcomes,
        golden=one.golden,
        train=one.train,
        rejections=one.rejections[::-1],
    )
    first, second = publish(one, root=tmp_path / "1"), publish(other, root=tmp_path / "2")
    assert first.version == second.version
    assert digests(first.folder) == digests(second.folder)


def test_publishing_again_leaves_the_folder_alone(tmp_path: Path) -> None:
    """A version that is there is there."""
    first = publish(contents(), root=tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    publish(contents(), root=tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before
    assert not [path for path in (tmp_path / "tiny").iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("name", ["train.jsonl", "scores.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", [b"", b"<html>", None])
def test_publishing_again_mends_a_damaged_version(
    tmp_path: Path, name: str, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is whole again, and what was there is kept beside it, for somebody may have changed it."""
    first = publish(contents(), root=tmp_path)
    before = digests(first.folder)
    if damage is None:
        (first.folder / name).unlink()
    else:
        (first.folder / name).write_bytes(damage)
    changed = digests(first.folder)
    second = publish(contents(), root=tmp_path)
    assert (second.folder, digests(second.folder)) == (first.folder, before)
    aside = first.folder.with_name(f"{first.version}.damaged-1")
    assert digests(aside) == changed
    assert f"kept as {aside}" in caplog.text
    open_dataset(tmp_path / "tiny").verify()


@pytest.mark.parametrize("value", ["NaN", "[" * 900 + "]" * 900])
def test_publishing_again_mends_a_manifest_that_nobody_could_have_written(
    tmp_path: Path, value: str
) -> None:
    """It is damaged as any other, also to a reader."""
    first = publish(contents(), root=tmp_path)
    path = first.folder / "manifest.json"
    whole = path.read_text()
    path.write_text(whole.replace("{", f'{{"extra": {value},', 1))
    with pytest.raises(InputFileError):
        open_dataset(first.folder).verify()
    assert publish(contents(), root=tmp_path).folder == first.folder
    assert path.read_text() == whole
    assert first.folder.with_name(f"{first.version}.damaged-1").is_dir()


def test_the_manifest_adds_up_and_names_what_left(tmp_path: Path) -> None:
    """Rows in are rows trained, solved, dropped and quarantined; every drop has its reason."""
    manifest = publish(contents(), root=tmp_path).manifest
    found = manifest["counts"]
    gone = found["solved"] + found["dropped"] + found["quarantined"]
    assert found["rows"] == found["train"] + gone == 4
    assert manifest["dropped"] == {"select_golden": {"awaiting_annotation": 1}}
    assert manifest["quarantined"] == {"load": {"no_answer": 1}}
    assert manifest["candidates_refused"] == {"strong": {"no_step": 1}}
    assert manifest["candidates_marked"] == {"answer_leak": 1, "told_answer": 0}
    filtered = next(row for row in manifest["cost"] if row["stage"] == "filter_qa")
    assert (filtered["calls"], filtered["usd"]) == (6, 3 * (1.0 + 1.0))


def test_the_manifest_holds_digests_of_the_files(tmp_path: Path) -> None:
    """Anyone can check a dataset against its manifest."""
    published = publish(contents(), root=tmp_path)
    for name, entry in published.manifest["files"].items():
        data = (published.folder / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        assert len(data) == entry["bytes"]


def test_a_lost_row_stops_the_publication(tmp_path: Path) -> None:
    """When the tables do not account for every row, nothing is written."""
    one = contents()
    short = Contents(recipe=one.recipe, rows=5, questions=one.questions, train=one.train)
    with pytest.raises(BuildError, match="5 rows came in"):
        publish(short, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_tools_read_the_tables(tmp_path: Path) -> None:
    """DuckDB, pandas and a line of JSON see the training row as it is."""
    folder = publish(contents(), root=tmp_path).folder
    train = duckdb.sql(f"select question_id, response from '{folder}/train.parquet'")
    assert train is not None
    assert train.fetchall() == [("a", "<think> thinking é </think> 1")]
    assert pd.read_parquet(folder / "scores.parquet")["score"].tolist() == [60 / 192]
    (line,) = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    assert row["prompt"] == [{"role": "user", "content": "Question a?"}]
    assert row["completion"][0]["content"] == "<think> thinking é </think> 1"


def test_the_annotation_queue_asks_for_reasoning(tmp_path: Path) -> None:
    """A question without a helpful trace waits in a file that a person fills in."""
    folder = publish(contents(), root=tmp_path).folder
    (line,) = (folder / "annotation_queue.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "id": "c",
        "question": "Question c?",
        "answer": "1",
        "reasoning": "",
    }


def test_the_card_says_where_the_questions_went(tmp_path: Path) -> None:
    """The card has metadata for hubs and the figures of the manifest."""
    card = (publish(contents(), root=tmp_path).folder / "README.md").read_text()
    assert card.startswith("---\n")
    assert "| quarantined: no_answer (load) | 1 |" in card
    assert "| trained on | 1 |" in card
    assert "the terms of service" in card
    assert "| answer leak | 1 | 1 | 1 |" in card
    assert "| contaminated | not checked |  |  |" in card
    assert "not compared with any benchmark" in card
    assert "`report.html` shows every question" in card


def test_what_no_server_counted_is_unknown(tmp_path: Path) -> None:
    """Manifest, card and report say so for its stage and model, and count the others as ever."""
    whole = contents()
    silent = replace(SPENT, prompt_tokens=0, completion_tokens=0)
    outcomes = tuple(replace(row, spent=(silent,)) for row in whole.outcomes)
    folder = publish(replace(whole, outcomes=outcomes), root=tmp_path).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    cost = {row["stage"]: row for row in manifest["cost"]}
    assert cost["score_step_masks"]["uncounted"] == cost["score_step_masks"]["unpriced"] == 2
    assert "uncounted" not in cost["filter_qa"]
    card, page = ((folder / name).read_text() for name in ("README.md", "report.html"))
    assert "| score_step_masks | weak | 2 | unknown | unknown | unknown |" in card
    assert page.count(">unknown<") == 5
    assert "6.0000+" in page
    counted = publish(contents(), root=tmp_path / "counted").folder
    assert ">unknown<" not in (counted / "report.html").read_text()
