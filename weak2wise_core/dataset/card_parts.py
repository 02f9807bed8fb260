"""What the cards of all datasets have alike: header, loading, licence, tables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDetails:
    """What a card says that no build can know."""

    license: str = "other"
    """An identifier of the hub's list; `other` sends the reader to the terms of the models."""
    languages: tuple[str, ...] = ()
    """ISO 639 codes of the questions and traces."""
    place: str = "."
    """What a reader gives to `load_dataset`: a folder, or a repository."""


UNTOLD: Final = CardDetails()
"""Nobody said anything."""


def head(metadata: Mapping[str, Any]) -> str:
    """The header that hubs read."""
    return "---\n" + yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True) + "---"


def loading(place: str, there: Mapping[str, str], *, default: str) -> str:
    """How each table is loaded.

    Args:
        place: A folder, or a repository.
        there: The file of every configuration that can be loaded.
        default: What the first of them is for.
    """
    lines = ["from datasets import load_dataset", ""]
    if "default" in there:
        lines.append(f'load_dataset("{place}", split="train")  # {default}')
    tables = [name for name in there if name != "default"]
    lines += [f'load_dataset("{place}", "{name}", split="train")' for name in tables]
    return "```python\n" + "\n".join(lines) + "\n```"


def terms(models: Collection[str], details: CardDetails) -> str:
    """Under which licence the dataset is given, and whose words it holds.

    Args:
        models: Who wrote the texts; people where there is none.
        details: The licence that a person chose.
    """
    names = ", ".join(f"`{model}`" for model in sorted(models)) or "people"
    chosen = (
        "No licence was chosen for this dataset"
        if details.license == "other"
        else f"This dataset is given under `{details.license}`"
    )
    return (
        f"{chosen}. The traces were written by {names}: the licence and the terms of service of "
        "every one of these models decide what may be done with its words, also whether other "
        "models may be trained on them. The questions and answers keep the licence of the file "
        "that they come from. Read both before you use or share this dataset."
    )


def settings_block(settings: Mapping[str, Any]) -> str:
    """The settings as the recipe would spell them."""
    return "```yaml\n" + yaml.safe_dump(settings, sort_keys=True, allow_unicode=True) + "```"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
