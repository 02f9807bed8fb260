"""S_QAR as prompts and responses (figure 6), and the shapes that trainers read.

A dataset is written in two shapes, because no single file suits both trainers:

- `train.jsonl`, one `TrainRow` a line: conversational prompt and completion, as TRL reads it, with
  the loss on the completion alone; and the same as Parquet, `train_chat.parquet`.
- `train.parquet`, one `SFTExample` a row: prompt and response as plain text, as LLaMA-Factory reads
  it with the entry of `llama_factory_entry`. It takes text only, TRL lists of turns only, and a
  file with both would hold every trace twice.
"""

from collections.abc import Callable
from typing import Literal, TypedDict

from weak2wise_core.config import SFTFormatSettings
from weak2wise_core.errors import TraceFormatError
from weak2wise_core.prompts import find_control_token
from weak2wise_core.records import GoldenReasoning, Question, SFTExample


class Turn(TypedDict):
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    content: str


class TrainRow(TypedDict):
    """One line of `train.jsonl`."""

    id: str
    prompt: list[Turn]
    completion: list[Turn]
    answer: str
    strong_model: str
    draw: int
    score: float
    truncation: str
    tokens: int


class LlamaFactoryEntry(TypedDict):
    """The description of one data file in LLaMA-Factory's `dataset_info.json`."""

    file_name: str
    formatting: Literal["alpaca"]
    columns: dict[str, str]


def sft_prompt(question: Question, *, settings: SFTFormatSettings) -> str:
    """The question as a training prompt; `prompt_suffix` follows after a blank line."""
    suffix = settings.prompt_suffix
    return f"{question.question}\n\n{suffix}" if suffix else question.question


def sft_response(golden_reasoning: str, *, answer: str) -> str:
    r"""The response that the weak model is trained on.

    Args:
        golden_reasoning: r*, truncated or not; white space at its ends is dropped.
        answer: The ground-truth answer.

    Returns:
        `<think> r* </think> answer`.

    Raises:
        TraceFormatError: Reasoning or answer is blank, or holds a thinking tag or a control token
            of a chat template, so that the response would not be read back as it was written.

    Source: paper section 3.6, figure 6.

    Example:
        >>> sft_response("2 + 2 = 4.\n", answer="4")
        '<think> 2 + 2 = 4. </think> 4'
    """
    for name, text in (("golden reasoning", golden_reasoning), ("answer", answer)):
        _check(text, name=name)
    return f"<think> {golden_reasoning.strip()} </think> {answer.strip()}"


def _check(text: str, *, name: str) -> None:
    if not text.strip():
        raise TraceFormatError(f"the {name} is blank; leave this trace out")
    if found := find_control_token(text):
        raise TraceFormatError(
            f"the {name} holds {found.group()!r} at character {found.start()}, which a chat "
            "template would read as a command; leave this trace out"
        )


def example(
    golden: GoldenReasoning,
    *,
    question: Question,
    settings: SFTFormatSettings,
    count_tokens: Callable[[str, str], int],
) -> SFTExample:
    """One row of the fine-tuning set.

    Args:
        golden: The golden reasoning of `question`.
        question: The question with its ground-truth answer.
        settings: The suffix of prompts.
        count_tokens: Tokens of a prompt and its response in the weak model's chat template.

    Raises:
        TraceFormatError: See `sft_response`.
        ValueError: The reasoning belongs to another question.
    """
    if golden.question_id != question.id:
        raise ValueError(f"reasoning for {golden.question_id} does not belong to {question.id}")
    prompt = sft_prompt(question, settings=settings)
    _check(prompt, name="prompt")
    response = sft_response(golden.golden_reasoning, answer=question.answer)
    return SFTExample(
        question_id=question.id,
        prompt=prompt,
        response=response,
        answer=question.answer,
        strong_model=golden.strong_model,
        draw=golden.draw,
        score=golden.score,
        truncation=golden.truncation,
        tokens=count_tokens(prompt, response),
    )


def fits(row: SFTExample, *, settings: SFTFormatSettings) -> bool:
    """The length gate: whether training keeps the whole example.

    Departure: the reference code lets the trainer cut; what it cuts off is `</think>` and the
    answer, without a warning.
    """
    return row.tokens <= settings.max_tokens


def to_conversational(row: SFTExample) -> TrainRow:
    """One line of `train.jsonl`, which TRL reads with `completion_only_loss`."""
    return TrainRow(
        id=row.question_id,
        prompt=[Turn(role="user", content=row.prompt)],
        completion=[Turn(role="assistant", content=row.response)],
        answer=row.answer,
        strong_model=row.strong_model,
        draw=row.draw,
        score=row.score,
        truncation=row.truncation.value,
        tokens=row.tokens,
    )


def llama_factory_entry(dataset: str, *, file_name: str) -> dict[str, LlamaFactoryEntry]:
    """What LLaMA-Factory's `dataset_info.json` says about a file of `SFTExample` rows.

    Args:
        dataset: The name under which a training configuration asks for it.
        file_name: A Parquet file beside `dataset_info.json`.
    """
    columns = {"prompt": "prompt", "response": "response"}
    return {dataset: {"file_name": file_name, "formatting": "alpaca", "columns": columns}}
