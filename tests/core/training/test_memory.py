"""Laws of the memory plan: its arithmetic is that of real trainings."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from testbed.models import WEAK_MODEL_FOLDER
from weak2wise_core.config.training import LoRASettings, TrainingSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.training.memory import (
    GB,
    Hardware,
    longest_context,
    need,
    plan,
)
from weak2wise_core.training.shapes import Shape, measure, shape_of

torch = pytest.importorskip("torch")

QWEN_7B = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
}
FLASH = {"attention": "flash_attention_2"}
CONTEXT = 32_768


def settings(**values: Any) -> TrainingSettings:
    """Training settings."""
    return TrainingSettings.model_validate(values)


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Shape:
    """The sizes of Qwen2.5-7B, from a config alone."""
    folder = tmp_path_factory.mktemp("seven")
    (folder / "config.json").write_text(json.dumps(QWEN_7B))
    return shape_of(str(folder))


def stored(folder: Path) -> int:
    """Parameters in a safetensors file, by its header."""
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    sizes = [entry["shape"] for entry in header.values()]
    return sum(int(torch.tensor(size).prod()) for size in sizes)


def test_parameters_are_counted_without_weights(seven: Shape) -> None:
    """As the stored files count them, and as Qwen2.5-7B's makers do."""
    assert shape_of(str(WEAK_MODEL_FOLDER)).parameters == stored(WEAK_MODEL_FOLDER) == 860_288
    assert seven.parameters == 7_615_616_512
    assert (seven.layers, seven.hidden, seven.keys, seven.inner) == (28, 3584, 512, 18944)


@pytest.mark.parametrize(
    ("values", "gigabytes"),
    [
        ({"precision": "bfloat16"}, 137),
        ({"precision": "bfloat16_weights"}, 61),
        ({"precision": "bfloat16_weights", "optimizer": "adamw_8bit"}, 49),
    ],
)
def test_seven_billion_weights(seven: Shape, values: dict[str, Any], gigabytes: int) -> None:
    """18 bytes a weight in mixed precision; 8 in 16 bits; 6 with 8 bits in the optimiser's state.

    Of the last, the table of words keeps its state in 32 bits, which is 3 GB more.
    """
    found = need(seven, settings(**values, **FLASH), gpus=1, tokens=CONTEXT)
    assert round((found.fixed + found.copies) / GB) == gigabytes


def test_eight_gpus_share_a_training_of_all_weights(seven: Shape) -> None:
    """16 of the 18 bytes are shared out; a whole model each does not fit, shares do."""
    shared = need(seven, settings(sharding="fsdp", **FLASH), gpus=8, tokens=CONTEXT)
    alone = need(seven, settings(**FLASH), gpus=1, tokens=CONTEXT)
    assert shared.fixed == pytest.approx(alone.fixed / 8)
    assert round(shared.fixed / GB) == 15
    hardware = Hardware(gpus=8, gigabytes=80)
    assert shared.total < hardware.usable < alone.total


def real_state(lora: bool, dtype: str, optimizer_steps: int = 1) -> dict[str, int]:
    """Bytes of the tensors of a real training of the tiny model, after a step."""
    from transformers import AutoModelForCausalLM

    kind: Any = AutoModelForCausalLM
    model = kind.from_pretrained(WEAK_MODEL_FOLDER, dtype=getattr(torch, dtype))
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(
            model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    trained = [part for part in model.parameters() if part.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    ids = torch.arange(3, 40)[None]
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    moments = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value) and value.dim() > 0
    ]
    return {
        "weights": _bytes(model.parameters()),
        "gradients": _bytes(part.grad for part in trained),
        "optimizer": _bytes(moments),
    }


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ({"precision": "float32"}, "float32"),
        ({"precision": "bfloat16"}, "float32"),
        ({"precision": "bfloat16_weights"}, "bfloat16"),
        ({"precision": "bfloat16", "lora": {}}, "bfloat16"),
        ({"precision": "float32", "lora": {}}, "float32"),
    ],
)
def test_the_arithmetic_is_that_of_a_real_training(values: dict[str, Any], dtype: str) -> None:
    """Weights, gradients and optimiser state, to the byte."""
    if "lora" in values:
        pytest.importorskip("peft")
    shape = shape_of(str(WEAK_MODEL_FOLDER))
    found = need(shape, settings(**values), gpus=1, tokens=37)
    real = real_state("lora" in values, dtype)
    assert {name: getattr(found, name) for name in real} == real


