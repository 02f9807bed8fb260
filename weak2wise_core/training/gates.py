"""The two gates before a training may start, for whatever is trained on.

*Length gate*: an example that is longer than the context is refused by its name. Trainers cut it,
and what they cut off is `</think>` and the answer.

*Template gate*: the chat templates of many thinking models (DeepSeek-R1-Distill and Qwen3 among
them) delete everything up to `</think>` from an assistant's turn, and a trainer that renders whole
conversations then trains on bare answers. Here only the prompt goes through the template; the
reply is appended as it is, and must be readable in the tokens that the loss counts.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from weak2wise_core.errors import InputFileError, TrainingRefusedError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import find_control_token
from weak2wise_core.records import Message

OPENING, CLOSING = "<think>", "</think>"
_NAMED = 5

Row = TypeVar("Row", bound=BaseModel)


class Turn(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The rendered question of one example."""

    name: str
    """The example's, for messages."""
    text: str
    ids: tuple[int, ...]
    """With the generation prompt: read, and not in the loss."""


def read_lines(path: Path, kind: type[Row], *, what: str) -> Iterator[Row]:
    """The rows of a file of JSON lines.

    Args:
        path: The file.
        kind: What a line must be.
        what: What a line is called in messages.

    Raises:
        InputFileError: The file cannot be read, is empty, or a line is no such row.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"the training rows {path} cannot be read: {error}") from error
    if not any(line.strip() for line in lines):
        raise InputFileError(f"{path} holds no {what}; build the dataset again")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _row(line, kind, where=f"{path}, line {number} is no {what}")


def _row(line: str, kind: type[Row], *, where: str) -> Row:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'line'}: "
            f"{str(item['msg']).removeprefix('Value error, ')}"
            for item in error.errors()
        )
        raise InputFileError(f"{where}: {faults[:300]}") from error


def ask(name: str, turns: Sequence[Turn], *, tokens: Tokens, thinking: bool) -> Asked:
    """Render a question as the model will be asked it.

    Args:
        name: The example's.
        turns: The conversation up to the reply.
        tokens: Of the model to train.
        thinking: Whether the reply is going to show its thinking.

    Raises:
        TrainingRefusedError: The template opens a reply in which this one has no place.
    """
    prompt = [Message(role=turn.role, content=turn.content) for turn in turns]
    rendered = tokens.render(prompt)
    if thinking and rendered.rstrip().endswith(CLOSING):
        raise TrainingRefusedError(
            f"example {name}: the chat template of {tokens.name} closes the thinking before the "
            f"reply begins ({rendered[-40:]!r}); the model could not be asked for the reasoning it "
            "is trained on. Use a model, or a chat template, that thinks"
        )
    if not thinking and tokens.opens_thinking:
        raise TrainingRefusedError(
            f"example {name}: the chat template of {tokens.name} opens the thinking "
            f"({rendered[-40:]!r}), and the replies of this training show none. Use a model, or a "
            "chat template, that does not think"
        )
    return Asked(name=name, text=rendered, ids=tuple(tokens.encode_chat(prompt)))


def encode_reply(content: str, *, to: Asked, tokens: Tokens, thinking: bool) -> tuple[int, ...]:
    """A reply as tokens, from its first word to the end of turn, read back and compared.

    Args:
        content: The reply.
        to: What it answers.
        tokens: Of the model to train.
        thinking: Whether it must be `<think> reasoning </think> answer`.

    Raises:
        TrainingRefusedError: It has lost its thinking or is empty, holds a command, or its tokens
            do not say it.
    """
    wanted = _thought(to.name, content) if thinking else _text(to.name, content)
    if thinking and tokens.opens_thinking:
        # the prompt has the tag: a second one would never be generated
        content = content.lstrip().removeprefix(OPENING)
        content = content.lstrip() if to.text[-1].isspace() else content
    ids = tuple(tokens.encode(content + tokens.end_of_turn))
    check_reply(ids, wanted=wanted, name=to.name, tokens=tokens)
    return ids


def _thought(name: str, content: str) -> str:
    """What the tokens of a thinking reply must say after the opening tag.

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
    for part in (reasoning, answer):
        _refuse_commands(name, part)
    return reasoning + CLOSING + answer


def _text(name: str, content: str) -> str:
    if not content.strip():
        raise TrainingRefusedError(f"example {name}: the response is empty. Leave this example out")
    _refuse_commands(name, content)
    return content


def _refuse_commands(name: str, text: str) -> None:
    if found := find_control_token(text):
        raise TrainingRefusedError(
            f"example {name}: the response holds {found.group()!r}, which the model would read as "
            "a command. Leave this example out"
        )


def check_reply(ids: Sequence[int], *, wanted: str, name: str, tokens: Tokens) -> None:
    """Make sure that the tokens in the loss say the whole reply and the end.

    White space, and forms of characters that Unicode holds equal, may differ: some tokenizers
    normalise them.

    Raises:
        TrainingRefusedError: They do not.
    """
    said = _plain(tokens.decode(ids))
    if said.removeprefix(OPENING) != _plain(wanted):
        raise TrainingRefusedError(
            f"example {name}: the {len(ids)} tokens in the loss do not hold its "
            f"whole reasoning, read back they say {said[:60]!r} ... {said[-60:]!r}. The tokenizer "
            f"of {tokens.name} cannot write this text; use another model or leave the example out"
        )
    if tokens.end_of_turn and ids[-1] not in tokens.end_ids:
        raise TrainingRefusedError(
            f"example {name}: its last token is not the end of turn of {tokens.name}, so the "
            "model would not learn to stop"
        )


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def check_lengths(
    lengths: Iterable[tuple[str, int]], *, longest: int, what: str = "examples"
) -> None:
    """The length gate.

    Args:
        lengths: Name and tokens of everything that is trained on.
        longest: The context in tokens.
        what: What these things are called in messages.

    Raises:
        TrainingRefusedError: Some are longer than the context; every one of them is counted and
            the first are named.
    """
    found = list(lengths)
    too_long = [(name, length) for name, length in found if length > longest]
    if not too_long:
        return
    named = ", ".join(f"{name} ({length:,} tokens)" for name, length in too_long[:_NAMED])
    more = f" and {len(too_long) - _NAMED} more" if len(too_long) > _NAMED else ""
    raise TrainingRefusedError(
        f"{len(too_long)} of {len(found)} {what} are longer than the context of "
        f"{longest:,} tokens: {named}{more}. Training would cut off their answers. Raise "
        "training.max_length if the model's context allows it, or build the dataset with a "
        "lower sft.max_tokens"
    )
