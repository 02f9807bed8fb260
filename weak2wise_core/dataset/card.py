"""The dataset card: README.md with metadata that hubs read, and the figures of the manifest.

Its header names every table as a configuration, so that the folder itself is what
`datasets.load_dataset` opens, on a disk as on a hub. A configuration without rows is left out:
`datasets` 5.2 cannot read an empty Parquet file.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from weak2wise_core.config import Selector
from weak2wise_core.dataset.card_parts import (
    UNTOLD,
    CardDetails,
    head,
    loading,
    settings_block,
    table,
    terms,
)
from weak2wise_core.dataset.metadata import metadata

CHAT: Final = "train_chat.parquet"
"""The training rows as conversations."""
CONFIGURATIONS: Final[Mapping[str, str]] = {
    "default": CHAT,
    "plain": "train.parquet",
    "questions": "questions.parquet",
    "attempts": "attempts.parquet",
    "candidates": "candidates.parquet",
    "outcomes": "outcomes.parquet",
    "scores": "scores.parquet",
    "measures": "measures.parquet",
    "golden": "golden.parquet",
    "quarantine": "quarantine.parquet",
    "audits": "audits.parquet",
}
"""The file of every configuration; all of them Parquet, for a folder has one reader."""


def card(
    manifest: Mapping[str, Any],
    *,
    details: CardDetails = UNTOLD,
    files: Collection[str] | None = None,
) -> str:
    """Markdown text of the card for a finished manifest.

    Args:
        manifest: Counts, settings and files of the dataset.
        details: What only a person knows.
        files: The files that lie beside the card; all that the manifest lists where absent.
    """
    settings, found = manifest["settings"], manifest["counts"]
    there = configurations(manifest, files=files)
    sections = [
        head(
            metadata(manifest, license_=details.license, languages=details.languages, there=there)
        ),
        f"# {manifest['dataset']}",
        "Reasoning traces that a small language model was shown to follow, one for each question "
        "that it could not answer alone. Built with Weak2Wise: strong models wrote candidate "
        "traces, Step-Mask hid growing parts of their steps, and the trace "
        f"{_chosen(settings)} was kept and cut where the answer is first deduced.",
        f"Version `{manifest['version']}`: {found['train']} training rows from {found['rows']} "
        f"questions. `train.jsonl` and `{CHAT}` hold conversational prompt and completion; "
        "`train.parquet` the same rows as plain text. `dataset_info.json` describes them to "
        "LLaMA-Factory." + _report_note(files),
        "## Loading",
        loading(details.place, there, default="conversations: TRL trains on them"),
        "## Where the questions went",
        table(("", "rows"), _stations(manifest)),
        "## Teachers",
        table(("strong model", "model", "golden", "refused candidates"), _teachers(manifest)),
        f"Weak model: `{settings['models']['weak']['model']}`.",
        *_changes(manifest),
        "## Licence and terms",
        terms(_strong_models(manifest), details),
        "## Statistics",
        table(("", ""), _statistics(manifest)),
        *_audits(manifest),
        "## Columns of the training rows",
        table(("column", "what it holds"), _COLUMNS),
        "## What the replies took",
        table(("stage", "model", "calls", "prompt tokens", "reply tokens", "USD"), _cost(manifest)),
        "## Prompts",
        table(("prompt", "version"), sorted(manifest["prompts"].items())),
        "## Settings",
        settings_block(settings),
        "## Known limits",
        "\n".join(f"- {one}" for one in _limits(manifest)),
    ]
    return "\n\n".join(sections) + "\n"


def _chosen(settings: Mapping[str, Any]) -> str:
    """Which trace of a question was kept."""
    by = settings.get("selection", {}).get("by", Selector.STEP_MASK)
    if by == Selector.STEP_MASK:
        return "whose remains helped the small model most"
    return f"that the selector `{by}` prefers, of questions where one helped the small model,"


def _changes(manifest: Mapping[str, Any]) -> list[str]:
    """Models that answered under several ids: their replies may come from different models."""
    lines = [
        f"- {name}: " + ", ".join(f"`{one}` ({count} replies)" for one, count in ids.items())
        for name, ids in manifest.get("models_changed", {}).items()
    ]
    if not lines:
        return []
    return ["Some models answered under more than one id while this was built:", "\n".join(lines)]


def configurations(
    manifest: Mapping[str, Any], *, files: Collection[str] | None = None
) -> dict[str, str]:
    """The configurations that can be loaded, each with its file; the first is the default.

    Args:
        manifest: Counts, settings and files of the dataset.
        files: The files that are there; all that the manifest lists where absent.
    """
    there = manifest["files"] if files is None else files
    counts = manifest["counts"]
    rows = {
        "attempts": manifest["settings"]["filter"]["enabled"],
        "candidates": counts["candidates"],
        "outcomes": counts["scored"],
        "scores": counts["scored"],
        "quarantine": counts["dropped"] + counts["quarantined"],
        "audits": sum(one["found"] for one in manifest.get("audits", {}).values()),
    }
    return {
        name: file
        for name, file in CONFIGURATIONS.items()
        if file in there and rows.get(name, True)
    }


def _stations(manifest: Mapping[str, Any]) -> list[tuple[object, ...]]:
    found = manifest["counts"]
    rows: list[tuple[object, ...]] = [
        ("rows in", found["rows"]),
        ("solved by the weak model alone", found["solved"]),
    ]
    for kind in ("dropped", "quarantined"):
        for stage, reasons in manifest[kind].items():
            rows += [(f"{kind}: {reason} ({stage})", count) for reason, count in reasons.items()]
    return [*rows, ("trained on", found["train"])]


def _teachers(manifest: Mapping[str, Any]) -> list[tuple[object, ...]]:
    golden, refused = manifest["golden"]["by_strong_model"], manifest["candidates_refused"]
    return [
        (name, _named(manifest, name), golden.get(name, 0), sum(refused.get(name, {}).values()))
        for name in sorted(set(golden) | set(refused))
    ]


def _named(manifest: Mapping[str, Any], name: str) -> str:
    """The model behind a name of the recipe, and what its replies called it where that differs."""
    spec = manifest["settings"]["models"]["strong"].get(name)
    asked = [spec["model"]] if spec else []  # a trace that was brought along has no model here
    returned = [one for one in manifest["models"].get(name, {}) if one and one not in asked]
    return ", ".join(f"`{one}`" for one in [*asked, *returned])


def _cost(manifest: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [(row["stage"], row["model"], row["calls"], *_taken(row)) for row in manifest["cost"]]


def _taken(row: Mapping[str, Any]) -> tuple[object, ...]:
    """Tokens and money of a stage and model; unknown where its server counted nothing."""
    tokens = (row["prompt_tokens"], row["completion_tokens"])
    return (
        *(("unknown", "unknown") if "uncounted" in row else tokens),
        "unknown" if "unpriced" in row else f"{row['usd']:.4f}",
    )


def _report_note(files: Collection[str] | None) -> str:
    """Where every question can be looked at; a selection of files has no report."""
    if files is not None:
        return ""
    return " `report.html` shows every question with its traces, hints and scores."


def _strong_models(manifest: Mapping[str, Any]) -> set[str]:
    return {spec["model"] for spec in manifest["settings"]["models"]["strong"].values()}


def _statistics(manifest: Mapping[str, Any]) -> list[tuple[object, ...]]:
    found, golden = manifest["counts"], manifest["golden"]
    rows: list[tuple[object, ...]] = [
        ("questions", found["questions"]),
        ("traces of strong models", found["candidates"]),
        ("of them refused", found["candidates_refused"]),
        ("of them scored", found["scored"]),
        ("mask levels asked", found["mask_levels_asked"]),
        ("golden traces", found["golden"]),
        ("mean score of golden traces", golden["mean_score"]),
        ("mean tokens before truncation", golden["mean_tokens_before"]),
        ("mean tokens after truncation", golden["mean_tokens_after"]),
        ("truncated", golden["truncated"]),
        ("tokens to train on", found["train_tokens"]),
    ]
    return [(name, "none" if value is None else value) for name, value in rows]


def _audits(manifest: Mapping[str, Any]) -> list[str]:
    """What the audits found; nothing for a dataset of a version that had none."""
    if "audits" not in manifest:
        return []
    rows = [
        (name.replace("_", " "), *(one[key] for key in ("found", "questions", "trained_on")))
        if one["checked"]
        else (name.replace("_", " "), "not checked", "", "")
        for name, one in sorted(manifest["audits"].items())
    ]
    head = ("audit", "findings", "questions", "of them trained on")
    return ["## Audits", table(head, rows)]


def _limits(manifest: Mapping[str, Any]) -> list[str]:
    judging = manifest["settings"]["judging"]["method"]
    set_aside = manifest["counts"]["set_aside"]
    limits = [
        "Scores measure one weak model under one judge; another model may follow other traces.",
        "Questions that the weak model already answers are absent, so that the rest is harder than "
        "the question file.",
        "Traces are machine-written and checked by their final answers only: a right answer may "
        "stand at the end of wrong reasoning.",
        f"Answers were judged by the method `{judging}`; a wrong ground truth makes right answers "
        "wrong.",
        "The audits read English and find what their rules know; a row that none of them names is "
        "not proven to be clean.",
    ]
    if set_aside:
        limits.append(f"{set_aside} traces were set aside, for an answer to them was not judged.")
    if not manifest.get("audits", {}).get("contaminated", {}).get("checked", True):
        limits.append("The questions were not compared with any benchmark.")
    return limits


_COLUMNS: tuple[tuple[object, ...], ...] = (
    ("`prompt`, `completion`", "the question, and `<think>` golden reasoning `</think>` answer"),
    ("`answer`", "the ground truth"),
    ("`strong_model`, `draw`", "who wrote the trace, and which of its samples it is"),
    ("`score`", "the step-mask score of the trace"),
    ("`truncation`", "how the trace came to its end"),
    ("`tokens`", "prompt and completion in tokens of the weak model"),
)
