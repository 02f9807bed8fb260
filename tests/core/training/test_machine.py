"""Laws of the machine: `auto` means the best there is, and what is demanded is there or refused."""

import importlib.util
import os
from typing import Any

import pytest

from weak2wise_core.config.training import TrainingSettings
from weak2wise_core.errors import MissingExtraError, TrainingRefusedError
from weak2wise_core.training.card import loss_table, sparkline
from weak2wise_core.training.machine import (
    accumulation,
    look_at,
    process_count,
    require_packages,
)
from weak2wise_core.training.program import take_one_gpu

torch = pytest.importorskip("torch")


def settings(**values: Any) -> TrainingSettings:
    """Training settings."""
    return TrainingSettings.model_validate(values)


@pytest.mark.parametrize(
    ("values", "weights", "autocast", "saved_as"),
    [
        ({}, "float32", False, "float32"),
        ({"precision": "bfloat16"}, "float32", True, "bfloat16"),
        ({"precision": "bfloat16_weights"}, "bfloat16", False, "bfloat16"),
        ({"precision": "bfloat16", "lora": {}}, "bfloat16", True, "bfloat16"),
        ({"lora": {}}, "float32", False, "float32"),
        ({"saved_as": "float16"}, "float32", False, "float16"),
    ],
)
def test_formats_of_numbers(
    values: dict[str, Any], weights: str, autocast: bool, saved_as: str
) -> None:
    """Weights that are trained stay in 32 bits unless asked otherwise; frozen ones need not."""
    found = look_at(settings(device="cpu", **values))
    assert (found.weights, found.autocast, found.saved_as) == (weights, autocast, saved_as)
    assert (found.device, found.attention, found.checkpointing) == ("cpu", "sdpa", False)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"device": "cuda"}, "no GPU"),
        ({"device": "mps"}, "no device mps"),
        ({"sharding": "fsdp", "device": "cpu"}, "training.sharding: fsdp"),
        ({"optimizer": "adamw_8bit", "device": "cpu"}, "training.optimizer: adamw_8bit"),
        ({"attention": "flash_attention_2", "device": "cpu"}, "training.attention"),
        ({"device": "cpu", "global_batch_size": 6, "per_device_batch_size": 4}, "multiple of 4"),
    ],
)
def test_what_the_machine_lacks_is_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], found: str
) -> None:
    """By name, before anything is loaded."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(TrainingRefusedError, match=found):
        look_at(settings(**values))


@pytest.mark.parametrize(
    ("gpus", "values", "expected"),
    [
        (0, {}, 1),
        (8, {}, 8),
        (8, {"global_batch_size": 8, "per_device_batch_size": 8}, 1),
        (6, {"global_batch_size": 16}, 4),
        (8, {"processes": 3}, 3),
        (8, {"device": "cpu"}, 1),
    ],
)
def test_processes_are_as_many_as_share_the_batch_evenly(
    monkeypatch: pytest.MonkeyPatch, gpus: int, values: dict[str, Any], expected: int
) -> None:
    """One per GPU where they do, fewer where they do not; what is said counts."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    found = process_count(settings(**values))
    assert found == expected
    if "processes" not in values:
        accumulation(settings(**values), processes=found)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has a GPU of its own."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    for here, refused in (("2", False), ("4", True)):  # on two machines, on one
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
        if refused:
            with pytest.raises(TrainingRefusedError, match="there are 2 GPUs"):
                look_at(settings())
        else:
            assert look_at(settings()).processes == 4


@pytest.mark.parametrize(
    ("world", "before", "after"),
    [("1", None, "0"), ("1", "3,5", "3"), ("1", "", ""), ("2", "3,5", "3,5"), ("2", None, None)],
)
def test_a_process_alone_sees_one_gpu(
    monkeypatch: pytest.MonkeyPatch, world: str, before: str | None, after: str | None
) -> None:
    """The first of those that it may use; several processes share them out by themselves."""
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before or "")
    if before is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    take_one_gpu()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == after


@pytest.mark.parametrize(
    ("missing", "values", "found"),
    [
        ("trl", {}, r"pip install 'weak2wise\[train\]'"),
        ("peft", {"lora": {}}, r"pip install 'weak2wise\[train\]'"),
        ("bitsandbytes", {"optimizer": "adamw_8bit"}, "pip install bitsandbytes"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, values: dict[str, Any], found: str
) -> None:
    """With what to install; a package that is not needed is not asked for."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else 1)
    with pytest.raises(MissingExtraError, match=found):
        require_packages(settings(**values))
    if values:
        require_packages(settings())


def test_a_curve_keeps_its_ends() -> None:
    """A long history becomes a short table with its first and last step, and one line of blocks."""
    steps = [
        {"step": at + 1, "loss": 3.0 - at / 100, "learning_rate": 1e-5, "num_tokens": at * 10}
        for at in range(200)
    ]
    table = loss_table(steps)
    assert "| 1 | 3.0000 |" in table
    assert "| 200 | 1.0100 |" in table
    assert table.count("\n| ") == 14
    line = sparkline([step["loss"] for step in steps])
    assert len(line) <= 60
    assert (line[0], line[-1]) == ("█", "▁")
    assert loss_table([]) == "no step was made"
