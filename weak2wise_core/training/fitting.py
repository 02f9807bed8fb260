"""One training from its job to its folder, inside the training process."""

import functools
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from weak2wise_core.config.training import Objective
from weak2wise_core.errors import (
    TrainingError,
    TrainingRefusedError,
    TrainingStoppedError,
)
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.checkpoints import Workshop
from weak2wise_core.training.describing import Prepared, context_of, describe
from weak2wise_core.training.events import EventKind, TrainingEvent
from weak2wise_core.training.examples import (
    EncodedExample,
    check_prepared,
    encode_rows,
    read_rows,
)
from weak2wise_core.training.jobs import TrainingJob, finished
from weak2wise_core.training.machine import (
    Machine,
    look_at,
    memory_of_gpu,
    require_packages,
)
from weak2wise_core.training.memory import GB, need
from weak2wise_core.training.pairs import EncodedPair, check_held, encode_pairs, read_pairs
from weak2wise_core.training.saving import (
    end_generation_with_turn,
    publish_model,
    save_tokenizer,
    save_weights,
)
from weak2wise_core.training.shapes import shape_of
from weak2wise_core.training.trainer import (
    Encoded,
    arguments,
    choose_threads,
    load_model,
    make_trainer,
)
from weak2wise_core.training.watching import Emit, Watch, make_watcher

if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer


def prepare(job: TrainingJob) -> Prepared:
    """Check a job: packages, machine, tokenizer, and every example. No weights are read.

    Raises:
        UsageError: Something does not suit; the message says what.
    """
    require_packages(job.settings)
    machine = look_at(job.settings)
    tokens = tokens_of(job.model)
    if machine.device == "cuda":
        check_memory(job, gpus=machine.processes)
    longest = min(job.settings.max_length, context_of(job.model))
    examples = tuple(encoded(job, tokens=tokens, longest=longest))
    return Prepared(job=job, machine=machine, tokens=tokens, examples=examples, longest=longest)


def encoded(job: TrainingJob, *, tokens: Tokens, longest: int) -> Sequence[Encoded]:
    """The rows of a job as tokens that have passed both gates, in the shape of its objective.

    Raises:
        InputFileError: The rows cannot be read.
        TrainingRefusedError: A gate refuses one.
    """
    thinking = job.settings.thinking
    if job.settings.objective.reads_pairs:
        pairs = read_pairs(job.train_file)
        return encode_pairs(pairs, tokens=tokens, longest=longest, thinking=thinking)
    rows = read_rows(job.train_file)
    return encode_rows(rows, tokens=tokens, longest=longest, thinking=thinking)


def check_memory(job: TrainingJob, *, gpus: int) -> None:
    """Refuse a model whose weights, gradients and optimiser alone exceed a GPU.

    What activations need is an estimate, and the trainer's own words are then better.

    Raises:
        TrainingRefusedError: It does not fit, whatever the texts.
    """
    there = memory_of_gpu()
    found = need(shape_of(job.model), job.settings, gpus=gpus, tokens=0)
    if found.fixed > there:
        raise TrainingRefusedError(
            f"the training of {job.model} needs {found.fixed / GB:.1f} GB on each of {gpus} GPU(s) "
            f"for weights, gradients and optimizer alone, and a GPU here has {there / GB:.1f} GB. "
            "Share the model out (training.sharding: fsdp), train adapters (training.lora) or use "
            "training.optimizer: adamw_8bit; `weak2wise sft --plan` shows what fits"
        )


@functools.lru_cache(maxsize=8)
def tokens_of(model: str) -> Tokens:
    """The tokenizer of a model to train; it learns in no other's tokens.

    Raises:
        InputFileError: The model's folder holds none that can be read.
        UsageError: The hub id is neither in the cache nor can it be fetched.
    """
    return Tokens.load(model, otherwise="train another model (--model, or training.model)")


