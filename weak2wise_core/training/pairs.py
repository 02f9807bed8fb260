"""Preference pairs as token numbers that have passed both gates (see `training.gates`).

Prompt and chosen reply must fit into the context, and prompt and rejected reply as well: trainers
cut either, and compare a whole reply with half of one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from weak2wise_core.errors import TrainingRefusedError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.examples import IGNORED, not_as_given, only_reply
from weak2wise_core.training.gates import Turn, ask, check_lengths, encode_reply, read_lines

Held: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Prompt, chosen and rejected reply, as token numbers."""


class PairRow(BaseModel):
    """What a training reads of a line of a file of pairs, in the shape that TRL reads."""

    model_config = ConfigDict(frozen=True)

    id: str
    prompt: tuple[Turn, ...] = Field(min_length=1)
    chosen: tuple[Turn] = Field(description="the reply of the assistant to prefer")
    rejected: tuple[Turn] = Field(description="the reply of the assistant to avoid")

    @field_validator("chosen", "rejected")
    @classmethod
    def _is_a_reply(cls, turns: tuple[Turn]) -> tuple[Turn]:
        return only_reply(turns, name="chosen or rejected reply")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPair:
    """One pair as the model reads it."""

    id: str
    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    def __len__(self) -> int:
        """Tokens in all; the prompt is read with either reply."""
        return 2 * len(self.prompt) + len(self.response)

    @property
    def response(self) -> tuple[int, ...]:
        """The tokens that the loss compares."""
        return self.chosen + self.rejected

    @property
    def longest(self) -> int:
        """Tokens of the prompt with the longer reply."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


def read_pairs(path: Path) -> Iterator[PairRow]:
    """The rows of a file of pairs.

    Raises:
        InputFileError: The file cannot be read, is empty, or a line is no pair.
    """
    return read_lines(path, PairRow, what="preference pair")


def encode_pairs(
    rows: Iterable[PairRow], *, tokens: Tokens, longest: int, thinking: bool
) -> list[EncodedPair]:
    """Turn rows into pairs that have passed both gates.

    Args:
        rows: Pairs.
        tokens: The tokenizer of the model to train.
        longest: The context in tokens, for the prompt with either reply.
        thinking: Whether every reply must be `<think> reasoning </think> answer`.

    Raises:
        TrainingRefusedError: A reply is longer than the context with its prompt, is empty, or its
            tokens do not say it; two replies are the same; every pair that is too long is counted
            and the first are named.
    """
    pairs = [_encode(row, tokens=tokens, thinking=thinking) for row in rows]
    lengths = ((one.id, one.longest) for one in pairs)
    check_lengths(lengths, longest=longest, what="preference pairs")
    return pairs


def _encode(row: PairRow, *, tokens: Tokens, thinking: bool) -> EncodedPair:
    asked = ask(row.id, row.prompt, tokens=tokens, thinking=thinking)
    chosen, rejected = (
        encode_reply(turns[0].content, to=asked, tokens=tokens, thinking=thinking)
        for turns in (row.chosen, row.rejected)
    )
    if chosen == rejected:
        raise TrainingRefusedError(
            f"pair {row.id}: the chosen and the rejected reply are the same; leave this pair out"
        )
    return EncodedPair(id=row.id, prompt=asked.ids, chosen=chosen, rejected=rejected)


def dpo_columns(pairs: Sequence[EncodedPair]) -> dict[str, list[list[int]]]:
    """The pairs in the columns of TRL's DPO trainer."""
    return {
        "prompt_ids": [list(one.prompt) for one in pairs],
        "chosen_ids": [list(one.chosen) for one in pairs],
        "rejected_ids": [list(one.rejected) for one in pairs],
    }


def orpo_columns(pairs: Sequence[EncodedPair]) -> dict[str, list[list[int]]]:
    """The pairs in the columns of TRL's ORPO trainer."""
    columns: dict[str, list[list[int]]] = {
        "prompt_input_ids": [list(one.prompt) for one in pairs],
        "prompt_attention_mask": [[1] * len(one.prompt) for one in pairs],
    }
    for name in ("chosen", "rejected"):
        replies = [getattr(one, name) for one in pairs]
        both = list(zip(pairs, replies, strict=True))
        columns[f"{name}_input_ids"] = [[*one.prompt, *reply] for one, reply in both]
        columns[f"{name}_attention_mask"] = [[1] * (len(one.prompt) + len(r)) for one, r in both]
        columns[f"{name}_labels"] = [[*([IGNORED] * len(one.prompt)), *r] for one, r in both]
    return columns


def check_held(rows: Iterable[Mapping[str, Any]], *, pairs: Sequence[EncodedPair]) -> None:
    """Make sure that what the trainer holds is what was encoded: nothing cut, masked or missing.

    Args:
        rows: The trainer's rows, in the columns of either trainer.
        pairs: What it was given.

    Raises:
        TrainingRefusedError: A pair is missing, was cut, or has other tokens in the loss.
    """
    held = Counter(_held(row) for row in rows)
    for pair in pairs:
        key = (pair.prompt, pair.chosen, pair.rejected)
        held[key] -= 1
        if held[key] < 0:
            raise not_as_given(pair.id, tokens=len(pair), in_loss=len(pair.response))


def _held(row: Mapping[str, Any]) -> Held:
    if "prompt_ids" in row:
        prompt, chosen, rejected = (row[f"{part}_ids"] for part in ("prompt", "chosen", "rejected"))
        return tuple(prompt), tuple(chosen), tuple(rejected)
    prompt = tuple(row["prompt_input_ids"])
    return prompt, _in_loss(row, "chosen", prompt), _in_loss(row, "rejected", prompt)


def _in_loss(row: Mapping[str, Any], name: str, prompt: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens of a reply; none where the prompt before it is another, or is in the loss."""
    ids, labels = row[f"{name}_input_ids"], row[f"{name}_labels"]
    first = len(prompt)
    whole = tuple(ids[:first]) == prompt and labels == [IGNORED] * first + ids[first:]
    return tuple(ids[first:]) if whole else ()
