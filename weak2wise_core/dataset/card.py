"""The dataset card: README.md with metadata that hubs read, and the figures of the manifest."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def card(manifest: Mapping[str, Any]) -> str:
    """Markdown text of the card for a finished manifest."""
    settings, found = manifest["settings"], manifest["counts"]
    sections = [
        _metadata(manifest),
        f"# {manifest['dataset']}",
        "Reasoning traces that a small language model was shown to follow, one for each question "
        "that it could not answer alone. Built with Weak2Wise: strong models wrote candidate "
        "traces, Step-Mask hid growing parts of their steps, and the trace whose remains helped "
        "the small model most was kept and cut where the answer is first deduced.",
        f"Version `{manifest['version']}`: {found['train']} training rows from {found['rows']} "
        f"questions. `train.jsonl` holds conversational prompt and completion; `train.parquet` "
        "the same rows as plain text. `dataset_info.json` describes them to LLaMA-Factory.",
        "## Where the questions went",
        _table(("", "rows"), _stations(manifest)),
        "## Teachers",
        _table(("strong model", "golden", "refused candidates"), _teachers(manifest)),
        f"Weak model: `{settings['models']['weak']['model']}`. The traces were written by the "
        "models named here; their licences and terms decide what the traces may be used for.",
        "## What the replies took",
        _table(
            ("stage", "model", "calls", "prompt tokens", "reply tokens", "USD"),
            [
                (
                    row["stage"],
                    row["model"],
                    row["calls"],
                    row["prompt_tokens"],
                    row["completion_tokens"],
                    f"{row['usd']:.4f}",
                )
                for row in manifest["cost"]
            ],
        ),
        "## Settings",
        "```yaml\n" + yaml.safe_dump(settings, sort_keys=True, allow_unicode=True) + "```",
        "## Known limits",
        "Scores measure one weak model under one judge; another model may follow other traces. "
        "Questions that the weak model already answers are absent. Traces are machine-written and "
        "checked by their final answers only.",
    ]
    return "\n\n".join(sections) + "\n"


def _metadata(manifest: Mapping[str, Any]) -> str:
    rows = manifest["counts"]["train"]
    size = next((name for limit, name in _SIZES if rows < limit), "100K<n<1M")
    metadata = {
        "pretty_name": manifest["dataset"],
        "license": "other",
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "tags": ["reasoning", "weak2wise", "step-mask"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "train.parquet"}],
            }
        ],
    }
    return "---\n" + yaml.safe_dump(metadata, sort_keys=False) + "---"


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
    golden = manifest["golden"]["by_strong_model"]
    refused = manifest["candidates_refused"]
    return [
        (name, golden.get(name, 0), sum(refused.get(name, {}).values()))
        for name in sorted(set(golden) | set(refused))
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
