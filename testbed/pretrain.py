"""Pretrain the weak model from scratch: `python -m testbed.pretrain --out DIR --seed N`.

About twenty minutes on one core. The weights are stored as float16 and meant to be computed in
float32; record figures from the stored file (`python -m testbed.figures`).
"""

import argparse
import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from testbed.documents import Document, documents
from testbed.language import tell_problem
from testbed.muon import Muon
from testbed.teachers import Teacher, draw_quality, write_lesson
from testbed.tokenizer import END_OF_TEXT, END_OF_TURN, LONGEST, VOCABULARY, build_tokenizer
from testbed.world import Share, draw_problem

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

logger = logging.getLogger(__name__)

PROMPT_WEIGHT, TEXT_WEIGHT, REPLY_WEIGHT = 0.3, 1.0, 4.0
"""How much the loss of one token counts, by where it stands."""
WAITING = 64
"""Documents to choose from when a row is filled."""
WARM_UP = 40
"""Optimiser steps until the learning rate is reached; from there it falls to a fiftieth."""


Encoded: TypeAlias = list[tuple[int, float]]
"""Tokens of one document, each with what its loss counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What decides the weights."""

    seed: int = 1
    steps: int = 1400
    rows: int = 19
    """Packed rows in one step."""
    length: int = 320
    """Tokens of a row; longer documents are left out."""
    matrix_rate: float = 0.02
    """Learning rate of Muon, for the matrices inside the layers."""
    other_rate: float = 0.003
    """Learning rate of AdamW, for embeddings and norms."""
    tokenizer_texts: int = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Packed documents: tokens and what each one's loss counts, both rows by length."""

    tokens: "Tensor"
    weights: "Tensor"


def tokenizer_texts(rng: random.Random, *, count: int) -> Iterator[str]:
    """Pretraining documents and teachers' lessons in turn; reserved chains occur in neither."""
    for document in islice(documents(rng), count // 2):
        yield document.prompt + document.text
        problem = draw_problem(rng, length=rng.choice((2, 3, 4, 5)), share=Share.PRETRAINING)
        teacher = rng.choice(tuple(Teacher))
        quality = draw_quality(rng, teacher=teacher, problem=problem)
        lesson = write_lesson(rng, problem=problem, teacher=teacher, quality=quality)
        yield f"{tell_problem(problem)}\n{lesson.steps}\n{lesson.thinking}"


def encode(tokenizer: Any, document: Document) -> Encoded:
    """Tokens of a document with their weights; the first one cannot be predicted."""
    prompt = tokenizer.encode(document.prompt, add_special_tokens=False).ids
    text = tokenizer.encode(document.text, add_special_tokens=False).ids
    weight = REPLY_WEIGHT if prompt else TEXT_WEIGHT
    pairs = [(token, PROMPT_WEIGHT) for token in prompt] + [(token, weight) for token in text]
    return [(pairs[0][0], 0.0), *pairs[1:]]


def pack(encoded: Iterator[Encoded], *, training: Training, rng: random.Random) -> Iterator[Batch]:
    """Fill rows with whole documents, in random order inside a row."""
    import torch

    short = (document for document in encoded if len(document) <= training.length)
    waiting = list(islice(short, WAITING))
    while True:
        tokens = torch.zeros((training.rows, training.length), dtype=torch.long)
        weights = torch.zeros((training.rows, training.length))
        for row in range(training.rows):
            chosen = _choose(waiting, short, length=training.length)
            rng.shuffle(chosen)
            filled = [pair for document in chosen for pair in document]
            tokens[row, : len(filled)] = torch.tensor([token for token, _ in filled])
            weights[row, : len(filled)] = torch.tensor([weight for _, weight in filled])
        yield Batch(tokens=tokens, weights=weights)


def _choose(waiting: list[Encoded], more: Iterator[Encoded], *, length: int) -> list[Encoded]:
    """Documents for one row: always the longest one that still fits."""
    chosen: list[Encoded] = []
    room = length
    while fitting := [n for n, document in enumerate(waiting) if len(document) <= room]:
        longest = max(fitting, key=lambda n: len(waiting[n]))
        chosen.append(waiting[longest])
        room -= len(waiting[longest])
        waiting[longest] = next(more)
    return chosen


def new_model(tokenizer: Any) -> Any:
    """An untrained model of 0.86 million parameters in the architecture of Qwen2."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=LONGEST,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.token_to_id(END_OF_TURN),
            pad_token_id=tokenizer.token_to_id(END_OF_TEXT),
        )
    )


def rate_factor(step: int, *, steps: int) -> float:
    """The part of the learning rates in force at a step: up in `WARM_UP` steps, then down."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return max(0.02, 1 - (step - WARM_UP) / max(1, steps - WARM_UP))


def loss_of(model: Any, batch: Batch) -> "Tensor":
    """Weighted mean of the loss of every token but each document's first."""
    import torch

    logits = model(input_ids=batch.tokens).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, VOCABULARY), batch.tokens[:, 1:].reshape(-1), reduction="none"
    )
    weights = batch.weights[:, 1:].reshape(-1)
    return (losses * weights).sum() / weights.sum()


