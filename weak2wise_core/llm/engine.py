"""A loaded model of the transformers library: prompts in, answers out, many at a time."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weak2wise_core.config import Batching
from weak2wise_core.errors import RequestRefusedError
from weak2wise_core.llm.continuous import PagedStream
from weak2wise_core.llm.forced import Fit, Passage, read_passages
from weak2wise_core.llm.jobs import Answer, Dropped, Prompt
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.llm.measuring import Contest, Way
from weak2wise_core.llm.memory import tokens_in_memory, within_memory
from weak2wise_core.llm.packing import StreamPlan
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.sampling import HONOURED, Choice, RowwiseChooser, noise_of, noise_seed
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.records import FinishReason, Message

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

# Generation settings that no reply depends on here, besides those in `HONOURED`.
_NEUTRAL = frozenset(
    {
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "max_length",
        "max_new_tokens",
        "transformers_version",
        "use_cache",
        "cache_implementation",
        "output_attentions",
        "output_hidden_states",
        "_from_model_config",
    }
)

ROUNDS = 3
"""Requests for every slot that a way of batching answers before two ways are compared."""


class Engine:
    """A loaded model with its tokenizer. Only one thread at a time may ask it."""

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        tokens: Tokens,
        batching: Batching = Batching.AUTO,
        slots: int = 64,
    ) -> None:
        """Take over a model; its generation settings are read and then taken out of it.

        Args:
            model: A causal language model in evaluation mode, on its device.
            tokens: Its tokenizer.
            batching: How requests are put together.
            slots: Most requests at once.
        """
        with IMPORTING:
            from transformers import GenerationConfig

        self.tokens = tokens
        self._batching = batching
        self._slots = slots
        self._model: Any = model
        self._settings: dict[str, Any] = self._model.generation_config.to_diff_dict()
        # `generate` would fill every setting that it is not given from here
        self._model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        own_end = self._settings.get("eos_token_id") or []
        self._end_ids = tokens.end_ids | ({own_end} if isinstance(own_end, int) else set(own_end))
        text_config = self._model.config.get_text_config()
        self._context: int | None = getattr(text_config, "max_position_embeddings", None)
        ignored = sorted(self._settings.keys() - HONOURED - _NEUTRAL)
        if ignored:
            logger.warning(
                "%s: generation_config.json sets %s, which the transformers backend does not use",
                tokens.name,
                ", ".join(ignored),
            )

    def prompt(self, messages: Sequence[Message], *, sampling: Sampling, draw: int) -> Prompt:
        """Turn a request into what the model reads. May be called from any thread.

        Raises:
            RequestRefusedError: Prompt and reply do not fit into the context together, or the chat
                template does not take these roles.
        """
        ids = tuple(self.tokens.encode_chat(messages))
        return Prompt(
            ids=ids,
            limit=self._limit(len(ids), max_tokens=sampling.max_tokens),
            choice=Choice.of(sampling, settings=self._settings),
            seed=noise_seed(messages, sampling=sampling, draw=draw),
        )

    def _limit(self, prompt_tokens: int, *, max_tokens: int | None) -> int:
        if self._context is None:
            if max_tokens is not None:
                return max_tokens
            raise RequestRefusedError(
                f"{self.tokens.name} does not say how long its context is; set max_tokens"
            )
        left = self._context - prompt_tokens
        if left < (max_tokens or 1):
            raise RequestRefusedError(
                f"the prompt has {prompt_tokens} tokens and the reply may have {max_tokens or 1}, "
                f"but the context of {self.tokens.name} has {self._context}. Lower max_tokens, "
                "leave this question out, or use a model with a longer context."
            )
        return max_tokens or left

    def answer(self, prompts: Sequence[Prompt], *, dropped: Dropped) -> list[Answer]:
        """Answer a batch, padded at the left.

        Args:
            prompts: One row each.
            dropped: Whether nobody waits for a row any more; such a row may end early.

        Raises:
            MemoryError: The batch does not fit; smaller ones still may.
        """
        return within_memory(
            lambda: self._generate(prompts, dropped=dropped), device_kind=self._model.device.type
        )

    def read(self, passages: Sequence[Passage], *, batch_size: int) -> list[tuple[Fit, ...] | None]:
        """The fit of passages, a batch at a time; None for one that exceeds the context.

        Args:
            passages: In any order.
            batch_size: Rows read together at most.

        Raises:
            FatalModelError: One passage alone does not fit into memory.
            RequestRefusedError: The chat template does not take these roles.
        """
        return read_passages(
            passages,
            model=self._model,
            tokens=self.tokens,
            context=self._context,
            batch_size=batch_size,
        )

    @property
    def device(self) -> str:
        """Where the model runs."""
        return str(self._model.device)

    @property
    def memory_tokens(self) -> int:
        """Tokens whose keys and values it can be asked to keep for continuous batching."""
        return tokens_in_memory(self._model)

    def contest(self) -> Contest:
        """The ways in which requests may be batched.

        `auto` measures on a CUDA device: plain batches and continuous batching each answer some of
        the work, and the one with more tokens a second answers the rest. Elsewhere it is plain:
        on two CPU cores 64 slots of continuous batching took 2 to 5 times as long for the same
        replies (benchmarks/local_batching.py), since without flash attention every request of a
        step is multiplied with the cache of all of them, and then masked.
        """
        if self._batching is Batching.CONTINUOUS:
            return Contest((Way.CONTINUOUS,))
        if self._batching is Batching.PLAIN or self._model.device.type != "cuda":
            return Contest((Way.PLAIN,))
        return Contest(tuple(Way), warm_up=self._slots, sample=ROUNDS * self._slots)

    def open_stream(self, plan: StreamPlan) -> PagedStream:
        """Start continuous batching; see `Machine.open_stream`."""
        return PagedStream(self._model, plan=plan, end_ids=sorted(self._end_ids), read=self._read)

    def _generate(self, prompts: Sequence[Prompt], *, dropped: Dropped) -> list[Answer]:
        with IMPORTING:
            import torch
            from transformers import GenerationConfig

        width = max(len(prompt.ids) for prompt in prompts)
        padding = [width - len(prompt.ids) for prompt in prompts]
        device, filler = self._model.device, self.tokens.padding_id
        rows = [[filler] * n + list(one.ids) for n, one in zip(padding, prompts, strict=True)]
        mask = [[0] * n + [1] * (width - n) for n in padding]
        chooser = RowwiseChooser(
            [prompt.choice for prompt in prompts],
            noise=[noise_of(one.choice, seed=one.seed, device=device) for one in prompts],
            padding=padding,
            device=device,
        )
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max(prompt.limit for prompt in prompts),
            do_sample=False,  # the chooser has drawn already: its arg-max is the draw
            eos_token_id=sorted(self._end_ids) or None,
            pad_token_id=filler,
        )
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=torch.tensor(rows, device=device),
                attention_mask=torch.tensor(mask, device=device),
                generation_config=settings,
                logits_processor=[chooser],
                stopping_criteria=[RowwiseLimits(prompts, width=width, dropped=dropped)],
            )
        new = output[:, width:].tolist()
        return [self._read(ids, one) for ids, one in zip(new, prompts, strict=True)]

    def _read(self, generated: Sequence[int], prompt: Prompt) -> Answer:
        """Cut one row where it ended: at its own limit or at its first end token."""
        said = generated[: prompt.limit]
        end = next((at for at, number in enumerate(said) if number in self._end_ids), None)
        return Answer(
            text=self.tokens.decode(said[:end]),
            finish_reason=FinishReason.LENGTH if end is None else FinishReason.STOP,
            completion_tokens=len(said) if end is None else end + 1,
        )


class RowwiseLimits:
    """A stopping criterion: each row has its own limit, and ends when nobody waits for it."""

    def __init__(self, prompts: Sequence[Prompt], *, width: int, dropped: Dropped) -> None:
        self._lengths = [width + prompt.limit for prompt in prompts]
        self._dropped = dropped

    def __call__(
        self,
        input_ids: "torch.Tensor",
        scores: object,  # noqa: ARG002 - `generate` passes it
    ) -> "torch.Tensor":
        """Which rows are done, given everything so far."""
        import torch

        length = input_ids.shape[-1]
        done = [length >= most or self._dropped(row) for row, most in enumerate(self._lengths)]
        return torch.tensor(done, device=input_ids.device)