@pytest.mark.parametrize(
    ("dtype", "autocast"), [("float32", False), ("float32", True), ("bfloat16", False)]
)
@pytest.mark.parametrize("checkpointing", [True, False])
def test_activations_are_those_of_a_real_backward_pass(
    dtype: str, autocast: bool, checkpointing: bool
) -> None:
    """What the backward pass keeps of a layer more, within a tenth.

    The first and last layer and the losses are not in it: two depths are compared.
    """
    precision = {"float32": "bfloat16" if autocast else "float32", "bfloat16": "bfloat16_weights"}
    chosen = settings(
        precision=precision[dtype], gradient_checkpointing=checkpointing, packing=False
    )
    tokens, kept, planned = 2048, [], []
    for layers in (1, 3):
        model = _random_model(layers, context=tokens)
        kept.append(_kept_bytes(model.to(getattr(torch, dtype)), tokens, autocast, checkpointing))
        shape = _shape_of(model)
        planned.append(need(shape, chosen, gpus=1, tokens=tokens).activations)
    assert planned[1] - planned[0] == pytest.approx(kept[1] - kept[0], rel=0.1)


def _random_model(layers: int, *, context: int) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
    )
    return Qwen2ForCausalLM(config).train()


def _shape_of(model: Any) -> Shape:
    return measure("random", model)


def _kept_bytes(model: Any, tokens: int, autocast: bool, checkpointing: bool) -> int:
    """Bytes of different tensors that a forward pass keeps for the backward pass."""
    if checkpointing:
        model.activation_checkpointing_enable()
    own = {part.untyped_storage().data_ptr() for part in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    ids = torch.zeros((1, tokens), dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        model.model(input_ids=ids, use_cache=False)
    return sum(storage.nbytes() for storage in kept.values())


def test_a_longer_context_never_needs_less(seven: Shape) -> None:
    """And the longest that is told fits, while the next step does not."""
    chosen = settings(lora={}, **FLASH)
    needs = [need(seven, chosen, gpus=1, tokens=n).total for n in (0, 1024, 8192, CONTEXT)]
    assert needs == sorted(needs)
    hardware = Hardware(gpus=1, gigabytes=24)
    longest = longest_context(seven, chosen, hardware=hardware)
    assert 0 < longest < CONTEXT
    assert need(seven, chosen, gpus=1, tokens=longest).total <= hardware.usable
    assert need(seven, chosen, gpus=1, tokens=longest + 256).total > hardware.usable


def test_adapters_need_little(seven: Shape) -> None:
    """Rank 16 on all linear layers of the 7B model trains half a percent of its weights."""
    lora = LoRASettings()
    assert seven.adapter_parameters(lora) / seven.parameters == pytest.approx(0.0053, abs=3e-4)
    only = LoRASettings(targets=("q_proj",))
    assert seven.adapter_parameters(only) == 28 * 16 * (3584 + 3584)


def test_a_plan_offers_ways_that_fit(seven: Shape) -> None:
    """On one GPU of 80 GB the paper's training does not fit, adapters do; on eight, in shares."""
    one, eight = Hardware(gpus=1, gigabytes=80), Hardware(gpus=8, gigabytes=80)
    ways = plan(seven, settings(**FLASH), hardware=[one, eight], tokens=CONTEXT)
    fitting = {way.title for way in ways if way.hardware == one and way.fits}
    assert "as set" not in fitting
    assert "adapters of rank 16" in fitting
    (shared,) = [way for way in ways if "shared" in way.title]
    assert (shared.hardware, shared.fits) == (eight, True)
    assert "training.sharding=fsdp" in shared.changes


def test_a_model_without_a_config_is_an_error(tmp_path: Path) -> None:
    """It is named, with what it should be."""
    with pytest.raises(InputFileError, match=r"config\.json"):
        shape_of(str(tmp_path))
