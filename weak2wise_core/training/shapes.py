"""The sizes of a model, from its config.json alone; no weights are read."""

from dataclasses import dataclass
from typing import Any

from weak2wise_core.config.training import LoRASettings
from weak2wise_core.errors import InputFileError, MissingExtraError
from weak2wise_core.llm.lazy import IMPORTING


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a model."""

    name: str
    parameters: int
    layer_parameters: int
    """Of one decoder layer, the largest."""
    head_parameters: int
    layers: int
    hidden: int
    inner: int
    """Width of a layer's feed-forward part, for one token."""
    keys: int
    """Width of the keys of one token."""
    heads: int
    vocabulary: int
    context: int
    linear: tuple[tuple[str, int, int], ...]
    """Name, inputs and outputs of every linear layer but the head."""

    def adapter_parameters(self, lora: LoRASettings) -> int:
        """Trained weights with adapters."""
        return sum(
            lora.rank * (inputs + outputs)
            for name, inputs, outputs in self.linear
            if not lora.targets or name.rpartition(".")[2] in lora.targets
        )


def shape_of(model: str) -> Shape:
    """The sizes of a model from its config.json; the layers are laid out without memory.

    Raises:
        InputFileError: The model has no config that can be read.
        MissingExtraError: torch is not installed.
    """
    try:
        with IMPORTING:
            import torch
            from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError as error:
        raise MissingExtraError(
            f"planning a training needs {error.name}. Run: pip install 'weak2wise[train]'"
        ) from error
    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        with IMPORTING, torch.device("meta"):
            kind: Any = AutoModelForCausalLM
            empty = kind.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InputFileError(
            f"the model {model} cannot be planned for ({reason}). It must be a folder with "
            "config.json, or a hub id that is in the cache or can be fetched"
        ) from error
    return measure(model, empty)


def measure(name: str, model: Any) -> Shape:
    """The sizes of a causal language model that is there, with or without memory."""
    import torch

    config: Any = model.config.get_text_config()
    head = model.get_output_embeddings()
    blocks = next(part for part in model.modules() if isinstance(part, torch.nn.ModuleList))
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Shape(
        name=name,
        parameters=sum(part.numel() for part in model.parameters()),
        layer_parameters=max(sum(part.numel() for part in block.parameters()) for block in blocks),
        head_parameters=head.weight.numel(),
        layers=len(blocks),
        hidden=config.hidden_size,
        inner=_inner(config),
        keys=width * (getattr(config, "num_key_value_heads", None) or heads),
        heads=heads,
        vocabulary=head.weight.shape[0],
        context=getattr(config, "max_position_embeddings", None) or 1 << 30,
        linear=tuple(
            (path, part.in_features, part.out_features)
            for path, part in model.named_modules()
            if isinstance(part, torch.nn.Linear) and part is not head
        ),
    )


def _inner(config: Any) -> int:
    """Of a mixture of experts: all experts that one token visits, side by side."""
    experts: int | None = getattr(config, "num_experts_per_tok", None)
    width: int = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    each: int = getattr(config, "moe_intermediate_size", None) or width
    return experts * each if experts else width
