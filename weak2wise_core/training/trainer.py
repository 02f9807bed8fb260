"""The trainer of the TRL library as this project uses it: rows in, losses out, stops in between."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weak2wise_core.config.training import Loss, TrainingSettings
from weak2wise_core.errors import InputFileError, TrainingError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.examples import EncodedExample
from weak2wise_core.training.machine import SMALL_MODEL, Machine, accumulation

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback
    from trl import SFTConfig, SFTTrainer

Emit = Callable[[TrainingEvent], None]

_OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit"}


def arguments(
    settings: TrainingSettings, *, machine: Machine, folder: Path, longest: int
) -> "SFTConfig":
    """The settings in the words of the trainer.

    Args:
        settings: How to train.
        machine: Where.
        folder: The workshop, for checkpoints.
        longest: Tokens of a pack.
    """
    from trl import SFTConfig

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
        # the length gate has passed: without packing nothing is left to cut
        "max_length": longest if settings.packing else None,
        "packing": settings.packing,
        "packing_strategy": "bfd",  # the one that neither splits examples nor lets them mix
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
    return SFTConfig(**options)


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
    examples: Sequence[EncodedExample],
    *,
    model: "PreTrainedModel",
    tokens: Tokens,
    settings: TrainingSettings,
    arguments: "SFTConfig",
    watcher: "TrainerCallback",
) -> "SFTTrainer":
    """A trainer over examples that are tokens already, so that no template touches a response."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback

    disable_progress_bars()
    columns = {
        "input_ids": [example.input_ids for example in examples],
        "labels": [example.labels for example in examples],
    }
    kind = _trainer_class(settings.loss)
    trainer: SFTTrainer = kind(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(columns),
        processing_class=_padded(tokens),
        peft_config=_adapters(settings),
        callbacks=[watcher],
    )
    trainer.remove_callback(PrinterCallback)  # it prints to standard output
    return trainer


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


class Watch:
    """What a training reports, and when it must stop."""

    def __init__(
        self,
        *,
        emit: Emit,
        stop_asked: Callable[[], bool],
        on_saved: Callable[[int], Path],
        resumed_from: Path | None,
    ) -> None:
        """Prepare to watch one training.

        Args:
            emit: Takes events; their job is filled in by it.
            stop_asked: Whether somebody asked for an end.
            on_saved: Called by the first process when a step's checkpoint lies there.
            resumed_from: The checkpoint that the training goes on from.
        """
        self.stopped = False
        """The training ended before its time because somebody asked for it."""
        self._emit = emit
        self._stop_asked = stop_asked
        self._on_saved = on_saved
        self._resumed_from = resumed_from
        self._began = time.monotonic()
        self._tokens_before = 0

    def say(self, kind: EventKind, state: Any, **fields: Any) -> None:
        """Emit an event with the step and the time."""
        seconds = round(time.monotonic() - self._began, 3)
        step, steps = state.global_step, state.max_steps
        self._emit(TrainingEvent(kind=kind, step=step, steps=steps, seconds=seconds, **fields))

    def begin(self, state: Any) -> None:
        """Say where the training begins."""
        counts = [entry["num_tokens"] for entry in state.log_history if "num_tokens" in entry]
        self._tokens_before = int(counts[-1]) if counts else 0
        folder = "" if self._resumed_from is None else str(self._resumed_from)
        self.say(EventKind.STARTED, state, folder=folder)

    def note(self, logs: Mapping[str, Any], state: Any) -> None:
        """Report a step; the summary at the end has no loss.

        Raises:
            TrainingError: The loss is no number.
        """
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss is {logs['loss']} at step {state.global_step} of {state.max_steps}: the "
                "training diverged. Lower training.learning_rate, and start it again"
            )
        tokens = self._tokens_before + int(logs["num_tokens"])  # counted since a resumption
        state.log_history[-1]["num_tokens"] = tokens
        rate = logs["learning_rate"]
        self.say(EventKind.STEP, state, loss=logs["loss"], learning_rate=rate, tokens=tokens)

    def steer(self, state: Any, control: Any, *, device: Any) -> None:
        """Stop between two steps if one process was asked to; never save after the last."""
        if state.global_step >= state.max_steps:
            control.should_save = False  # the model itself is about to be saved
        elif _any_process(self._stop_asked(), device=device):
            self.stopped = control.should_save = control.should_training_stop = True

    def saved(self, state: Any) -> None:
        """Mark a checkpoint once every process has written its part."""
        _wait_for_all()
        if state.is_world_process_zero:
            folder = self._on_saved(state.global_step)
            self.say(EventKind.SAVED, state, folder=str(folder))


def make_watcher(watch: Watch) -> "TrainerCallback":
    """The callback through which the trainer tells its progress."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        """Passes the trainer's calls on."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            """Before the first step of this process."""
            watch.begin(state)

        def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
            """After every step."""
            watch.note(more["logs"], state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """After every step, before it is logged."""
            watch.steer(state, control, device=args.device)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            """After every checkpoint."""
            watch.saved(state)

    return Watcher()


def _any_process(flag: bool, *, device: Any) -> bool:
    """Whether the flag is up in any process of this training."""
    import torch

    if not torch.distributed.is_initialized():
        return flag
    raised = torch.tensor(int(flag), device=device)
    torch.distributed.all_reduce(raised, op=torch.distributed.ReduceOp.MAX)
    return bool(raised.item())


def _wait_for_all() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.barrier()
