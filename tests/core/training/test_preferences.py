"""Laws of training on preferences: the loss is the published one, it falls, and it can resume."""

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from testbed.models import WEAK_MODEL_FOLDER
from tests.core.training.conftest import School, losses
from tests.core.training.schooling import QUICK, cancelled, pair_job, pairs, surprise
from weak2wise_core.config.training import TrainingSettings
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.card import card
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.examples import EncodedExample
from weak2wise_core.training.machine import look_at
from weak2wise_core.training.pairs import EncodedPair, PairRow, encode_pairs
from weak2wise_core.training.running import train
from weak2wise_core.training.trainer import arguments, load_model, make_trainer
from weak2wise_core.training.watching import Watch, make_watcher

pytestmark = pytest.mark.slow

COUNT = 4


@pytest.fixture(scope="module")
def preferences(tmp_path_factory: pytest.TempPathFactory) -> School:
    """One model of each objective, trained in one process."""
    school = School(tmp_path_factory.mktemp("preferences"))
    jobs = [
        pair_job(school.folder, "dpo"),
        pair_job(school.folder, "orpo", objective="orpo", epochs=4),
        pair_job(school.folder, "adapted", lora={"rank": 4}, epochs=4),
    ]
    results = asyncio.run(train(jobs, on_event=school.events.append))
    school.trained = {one.name: result for one, result in zip(jobs, results, strict=True)}
    return school


@pytest.fixture(scope="module")
def four(tokens: Tokens) -> list[EncodedPair]:
    """Four pairs; several CPU threads would slow a tiny model down."""
    import torch

    torch.set_num_threads(1)
    found = [PairRow.model_validate(row) for row in pairs(COUNT)]
    return encode_pairs(found, tokens=tokens, longest=1024, thinking=False)


def first_loss(
    found: Sequence[EncodedPair], folder: Path, *, tokens: Tokens, **changes: Any
) -> tuple[float, Any]:
    """The loss of the first step over all pairs, and the model before it."""
    wanted = {"objective": "dpo", "epochs": 1, "global_batch_size": COUNT}
    settings = TrainingSettings.model_validate(QUICK | wanted | changes)
    machine, events = look_at(settings), list[TrainingEvent]()
    watch = Watch(
        emit=events.append,
        stop_asked=lambda: False,
        on_saved=lambda step: folder / str(step),
        resumed_from=None,
    )
    trainer = make_trainer(
        found,
        model=load_model(str(WEAK_MODEL_FOLDER), machine=machine),
        tokens=tokens,
        settings=settings,
        arguments=arguments(settings, machine=machine, folder=folder, longest=1024),
        watcher=make_watcher(watch),
        reference=load_model(str(WEAK_MODEL_FOLDER), machine=machine),
    )
    trainer.train()
    (step,) = [event for event in events if event.kind is EventKind.STEP]
    assert step.loss is not None
    assert step.tokens == sum(len(pair) for pair in found)
    return step.loss, load_model(str(WEAK_MODEL_FOLDER), machine=machine)


def log_likelihood(model: Any, prompt: Sequence[int], reply: Sequence[int]) -> float:
    """Of a reply after its prompt, in nats."""
    return -surprise(model, EncodedExample(id="q", prompt=tuple(prompt), response=tuple(reply)))


BATCHES = [{"per_device_batch_size": COUNT}, {"per_device_batch_size": 1}]


@pytest.mark.parametrize("ways", BATCHES, ids=["one batch", "accumulated"])
def test_the_loss_of_dpo_is_what_a_hand_computes(
    four: list[EncodedPair], tokens: Tokens, tmp_path: Path, ways: dict[str, Any]
) -> None:
    """Before the first step policy and reference are one model: -log sigmoid(0) = log 2."""
    loss, _ = first_loss(four, tmp_path, tokens=tokens, **ways)
    assert loss == pytest.approx(math.log(2), rel=1e-6)


