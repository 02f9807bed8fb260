"""A loaded model answers batches, and what it lacks is named."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.core.llm.tiny_model import GREEDY, Cramped, question, spec, tiny_model
from weak2wise_core.errors import FatalModelError, InputFileError, UsageError
from weak2wise_core.llm.engine import Engine
from weak2wise_core.llm.loading import load_engine
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.protocol import Sampling

torch = pytest.importorskip("torch")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model of a few thousand parameters."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def engine(folder: Path) -> Engine:
    """The model, loaded and warm: the first batch imports much."""
    engine = load_engine(spec(folder))
    engine.answer([engine.prompt(question(0), sampling=GREEDY, draw=0)], dropped=lambda row: False)
    return engine


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may change."""
    return shutil.copytree(folder, tmp_path / "tiny")


def test_other_failures_of_the_model_are_not_taken_for_a_lack_of_memory(engine: Engine) -> None:
    """Only the words of the memory errors count; anything else goes up as it is."""
    prompts = [engine.prompt(question(n), sampling=GREEDY, draw=0) for n in range(3)]
    for error, kind in (
        ("CUDA out of memory. Tried to allocate 2 GiB", MemoryError),
        ("DefaultCPUAllocator: can't allocate memory", MemoryError),
        ("CUDA error: device-side assert triggered", RuntimeError),
    ):
        cramped: Any = Cramped(engine._model, error=error)
        with pytest.raises(kind, match=error[:20]):
            Engine(cramped, tokens=engine.tokens).answer(prompts, dropped=lambda row: False)


def test_a_batch_that_nobody_waits_for_ends_at_once(engine: Engine) -> None:
    """Rows that were dropped stop; a row that is waited for goes on to its end."""
    long = Sampling(temperature=1.0, max_tokens=30)
    prompts = [engine.prompt(question(5), sampling=long, draw=draw) for draw in range(8)]
    whole = engine.answer(prompts, dropped=lambda row: False)
    cut = engine.answer(prompts, dropped=lambda row: True)
    assert {answer.completion_tokens for answer in cut} == {1}
    assert max(answer.completion_tokens for answer in whole) > 1
    assert engine.answer(prompts, dropped=lambda row: row != 3)[3] == whole[3]


def test_weights_stored_in_half_precision_compute_in_float32_on_a_cpu(
    folder: Path, engine: Engine
) -> None:
    """`dtype: auto` follows the device, not the file; an explicit one is obeyed."""
    assert {weight.dtype for weight in engine._model.parameters()} == {torch.float32}
    assert not engine._model.training
    half = load_engine(spec(folder, dtype="bfloat16"))
    assert {weight.dtype for weight in half._model.parameters()} == {torch.bfloat16}


def test_what_cannot_be_loaded_is_named_with_advice(folder: Path, copy: Path) -> None:
    """No weights, no tokenizer, no such folder, no such device: each says what to do."""
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(FatalModelError, match="cannot be loaded on cpu"):
        load_engine(spec(copy))
    (copy / "model.safetensors").unlink()
    with pytest.raises(FatalModelError, match=r"config\.json and weights"):
        load_engine(spec(copy))
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match="tokenizer:"):
        load_engine(spec(copy))
    with pytest.raises(InputFileError, match="does not exist"):
        TransformersModel(spec(copy / "nowhere"))
    with pytest.raises(FatalModelError, match=r"not available here, only .*cpu"):
        load_engine(spec(folder, device="abacus"))
