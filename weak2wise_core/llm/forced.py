"""How likely a model finds a text that somebody else wrote: batched, teacher-forced forward passes.

Nothing is generated: the model reads a context and a text, and says of every token of the text how
probable it was and how many other tokens it would have preferred. Rows of about one length share a
batch and are padded at the right, where no token of a causal model can see the padding. Only the
states that predict a token of the text meet the vocabulary, a block at a time in float32, so that
memory grows with a batch's hidden states and not with positions times vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from weak2wise_core.errors import FatalModelError
from weak2wise_core.llm.memory import within_memory
from weak2wise_core.llm.replies import OPENING_TAG
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.records import Message

if TYPE_CHECKING:
    import torch

_LOGITS_AT_ONCE = 1 << 24
"""Scores held in float32 together: 64 MB."""
_TOKENS_AT_ONCE = 1 << 15
"""Tokens of one batch, padding included; a longer row is a batch of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text that a model is to read."""

    messages: tuple[Message, ...]
    """The conversation before it, rendered with the opening of the assistant's turn."""
    given: str = ""
    """How the assistant's turn begins; read and not judged."""
    pieces: tuple[str, ...]
    """What is judged, in pieces that the result tells apart; each becomes tokens by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well one piece of text fits a model, token by token."""

    log_probabilities: tuple[float, ...]
    """Natural logarithms of p(token | everything before it)."""
    ranks: tuple[int, ...]
    """1 for the most probable token; tokens of equal probability share the better rank."""


