"""Laws of `weak2wise report`, and of the one screen on which a build ends."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.report_rows import made
from flows.commands.display import account_line, show_result
from flows.commands.plans import show_pilot
from tasks.progress import STAGES, Progress, fraction_done, stages
from tests.flows.test_cli import invoke
from weak2wise_core.dataset.publishing import Published, publish

RUN: dict[str, Any] = {
    "calls": 12_345,
    "stored": 54_321,
    "tokens": 98_765_432,
    "cached_tokens": 0,
    "reasoning_tokens": 2_000,
    "usd": 12.5,
    "uncounted": 0,
    "lost": 0,
    "lost_usd": 0.0,
    "unpriced": 0,
    "seconds": 432.1,
    "local": [],
    "accounts": [
        {
            "stage": stage,
            "model": f"model-{number}",
            "calls": 1_000_000,
            "stored": 36_000,
            "failed": 0,
            "prompt_tokens": 123_456_789,
            "cached_tokens": 0,
            "completion_tokens": 45_678_901,
            "reasoning_tokens": 2_000,
            "usd": 6.25,
            "seconds": 321.0,
        }
        for number, stage in enumerate(
            ("filter_qa", "generate_candidates", "generate_candidates", "score_step_masks")
        )
    ],
    "stages": [{"stage": "filter_qa", "questions": 40, "cached": 3, "seconds": 12.0}],
}


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """A small dataset."""
    return publish(made(12), root=tmp_path / "datasets")


def facts(published: Published, **changes: Any) -> dict[str, Any]:
    """What `build --json` prints."""
    names = ("counts", "dropped", "quarantined", "candidates_refused", "audits", "golden", "cost")
    return {
        "state": "Completed",
        "message": f"{published.manifest['counts']['train']} training rows in {published.folder}",
        "folder": str(published.folder),
        "report": str(published.folder / "report.html"),
        "version": published.version,
        "model_changes": [],
        "run": RUN,
        **{name: published.manifest[name] for name in names},
        **changes,
    }


def test_the_report_of_a_published_dataset_is_made_anew(published: Published) -> None:
    """The same bytes, from the folder of the version or of the dataset; also where it was lost."""
    path = published.folder / "report.html"
    before = path.read_bytes()
    path.unlink()
    code, output = invoke("report", published.folder.parent)
    assert (code, path.read_bytes() == before) == (0, True)
    assert str(path) in "".join(output.split("\n"))


@pytest.mark.parametrize(
    "command",
    [
        ("report", "DATASET", "-o", "DATASET/scores.parquet"),
        ("replies", "export", "DATASET/train.jsonl"),
        ("export", "DATASET", "--to", "jsonl", "--force", "-o", "DATASET/train.jsonl"),
        ("export", "DATASET", "--to", "llama-factory", "-o", "DATASET"),
        ("verify", "rows.jsonl", "-o", "DATASET/train.jsonl"),
        ("truncate", "rows.jsonl", "-o", "DATASET/train.jsonl"),
        ("import-traces", "rows.jsonl", "-o", "DATASET/candidates.parquet"),
    ],
)
def test_no_command_writes_into_a_published_dataset(
    published: Published, command: tuple[str, ...], tmp_path: Path
) -> None:
    """Neither over a file nor beside one; it is said before anything is read or made."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    names = {"DATASET": str(published.folder), "rows.jsonl": str(rows)}
    before = {path.name: path.read_bytes() for path in published.folder.iterdir()}
    words = [
        one.replace("DATASET", names["DATASET"]).replace("rows.jsonl", names["rows.jsonl"])
        for one in command
    ]
    code, output = invoke(*words)
    assert (code, "which never changes" in " ".join(output.split())) == (2, True), output
    assert {path.name: path.read_bytes() for path in published.folder.iterdir()} == before


def test_numbers_can_be_had_as_json(published: Published) -> None:
    """A script reads what the page states."""
    code, output = invoke("report", published.folder, "--json")
    found = json.loads(output)
    assert code == 0
    assert found["funnel"][-1]["rows"] == published.manifest["counts"]["train"]
    assert found["audits"] == published.manifest["audits"]


def test_a_run_can_be_added_to_a_page_of_its_own(published: Published, tmp_path: Path) -> None:
    """What it paid and how long it took; the page in the dataset stays as it is."""
    run, out = tmp_path / "run.json", tmp_path / "page.html"
    before = (published.folder / "report.html").read_bytes()
    run.write_text(json.dumps(facts(published)))
    assert invoke("report", published.folder, "--run", run, "--output", out)[0] == 0
    assert "it took 432.1 s" in out.read_text()
    assert (published.folder / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "named"),
    [('{"run": {}}', "build --json"), ("no json", "build --json"), (None, "build --json")],
)
def test_a_file_without_a_run_is_refused(
    published: Published, tmp_path: Path, text: str | None, named: str
) -> None:
    """The sentence says how such a file is made."""
    run = tmp_path / "run.json"
    if text is not None:
        run.write_text(text)
    code, output = invoke("report", published.folder, "--run", run)
    assert code != 0
    assert named in output


