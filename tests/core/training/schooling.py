"""What training tests share: rows of the testbed's teachers, jobs, and a process to train in."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from testbed.models import WEAK_MODEL_FOLDER
from testbed.questions import pool_questions
from testbed.teachers import Teacher, teach
from weak2wise_core.config.training import TrainingSettings
from weak2wise_core.sft import sft_response
from weak2wise_core.training.events import TrainingEvent
from weak2wise_core.training.examples import EncodedExample, TrainingRow
from weak2wise_core.training.jobs import TrainingJob
from weak2wise_core.training.running import train

Said = list[TrainingEvent]
Meanwhile = Callable[[], Awaitable[None]]

QUICK: dict[str, Any] = {
    "learning_rate": 1e-3,
    "global_batch_size": 8,
    "per_device_batch_size": 8,
    "packing": False,
    "epochs": 2,
    "device": "cpu",
}
"""Settings under which the testbed's weak model learns in seconds."""

STRIPPING = (
    "{% for message in messages %}{% set text = message['content'] %}"
    "{% if message['role'] == 'assistant' and '</think>' in text %}"
    "{% set text = text.split('</think>')[-1].lstrip() %}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + text + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As thinking models do it: of an assistant's turn only what follows `</think>` stays."""

STRIPPING_AND_OPENING = STRIPPING.replace("assistant\n' }}", "assistant\n<think>\n' }}")
"""The same, with a generation prompt that opens the thinking itself."""

CLOSING = STRIPPING.replace("assistant\n' }}", "assistant\n<think>\n\n</think>\n\n' }}")
"""The same, with a generation prompt that forbids thinking."""


def rows(count: int) -> list[dict[str, Any]]:
    """Training rows as a dataset of the testbed holds them."""
    found = []
    for question in pool_questions(count=count, seed=7):
        lesson = teach(question.question, teacher=Teacher.A, draw=0)
        reply = sft_response(lesson.thinking, answer=question.answer)
        found.append(
            {
                "id": question.id,
                "prompt": [{"role": "user", "content": question.question}],
                "completion": [{"role": "assistant", "content": reply}],
                "answer": question.answer,
            }
        )
    return found


def training_rows(content: Iterable[dict[str, Any]]) -> list[TrainingRow]:
    """The same, as a training reads them."""
    return [TrainingRow.model_validate(row) for row in content]


def write_rows(path: Path, content: Iterable[dict[str, Any]]) -> Path:
    """A `train.jsonl`."""
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def job(folder: Path, name: str = "pupil", *, count: int = 32, **settings: Any) -> TrainingJob:
    """A job over `count` rows below a folder."""
    train_file = folder / f"train{count}.jsonl"
    if not train_file.exists():
        write_rows(train_file, rows(count))
    return TrainingJob(
        name=name,
        train_file=train_file,
        dataset_version="0123456789ab",
        model=str(WEAK_MODEL_FOLDER),
        output=folder / "models" / name,
        settings=TrainingSettings.model_validate(QUICK | settings),
    )


def start(wanted: TrainingJob, path: Path, *options: str) -> subprocess.Popen[bytes]:
    """The training program as a person starts it."""
    path.write_text(wanted.model_dump_json())
    return subprocess.Popen(
        [sys.executable, "-m", "weak2wise_core.training.program", *options, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )


def surprise(model: Any, example: EncodedExample) -> float:
    """The negative log-likelihood of a response, token by token, in nats."""
    import torch

    ids = torch.tensor([example.input_ids])
    with torch.no_grad():
        scores = model(ids).logits[0].double().log_softmax(-1)
    first = len(example.prompt)
    return -sum(float(scores[at - 1, ids[0, at]]) for at in range(first, len(example)))


async def cancelled(wanted: TrainingJob, *, meanwhile: Meanwhile | None = None) -> Said:
    """Cancel a training after its second step; what it said until then.

    Args:
        wanted: Long enough to have more steps.
        meanwhile: Awaited before the cancellation.
    """
    said: list[TrainingEvent] = []
    second_step = asyncio.Event()

    def note(event: TrainingEvent) -> None:
        said.append(event)
        if event.step >= 2:
            second_step.set()

    running = asyncio.create_task(train([wanted], on_event=note))
    await second_step.wait()
    if meanwhile is not None:
        await meanwhile()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return said


def next_event(process: subprocess.Popen[bytes]) -> TrainingEvent:
    """The next thing that the program says."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read().decode()[-3000:]
    return TrainingEvent.from_json(line)


def pairs(count: int) -> list[dict[str, Any]]:
    """Preference pairs of the testbed's teachers: the terse one before the wordy one."""
    return [
        {
            "id": question.id,
            "prompt": [{"role": "user", "content": question.question}],
            "chosen": [{"role": "assistant", "content": _said(question.question, Teacher.A)}],
            "rejected": [{"role": "assistant", "content": _said(question.question, Teacher.B)}],
        }
        for question in pool_questions(count=count, seed=7)
    ]


def _said(question: str, teacher: Teacher) -> str:
    return teach(question, teacher=teacher, draw=0).thinking


def pair_job(folder: Path, name: str, *, count: int = 16, **settings: Any) -> TrainingJob:
    """A job over `count` pairs of plain replies below a folder."""
    train_file = folder / f"pairs{count}.jsonl"
    if not train_file.exists():
        write_rows(train_file, pairs(count))
    wanted = job(folder, name, thinking=False, **({"objective": "dpo"} | settings))
    return wanted.model_copy(update={"train_file": train_file})