def train(model: Any, batches: Iterator[Batch], *, training: Training) -> None:
    """Read the batches once, with Muon for the matrices of the layers and AdamW for the rest."""
    import torch

    matrices: list[Parameter] = []
    others: list[Parameter] = []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
    muon = Muon(matrices, rate=training.matrix_rate)
    adam = torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0)
    progress = Progress()
    for step, batch in enumerate(islice(batches, training.steps)):
        loss = loss_of(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        factor = rate_factor(step, steps=training.steps)
        adam.param_groups[0]["lr"] = training.other_rate * factor
        muon.step(factor=factor)
        adam.step()
        adam.zero_grad()
        progress.log(step, loss=loss.item())


class Progress:
    """Tells the log how far the training is."""

    def __init__(self) -> None:
        self._began, self._mean = time.process_time(), 0.0

    def log(self, step: int, *, loss: float) -> None:
        """Count one step; every 25th is told."""
        self._mean = loss if step == 0 else 0.95 * self._mean + 0.05 * loss
        if step % 25 == 24:
            seconds = time.process_time() - self._began
            logger.info("step %d: loss %.4f, %.0f CPU seconds", step + 1, self._mean, seconds)


def pretrain(folder: Path, *, training: Training) -> None:
    """Tokenizer and weights into a folder that transformers can open.

    Args:
        folder: Made where absent; files of the same names are replaced.
        training: Seed, length and learning rates.
    """
    import torch
    from tokenizers import Tokenizer

    torch.manual_seed(training.seed)
    folder.mkdir(parents=True, exist_ok=True)
    texts = tokenizer_texts(_chance(training, "tokenizer"), count=training.tokenizer_texts)
    build_tokenizer(texts, folder=folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = (
        encode(tokenizer, document) for document in documents(_chance(training, "documents"))
    )
    model = new_model(tokenizer)
    batches = pack(encoded, training=training, rng=_chance(training, "packing"))
    train(model.train(), batches, training=training)
    save_half(model, folder=folder)
    (folder / "training.json").write_text(json.dumps(asdict(training), indent=2) + "\n")


def save_half(model: Any, *, folder: Path) -> None:
    """Weights as float16, with a configuration that has them computed in float32."""
    import torch

    model.half().save_pretrained(folder)
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)


def _chance(training: Training, purpose: str) -> random.Random:
    return random.Random(f"{training.seed}/{purpose}")  # noqa: S311 - not secret


def main() -> None:
    """Read the command line and train."""
    defaults = Training()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--steps", type=int, default=defaults.steps, help="optimiser steps")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    import torch

    torch.set_num_threads(given.threads)
    pretrain(given.out, training=Training(seed=given.seed, steps=given.steps))


if __name__ == "__main__":
    main()