def test_a_run_of_another_dataset_is_refused(published: Published, tmp_path: Path) -> None:
    """A page never mixes two builds."""
    run = tmp_path / "run.json"
    run.write_text(json.dumps(facts(published, version="0" * 12)))
    code, output = invoke("report", published.folder, "--run", run)
    assert code != 0
    assert "000000000000" in output


def ending(found: dict[str, Any]) -> str:
    """What a build says at its end, in one line."""
    console = Console(width=100, record=True, file=io.StringIO())
    show_result(found, console)
    return " ".join(console.export_text().split())


@pytest.mark.parametrize(
    ("calls", "uncounted", "unpriced", "shown"),
    [
        (7, 0, 0, "50 tokens, 0.2500 USD"),
        (7, 3, 3, "50+ tokens, 0.2500+ USD"),
        (7, 7, 7, "unknown tokens, unknown USD"),
        (7, 7, 0, "unknown tokens, 0.2500 USD"),
    ],
)
def test_what_no_server_counted_is_not_shown_as_nothing(
    published: Published, calls: int, uncounted: int, unpriced: int, shown: str
) -> None:
    """Tokens and money are unknown, or at least so much, and how many calls that are is said."""
    missing = {"calls": calls, "uncounted": uncounted, "unpriced": unpriced, "usd": 0.25}
    row = RUN["accounts"][0] | missing | {"prompt_tokens": 50, "completion_tokens": 0}
    run = RUN | missing | {"tokens": 50, "reasoning_tokens": 0, "accounts": [row]}
    text = ending(facts(published, run=run))
    assert shown in text
    assert (f"{uncounted} of 7 paid calls came without token counts" in text) == bool(uncounted)


@pytest.mark.parametrize("lost", [0, 3])
def test_tries_that_may_be_charged_for_are_told(published: Published, lost: int) -> None:
    """How many, and what they cost at the most; without any, nothing is said."""
    text = ending(facts(published, run=RUN | {"lost": lost, "lost_usd": 0.1 * lost}))
    told = "3 tries gave no reply and may be charged for all the same"
    assert (told in text, "0.3000 USD at the most" in text) == (lost == 3, lost == 3)


@pytest.mark.parametrize("lost", [0, 3])
def test_a_pilot_tells_its_lost_tries(lost: int) -> None:
    """As a build does."""
    console = Console(width=100, record=True, file=io.StringIO())
    pilot = RUN | {"lost": lost, "lost_usd": 0.1 * lost, "unpriced": 0, "failed": {}}
    show_pilot({"pilot": pilot, "model_changes": [], "state": "", "message": ""}, console)
    assert ("3 tries gave no reply" in console.export_text()) == (lost == 3)


def test_a_build_ends_on_one_screen(published: Published) -> None:
    """24 lines of 80 columns, whatever the reasons to leave are; with dataset and report."""
    many = {f"stage-{n}": {f"a_reason_{n}": n + 1} for n in range(9)}
    screen = io.StringIO()
    console = Console(width=80, height=24, record=True, file=screen, force_terminal=True)
    found = facts(published, dropped=many, quarantined={})
    message = "11 training rows in data/datasets/made/0123456789ab"
    report = "data/datasets/made/0123456789ab/report.html"
    show_result({**found, "message": message, "report": report}, console)
    text = console.export_text().rstrip("\n")
    assert max(map(len, text.split("\n"))) <= 80
    assert len(text.split("\n")) <= 24
    assert report in text
    assert "for other reasons: see the report" in text
    assert "teacher-a" in text
    assert "answer leak" in text


def test_work_that_goes_on_says_how_long() -> None:
    """From the share that is done, as soon as there is one; nothing is promised before."""
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    assert fraction_done(progress) == 0
    progress.questions = 4
    assert "left" not in account_line(progress, 5.0)
    for stage in STAGES[:3]:
        progress.enter(stage, "s", 4)
        now[0] += 10
        progress.finish(stage, "s", 4)
    progress.enter(STAGES[3], "s", 4)
    assert fraction_done(progress) == pytest.approx(0.5)
    assert "about 30 s left" in account_line(progress, 30.0)
    assert [(row["stage"], row["seconds"]) for row in stages(progress)] == [
        *((stage, 10.0) for stage in STAGES[:3]),
        (STAGES[3], 0.0),
    ]
