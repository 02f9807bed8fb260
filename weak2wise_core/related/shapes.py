"""Preference pairs in the shapes that trainers read."""

from typing import Literal, TypedDict

from weak2wise_core.related.records import PreferencePair
from weak2wise_core.sft import Turn


class PreferenceRow(TypedDict):
    """One line of `pairs.jsonl`: conversational, as TRL's preference trainers read it."""

    id: str
    prompt: list[Turn]
    chosen: list[Turn]
    rejected: list[Turn]


class RankingEntry(TypedDict):
    """The description of one file of pairs in LLaMA-Factory's `dataset_info.json`."""

    file_name: str
    formatting: Literal["alpaca"]
    ranking: Literal[True]
    columns: dict[str, str]


def to_preference(pair: PreferencePair) -> PreferenceRow:
    """One pair as three parts of a conversation."""
    return PreferenceRow(
        id=pair.id,
        prompt=[Turn(role="user", content=pair.prompt)],
        chosen=[Turn(role="assistant", content=pair.chosen)],
        rejected=[Turn(role="assistant", content=pair.rejected)],
    )


def ranking_entry(dataset: str, *, file_name: str) -> dict[str, RankingEntry]:
    """What LLaMA-Factory's `dataset_info.json` says about a file of `PreferencePair` rows.

    Args:
        dataset: The name under which a training configuration asks for it.
        file_name: A Parquet file beside `dataset_info.json`.
    """
    columns = {name: name for name in ("prompt", "chosen", "rejected")}
    entry = RankingEntry(file_name=file_name, formatting="alpaca", ranking=True, columns=columns)
    return {dataset: entry}
