"""Laws of trainings on GPUs; skipped where there is none."""

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.core.training.conftest import losses
from tests.core.training.schooling import job
from weak2wise_core.training.jobs import Trained
from weak2wise_core.training.running import train

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

GPU: dict[str, Any] = {"device": "cuda", "processes": 1}


def trained(folder: Path, **settings: Any) -> Trained:
    """A training on the GPU."""
    (found,) = asyncio.run(train([job(folder, **GPU | settings)], on_event=lambda _: None))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"packing": True, "global_batch_size": 2, "per_device_batch_size": 1},
        {"precision": "float32", "gradient_checkpointing": False},
        {"precision": "bfloat16_weights"},
        {"lora": {"rank": 8}},
        {"optimizer": "adamw_8bit"},
        {"loss": "equation_10", "attention": "flash_attention_2"},
    ],
    ids=["usual", "packed", "float32", "16 bits", "adapters", "8-bit optimizer", "flash"],
)
def test_the_weak_model_learns_on_a_gpu(tmp_path: Path, settings: dict[str, Any]) -> None:
    """In every number format and with every option the loss falls."""
    if settings.get("optimizer") and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    if settings.get("attention") and importlib.util.find_spec("flash_attn") is None:
        pytest.skip("flash_attn is not installed")
    found = trained(tmp_path, **settings)
    assert losses(found)[-1] < losses(found)[0]
    assert found.manifest["machine"]["device"] == "cuda"


def test_a_gpu_computes_the_losses_of_a_cpu(tmp_path: Path) -> None:
    """In float32, step by step, up to rounding."""
    on_gpu = trained(tmp_path, precision="float32", attention="eager")
    wanted = job(tmp_path, "on-cpu", attention="eager")
    (on_cpu,) = asyncio.run(train([wanted], on_event=lambda _: None))
    assert losses(on_gpu) == pytest.approx(losses(on_cpu), rel=1e-2)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("sharding", ["none", "fsdp"])
@pytest.mark.parametrize("lora", [None, {"rank": 8}])
def test_two_gpus_train_what_one_trains(
    tmp_path: Path, sharding: str, lora: dict[str, int] | None
) -> None:
    """Whole models on both, or shares: the same losses up to rounding, and a whole model folder."""
    alone = trained(tmp_path, name="alone", precision="float32", lora=lora, per_device_batch_size=4)
    both = trained(
        tmp_path,
        name="both",
        precision="float32",
        lora=lora,
        processes=2,
        per_device_batch_size=2,
        sharding=sharding,
    )
    assert losses(both) == pytest.approx(losses(alone), rel=1e-2)
    names = sorted(path.name for path in both.folder.iterdir())
    assert names == sorted(path.name for path in alone.folder.iterdir())
