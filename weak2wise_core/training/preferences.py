"""TRL's trainers for preference pairs as this project uses them: DPO and ORPO.

Both are given pairs that are tokens already; what they would do to texts (templates, cuts, marks of
the end) is switched off, and what they hold is compared with what they were given. ORPO lies in
`trl.experimental`, which changes without notice: TRL is pinned exactly, and every method that is
replaced here is covered by a test of the loss that comes out.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from weak2wise_core.config.training import Objective, TrainingSettings
from weak2wise_core.training.pairs import EncodedPair, dpo_columns, orpo_columns

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer, TrainingArguments

_ANY_LENGTH = 1 << 30
"""The length gate has passed: nothing is left to cut."""


def preference_config(settings: TrainingSettings, options: dict[str, Any]) -> "TrainingArguments":
    """The settings in the words of the objective's trainer.

    Args:
        settings: How to train.
        options: What all trainers are told in the same words.
    """
    config: TrainingArguments
    if settings.objective is Objective.ORPO:
        _, config_class = _orpo()
        config = config_class(**options, beta=settings.beta, max_length=_ANY_LENGTH)
        return config
    from trl import DPOConfig

    losses = {"sigmoid": 1.0} | ({"sft": settings.sft_weight} if settings.sft_weight else {})
    config = DPOConfig(
        **options,
        beta=settings.beta,
        loss_type=list(losses),
        loss_weights=list(losses.values()),
        max_length=None,
    )
    return config


def columns_of(objective: Objective, pairs: Sequence[EncodedPair]) -> dict[str, list[list[int]]]:
    """The pairs in the columns of the objective's trainer."""
    return orpo_columns(pairs) if objective is Objective.ORPO else dpo_columns(pairs)


def preference_trainer(
    objective: Objective, inputs: dict[str, Any], *, reference: "PreTrainedModel | None"
) -> "Trainer":
    """A trainer over pairs.

    Args:
        objective: dpo or orpo.
        inputs: What every trainer is given.
        reference: dpo: the model as it was before; with adapters the trainer finds it below them.
    """
    trainer: Trainer
    if objective is Objective.ORPO:
        trainer = _orpo_class()(**inputs)
    else:
        trainer = _dpo_class()(**inputs, ref_model=reference)
    return trainer


def _dpo_class() -> Any:
    from trl import DPOTrainer

    class Quiet(DPOTrainer):
        """Takes tokens as they are, and writes no model card into checkpoints."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
            return dataset

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """Nothing."""

    return Quiet


def _orpo() -> tuple[Any, Any]:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # the pin is the answer to its warning
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return ORPOTrainer, ORPOConfig


def _orpo_class() -> Any:
    trainer_class: Any = _orpo()[0]

    class Quiet(trainer_class):  # type: ignore[misc]
        """Takes tokens as they are, counts them, and writes no model card into checkpoints."""

        _tokens_seen = 0

        def tokenize_row(self, feature: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
            """The row as it is."""
            return feature

        def get_batch_loss_metrics(
            self, model: Any, batch: dict[str, Any], *args: Any, **kwargs: Any
        ) -> tuple[Any, dict[str, float]]:
            """The loss, and how many tokens were read for it in all processes."""
            both = ("chosen_attention_mask", "rejected_attention_mask")
            read = sum(batch[name].sum() for name in both)
            self._tokens_seen += int(self.accelerator.gather(read).sum())
            loss, metrics = super().get_batch_loss_metrics(model, batch, *args, **kwargs)
            return loss, metrics

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            """The trainer's numbers with the tokens, as the other trainers tell them."""
            super().log({**logs, "num_tokens": self._tokens_seen}, start_time)

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """Nothing."""

    return Quiet
