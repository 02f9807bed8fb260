"""More models, for the related methods: `python -m testbed.pupils reasoner --out DIR`.

- `reasoner` is small and always reasons: in thinking tags where it is asked a bare question, in
  plain words where it is asked to reason step by step. It makes mistakes, for it is the weaker one.
- `strong` goes on where the weak model of a build ended. It calculates better, but blurts out a
  boxed result unless the problems that it is shown before come with reasoning: then it reasons as
  they do.
- `practised` is the strong one after reasoning rightly about problems without end. It stands in for
  a student after reinforcement learning, which is not done here, and is not shipped.

So what a weaker teacher can give the stronger model is the habit, not the arithmetic: in this world
a gain is one of elicitation by construction. All read the tokens of the weak model.
"""

import argparse
import json
import logging
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from testbed.documents import Document, write_direct, write_drill, write_worked
from testbed.language import tell_problem
from testbed.models import WEAK_MODEL_FOLDER
from testbed.pretrain import Training, encode, pack, save_half, train
from testbed.tokenizer import END_OF_TEXT, END_OF_TURN, LONGEST, VOCABULARY, render_chat
from testbed.world import Problem, Share, draw_problem
from weak2wise_core.prompts import DEMONSTRATE, DEMONSTRATION, SOLVE

SHOWN = 2
"""Solved problems in the prompt of a demonstration; `demonstrations.count` of the recipe."""
_LENGTHS = (1, 2, 2, 3, 3, 4)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

Writer = Callable[[random.Random], Document]


def equations(problem: Problem) -> str:
    """The way to the answer, one equation after another."""
    steps = zip(problem.operations, problem.values[:-1], problem.values[1:], strict=True)
    return " ".join(f"{before} {o.kind} {o.amount} = {after}." for o, before, after in steps)


def reasoned(problem: Problem) -> str:
    """A solution that reasons in plain words."""
    return rf"{equations(problem)} \boxed{{{problem.answer}}}"


def thought(problem: Problem) -> str:
    """A solution that reasons in thinking tags."""
    thinking = f"Start with {problem.start}. {equations(problem)} So it is {problem.answer}."
    return rf"<think> {thinking} </think> \boxed{{{problem.answer}}}"


def blurted(problem: Problem) -> str:
    """A solution without reasoning."""
    return rf"\boxed{{{problem.answer}}}"


def _draw(rng: random.Random) -> Problem:
    return draw_problem(rng, length=rng.choice(_LENGTHS), share=Share.PRETRAINING)


def write_thought(rng: random.Random) -> Document:
    """A bare question, thought about."""
    problem = _draw(rng)
    return Document(prompt=render_chat(tell_problem(problem)), text=thought(problem) + END_OF_TURN)


def write_reasoned(rng: random.Random) -> Document:
    """A question with the instruction to reason, answered in plain words."""
    problem = _draw(rng)
    user = SOLVE.fill(question=tell_problem(problem))
    return Document(prompt=render_chat(user), text=reasoned(problem) + END_OF_TURN)


def write_demonstrated(rng: random.Random) -> Document:
    """A question after solved ones, answered in their manner: three in four reason."""
    solve = reasoned if rng.random() < 0.75 else blurted
    shown = "\n\n".join(
        DEMONSTRATION.fill(question=tell_problem(one), response=solve(one))
        for one in (_draw(rng) for _ in range(SHOWN))
    )
    problem = _draw(rng)
    user = DEMONSTRATE.fill(demonstrations=shown, question=tell_problem(problem))
    return Document(prompt=render_chat(user), text=solve(problem) + END_OF_TURN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """What decides the weights of one of the models."""

    hidden: int
    inner: int
    layers: int
    start: str
    """The folder of the model that it goes on from; empty where it begins from nothing."""
    training: Training
    mix: Mapping[str, float]
    """How often each kind of document comes."""


WRITERS: Mapping[str, Writer] = {
    "drill": write_drill,
    "worked": write_worked,
    "direct": write_direct,
    "thought": write_thought,
    "reasoned": write_reasoned,
    "demonstrated": write_demonstrated,
}
PUPILS: Mapping[str, Pupil] = {
    "reasoner": Pupil(
        hidden=64,
        inner=160,
        layers=2,
        start="",
        training=Training(seed=11, steps=600, rows=12, length=320),
        mix={"drill": 0.15, "worked": 0.15, "thought": 0.35, "reasoned": 0.35},
    ),
    "strong": Pupil(
        hidden=128,
        inner=384,
        layers=4,
        start="weak_model",
        training=Training(seed=12, steps=240, rows=10, length=480),
        mix={"drill": 0.2, "worked": 0.2, "direct": 0.2, "demonstrated": 0.4},
    ),
    "practised": Pupil(
        hidden=128,
        inner=384,
        layers=4,
        start="strong_model",
        training=Training(seed=13, steps=120, rows=12, length=320),
        mix={"thought": 1.0},
    ),
}


def documents(rng: random.Random, *, mix: Mapping[str, float]) -> Iterator[Document]:
    """Documents without end, in the proportions of a mix."""
    kinds, weights = list(mix), list(mix.values())
    while True:
        yield WRITERS[rng.choices(kinds, weights)[0]](rng)


def first_model(pupil: Pupil, tokenizer: Any) -> Any:
    """The model before its first step, in the architecture of Qwen2 and in float32."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    if pupil.start:
        folder = WEAK_MODEL_FOLDER.with_name(pupil.start)
        return Qwen2ForCausalLM.from_pretrained(folder, dtype="float32")

    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=pupil.hidden,
            intermediate_size=pupil.inner,
            num_hidden_layers=pupil.layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=LONGEST,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.token_to_id(END_OF_TURN),
            pad_token_id=tokenizer.token_to_id(END_OF_TEXT),
        )
    )


def school(folder: Path, *, pupil: Pupil) -> None:
    """Train a model and write it into a folder that transformers can open.

    Args:
        folder: Made where absent; files of the same names are replaced.
        pupil: What decides the weights.
    """
    import torch
    from tokenizers import Tokenizer

    torch.manual_seed(pupil.training.seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER_FILES:
        shutil.copyfile(WEAK_MODEL_FOLDER / name, folder / name)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = documents(_chance(pupil, "documents"), mix=pupil.mix)
    encoded = (encode(tokenizer, document) for document in texts)
    model = first_model(pupil, tokenizer)
    batches = pack(encoded, training=pupil.training, rng=_chance(pupil, "packing"))
    train(model.train(), batches, training=pupil.training)
    save_half(model, folder=folder)
    described = asdict(pupil) | {"mix": dict(pupil.mix)}
    (folder / "pretraining.json").write_text(json.dumps(described, indent=2) + "\n")


def _chance(pupil: Pupil, purpose: str) -> random.Random:
    return random.Random(f"pupil/{pupil.training.seed}/{purpose}")  # noqa: S311 - not secret


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("pupil", choices=tuple(PUPILS))
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    import torch

    torch.set_num_threads(given.threads)
    school(given.out, pupil=PUPILS[given.pupil])


if __name__ == "__main__":
    main()
