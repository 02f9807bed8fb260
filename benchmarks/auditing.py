"""Adding up a published dataset from its files alone, with another reader than the one under test.

Nothing here imports the project: what the files say must hold without its help.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb

TABLES = ("questions", "attempts", "candidates", "outcomes", "scores", "golden", "train")
_ASKING = {"filter_qa", "generate_candidates", "score_step_masks"}
_STAGES = _ASKING | {"select_golden", "truncate_golden"}


class DiscrepancyError(AssertionError):
    """Something in a dataset does not agree with the rest of it."""


def expect(holds: bool, what: str, *found: object) -> None:
    """Go on where it holds.

    Args:
        holds: Whether it does.
        what: That does not, in words.
        found: The values that should have agreed.

    Raises:
        DiscrepancyError: It does not.
    """
    if not holds:
        raise DiscrepancyError(f"{what}: {', '.join(map(str, found))}" if found else what)


def read(folder: Path, table: str, columns: str = "*") -> list[dict[str, Any]]:
    """Rows of one table."""
    found = duckdb.sql(f"select {columns} from '{folder / f'{table}.parquet'}'")
    assert found is not None
    names = [item[0] for item in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def check_adds_up(folder: Path, *, ids: list[str]) -> None:
    """Every row that came in went out exactly once, and the manifest counts what the tables hold.

    Args:
        folder: The dataset.
        ids: Of the rows of the question file, as rejections name them; repeated where rows are.

    Raises:
        DiscrepancyError: It does not add up.
    """
    manifest = manifest_of(folder)
    counts = manifest["counts"]
    trained = [row["question_id"] for row in read(folder, "train", "question_id")]
    solved = [
        row["question_id"]
        for row in read(folder, "attempts", "question_id, verdict")
        if row["verdict"] == "correct"
    ]
    left = read(folder, "quarantine")
    went_in = Counter(ids)
    went_out = Counter(trained + solved + [row["question_id"] for row in left])
    expect(went_in == went_out, "rows lost, or there twice", went_in - went_out, went_out - went_in)
    kinds = Counter(row["kind"] for row in left)
    stations = {"rows": len(ids), "train": len(trained), "solved": len(solved)}
    stations |= {"dropped": kinds["dropped"], "quarantined": kinds["quarantined"]}
    told = {name: counts[name] for name in stations}
    expect(told == stations, "counts of the manifest", told, stations)
    for kind in ("dropped", "quarantined"):
        found = Counter((row["stage"], row["reason"]) for row in left if row["kind"] == kind)
        named = {
            (stage, reason): count
            for stage, reasons in manifest[kind].items()
            for reason, count in reasons.items()
        }
        expect(named == found, f"reasons in the manifest, {kind}", named, found)
    _check_tables(folder, manifest)
    _check_models(folder, manifest)
    _check_digests(folder, manifest)


def check_named(folder: Path, *, models: set[str], tries: int, host: str) -> None:
    """Whoever reads a quarantine row knows what failed, where, and why.

    Args:
        folder: A dataset of whose question file every row was fit to use.
        models: Names that a row may give.
        tries: How often a call was made before it was given up.
        host: Of the server.

    Raises:
        DiscrepancyError: A row does not say it.
    """
    for row in read(folder, "quarantine"):
        if row["kind"] != "quarantined":
            continue
        detail = row["detail"]
        expect(row["stage"] in _STAGES, "a quarantined row without its stage", row)
        expect(row["model"] in models, "a quarantined row without its model", row)
        expect(row["draw"] is not None, "a quarantined row without its draw", row)
        expect(row["reason"] in {"model_failed", "unjudged"}, "an unknown reason", row)
        expect(len(detail.split()) >= 8, "a reason in fewer than eight words", row)
        if row["reason"] == "model_failed":
            why = f"gave no reply in {tries} tries; the last failure: "
            expect(why in detail and host in detail, "a failure that is not explained", row)


def _check_tables(folder: Path, manifest: dict[str, Any]) -> None:
    """Every row of every table belongs to a question; the sizes are those of the manifest."""
    counts = manifest["counts"]
    known = {row["id"] for row in read(folder, "questions", "id")}
    for table in TABLES[1:]:
        stray = {row["question_id"] for row in read(folder, table, "question_id")} - known
        expect(not stray, f"rows of {table} without a question", stray)
    names = {"questions": "questions", "candidates": "candidates", "outcomes": "scored"}
    names |= {"golden": "golden", "train": "train"}
    for table, name in names.items():
        size = len(read(folder, table))
        expect(size == counts[name], f"size of {table} and its count", size, counts[name])
    refused = sum(bool(row["refusal"]) for row in read(folder, "candidates", "refusal"))
    told = counts["candidates_refused"]
    expect(refused == told, "refused candidates and their count", refused, told)
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    responses = [json.loads(line)["completion"][0]["content"] for line in lines]
    same = responses == [row["response"] for row in read(folder, "train", "response")]
    expect(same, "train.jsonl and train.parquet hold other responses")


def _check_models(folder: Path, manifest: dict[str, Any]) -> None:
    """Calls by the ids that replies named, and the cost table, sum up what the rows took."""
    spent = [
        item
        for table in ("attempts", "candidates", "outcomes", "golden")
        for row in read(folder, table, "spent")
        for item in row["spent"]
    ]
    named: Counter[tuple[str, str]] = Counter()
    for item in spent:
        named[item["model"], item["returned"]] += item["calls"]
    told = {
        (model, returned): calls
        for model, ids in manifest["models"].items()
        for returned, calls in ids.items()
    }
    expect(told == named, "calls by model in the manifest and in the rows", told, named)
    paid, taken = sum(row["calls"] for row in manifest["cost"]), sum(named.values())
    expect(paid == taken, "calls of the cost table and of the rows", paid, taken)


def _check_digests(folder: Path, manifest: dict[str, Any]) -> None:
    files = file_bytes(folder)
    listed = set(manifest["files"]) | {"manifest.json", "README.md", "report.html"}
    expect(set(files) == listed, "files of the manifest and of the folder", listed, set(files))
    for name, said in manifest["files"].items():
        same = hashlib.sha256(files[name]).hexdigest() == said["sha256"]
        expect(same, f"{name} has another digest than the manifest says")