@runtime_checkable
class PassageReader(Protocol):
    """A local model that reads passages."""

    async def read(self, passages: Sequence[Passage]) -> list[tuple[Fit, ...] | None]:
        """The fit of every piece of every passage; None for one that exceeds the context.

        Raises:
            FatalModelError: The model cannot be loaded, or has failed.
            UsageError: The tokenizer cannot be loaded.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A passage in token numbers."""

    context: tuple[int, ...]
    """At least one token."""
    pieces: tuple[tuple[int, ...], ...]

    @property
    def text(self) -> tuple[int, ...]:
        """The tokens that are judged."""
        return tuple(token for piece in self.pieces for token in piece)

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens."""
        return self.context + self.text


def read_passages(
    passages: Sequence[Passage],
    *,
    model: Any,
    tokens: Tokens,
    context: int | None,
    batch_size: int,
) -> list[tuple[Fit, ...] | None]:
    """The fit of every piece of every passage; None for one that exceeds the context.

    Args:
        passages: In any order.
        model: A causal language model of the transformers library in evaluation mode.
        tokens: Its tokenizer.
        context: Tokens that it can read; None where it does not say.
        batch_size: Rows read together at most.

    Raises:
        FatalModelError: One passage alone does not fit into memory.
        RequestRefusedError: The chat template does not take these roles.
    """
    rows = [_row(passage, tokens) for passage in passages]
    short = [n for n, row in enumerate(rows) if context is None or len(row.ids) <= context]
    found: list[tuple[Fit, ...] | None] = [None] * len(rows)
    for batch in batches([rows[n] for n in short], most_rows=batch_size):
        numbers = [short[n] for n in batch]
        fits = _read(model, [rows[n] for n in numbers], tokens=tokens)
        for number, fit in zip(numbers, fits, strict=True):
            found[number] = fit
    return found


def _row(passage: Passage, tokens: Tokens) -> Row:
    turn = [passage.given, *passage.pieces]
    if tokens.opens_thinking:  # the prompt has the tag: a second one would be read twice
        first = next((n for n, part in enumerate(turn) if part), 0)
        turn[first] = turn[first].lstrip().removeprefix(OPENING_TAG).lstrip()
    given, *pieces = (tuple(tokens.encode(part)) if part else () for part in turn)
    return Row(context=(*tokens.encode_chat(passage.messages), *given), pieces=tuple(pieces))


def _read(model: Any, rows: Sequence[Row], *, tokens: Tokens) -> list[tuple[Fit, ...]]:
    """Read one batch, in halves where it does not fit into memory."""
    try:
        return within_memory(
            lambda: read_batch(model, rows, padding_id=tokens.padding_id),
            device_kind=model.device.type,
        )
    except MemoryError as error:
        if len(rows) == 1:
            raise FatalModelError(
                f"a text of {len(rows[0].ids)} tokens does not fit into the memory of "
                f"{model.device} beside {tokens.name}: {error}. Name a smaller model, or a device "
                "with more memory"
            ) from error
    half = len(rows) // 2
    return [
        *_read(model, rows[:half], tokens=tokens),
        *_read(model, rows[half:], tokens=tokens),
    ]


def batches(rows: Sequence[Row], *, most_rows: int) -> Iterator[list[int]]:
    """Numbers of rows to read together, the longest first, so that what is too much shows at once.

    Args:
        rows: In any order.
        most_rows: Of one batch.
    """
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number].ids))
    batch: list[int] = []
    for number in order:
        width = len(rows[batch[0]].ids) if batch else 0
        if batch and (len(batch) == most_rows or width * (len(batch) + 1) > _TOKENS_AT_ONCE):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def read_batch(model: Any, rows: Sequence[Row], *, padding_id: int) -> list[tuple[Fit, ...]]:
    """The fit of every piece of some rows, read in one forward pass.

    Args:
        model: A causal language model of the transformers library in evaluation mode.
        rows: Together they must fit into memory.
        padding_id: Any token number; it is masked.
    """
    import torch

    width = max(len(row.ids) for row in rows)
    padding = [width - len(row.ids) for row in rows]
    ids = [[*row.ids, *[padding_id] * n] for row, n in zip(rows, padding, strict=True)]
    mask = [[1] * (width - n) + [0] * n for n in padding]
    with torch.inference_mode():
        states = model.base_model(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            use_cache=False,
        ).last_hidden_state
        predicting = torch.cat([_predicting(states[n], row) for n, row in enumerate(rows)])
        targets = torch.tensor([t for row in rows for t in row.text], device=model.device)
        found = _judge(model, predicting, targets)
    ends = [0, *accumulate(len(row.text) for row in rows)]
    return [
        _cut(row, found[start:end]) for row, (start, end) in zip(rows, pairwise(ends), strict=True)
    ]


def _predicting(states: "torch.Tensor", row: Row) -> "torch.Tensor":
    """The states from which the tokens of the text are predicted: each one before its token."""
    first = len(row.context) - 1
    return states[first : first + len(row.text)]


def _judge(model: Any, states: "torch.Tensor", targets: "torch.Tensor") -> list[tuple[float, int]]:
    """Log-probability and rank of every target, a block of the vocabulary's scores at a time."""
    head = model.get_output_embeddings()
    block = max(1, _LOGITS_AT_ONCE // head.weight.shape[0])
    found: list[tuple[float, int]] = []
    for start in range(0, len(targets), block):
        scores = _scores(model, head(states[start : start + block]))
        own = scores.gather(1, targets[start : start + block, None])
        logs = (own - scores.logsumexp(dim=1, keepdim=True)).squeeze(1)
        ranks = 1 + (scores > own).sum(dim=1)
        found += zip(logs.tolist(), ranks.tolist(), strict=True)
    return found


def _scores(model: Any, raw: "torch.Tensor") -> "torch.Tensor":
    """Scores in float32, with the last steps that some architectures take after their head."""
    config = model.config.get_text_config()
    scores = raw.float()
    if scale := getattr(config, "logit_scale", None):  # Cohere
        scores = scores * scale
    if divisor := getattr(config, "logits_scaling", None):  # Granite
        scores = scores / divisor
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
        scores = cap * (scores / cap).tanh()
    return scores


def _cut(row: Row, found: Sequence[tuple[float, int]]) -> tuple[Fit, ...]:
    ends = [0, *accumulate(len(piece) for piece in row.pieces)]
    return tuple(
        Fit(
            log_probabilities=tuple(log for log, _ in found[start:end]),
            ranks=tuple(rank for _, rank in found[start:end]),
        )
        for start, end in pairwise(ends)
    )
