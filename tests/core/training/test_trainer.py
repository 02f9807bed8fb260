"""Laws of the trainer: examples do not mix, and a step minimises what the settings say."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.models import WEAK_MODEL_FOLDER
from tests.core.training.schooling import QUICK, rows, surprise, training_rows
from weak2wise_core.config.training import Loss, TrainingSettings
from weak2wise_core.errors import TrainingError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.examples import EncodedExample, check_prepared, encode_rows
from weak2wise_core.training.machine import look_at
from weak2wise_core.training.trainer import arguments, load_model, make_trainer
from weak2wise_core.training.watching import Watch, make_watcher

pytestmark = pytest.mark.slow

COUNT = 8


@pytest.fixture(scope="module")
def examples(tokens: Tokens) -> list[EncodedExample]:
    """Eight examples of different lengths; several CPU threads would slow a tiny model down."""
    import torch

    torch.set_num_threads(1)
    found = encode_rows(training_rows(rows(COUNT)), tokens=tokens, longest=1024)
    assert len({len(one) for one in found}) > 3
    return found


def trainer_of(
    examples: Sequence[EncodedExample],
    folder: Path,
    *,
    tokens: Tokens,
    events: list[TrainingEvent] | None = None,
    **changes: Any,
) -> Any:
    """A trainer as the program makes it."""
    settings = TrainingSettings.model_validate(QUICK | changes)
    machine = look_at(settings)
    watch = Watch(
        emit=(events if events is not None else []).append,
        stop_asked=lambda: False,
        on_saved=lambda step: folder / str(step),
        resumed_from=None,
    )
    return make_trainer(
        examples,
        model=load_model(str(WEAK_MODEL_FOLDER), machine=machine),
        tokens=tokens,
        settings=settings,
        arguments=arguments(settings, machine=machine, folder=folder, longest=1024),
        watcher=make_watcher(watch),
    )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_examples_do_not_see_each_other(
    examples: list[EncodedExample], tokens: Tokens, tmp_path: Path, attention: str
) -> None:
    """Every example of a pack has the logits that it has alone."""
    import torch

    trainer = trainer_of(
        examples,
        tmp_path,
        tokens=tokens,
        packing=True,
        attention=attention,
        per_device_batch_size=1,
    )
    check_prepared(trainer.train_dataset, examples=examples)
    assert len(trainer.train_dataset) < COUNT
    model, seen = trainer.model.eval(), 0
    for row in trainer.train_dataset:
        batch = trainer.data_collator([row])
        labels = batch.pop("labels")
        with torch.no_grad():
            together = model(**batch, use_cache=False).logits[0]
        first = 0
        for length in row["seq_lengths"]:
            part = slice(first, first + length)
            with torch.no_grad():
                alone = model(batch["input_ids"][:, part]).logits[0]
            assert float((together[part] - alone).abs().max()) < 1e-4
            assert int(labels[0, first]) == -100
            first, seen = first + length, seen + 1
    assert seen == COUNT


@pytest.mark.parametrize(
    "ways",
    [
        {"per_device_batch_size": 8},
        {"per_device_batch_size": 2},
        {"packing": True, "per_device_batch_size": 1},
    ],
    ids=["one batch", "accumulated", "packed"],
)
@pytest.mark.parametrize("loss", list(Loss))
def test_the_loss_of_a_step_is_what_a_hand_computes(
    examples: list[EncodedExample], tokens: Tokens, tmp_path: Path, ways: dict[str, Any], loss: Loss
) -> None:
    """Equation 10: the mean over examples of the sum over tokens; else the mean over tokens.

    However the examples of a step are batched, to one part in a million.
    """
    events: list[TrainingEvent] = []
    trainer = trainer_of(
        examples, tmp_path, tokens=tokens, events=events, loss=loss, epochs=1, **ways
    )
    sums = [surprise(trainer.model, example) for example in examples]
    counted = sum(len(example.response) for example in examples)
    by_hand = sum(sums) / (COUNT if loss is Loss.EQUATION_10 else counted)
    trainer.train()
    (step,) = [event for event in events if event.kind is EventKind.STEP]
    assert step.loss == pytest.approx(by_hand, rel=1e-6)


def test_both_losses_point_in_the_same_direction(
    examples: list[EncodedExample], tokens: Tokens, tmp_path: Path
) -> None:
    """Within one step equation 10 is the token mean times the tokens per example."""
    norms = {}
    for loss in Loss:
        trainer = trainer_of(examples, tmp_path, tokens=tokens, loss=loss, epochs=1)
        trainer.train()
        norms[loss] = trainer.state.log_history[0]["grad_norm"]
    per_example = sum(len(one.response) for one in examples) / COUNT
    assert norms[Loss.EQUATION_10] / norms[Loss.TOKEN_MEAN] == pytest.approx(per_example, rel=1e-4)


def test_the_settings_reach_the_trainer(tmp_path: Path) -> None:
    """Appendix B in the trainer's words, with nothing that cuts or splits an example."""
    settings = TrainingSettings(device="cpu")
    found: Any = arguments(settings, machine=look_at(settings), folder=tmp_path, longest=512)
    assert (found.num_train_epochs, found.learning_rate, found.weight_decay) == (3, 1e-5, 0.01)
    assert (found.lr_scheduler_type, found.warmup_steps) == ("cosine", 0.03)
    assert (found.packing, found.packing_strategy, found.max_length) == (True, "bfd", 512)
    assert found.gradient_accumulation_steps * found.per_device_train_batch_size == 16
    plain = settings.model_copy(update={"packing": False})
    machine = look_at(plain)
    uncut: Any = arguments(plain, machine=machine, folder=tmp_path, longest=512)
    assert uncut.max_length is None


def test_a_training_that_diverges_ends(
    examples: list[EncodedExample], tokens: Tokens, tmp_path: Path
) -> None:
    """A loss that is no number is an error, not a model."""
    trainer = trainer_of(examples, tmp_path, tokens=tokens, epochs=40, learning_rate=1e30)
    with pytest.raises(TrainingError, match="diverged"):
        trainer.train()


def test_a_rising_loss_is_reported_as_it_is(
    examples: list[EncodedExample], tokens: Tokens, tmp_path: Path
) -> None:
    """Events carry the numbers of the history, unrounded."""
    events: list[TrainingEvent] = []
    trainer = trainer_of(examples, tmp_path, tokens=tokens, events=events, per_device_batch_size=4)
    trainer.train()
    steps = [event for event in events if event.kind is EventKind.STEP]
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [event.loss for event in steps] == [entry["loss"] for entry in history]
    assert [event.tokens for event in steps] == [
        (at + 1) * sum(len(one) for one in examples) for at in range(len(steps))
    ]
    assert all(event.loss is not None and math.isfinite(event.loss) for event in steps)
