"""Training rows as token numbers that have passed both gates (see `training.gates`).

What the trainer finally holds is compared with them, example by example.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from weak2wise_core.errors import TrainingRefusedError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.gates import Turn, ask, check_lengths, encode_reply, read_lines

IGNORED = -100
"""The label of a token that the loss does not count."""


class TrainingRow(BaseModel):
    """What a training reads of a line of `train.jsonl`; see `weak2wise_core.sft.TrainRow`."""

    model_config = ConfigDict(frozen=True)

    id: str
    prompt: tuple[Turn, ...] = Field(min_length=1)
    completion: tuple[Turn] = Field(description="the one reply of the assistant")

    @field_validator("completion")
    @classmethod
    def _is_a_reply(cls, turns: tuple[Turn]) -> tuple[Turn]:
        return only_reply(turns, name="completion")


def only_reply(turns: tuple[Turn], *, name: str) -> tuple[Turn]:
    """The turn, if it is the assistant's.

    Raises:
        ValueError: It is not.
    """
    if turns[0].role != "assistant":
        raise ValueError(f"the {name} is not the assistant's")
    return turns


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedExample:
    """One training example as the model reads it."""

    id: str
    prompt: tuple[int, ...]
    """The rendered prompt with its generation prompt: read, and not in the loss."""
    response: tuple[int, ...]
    """From `<think>` to the end of turn: all of it in the loss."""

    def __len__(self) -> int:
        """Tokens in all."""
        return len(self.prompt) + len(self.response)

    @property
    def longest(self) -> int:
        """Tokens of the longest text that the model reads at once."""
        return len(self)

    @property
    def input_ids(self) -> list[int]:
        """All tokens."""
        return [*self.prompt, *self.response]

    @property
    def labels(self) -> list[int]:
        """The tokens that the loss counts, `IGNORED` elsewhere."""
        return [*([IGNORED] * len(self.prompt)), *self.response]


def read_rows(path: Path) -> Iterator[TrainingRow]:
    """The rows of a `train.jsonl`.

    Raises:
        InputFileError: The file cannot be read, is empty, or a line is no row.
    """
    return read_lines(path, TrainingRow, what="training row")


def encode_rows(
    rows: Iterable[TrainingRow], *, tokens: Tokens, longest: int, thinking: bool = True
) -> list[EncodedExample]:
    """Turn rows into examples that have passed both gates.

    Args:
        rows: Rows of a dataset.
        tokens: The tokenizer of the model to train.
        longest: The context in tokens.
        thinking: Whether every reply must be `<think> reasoning </think> answer`.

    Raises:
        TrainingRefusedError: An example does not show its whole reasoning, or is longer than the
            context; every one of them is counted and the first are named.
    """
    examples = [_encode(row, tokens=tokens, thinking=thinking) for row in rows]
    check_lengths(((one.id, len(one)) for one in examples), longest=longest)
    return examples


def _encode(row: TrainingRow, *, tokens: Tokens, thinking: bool) -> EncodedExample:
    asked = ask(row.id, row.prompt, tokens=tokens, thinking=thinking)
    content = row.completion[0].content
    response = encode_reply(content, to=asked, tokens=tokens, thinking=thinking)
    return EncodedExample(id=row.id, prompt=asked.ids, response=response)


def check_prepared(
    rows: Iterable[Mapping[str, Any]], *, examples: Sequence[EncodedExample]
) -> None:
    """Make sure that what the trainer holds is what was encoded: nothing cut, masked or missing.

    Args:
        rows: The trainer's rows: `input_ids`, `labels`, and `seq_lengths` where several examples
            share a row.
        examples: What it was given.

    Raises:
        TrainingRefusedError: An example is missing, was cut, or has other tokens in the loss.
    """
    held: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
    for row in rows:
        held.update(_documents(row))
    for example in examples:
        key = (tuple(example.input_ids), tuple(example.labels))
        held[key] -= 1
        if held[key] < 0:
            raise not_as_given(example.id, tokens=len(example), in_loss=len(example.response))


def not_as_given(name: str, *, tokens: int, in_loss: int) -> TrainingRefusedError:
    """The error for an example that a trainer has changed."""
    return TrainingRefusedError(
        f"example {name}: the trainer does not hold it as it was given "
        f"({tokens} tokens, {in_loss} in the loss); it was cut or "
        "masked on the way, so nothing is trained. Install the versions that "
        "constraints.txt names; if they are installed, report this"
    )


def _documents(row: Mapping[str, Any]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    ids, labels = row["input_ids"], row["labels"]
    lengths = row.get("seq_lengths") or [len(ids)]
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        yield tuple(ids[end - length : end]), tuple(labels[end - length : end])
