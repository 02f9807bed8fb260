"""Fine-tuning of the weak model (section 4.1 and appendix B)."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from weak2wise_core.config.base import PositiveInt, Settings


class Loss(StrEnum):
    """What a training step minimises; both point in the same direction within one step."""

    TOKEN_MEAN = "token_mean"  # noqa: S105 - no password
    EQUATION_10 = "equation_10"


class LoRASettings(Settings):
    """Train low-rank adapters in place of all weights (ours; the paper trains all)."""

    rank: PositiveInt = Field(16, description="rank of the adapters")
    alpha: PositiveInt = Field(32, description="scale of the adapters")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the adapters")


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
    global_batch_size: PositiveInt = Field(
        16, description="rows (packs, with packing) in one optimiser step (ours; not published)"
    )
    per_device_batch_size: PositiveInt = Field(1, description="rows on one device at once")
    max_length: PositiveInt = Field(
        32_768, description="context in tokens; a longer example is refused by name, never cut"
    )
    packing: bool = Field(True, description="several examples in one row, apart (appendix B)")
    loss: Loss = Field(
        Loss.TOKEN_MEAN, description="token_mean is the trainer's own; equation_10 the paper's"
    )
    optimizer: Literal["adamw", "adamw_8bit"] = Field("adamw", description="8-bit needs CUDA")
    lora: LoRASettings | None = Field(None, description="adapters in place of all weights")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="auto: bfloat16 on CUDA, float32 elsewhere"
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        "auto", description="auto: flash_attention_2 where it is installed on CUDA, else sdpa"
    )
    gradient_checkpointing: bool = Field(True, description="less memory for more time")
    sharding: Literal["none", "fsdp"] = Field("none", description="how several GPUs share a model")
    processes: PositiveInt | None = Field(None, description="one per GPU where absent")
    threads: PositiveInt | None = Field(None, description="CPU threads of one process")
    save_every_steps: PositiveInt = Field(100, description="steps between checkpoints")
    seed: int = Field(0, ge=0, description="order of the examples and dropout")
