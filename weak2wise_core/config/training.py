"""Fine-tuning of the weak model (section 4.1 and appendix B)."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from weak2wise_core.config.base import PositiveInt, Settings


class Loss(StrEnum):
    """What a training step minimises.

    Within one step both point in the same direction; between steps, equation 10 gives more weight
    to those with long examples.

    Source: paper section 3.6, equation 10.
    Departure: equation 10 sums over the tokens of an example; the default is the mean over all
    tokens of a step, which every common trainer means by this loss.
    """

    TOKEN_MEAN = "token_mean"  # noqa: S105 - no password
    EQUATION_10 = "equation_10"


class Precision(StrEnum):
    """The number format of weights and arithmetic."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    BFLOAT16_WEIGHTS = "bfloat16_weights"
    FLOAT32 = "float32"


class LoRASettings(Settings):
    """Train low-rank adapters in place of all weights (ours; the paper trains all)."""

    rank: PositiveInt = Field(16, description="rank of the adapters (ours)")
    alpha: PositiveInt = Field(32, description="scale of the adapters (ours)")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the adapters (ours)")
    targets: tuple[str, ...] = Field(
        (), description="layers by name, as q_proj; all linear ones but the head if empty (ours)"
    )


class TrainingSettings(Settings):
    """How the weak model is fine-tuned."""

    model: str | None = Field(
        None, description="hub id or folder of the model to train; the weak model where absent"
    )
    epochs: float = Field(3.0, gt=0, description="passes over the dataset (appendix B)")
    learning_rate: float = Field(1e-5, gt=0, description="peak learning rate (appendix B)")
    scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field(
        "cosine", description="learning-rate schedule (appendix B)"
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of steps to warm up (appendix B)")
    weight_decay: float = Field(0.01, ge=0, description="weight decay (appendix B)")
    max_grad_norm: float = Field(
        1.0, ge=0, description="gradients are clipped to this length; 0 clips none (ours)"
    )
    global_batch_size: PositiveInt = Field(
        16, description="rows (packs, with packing) in one optimiser step (ours; not published)"
    )
    per_device_batch_size: PositiveInt = Field(
        1, description="rows on one device at once; the rest of a step is accumulated (ours)"
    )
    max_length: PositiveInt = Field(
        32_768,
        description="context in tokens, and the length of a pack; at most the model's own. "
        "A longer example is refused by name, never cut (ours; not published)",
    )
    packing: bool = Field(True, description="several examples in one row, apart (appendix B)")
    loss: Loss = Field(
        Loss.TOKEN_MEAN,
        description="token_mean is the trainer's own (ours); equation_10 sums over the tokens of "
        "an example (section 3.6)",
    )
    optimizer: Literal["adamw", "adamw_8bit"] = Field(
        "adamw", description="adamw_8bit keeps its state in 8 bits; needs CUDA (ours)"
    )
    lora: LoRASettings | None = Field(None, description="adapters in place of all weights (ours)")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto", description="auto: the best there is; a device that is not there is refused (ours)"
    )
    precision: Precision = Field(
        Precision.AUTO,
        description="bfloat16: arithmetic in 16 bits over weights in 32. bfloat16_weights: weights "
        "in 16 bits too, for little memory; small updates are rounded away. auto: bfloat16 on "
        "CUDA, float32 elsewhere (ours; not published)",
    )
    saved_as: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="number format of the saved weights; auto: that of the arithmetic (ours)",
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        "auto", description="auto: flash_attention_2 where installed, on CUDA, else sdpa (ours)"
    )
    gradient_checkpointing: bool | None = Field(
        None, description="less memory for a third more time; on CUDA only where absent (ours)"
    )
    sharding: Literal["none", "fsdp"] = Field(
        "none", description="how several GPUs hold the model: each a whole one, or shares (ours)"
    )
    processes: PositiveInt | None = Field(
        None, description="one per GPU where absent; several on a CPU are allowed (ours)"
    )
    threads: PositiveInt | None = Field(
        None, description="CPU threads of one process; absent: 1 for tiny models, else torch's own"
    )
    save_every_steps: PositiveInt = Field(
        100, description="steps between checkpoints, from which a training goes on (ours)"
    )
    seed: int = Field(0, ge=0, description="order of the examples, and dropout (ours)")


NOT_DECISIVE = frozenset(
    {
        "model",  # counted by what lies in it
        "per_device_batch_size",
        "device",
        "attention",
        "gradient_checkpointing",
        "sharding",
        "processes",
        "threads",
        "save_every_steps",
    }
)
"""Settings that say how a training is run; what it gives is the same up to rounding."""