def fit(prepared: Prepared, *, emit: Emit, stop_asked: Callable[[], bool]) -> None:
    """Train and write the model's folder. Every process of the training calls it.

    What somebody else finished since the job was checked is not trained again.

    Raises:
        TrainingStoppedError: It was asked to stop; a checkpoint is kept.
        TrainingError: It diverged or ran out of memory.
        UsageError: The weights cannot be loaded, another process trains the same output, or has
            put something else there.
        StoreError: A folder cannot be written.
    """
    workshop = Workshop(prepared.job)
    # first, so that the processes of a training know each other
    options = arguments(
        prepared.job.settings,
        machine=prepared.machine,
        folder=workshop.folder,
        longest=prepared.longest,
    )
    with _held(workshop, first=options.process_index == 0):
        try:
            if (model := finished(prepared.job)) is None:
                _fit(prepared, options, workshop, emit=emit, stop_asked=stop_asked)
            elif options.process_index == 0:
                workshop.remove()
                emit(TrainingEvent(kind=EventKind.SKIPPED, folder=str(model.folder)))
        finally:
            _free_memory()


@contextmanager
def _held(workshop: Workshop, *, first: bool) -> Iterator[None]:
    """The workshop in the hands of the first process; the others wait until it is tidy."""
    from accelerate import PartialState

    if first:
        with workshop.open():
            workshop.clear_broken()
            PartialState().wait_for_everyone()
            yield
    else:
        PartialState().wait_for_everyone()
        yield


def _fit(
    prepared: Prepared,
    options: Any,
    workshop: Workshop,
    *,
    emit: Emit,
    stop_asked: Callable[[], bool],
) -> None:
    job, machine = prepared.job, prepared.machine
    last = workshop.last()
    watch = Watch(emit=emit, stop_asked=stop_asked, on_saved=workshop.mark, resumed_from=last)
    model = load_model(job.model, machine=machine)
    choose_threads(job.settings, parameters=model.num_parameters(), machine=machine)
    trainer = make_trainer(
        prepared.examples,
        model=model,
        tokens=prepared.tokens,
        settings=job.settings,
        arguments=options,
        watcher=make_watcher(watch),
        reference=_reference(job, machine=machine),
    )
    dataset: Any = trainer.train_dataset
    _check_dataset(dataset, prepared)
    _train(trainer, last)
    if watch.stopped:
        raise TrainingStoppedError(
            f"the training of {job.name} was stopped after step {trainer.state.global_step} of "
            f"{trainer.state.max_steps}; start it again to go on from there"
        )
    _finish(prepared, trainer, workshop, rows=len(dataset), watch=watch)


def _reference(job: TrainingJob, *, machine: Machine) -> "PreTrainedModel | None":
    """The model that dpo holds the trained one to; adapters lie on top of theirs."""
    if job.settings.objective is not Objective.DPO or job.settings.lora is not None:
        return None
    return load_model(job.model, machine=machine)


def _check_dataset(dataset: Any, prepared: Prepared) -> None:
    if prepared.job.settings.objective.reads_pairs:
        check_held(dataset, pairs=cast("Sequence[EncodedPair]", prepared.examples))
    else:
        check_prepared(dataset, examples=cast("Sequence[EncodedExample]", prepared.examples))


def _train(trainer: "Trainer", last: Path | None) -> None:
    import torch

    try:
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the GPU ran out of memory ({str(error).split('. ', 1)[0]}). Lower "
            "training.max_length or training.per_device_batch_size, train adapters "
            "(training.lora), or share the model out over several GPUs (training.sharding: fsdp); "
            "`weak2wise sft --plan` shows what fits"
        ) from error


def _finish(
    prepared: Prepared, trainer: "Trainer", workshop: Workshop, *, rows: int, watch: Watch
) -> None:
    """Write the model, then clear the workshop."""
    job, staged = prepared.job, workshop.folder / "model"
    save_weights(trainer, job, machine=prepared.machine, staged=staged)
    if trainer.is_world_process_zero():
        save_tokenizer(job, tokens=prepared.tokens, folder=staged)
        end_generation_with_turn(staged, tokens=prepared.tokens)
        manifest = describe(prepared, trainer.state, rows=rows)
        publish_model(staged, manifest, output=job.output)
        workshop.remove()
        watch.say(EventKind.FINISHED, trainer.state, folder=str(job.output))
    trainer.accelerator.wait_for_everyone()


def _free_memory() -> None:
    """Let the next training of this process have what this one held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
