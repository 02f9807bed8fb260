"""Fine-tuning (section 4.1 and appendix B), and training on preferences (arXiv 2407.13647)."""

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from weak2wise_core.config.base import PositiveInt, Settings


class Objective(StrEnum):
    """What training rows are, and what is made more likely.

    Sources: `sft` paper section 3.6; `dpo` arXiv 2305.18290, equation 7; `orpo` arXiv 2403.07691,
    equation 6. The last two are stage II of arXiv 2407.13647.
    """

    SFT = "sft"
    DPO = "dpo"
    ORPO = "orpo"

    @property
    def reads_pairs(self) -> bool:
        """Whether rows are pairs of a chosen and a rejected reply."""
        return self is not Objective.SFT


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
    packing: bool = Field(
        True, description="sft: several examples in one row, apart (appendix B); pairs never are"
    )
    loss: Loss = Field(
        Loss.TOKEN_MEAN,
        description="token_mean is the trainer's own (ours); equation_10 sums over the tokens of "
        "an example (section 3.6)",
    )
    objective: Objective = Field(
        Objective.SFT,
        description="sft learns replies; dpo and orpo learn to prefer the chosen reply of a pair "
        "to the rejected one (arXiv 2407.13647, stage II)",
    )
    beta: float = Field(
        0.1,
        gt=0,
        description="dpo: how strongly the model is held to the one that it starts from; orpo: "
        "weight of the odds ratio (0.1 in arXiv 2305.18290 and 2403.07691); not for sft",
    )
    sft_weight: float = Field(
        0.0, ge=0, description="dpo: weight of the chosen replies' own loss, added to it (ours)"
    )
    thinking: bool = Field(
        True,
        description="every reply must be <think> reasoning </think> answer; false: any text, as "
        "in arXiv 2407.13647",
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

    @model_validator(mode="after")
    def _suits_the_objective(self) -> Self:
        if self.objective.reads_pairs and self.loss is not Loss.TOKEN_MEAN:
            raise ValueError(f"loss {self.loss.value} is one of sft, not of {self.objective.value}")
        if self.sft_weight and self.objective is not Objective.DPO:
            raise ValueError("sft_weight is read with objective dpo only")
        return self

    @property
    def packs(self) -> bool:
        """Whether several examples share a row."""
        return self.packing and not self.objective.reads_pairs

    def decisive(self) -> dict[str, Any]:
        """What decides the weights, in plain values; settings of another objective do not."""
        pairs = self.objective.reads_pairs
        foreign = {"packing", "loss"} if pairs else {"objective", "beta", "sft_weight"}
        return self.model_dump(mode="json", exclude={*NOT_DECISIVE, *foreign})


NOT_DECISIVE = frozenset(
    {
        "model",  # counted by what lies in it
        "thinking",  # a gate: what passes it is trained on in the same way
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
