"""The dataset card: README.md with metadata that hubs read, and the figures of the manifest.

Its header names every table as a configuration, so that the folder itself is what
`datasets.load_dataset` opens, on a disk as on a hub. A configuration without rows is left out:
`datasets` 5.2 cannot read an empty Parquet file.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from weak2wise_core.config import Selector

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
}
"""The file of every configuration; all of them Parquet, for a folder has one reader."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDetails:
    """What a card says that no build can know."""

    license: str = "other"
    """An identifier of the hub's list; `other` sends the reader to the terms of the models."""
    languages: tuple[str, ...] = ()
    """ISO 639 codes of the questions and traces."""
    place: str = "."
    """What a reader gives to `load_dataset`: a folder, or a repository."""


def card(
    manifest: Mapping[str, Any],
    *,
    details: CardDetails = CardDetails(),
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
        _metadata(manifest, details=details, there=there),
        f"# {manifest['dataset']}",
        "Reasoning traces that a small language model was shown to follow, one for each question "
        "that it could not answer alone. Built with Weak2Wise: strong models wrote candidate "
        "traces, Step-Mask hid growing parts of their steps, and the trace "
        f"{_chosen(settings)} was kept and cut where the answer is first deduced.",
        f"Version `{manifest['version']}`: {found['train']} training rows from {found['rows']} "
        f"questions. `train.jsonl` and `{CHAT}` hold conversational prompt and completion; "
        "`train.parquet` the same rows as plain text. `dataset_info.json` describes them to "
        "LLaMA-Factory.",
        "## Loading",
        _loading(details.place, there),
        "## Where the questions went",
        _table(("", "rows"), _stations(manifest)),
        "## Teachers",
        _table(("strong model", "model", "golden", "refused candidates"), _teachers(manifest)),
        f"Weak model: `{settings['models']['weak']['model']}`. The traces were written by the "
        "models named here; their licences and terms decide what the traces may be used for.",
        *_changes(manifest),
        "## What the replies took",
        _table(
            ("stage", "model", "calls", "prompt tokens", "reply tokens", "USD"), _cost(manifest)
        ),
        "## Settings",
        "```yaml\n" + yaml.safe_dump(settings, sort_keys=True, allow_unicode=True) + "```",
        "## Known limits",
        "Scores measure one weak model under one judge; another model may follow other traces. "
        "Questions that the weak model already answers are absent. Traces are machine-written and "
        "checked by their final answers only.",
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
    }
    return {
        name: file
        for name, file in CONFIGURATIONS.items()
        if file in there and rows.get(name, True)
    }


def _metadata(
    manifest: Mapping[str, Any], *, details: CardDetails, there: Mapping[str, str]
) -> str:
    rows, models = manifest["counts"]["train"], manifest["settings"]["models"]
    size = next((name for limit, name in _SIZES if rows < limit), "100K<n<1M")
    metadata = {
        "pretty_name": manifest["dataset"],
        "license": details.license,
        **({"language": list(details.languages)} if details.languages else {}),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "language_creators": ["machine-generated"],
        "annotations_creators": ["machine-generated"],
        "tags": ["reasoning", "weak2wise", "step-mask"],
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": file}]}
            for name, file in there.items()
        ],
        "weak2wise": {
            "version": manifest["version"],
            "weak_model": models["weak"]["model"],
            "strong_models": [spec["model"] for spec in models["strong"].values()],
        },
    }
    return "---\n" + yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True) + "---"


def _loading(place: str, there: Mapping[str, str]) -> str:
    lines = ["from datasets import load_dataset", ""]
    if "default" in there:
        lines.append(f'load_dataset("{place}", split="train")  # conversations: TRL trains on them')
    tables = [name for name in there if name != "default"]
    lines += [f'load_dataset("{place}", "{name}", split="train")' for name in tables]
    return "```python\n" + "\n".join(lines) + "\n```"


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
    columns = ("stage", "model", "calls", "prompt_tokens", "completion_tokens")
    return [(*(row[name] for name in columns), f"{row['usd']:.4f}") for row in manifest["cost"]]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
