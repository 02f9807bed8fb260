"""Teachers that are language models, `lm-teacher-a` and `lm-teacher-b`: apprentices of programs.

One small model learnt to speak like both program teachers, their faults included, about chains that
are in no pool and no test. A program's two traces share one logical path by construction; here the
model writes its thinking and then its steps, token by token, and errs in each for itself. Nobody
knows the quality of a sample beforehand: `testbed.soundness` reads it off the text.

    python -m testbed.apprentices --out DIR --seed 1

trains it again, from the weak model's weights, in about 13 minutes on one core.
"""

import argparse
import json
import logging
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from testbed.documents import Document
from testbed.language import find_problem, tell_problem
from testbed.pretrain import Training, encode, pack, save_half, train
from testbed.teachers import Teacher, draw_quality, write_lesson
from testbed.tokenizer import END_OF_TURN, THINKING, render_chat
from testbed.world import POOL_LENGTHS, Share, draw_problem
from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import ChatReply, Message

FOLDER = Path(__file__).parent / "apprentice_model"
NAMES = {f"lm-{teacher.value}": teacher for teacher in Teacher}
"""Which program each apprentice speaks like, by the name that a recipe gives as `model`."""
LONGEST_REPLY = 640
"""Tokens of thinking and steps where the recipe sets no limit."""
TEMPERATURE = 0.7
"""Where the recipe sets none."""
_LAST_TITLE = "## Final Answer"
_SAME_AS_WEAK = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
TRAINING = Training(
    seed=1, steps=800, rows=12, length=512, matrix_rate=0.02, other_rate=0.003, tokenizer_texts=0
)


def request(question: str, *, answer: str, teacher: Teacher) -> str:
    """What the model reads in place of the conversation of C_gen, which is long for it."""
    return f"{question}\nThe answer is {answer}. Explain like {teacher.value}."


def documents(rng: random.Random) -> Iterator[Document]:
    """Lessons of both programs without end, about chains of the pretraining share."""
    opening, closing = THINKING
    while True:
        problem = draw_problem(rng, length=rng.choice(POOL_LENGTHS), share=Share.PRETRAINING)
        teacher = rng.choice(tuple(Teacher))
        quality = draw_quality(rng, teacher=teacher, problem=problem)
        lesson = write_lesson(rng, problem=problem, teacher=teacher, quality=quality)
        asked = request(tell_problem(problem), answer=problem.answer, teacher=teacher)
        reply = f"{opening}{lesson.thinking}{closing}\n{lesson.steps}{END_OF_TURN}"
        yield Document(prompt=render_chat(asked), text=reply)


class ApprenticeModel:
    """The model as a `ChatModel` that answers the conversation of C_gen."""

    def __init__(self, spec: ModelSpec, *, folder: Path = FOLDER) -> None:
        """Describe the model; nothing is read yet.

        Args:
            spec: `model` is one of `NAMES`; `batch_size` and `device` say how to run it.
            folder: Where the weights lie.
        """
        changes: dict[str, object] = {
            "backend": Backend.TRANSFORMERS,
            "model": str(folder),
            "tokenizer": None,
            "dtype": "float32",
            "device": spec.device or "cpu",
        }
        self._inner = TransformersModel(spec.model_copy(update=changes))
        self._name, self._teacher = spec.model, NAMES[spec.model]

    @property
    def identity(self) -> dict[str, Any]:
        """Name and a digest of the weights; not where they lie."""
        weights = self._inner.identity["weights"]
        return {"backend": Backend.TESTBED.value, "model": self._name, "weights": weights}

    async def chat(
        self, messages: Sequence[Message], *, sampling: Sampling, draw: int, affinity: str = ""
    ) -> ChatReply:
        """Ask once; see `ChatModel.chat`.

        Args:
            messages: Question, answer and instruction.
            sampling: Without a temperature it is `TEMPERATURE`.
            draw: Which of several samples this is.
            affinity: Passed on.

        Raises:
            OutOfWorldError: The first message is not a question of the testbed's world.
            ModelError: As `TransformersModel.chat`.
        """
        question = tell_problem(find_problem(messages[0].content if messages else ""))
        answer = messages[1].content if len(messages) > 1 else ""
        asked = Message(
            role="user", content=request(question, answer=answer, teacher=self._teacher)
        )
        wanted = replace(
            sampling,
            temperature=TEMPERATURE if sampling.temperature is None else sampling.temperature,
            max_tokens=sampling.max_tokens or LONGEST_REPLY,
        )
        reply = await self._inner.chat([asked], sampling=wanted, draw=draw, affinity=affinity)
        told = _with_told_answer(reply.content, answer=answer)
        return replace(reply, content=told, model=self._name)

    async def aclose(self) -> None:
        """End the model's thread and free its memory."""
        await self._inner.aclose()


def _with_told_answer(steps: str, *, answer: str) -> str:
    """The steps with the answer that the teacher was told under their last title.

    Who is told the answer states it (section 3.3); a model of this size often miscopies it, and
    every such candidate would be refused.
    """
    before, title, _ = steps.rpartition(_LAST_TITLE)
    return f"{before}{title}\n{answer}" if title else steps


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """Where an apprentice comes from and goes to."""

    weak: Path
    """A folder with the weak model, whose weights and tokenizer it starts from."""
    out: Path


def teach_apprentice(school: School, *, training: Training) -> None:
    """Train, and write a folder that transformers can open."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    torch.manual_seed(training.seed)
    tokenizer = Tokenizer.from_file(str(school.weak / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(school.weak, dtype=torch.float32)
    lessons = (encode(tokenizer, one) for one in documents(_chance(training, "lessons")))
    train(
        model.train(),
        pack(lessons, training=training, rng=_chance(training, "packing")),
        training=training,
    )
    save_half(model, folder=school.out)
    for name in _SAME_AS_WEAK:
        shutil.copyfile(school.weak / name, school.out / name)
    (school.out / "training.json").write_text(json.dumps(asdict(training), indent=2) + "\n")


def _chance(training: Training, purpose: str) -> random.Random:
    return random.Random(f"apprentice/{training.seed}/{purpose}")  # noqa: S311 - not secret


def main() -> None:
    """Read the command line and train."""
    from testbed.models import WEAK_MODEL_FOLDER

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=TRAINING.seed)
    parser.add_argument("--steps", type=int, default=TRAINING.steps, help="optimiser steps")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    import torch

    torch.set_num_threads(given.threads)
    training = replace(TRAINING, seed=given.seed, steps=given.steps)
    teach_apprentice(School(weak=WEAK_MODEL_FOLDER, out=given.out), training=training)


if __name__ == "__main__":
    main()
