"""Pretraining: packing, learning rates, and a folder that transformers can open."""

import hashlib
import json
import random
from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from testbed.documents import documents
from testbed.models import WEAK_MODEL_FOLDER
from testbed.pretrain import (
    PROMPT_WEIGHT,
    REPLY_WEIGHT,
    TEXT_WEIGHT,
    Training,
    encode,
    pack,
    pretrain,
    rate_factor,
)

torch = pytest.importorskip("torch")

TINY = Training(seed=3, steps=2, rows=2, length=200, tokenizer_texts=400)


@pytest.fixture(scope="module")
def stored() -> Tokenizer:
    """The tokenizer that lies beside the weights."""
    return Tokenizer.from_file(str(WEAK_MODEL_FOLDER / "tokenizer.json"))


def test_a_reply_counts_more_than_its_prompt(stored: Tokenizer) -> None:
    """Weights follow the place of a token, and a document's first one is never predicted."""
    for document in islice(documents(random.Random(1)), 50):
        weights = [weight for _, weight in encode(stored, document)]
        expected = {PROMPT_WEIGHT, REPLY_WEIGHT} if document.prompt else {TEXT_WEIGHT}
        assert weights[0] == 0
        assert set(weights[1:]) == expected


def test_rows_hold_whole_documents_and_little_else(stored: Tokenizer) -> None:
    """Every packed document is one that was given, and nine tenths of a row are filled."""
    given = [encode(stored, document) for document in islice(documents(random.Random(1)), 600)]
    training = Training(rows=4)
    batches = list(islice(pack(iter(given), training=training, rng=random.Random(2)), 20))
    texts = {tuple(token for token, _ in document) for document in given}
    filled = 0
    for batch in batches:
        for tokens, weights in zip(batch.tokens.tolist(), batch.weights.tolist(), strict=True):
            filled += sum(weight > 0 for weight in weights)
            assert set(_documents(tokens, weights)) <= texts
    assert filled / (len(batches) * training.rows * training.length) > 0.9


def test_the_rate_rises_once_and_falls() -> None:
    """Learning rates climb to their value in the warm-up, then fall to a fiftieth."""
    factors = [rate_factor(step, steps=400) for step in range(400)]
    peak = factors.index(max(factors))
    assert max(factors) == 1
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[-1] == pytest.approx(0.02)


@pytest.mark.slow
def test_a_training_is_repeatable_and_can_be_opened(tmp_path: Path) -> None:
    """The same seed gives the same files, stored in half precision and read in single."""
    from transformers import AutoModelForCausalLM

    for name in ("a", "b"):
        pretrain(tmp_path / name, training=TINY)
    digests = [_digests(tmp_path / name) for name in ("a", "b")]
    assert digests[0] == digests[1]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "a", local_files_only=True)
    assert model.dtype == torch.float32
    assert sum(parameter.numel() for parameter in model.parameters()) == 860_288
    assert json.loads((tmp_path / "a" / "training.json").read_text())["seed"] == 3


def test_the_stored_model_is_small() -> None:
    """The weights travel with the code: everything beside them stays under 1.9 MB."""
    assert sum(path.stat().st_size for path in WEAK_MODEL_FOLDER.iterdir()) < 1_900_000


def _documents(tokens: list[int], weights: list[float]) -> list[tuple[int, ...]]:
    """Split a packed row at the weight 0 with which every document opens; padding is left out."""
    starts = [n for n, weight in enumerate(weights[:-1]) if weight == 0 and weights[n + 1] > 0]
    ends = [*starts[1:], max(n for n, weight in enumerate(weights) if weight > 0) + 1]
    return [tuple(tokens[start:end]) for start, end in zip(starts, ends, strict=True)]


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
