"""The card of a dataset of a related method: what it teaches, who said it, what was left out.

Like the card of a build it names every table as a configuration, so that the folder is what
`datasets.load_dataset` opens.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from weak2wise_core.dataset.card import CHAT
from weak2wise_core.dataset.card_parts import (
    UNTOLD,
    CardDetails,
    head,
    loading,
    settings_block,
    table,
    terms,
)
from weak2wise_core.dataset.metadata import lesson_metadata

TRAIN: Final = "train.parquet"
PAIRS: Final = "pairs.parquet"
PAIRS_CHAT: Final = "pairs_chat.parquet"
"""The pairs as conversations."""
_FIRST: Final = {"default": (PAIRS_CHAT, CHAT), "plain": (PAIRS, TRAIN)}


def lessons_card(
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
    counts = manifest["counts"]
    there = lesson_configurations(manifest, files=files)
    sections = [
        head(
            lesson_metadata(
                manifest, license_=details.license, languages=details.languages, there=there
            )
        ),
        f"# {manifest['dataset']}",
        f"{counts['train']:,} rows of {counts['questions']:,} questions, for one training of "
        f"{manifest['method']}: {manifest['step']}. Made with Weak2Wise.",
        _contents(manifest),
        "## Loading",
        loading(details.place, there, default=_default(manifest)),
        "## Figures",
        table(("", ""), [(_words(name), f"{value:,}") for name, value in sorted(counts.items())]),
        "## Who answered",
        table(("role", "answers, by the id that they name"), _answered(manifest)),
        "## What was left out",
        _left_out(manifest),
        "## Licence and terms",
        terms(_writers(manifest), details),
        "## Prompts",
        table(("prompt", "version"), sorted(manifest["prompts"].items())),
        "## Settings",
        settings_block(manifest["settings"]),
        "## Limits",
        "The answers are those of models and may be wrong; where no ground truth selects, their "
        "agreement stands in for it.",
    ]
    return "\n\n".join(sections) + "\n"


def lesson_configurations(
    manifest: Mapping[str, Any], *, files: Collection[str] | None = None
) -> dict[str, str]:
    """The configurations that can be loaded, each with its file; the first is the default.

    A table without rows is none: `datasets` 5.2 cannot read an empty Parquet file.
    """
    listed = manifest["files"]
    there = [
        name for name in listed if (files is None or name in files) and listed[name].get("rows")
    ]
    first = {key: name for key, names in _FIRST.items() for name in names if name in there}
    others = sorted(set(there) - set(first.values()))
    return first | {name.removesuffix(".parquet"): name for name in others}


def _contents(manifest: Mapping[str, Any]) -> str:
    version = f"Version `{manifest['version']}`: "
    if PAIRS in manifest["files"]:
        return version + (
            f"`pairs.jsonl` and `{PAIRS_CHAT}` hold a prompt with a chosen and a rejected reply, "
            f"as conversations; `{PAIRS}` the same as plain text, with the side that the weak "
            "model is on, the answer and the confidence of its choice. `dataset_info.json` "
            "describes them to LLaMA-Factory, as `ranking`."
        )
    return version + (
        f"`train.jsonl` and `{CHAT}` hold conversational prompt and completion; `{TRAIN}` the same "
        "rows as plain text. `dataset_info.json` describes them to LLaMA-Factory."
    )


def _default(manifest: Mapping[str, Any]) -> str:
    pairs = PAIRS in manifest["files"]
    return "preferences: TRL's DPO reads them" if pairs else "conversations: TRL trains on them"


def _writers(manifest: Mapping[str, Any]) -> set[str]:
    """The models whose words are in the rows; for a trained one, the model that it was made of."""
    models, trained = manifest["settings"]["models"], manifest["settings"].get("trained")
    roles = {role if role in models else trained for role in manifest["models"]}
    return {models[role]["model"] for role in roles if role in models}


def _answered(manifest: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (role, ", ".join(f"`{name or 'unnamed'}`: {count:,}" for name, count in ids.items()))
        for role, ids in manifest["models"].items()
    ]


def _left_out(manifest: Mapping[str, Any]) -> str:
    rows = [
        (f"{count:,}", f"{kind}: {reason} ({stage})")
        for kind in ("dropped", "quarantined")
        for stage, reasons in manifest[kind].items()
        for reason, count in reasons.items()
    ]
    return table(("rows", "why"), rows) if rows else "Nothing."


def _words(name: str) -> str:
    return name.replace("_", " ")
