"""How the tokens of a reply are chosen when many replies are generated in one batch.

Each row has its own temperature, nucleus and noise, so that a reply is fixed by its request alone.
Sampling is an arg-max over scores with Gumbel noise, which has the same distribution as drawing
from the softmax (Maddison et al., 2014) and moves less than a draw from cumulative sums when
batching changes the last bits of a score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weak2wise_core.hashing import content_hash
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import Message

if TYPE_CHECKING:
    from torch import Generator, Tensor, device

HONOURED = frozenset({"do_sample", "temperature", "top_p", "top_k", "repetition_penalty"})
"""The settings of a model's `generation_config.json` that `Choice` follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How the next token of one reply is chosen."""

    temperature: float
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Only the likeliest tokens that together have this probability; 1 keeps all."""
    top_k: int = 0
    """Only this many of the likeliest tokens; 0 keeps all."""
    repetition_penalty: float = 1.0
    """Scores of tokens that were seen are divided (negative ones multiplied) by this."""

    @classmethod
    def of(cls, sampling: Sampling, *, settings: Mapping[str, Any]) -> "Choice":
        """What a request asks, with what it leaves open decided by the model.

        Args:
            sampling: The request; a temperature of None leaves it to the model.
            settings: The model's own generation settings, of which only those in `HONOURED` count.
                A model that does not sample by itself is greedy where no temperature is asked.
        """
        own_temperature = settings.get("temperature") or 1.0 if settings.get("do_sample") else 0.0
        return cls(
            temperature=own_temperature if sampling.temperature is None else sampling.temperature,
            top_p=sampling.top_p or settings.get("top_p") or 1.0,
            top_k=settings.get("top_k") or 0,
            repetition_penalty=settings.get("repetition_penalty") or 1.0,
        )


def noise_seed(messages: Sequence[Message], *, sampling: Sampling, draw: int) -> int:
    """Seed of one reply's noise: 63 bits out of everything that decides the reply but its limit.

    `max_tokens` is left out, so that a longer limit continues the shorter reply.
    """
    digest = content_hash(messages, sampling.temperature, sampling.top_p, sampling.seed, draw)
    return int(digest[:16], 16) >> 1


def keep_likeliest(scores: "Tensor", *, top_k: "Tensor", top_p: "Tensor") -> "Tensor":
    """Set the scores of all but the likeliest tokens to minus infinity, row by row.

    Args:
        scores: Logits after the temperature, one row per reply.
        top_k: Tokens to keep in each row; 0 keeps all. Applied before `top_p`.
        top_p: Probability to keep in each row; 1 keeps all. The likeliest token always stays.

    Returns:
        New scores; tokens of equal score at the edge are kept in the order of their numbers.
    """
    import torch

    ranked, order = scores.sort(dim=-1, descending=True, stable=True)
    ranks = torch.arange(scores.shape[-1], device=scores.device)
    within_k = (top_k[:, None] == 0) | (ranks < top_k[:, None])
    shares = ranked.masked_fill(~within_k, -torch.inf).softmax(dim=-1)
    likelier = shares.cumsum(dim=-1) - shares
    # at 1 rounding of the sums must not decide: a row without a nucleus loses no token
    within_p = (top_p[:, None] >= 1) | (likelier < top_p[:, None])
    kept = torch.empty_like(within_k.expand_as(scores)).scatter(-1, order, within_k & within_p)
    return scores.masked_fill(~kept, -torch.inf)


def noise_of(choice: Choice, *, seed: int, device: "device") -> "Generator | None":
    """The noise of one reply, to be drawn one vocabulary at a time; None where it is greedy.

    The stream depends on the kind of device.
    """
    import torch

    if choice.temperature == 0:
        return None
    return torch.Generator(device=device).manual_seed(seed)


class RowwiseChooser:
    """A logits processor after which the arg-max of each row is that row's own choice.

    The noise of a row comes from a generator of its own that advances by one vocabulary per token,
    whatever the other rows do.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        noise: Sequence["Generator | None"],
        padding: Sequence[int],
        device: "device",
    ) -> None:
        """Prepare one batch.

        Args:
            choices: One per row.
            noise: Generator of each row's noise; see `noise_of`.
            padding: Number of padding tokens at the left of each row.
            device: Where the scores will lie.
        """
        import torch

        def column(values: Sequence[float], dtype: torch.dtype = torch.float32) -> "Tensor":
            return torch.tensor(values, dtype=dtype, device=device)

        self._temperature = column([choice.temperature for choice in choices])[:, None]
        self._top_p = column([choice.top_p for choice in choices])
        self._top_k = column([choice.top_k for choice in choices], torch.long)
        self._penalty = column([choice.repetition_penalty for choice in choices])[:, None]
        self._padding = column(padding, torch.long)[:, None]
        self._penalised = any(choice.repetition_penalty != 1 for choice in choices)
        self._narrowed = any(choice.top_p < 1 or choice.top_k for choice in choices)
        self._generators = [(row, one) for row, one in enumerate(noise) if one is not None]

    def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """Scores whose arg-max is the next token, one row per reply."""
        if self._penalised:
            scores = self._with_penalty(input_ids, scores)
        if not self._generators:
            return scores
        sampled = self._temperature > 0
        warm = scores / self._temperature.where(sampled, self._temperature.new_ones(()))
        if self._narrowed:
            warm = keep_likeliest(warm, top_k=self._top_k, top_p=self._top_p)
        return (warm + self._gumbel(scores)).where(sampled, scores)

    def _with_penalty(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """Penalise what stands in the prompt or reply; padding is neither, so it is covered."""
        import torch

        places = torch.arange(input_ids.shape[-1], device=input_ids.device)
        seen = input_ids.where(places >= self._padding, input_ids[:, -1:])
        before = scores.gather(-1, seen)
        after = torch.where(before < 0, before * self._penalty, before / self._penalty)
        return scores.scatter(-1, seen, after)

    def _gumbel(self, scores: "Tensor") -> "Tensor":
        """Noise of one step: minus the logarithm of an exponential variable; 0 in greedy rows."""
        import torch

        waits = torch.ones_like(scores)
        for row, generator in self._generators:
            waits[row].exponential_(generator=generator)
        return -waits.clamp_min(torch.finfo(waits.dtype).tiny).log()