def test_the_chosen_replies_own_loss_is_added_where_it_is_wanted(
    four: list[EncodedPair], tokens: Tokens, tmp_path: Path
) -> None:
    """`sft_weight` times the mean negative log-likelihood of a chosen token."""
    loss, model = first_loss(
        four, tmp_path, tokens=tokens, sft_weight=0.5, per_device_batch_size=COUNT
    )
    nats = -sum(log_likelihood(model, one.prompt, one.chosen) for one in four)
    mean = nats / sum(len(one.chosen) for one in four)
    assert loss == pytest.approx(math.log(2) + 0.5 * mean, rel=1e-5)


def test_the_loss_of_orpo_is_what_a_hand_computes(
    four: list[EncodedPair], tokens: Tokens, tmp_path: Path
) -> None:
    """The chosen text's own loss less beta times the log of the odds ratio's sigmoid.

    Likelihoods of replies are means over their tokens; the first part counts the prompt too.
    """
    beta = 0.3
    loss, model = first_loss(
        four, tmp_path, tokens=tokens, objective="orpo", beta=beta, per_device_batch_size=COUNT
    )
    texts = [(one.prompt[:1], (*one.prompt[1:], *one.chosen)) for one in four]
    nats = -sum(log_likelihood(model, *text) for text in texts)
    own = nats / sum(len(reply) for _, reply in texts)
    ratios = [
        _log_odds(model, one.prompt, one.chosen) - _log_odds(model, one.prompt, one.rejected)
        for one in four
    ]
    preferred = sum(-math.log1p(math.exp(-ratio)) for ratio in ratios) / COUNT
    assert loss == pytest.approx(own - beta * preferred, rel=1e-5)


def _log_odds(model: Any, prompt: Sequence[int], reply: Sequence[int]) -> float:
    mean = log_likelihood(model, prompt, reply) / len(reply)
    return mean - math.log1p(-math.exp(mean))


def test_the_losses_fall(preferences: School) -> None:
    """And the chosen reply gets ahead of the rejected one, with adapters too."""
    for name in ("dpo", "orpo", "adapted"):
        found = preferences.losses(name)
        assert found[-1] < 0.9 * found[0], (name, found)
        steps = preferences.trained[name].manifest["steps"]
        assert steps[-1]["rewards/margins"] > steps[0]["rewards/margins"]


def test_the_manifest_says_what_was_trained(preferences: School) -> None:
    """Objective, pairs and tokens; the card in words."""
    for name in ("dpo", "orpo"):
        manifest = preferences.trained[name].manifest
        assert manifest["settings"]["objective"] == name
        assert manifest["identity"]["settings"]["objective"] == name
        assert manifest["counts"]["examples"] == manifest["counts"]["rows"] == 16
        assert manifest["steps"][0]["num_tokens"] < manifest["counts"]["tokens"]
        assert f"16 preference pairs ({name.upper()})" in card(manifest)


def test_a_model_trained_on_pairs_is_not_trained_again(preferences: School) -> None:
    """The same pairs, model and settings give nothing to do; another beta does."""
    said: list[TrainingEvent] = []
    (found,) = asyncio.run(train([pair_job(preferences.folder, "dpo")], on_event=said.append))
    assert found.skipped
    assert [event.kind for event in said] == [EventKind.SKIPPED]


async def test_a_stopped_training_on_pairs_goes_on(preferences: School, tmp_path: Path) -> None:
    """Stopped after two steps and started again: the losses of an undisturbed one."""
    wanted = pair_job(preferences.folder, "dpo").model_copy(update={"output": tmp_path / "dpo"})
    await cancelled(wanted)
    assert not wanted.output.exists()
    said: list[TrainingEvent] = []
    (trained,) = await train([wanted], on_event=said.append)
    assert said[0].kind is EventKind.STARTED
    assert said[0].step >= 2, "it began anew"
    assert losses(trained) == preferences.losses("dpo")
    weights = [one.folder / "model.safetensors" for one in (trained, preferences.trained["dpo"])]
    assert weights[0].read_bytes() == weights[1].read_bytes()
