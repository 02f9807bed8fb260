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
    assert sorted(trained + solved + [row["question_id"] for row in left]) == sorted(ids)
    kinds = Counter(row["kind"] for row in left)
    stations = {"rows": len(ids), "train": len(trained), "solved": len(solved)}
    stations |= {"dropped": kinds["dropped"], "quarantined": kinds["quarantined"]}
    assert {name: counts[name] for name in stations} == stations
    assert counts["rows"] == sum(stations.values()) - counts["rows"]
    for kind in ("dropped", "quarantined"):
        found = Counter((row["stage"], row["reason"]) for row in left if row["kind"] == kind)
        named = {
            (stage, reason): count
            for stage, reasons in manifest[kind].items()
            for reason, count in reasons.items()
        }
        assert named == found
    _check_tables(folder, manifest)
    _check_models(folder, manifest)
    _check_digests(folder, manifest)


def _check_tables(folder: Path, manifest: dict[str, Any]) -> None:
    """Every row of every table belongs to a question; the sizes are those of the manifest."""
    known = {row["id"] for row in read(folder, "questions", "id")}
    for table in TABLES[1:]:
        assert {row["question_id"] for row in read(folder, table, "question_id")} <= known, table
    names = {"questions": "questions", "candidates": "candidates", "outcomes": "scored"}
    names |= {"golden": "golden", "train": "train"}
    for table, name in names.items():
        assert len(read(folder, table)) == manifest["counts"][name], table
    refused = [row for row in read(folder, "candidates", "refusal") if row["refusal"]]
    assert len(refused) == manifest["counts"]["candidates_refused"]
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()
    responses = [json.loads(line)["completion"][0]["content"] for line in lines]
    assert responses == [row["response"] for row in read(folder, "train", "response")]


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
    assert told == named
    assert sum(row["calls"] for row in manifest["cost"]) == sum(named.values())


def _check_digests(folder: Path, manifest: dict[str, Any]) -> None:
    files = file_bytes(folder)
    assert set(files) == set(manifest["files"]) | {"manifest.json", "README.md", "report.html"}
    for name, said in manifest["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == said["sha256"], name
