"""sft: a published dataset -> the fine-tuned weak model (section 3.6, appendix B)."""

import asyncio
from typing import Any

import prefect.runtime
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.train_sft import announce_model, report_training, train_sft
from tasks.training_jobs import open_job
from weak2wise_core.config import TrainingSettings
from weak2wise_core.config.base import Name

AS_IN_THE_PAPER = TrainingSettings()


def _run_name() -> str:
    parameters = prefect.runtime.flow_run.parameters
    return f"train on {parameters['name'] or parameters['dataset']}"


@flow(name="sft", flow_run_name=_run_name, persist_result=False)
async def sft(
    dataset: str, training: TrainingSettings = AS_IN_THE_PAPER, name: Name | None = None
) -> State[Any]:
    """Fine-tune the weak model on a dataset; the model lies in `models/NAME/VERSION` afterwards.

    A model of the same training rows, base model and settings is not trained again. A training that
    was stopped goes on from its last checkpoint.

    Args:
        dataset: A folder, one version or that of all of them; or NAME or NAME/VERSION below the
            data folder.
        training: How to train. Without a model, the weak model that the dataset names.
        name: Of the trained model; the dataset's where absent.
    """
    job = await asyncio.to_thread(open_job, dataset, training, name=name)
    trained = await train_sft(job)
    announce_model(job, trained)
    await report_training(job, trained)
    steps = trained.manifest["counts"]["steps"]
    how = "was there already" if trained.skipped else f"{steps} steps"
    return Completed(message=f"model in {trained.folder} ({how})", data=trained)
