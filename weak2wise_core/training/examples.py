"""Training rows as token numbers, and the two gates before a training may start.

*Length gate*: an example that is longer than the context is refused by its name. Trainers cut it,
and what they cut off is `</think>` and the answer.

*Template gate*: the chat templates of many thinking models (DeepSeek-R1-Distill and Qwen3 among
them) delete everything up to `</think>` from an assistant's turn, and a trainer that renders whole
conversations then trains on bare answers. Here only the prompt goes through the template; the
response is appended as it is, and every example must show its whole reasoning in the tokens that
the loss counts. What the trainer finally holds is compared with that, example by example.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from weak2wise_core.errors import InputFileError, TrainingRefusedError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import find_control_token
from weak2wise_core.records import Message

OPENING, CLOSING = "<think>", "</think>"
IGNORED = -100
"""The label of a token that the loss does not count."""
_NAMED = 5


class Turn(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


class TrainingRow(BaseModel):
    """What a training reads of a line of `train.jsonl`; see `weak2wise_core.sft.TrainRow`."""

    model_config = ConfigDict(frozen=True)

    id: str
    prompt: tuple[Turn, ...] = Field(min_length=1)
    completion: tuple[Turn] = Field(description="the one reply of the assistant")


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
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"the training rows {path} cannot be read: {error}") from error
    if not any(line.strip() for line in lines):
        raise InputFileError(f"{path} holds no training row; build the dataset again")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(line, where=f"{path}, line {number}")


def _row(line: str, *, where: str) -> TrainingRow:
    try:
        row = TrainingRow.model_validate_json(line)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'line'}: {item['msg']}" for item in error.errors()
        )
        raise InputFileError(f"{where} is no training row: {faults[:300]}") from error
    if row.completion[0].role != "assistant":
        raise InputFileError(f"{where} is no training row: the completion is not the assistant's")
    return row


def encode_rows(
    rows: Iterable[TrainingRow], *, tokens: Tokens, longest: int
) -> list[EncodedExample]:
    """Turn rows into examples that have passed both gates.

    Args:
        rows: Rows of a dataset.
        tokens: The tokenizer of the model to train.
        longest: The context in tokens.

    Raises:
        TrainingRefusedError: An example does not show its whole reasoning, or is longer than the
            context; every one of them is counted and the first are named.
    """
    examples = [_encode(row, tokens=tokens) for row in rows]
    too_long = [example for example in examples if len(example) > longest]
    if too_long:
        named = ", ".join(f"{one.id} ({len(one):,} tokens)" for one in too_long[:_NAMED])
        more = f" and {len(too_long) - _NAMED} more" if len(too_long) > _NAMED else ""
        raise TrainingRefusedError(
            f"{len(too_long)} of {len(examples)} examples are longer than the context of "
            f"{longest:,} tokens: {named}{more}. Training would cut off their answers. Raise "
            "training.max_length if the model's context allows it, or build the dataset with a "
            "lower sft.max_tokens"
        )
    return examples


def _encode(row: TrainingRow, *, tokens: Tokens) -> EncodedExample:
    name, content = row.id, row.completion[0].content
    reasoning, answer = _parts(name, content)
    prompt = [Message(role=turn.role, content=turn.content) for turn in row.prompt]
    rendered = tokens.render(prompt)
    if rendered.rstrip().endswith(CLOSING):
        raise TrainingRefusedError(
            f"example {name}: the chat template of {tokens.name} closes the thinking before the "
            f"reply begins ({rendered[-40:]!r}); the model could not be asked for the reasoning it "
            "is trained on. Use a model, or a chat template, that thinks"
        )
    if tokens.opens_thinking:  # the prompt has the tag: a second one would never be generated
        content = content.lstrip().removeprefix(OPENING)
        content = content.lstrip() if rendered[-1].isspace() else content
    example = EncodedExample(
        id=name,
        prompt=tuple(tokens.encode_chat(prompt)),
        response=tuple(tokens.encode(content + tokens.end_of_turn)),
    )
    check_reasoning(example, reasoning=reasoning, answer=answer, tokens=tokens)
    return example


def _parts(name: str, content: str) -> tuple[str, str]:
    """Reasoning and answer of a response.

    Raises:
        TrainingRefusedError: The response has no thinking or no answer, or holds text that would
            end it early.
    """
    before, opening, rest = content.partition(OPENING)
    reasoning, closing, answer = rest.partition(CLOSING)
    if before.strip() or not (opening and closing and reasoning.strip() and answer.strip()):
        raise TrainingRefusedError(
            f"example {name} has lost its thinking: its response is not <think> reasoning </think> "
            f"answer but begins {content[:60]!r}. Build the dataset again"
        )
    if found := find_control_token(reasoning) or find_control_token(answer):
        raise TrainingRefusedError(
            f"example {name}: the response holds {found.group()!r}, which the model would read as "
            "a command. Leave this example out"
        )
    return reasoning, answer


def check_reasoning(
    example: EncodedExample, *, reasoning: str, answer: str, tokens: Tokens
) -> None:
    """Make sure that the tokens in the loss say the whole reasoning, the answer and the end.

    White space, and forms of characters that Unicode holds equal, may differ: some tokenizers
    normalise them.

    Raises:
        TrainingRefusedError: They do not.
    """
    said = _plain(tokens.decode(example.response))
    wanted = _plain(reasoning) + CLOSING + _plain(answer)
    if said.removeprefix(OPENING) != wanted:
        raise TrainingRefusedError(
            f"example {example.id}: the {len(example.response)} tokens in the loss do not hold its "
            f"whole reasoning, read back they say {said[:60]!r} ... {said[-60:]!r}. The tokenizer "
            f"of {tokens.name} cannot write this text; use another model or leave the example out"
        )
    if tokens.end_of_turn and example.response[-1] not in tokens.end_ids:
        raise TrainingRefusedError(
            f"example {example.id}: its last token is not the end of turn of {tokens.name}, so the "
            "model would not learn to stop"
        )


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


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
            raise TrainingRefusedError(
                f"example {example.id}: the trainer does not hold it as it was given "
                f"({len(example)} tokens, {len(example.response)} in the loss); it was cut or "
                "masked on the way, so nothing is trained. Install the versions that "
                "constraints.txt names; if they are installed, report this"
            )


def _documents(row: Mapping[str, Any]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    ids, labels = row["input_ids"], row["labels"]
    lengths = row.get("seq_lengths") or [len(ids)]
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        yield tuple(ids[end - length : end]), tuple(labels[end - length : end])
