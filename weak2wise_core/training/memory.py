"""What a training needs on each GPU, told before it starts; no weights are read.

With P parameters, S shares (the number of GPUs with `sharding: fsdp`, else 1), T tokens on a GPU at
once, hidden size h, width of keys and values v, inner size f and L layers, in bytes:

========== ======================================================================================
weights    4 P / S in float32 and in `bfloat16` (its weights stay in 32 bits); 2 P / S in
           `bfloat16_weights`, and for the frozen weights under adapters
copies     with `bfloat16`: 2 P, the weights rounded for the arithmetic; of shared weights only two
           layers and the head at a time
gradients  as the trained weights; once more where several GPUs hold a whole model each, for the
           exchange
optimizer  two numbers per trained weight: in its format with `adamw`; with `adamw_8bit` 1 byte
           each, but 4 bytes for the table of words
activations with gradient checkpointing r h T L for the inputs of all layers, and one layer at work:
           T (c h + 2 a v + 4 a f) kept for its backward pass and T a (2 h + 3 f) of gradients in
           it; without, what is kept of every layer. a is 2 bytes in 16-bit arithmetic, else 4; r is
           4 where the embeddings give 32 bits, else 2; c is 32 in float32, 30 in `bfloat16`, 20
           where the weights themselves are in 16 bits
scores     T^2 (1 + a) for the mask that keeps packed examples apart in `sdpa`, T^2 a per head in
           `eager`, nothing in `flash_attention_2`
head       one tile of at most 4,096 tokens by 32,768 words, three times; for `orpo`, whose
           trainer has no tiles, all tokens by all words
reference  for `dpo` without adapters: the weights once more, as they were
reserve    1 GB for CUDA and its libraries
========== ======================================================================================

With adapters of rank k, every adapted layer of m inputs and n outputs has k (m + n) trained
weights, in 32 bits.

Sources: weights, copies, gradients and optimizer are arithmetic, and are compared in the tests with
the tensors of real trainings of tiny models. The coefficients of activations were measured on
models of the Qwen2 architecture, as bytes that the backward pass keeps. GPUs are counted in GB of
10^9 bytes, of which 95 % can be used. Memory that pieces of other sizes leave unused is not in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from weak2wise_core.config.training import LoRASettings, Objective, Precision, TrainingSettings
from weak2wise_core.training.shapes import Shape

GB = 1e9
USABLE = 0.95
RESERVE = 1.0 * GB
_TILE_TOKENS, _TILE_WORDS = 4096, 32_768
_STEP = 256
"""Tokens; the longest context that fits is told to this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes on one GPU; see the table of this module."""

    weights: float
    copies: float
    gradients: float
    optimizer: float
    activations: float
    scores: float
    head: float
    reference: float = 0.0
    reserve: float = RESERVE

    @property
    def fixed(self) -> float:
        """What does not depend on the length of a text."""
        return self.weights + self.gradients + self.optimizer + self.reference

    @property
    def total(self) -> float:
        """All of it."""
        moving = self.activations + self.scores + self.head
        return self.fixed + self.copies + moving + self.reserve


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Some GPUs of one kind."""

    gpus: int
    gigabytes: float
    """Of one GPU, in 10^9 bytes."""

    @property
    def usable(self) -> float:
        """Bytes of one GPU that a training can have."""
        return self.gigabytes * GB * USABLE

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.gpus} x {self.gigabytes:g} GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to train, on one kind of hardware."""

    title: str
    changes: str
    """What to set for it, as options of the command line."""
    hardware: Hardware
    need: Need
    longest: int
    """The longest context that fits, in tokens; 0 if none does."""

    @property
    def fits(self) -> bool:
        """Whether it can be trained."""
        return self.need.total <= self.hardware.usable


def need(
    shape: Shape, settings: TrainingSettings, *, gpus: int, tokens: int, half: bool = True
) -> Need:
    """Bytes on each GPU.

    Args:
        shape: The model.
        settings: How it is trained.
        gpus: How many GPUs train it.
        tokens: On one GPU at once.
        half: What `precision: auto` means: 16-bit arithmetic, or 32-bit.
    """
    precision = _meant(settings.precision, half=half)
    sharded = settings.sharding == "fsdp" and gpus > 1
    shares = gpus if sharded else 1
    small = precision is not Precision.FLOAT32
    light = precision is Precision.BFLOAT16_WEIGHTS or (settings.lora is not None and small)
    width = 2 if light else 4
    trained, trained_width = shape.parameters, width
    if settings.lora is not None:
        trained, trained_width = shape.adapter_parameters(settings.lora), 4
    exchange = 2 if gpus > 1 and not sharded else 1
    frozen = (shape.parameters * width if settings.lora is not None else 0) / shares
    copied = 2 * shape.layer_parameters + shape.head_parameters if sharded else trained
    activations, scores = _moving(
        shape, settings, tokens=tokens, half=small, light=light or sharded
    )
    return Need(
        weights=frozen + trained * trained_width / shares,
        copies=2 * copied if small and precision is not Precision.BFLOAT16_WEIGHTS else 0,
        gradients=exchange * trained * trained_width / shares,
        optimizer=_optimizer_state(shape, settings, trained, trained_width) / shares,
        activations=activations,
        scores=scores,
        head=_head(shape, settings, tokens=tokens),
        reference=shape.parameters * width / shares if _keeps_reference(settings) else 0,
    )


def _keeps_reference(settings: TrainingSettings) -> bool:
    """Whether the model as it was lies beside the one that is trained."""
    return settings.objective is Objective.DPO and settings.lora is None


def _head(shape: Shape, settings: TrainingSettings, *, tokens: int) -> int:
    """Scores of words, with their gradients."""
    if settings.objective is Objective.ORPO:
        return 3 * 4 * tokens * shape.vocabulary
    return 3 * 4 * min(tokens, _TILE_TOKENS) * min(shape.vocabulary, _TILE_WORDS)


def _meant(precision: Precision, *, half: bool = True) -> Precision:
    """What `auto` stands for."""
    if precision is not Precision.AUTO:
        return precision
    return Precision.BFLOAT16 if half else Precision.FLOAT32


def _optimizer_state(
    shape: Shape, settings: TrainingSettings, trained: int, trained_width: int
) -> float:
    if settings.optimizer == "adamw":
        return 2 * trained * trained_width
    words = 0 if settings.lora is not None else shape.head_parameters
    return 2 * (trained - words) + 2 * 4 * words


def _moving(
    shape: Shape, settings: TrainingSettings, *, tokens: int, half: bool, light: bool
) -> tuple[float, float]:
    """Activations and attention scores."""
    a = 2 if half else 4
    r, c = (2, 20) if half and light else (4, 30 if half else 32)
    kept = tokens * (c * shape.hidden + 2 * a * shape.keys + 4 * a * shape.inner)
    at_work = tokens * a * (2 * shape.hidden + 3 * shape.inner)
    checkpointing = settings.gradient_checkpointing is not False
    layers_kept = 1 if checkpointing else shape.layers
    inputs = tokens * r * shape.hidden * shape.layers if checkpointing else 0
    score = 0.0
    if settings.attention == "eager":
        score = 2.0 * a * shape.heads * tokens**2 * layers_kept
    elif settings.attention != "flash_attention_2" and settings.packs:
        score = (1.0 + a * layers_kept) * tokens**2
    return inputs + layers_kept * kept + at_work, score


def longest_context(
    shape: Shape, settings: TrainingSettings, *, hardware: Hardware, half: bool = True
) -> int:
    """The most tokens that fit on a GPU at once, to 256; 0 if none do, at most the model's own."""
    low, high = 0, -(-min(shape.context, 1 << 20) // _STEP)
    while low < high:
        middle = (low + high + 1) // 2
        found = need(shape, settings, gpus=hardware.gpus, tokens=middle * _STEP, half=half)
        low, high = (middle, high) if found.total <= hardware.usable else (low, middle - 1)
    return min(low * _STEP, shape.context)


def plan(
    shape: Shape,
    settings: TrainingSettings,
    *,
    hardware: Sequence[Hardware],
    tokens: int,
) -> list[Way]:
    """The settings as they stand and the usual ways to do with less, on every hardware."""
    ways = []
    for machine in hardware:
        for title, changes, changed in _variants(settings, gpus=machine.gpus):
            ways.append(
                Way(
                    title=title,
                    changes=changes,
                    hardware=machine,
                    need=need(shape, changed, gpus=machine.gpus, tokens=tokens),
                    longest=longest_context(shape, changed, hardware=machine),
                )
            )
    return ways


def _variants(
    settings: TrainingSettings, *, gpus: int
) -> Iterator[tuple[str, str, TrainingSettings]]:
    """Title, options and settings of every way to train."""
    yield "as set", "", settings
    whole: dict[str, Any] = {"lora": None, "optimizer": "adamw", "precision": Precision.BFLOAT16}
    variants: list[tuple[str, dict[str, Any]]] = [
        ("all weights, whole on each GPU", {"sharding": "none"}),
        ("all weights, shared out", {"sharding": "fsdp"}),
        ("8-bit optimizer", {"sharding": "none", "optimizer": "adamw_8bit"}),
        (
            "16-bit weights, 8-bit optimizer",
            {
                "sharding": "none",
                "optimizer": "adamw_8bit",
                "precision": Precision.BFLOAT16_WEIGHTS,
            },
        ),
        ("adapters of rank 16", {"sharding": "none", "lora": LoRASettings()}),
    ]
    for title, changes in variants:
        if changes["sharding"] == "fsdp" and gpus == 1:
            continue
        changed = settings.model_copy(update=whole | changes)
        if changed != settings.model_copy(update={"precision": _meant(settings.precision)}):
            yield title, _options(changes), changed


def _options(changes: dict[str, Any]) -> str:
    shown = {
        name: "{rank: 16}" if isinstance(value, LoRASettings) else value
        for name, value in changes.items()
        if value != "none"
    }
    return " ".join(f"--set 'training.{name}={value}'" for name, value in shown.items())
