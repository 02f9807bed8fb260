"""The choice of tokens in continuous batching, where the rows change from step to step."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weak2wise_core.llm.sampling import Choice, RowwiseChooser, noise_of

if TYPE_CHECKING:
    from torch import Generator, Tensor, device


@dataclass(slots=True)
class _Row:
    """One request: how it chooses, and its noise, which goes on from step to step."""

    choice: Choice
    noise: "Generator | None"


@dataclass(slots=True)
class PagedChooser:
    """Stands in for the library's list of logits processors.

    The library's own sampling draws all rows of a step from one stream of random numbers, so that
    a reply would depend on its company. Here every request keeps the generator that it would have
    in a plain batch, and its reply is the same in both ways. Drawing is done outside of the model,
    so steps cannot be replayed as CUDA graphs.
    """

    device: "device"
    do_processing: bool = True
    tensors_required: int = 0
    """Rows of the library's storage for arguments; ours stay here."""
    _rows: dict[str, _Row] = field(default_factory=dict)
    _order: tuple[str, ...] = ()
    _chooser: RowwiseChooser | None = None
    _seen: "Tensor | None" = None

    def expect(self, request_id: str, choice: Choice, *, seed: int) -> None:
        """Prepare for a request, before the library knows of it."""
        noise = noise_of(choice, seed=seed, device=self.device)
        self._rows[request_id] = _Row(choice, noise)

    def forget(self, request_id: str) -> None:
        """A request is over. The step in hand may still have it: its row is kept for that."""
        self._rows.pop(request_id, None)

    def check_kwargs(self, kwargs: dict[str, Any]) -> None:
        """Arguments of a single request come through `expect`; there are no others."""
        if kwargs:
            raise ValueError(f"arguments of a request that nothing reads: {sorted(kwargs)}")

    def fill_defaults(self, storage: "Tensor") -> None:
        """There are none."""

    def prepare_tensor_args(
        self,
        requests_in_batch: Sequence[Any],
        arg_storage: "Tensor",  # noqa: ARG002 - the library passes it
    ) -> None:
        """Note the rows of the next step: requests whose prompt is complete, in this order."""
        states = [one.state for one in requests_in_batch if one.has_new_token]
        order = tuple(state.request_id for state in states)
        rows = [self._rows.get(number, _NOBODY) for number in order]
        penalised = any(row.choice.repetition_penalty != 1 for row in rows)
        if order == self._order and not penalised:
            return
        said = [state.initial_tokens + state.generated_tokens for state in states]
        width = max(map(len, said), default=0)
        self._order = order
        self._seen = self._left_padded(said, width=width) if penalised else None
        self._chooser = RowwiseChooser(
            [row.choice for row in rows],
            noise=[row.noise for row in rows],
            padding=[width - len(ids) for ids in said],
            device=self.device,
        )

    def __call__(
        self,
        input_ids: "Tensor",
        scores: "Tensor",
        arguments: "Tensor",  # noqa: ARG002 - the library passes it
    ) -> "Tensor":
        """Scores whose arg-max is the next token; rows of unfinished prompts come last."""
        import torch

        rows = len(self._order)
        if self._chooser is None or not rows:
            return scores
        seen = input_ids[:rows, None] if self._seen is None else self._seen
        return torch.cat([self._chooser(seen, scores[:rows]), scores[rows:]])

    def _left_padded(self, said: Sequence[Sequence[int]], *, width: int) -> "Tensor":
        import torch

        rows = [[0] * (width - len(ids)) + list(ids) for ids in said]
        return torch.tensor(rows, device=self.device)


_NOBODY = _Row(Choice(temperature=0.0), None)
"""A request that was dropped; its tokens are thrown away."""
