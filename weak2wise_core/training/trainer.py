"""The trainers of the TRL library as this project uses them: settings, model, rows and loss."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from weak2wise_core.config.training import Loss, Objective, TrainingSettings
from weak2wise_core.errors import InputFileError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.examples import EncodedExample
from weak2wise_core.training.machine import SMALL_MODEL, Machine, accumulation
from weak2wise_core.training.pairs import EncodedPair
from weak2wise_core.training.preferences import columns_of, preference_config, preference_trainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
    from trl import SFTTrainer

Encoded: TypeAlias = EncodedExample | EncodedPair

_OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit"}


def arguments(
    settings: TrainingSettings, *, machine: Machine, folder: Path, longest: int
) -> "TrainingArguments":
    """The settings in the words of the objective's trainer.

    Args:
        settings: How to train.
        machine: Where.
        folder: The workshop, for checkpoints.
        longest: Tokens of a pack.
    """
    from trl import SFTConfig

    options = _options(settings, machine=machine, folder=folder)
    if settings.objective.reads_pairs:
        return preference_config(settings, options)
    config: TrainingArguments = SFTConfig(
        **options,
        # the length gate has passed: without packing nothing is left to cut
        max_length=longest if settings.packing else None,
        packing=settings.packing,
        packing_strategy="bfd",  # the one that neither splits examples nor lets them mix
    )
    return config


def _options(settings: TrainingSettings, *, machine: Machine, folder: Path) -> dict[str, Any]:
    """What all trainers are told in the same words."""
    sharded = settings.sharding == "fsdp" and machine.processes > 1
    options: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup,  # below 1: a share of all steps
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "per_device_train_batch_size": settings.per_device_batch_size,
        "gradient_accumulation_steps": accumulation(settings, processes=machine.processes),
        "optim": _OPTIMIZERS[settings.optimizer],
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": machine.autocast,
        "use_cpu": machine.device == "cpu",
        "activation_checkpointing": machine.checkpointing and not sharded,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is no number ends the training
        "save_strategy": "steps",
        "save_steps": settings.save_every_steps,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": machine.device == "cuda",
    }
    if machine.processes > 1:
        options["ddp_backend"] = "nccl" if machine.device == "cuda" else "gloo"
        options["ddp_find_unused_parameters"] = False
    if sharded:
        options |= {"fsdp": True, "fsdp_config": _fsdp(machine)}
    return options


def _fsdp(machine: Machine) -> dict[str, Any]:
    """Weights, gradients and optimiser state in shares, gathered layer by layer."""
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": False,
        "state_dict_type": "FULL_STATE_DICT",
        "activation_checkpointing": machine.checkpointing,
    }


def load_model(name: str, *, machine: Machine) -> "PreTrainedModel":
    """The model to train, in the number format of its weights.

    Raises:
        InputFileError: It cannot be loaded.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=getattr(torch, machine.weights),
            attn_implementation=machine.attention,
            trust_remote_code=False,
            use_safetensors=True,  # the older format is a pickle, which can run code
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InputFileError(
            f"the model {name} cannot be loaded ({reason}). It must be a folder with config.json "
            "and weights, or a hub id that is in the cache or can be fetched"
        ) from error
    return model


def choose_threads(settings: TrainingSettings, *, parameters: int, machine: Machine) -> None:
    """Set the CPU threads of this process; several ones slow a tiny model down."""
    import torch

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    elif machine.device == "cpu" and parameters < SMALL_MODEL:
        torch.set_num_threads(1)


def make_trainer(
    examples: Sequence[Encoded],
    *,
    model: "PreTrainedModel",
    tokens: Tokens,
    settings: TrainingSettings,
    arguments: "TrainingArguments",
    watcher: "TrainerCallback",
    reference: "PreTrainedModel | None" = None,
) -> "Trainer":
    """A trainer over examples that are tokens already, so that no template touches a response.

    Args:
        examples: What is trained on: pairs for objectives that read pairs.
        model: What is trained.
        tokens: Its tokenizer.
        settings: How.
        arguments: The same in the trainer's words.
        watcher: Told of every step.
        reference: dpo without adapters: the model as it was before.
    """
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback

    disable_progress_bars()
    inputs = {
        "model": model,
        "args": arguments,
        "train_dataset": Dataset.from_dict(_columns(examples, settings.objective)),
        "processing_class": _padded(tokens),
        "peft_config": _adapters(settings),
        "callbacks": [watcher],
    }
    trainer: Trainer
    if settings.objective.reads_pairs:
        trainer = preference_trainer(settings.objective, inputs, reference=reference)
    else:
        trainer = _trainer_class(settings.loss)(**inputs)
    trainer.remove_callback(PrinterCallback)  # it prints to standard output
    return trainer


def _columns(examples: Sequence[Encoded], objective: Objective) -> dict[str, list[list[int]]]:
    if objective.reads_pairs:
        return columns_of(objective, cast("Sequence[EncodedPair]", examples))
    plain = cast("Sequence[EncodedExample]", examples)
    return {
        "input_ids": [example.input_ids for example in plain],
        "labels": [example.labels for example in plain],
    }


def _padded(tokens: Tokens) -> Any:
    """The tokenizer with a padding token; what is padded is masked, so any will do."""
    tokenizer = tokens.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokens.end_of_turn or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def _adapters(settings: TrainingSettings) -> Any:
    if settings.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=list(settings.lora.targets) or "all-linear",
        task_type="CAUSAL_LM",
    )


def _trainer_class(loss: Loss) -> "type[SFTTrainer]":
    from trl import SFTTrainer

    class Quiet(SFTTrainer):
        """Writes no model card into checkpoints; the finished model gets one of ours."""

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """Nothing."""

    class ExampleMean(Quiet):
        """Equation 10: the mean over examples of the sum over their tokens.

        The trainer divides the sum over all tokens of an optimiser step by a count that this
        method returns; here it counts examples. Within one step that scales the gradient only;
        between steps, those with long examples weigh more than with the trainer's own loss.
        """

        def get_batch_samples(
            self, epoch_iterator: Any, num_batches: int, device: Any
        ) -> tuple[list[Any], Any]:
            """The batches of one step, and how many examples they hold in all processes."""
            import torch

            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
            count = torch.tensor(sum(_examples_in(batch) for batch in batches), device=device)
            return batches, self.accelerator.gather(count).sum()

    return ExampleMean if loss is Loss.EQUATION_10 else Quiet


def _examples_in(batch: dict[str, Any]) -> int:
    """Examples of a batch; packed ones begin where positions begin again."""
    if "attention_mask" in batch:
        return len(batch["labels"])
    return int((batch["position_ids"] == 0).sum())
