"""Laws of the related methods: run through their deployments, and never twice the same work."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.flows.serving import Engine
from tests.flows.test_cli import invoke
from tests.flows.test_deployment import kind_of
from weak2wise_core.config import BenchmarkKind, ModelSpec
from weak2wise_core.dataset.reading import open_dataset
from weak2wise_core.evaluation.records import BenchmarkResult, Evaluation, ItemResult
from weak2wise_core.exporting.folder import at, select
from weak2wise_core.exporting.trainers import export_jsonl, export_llama_factory, export_trl
from weak2wise_core.recipes import load_recipe
from weak2wise_core.records import EvaluatedSample, Verdict
from weak2wise_core.training.events import TrainingEvent
from weak2wise_core.training.jobs import MANIFEST, Trained, TrainingJob

pytestmark = pytest.mark.slow

W2SR, WEAK_TO_STRONG = "w2sr-testbed", "weak-to-strong-testbed"
BENCHMARK = {"kind": "aime24", "name": "held-out", "path": "testbed/questions_test.jsonl"}
LONGEST = 400.0
"""Seconds for one run on a machine that does other work too."""

Content = dict[str, Any]


def content_of(repository: Path, name: str, **changes: Any) -> Content:
    """A testbed's recipe, very small, with changes of its sections."""
    path = repository / "deployments" / "recipes" / f"{name}.yaml"
    content: Content = yaml.safe_load(path.read_text())
    content["questions"]["limit"] = 24
    content["seeds"] = 1
    content["evaluation"]["benchmarks"] = [BENCHMARK | {"limit": 12}]
    content["training"]["epochs"] = 1
    for section, values in changes.items():
        content[section] = {**content.get(section, {}), **values}
    return content


@pytest.fixture(scope="module")
def school(served: Engine) -> Engine:
    """The server with a worker for trainings."""
    served.start("worker", "start", "--pool", "gpu")
    return served


def report_of(data: Path, name: str) -> dict[str, Any]:
    """The report of the only run of a recipe."""
    (path,) = (data / "related" / name).glob("*/results.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def accuracies(report: dict[str, Any]) -> dict[str, float]:
    """The accuracy of every arm on the one benchmark."""
    (table,) = report["tables"]
    return {one["arm"]: one["accuracy"]["value"] for one in table["arms"]}


def run_deployment(school: Engine, name: str, content: Content) -> None:
    """`prefect deployment run` with a recipe, to its end."""
    school.run("deployment", "run", name, "--params", json.dumps({"recipe": content}))
    school.wait_for_run(name, seconds=LONGEST)


def test_w2sr_runs_through_its_deployment(school: Engine, repository: Path) -> None:
    """Traces, a trained student, both baselines, and the gap that is recovered."""
    reinforced = {"backend": "transformers", "model": "testbed/reasoner", "device": "cpu"}
    content = content_of(repository, W2SR, models={"reinforced": reinforced})
    run_deployment(school, "w2sr/w2sr-math", content)
    report = report_of(school.data, W2SR)
    assert list(accuracies(report)) == [
        "student", "student, zero-shot CoT", "after W2SR", "after RL",
    ]  # fmt: skip
    assert {one["baseline"] for one in report["recovery"]} == {"student", "student, zero-shot CoT"}
    (taught,) = report["trained_on"].values()
    dataset = open_dataset(Path(taught["folder"]))
    dataset.verify()
    assert taught["counts"]["traces"] == 24
    left = sum(count for one in taught["dropped"].values() for count in one.values())
    assert taught["counts"]["train"] + left == 24
    (folder,) = report["models"]["after W2SR"]
    manifest = json.loads((Path(folder) / MANIFEST).read_text())
    assert manifest["dataset"]["version"] == f"{W2SR}-traces/{dataset.version}"
    assert manifest["steps"][-1]["loss"] < manifest["steps"][0]["loss"]


def test_weak_to_strong_runs_through_its_deployment(
    school: Engine, repository: Path, tmp_path: Path
) -> None:
    """Agreement, M_plus, pairs, M_pro; both trainings are of datasets that lie there."""
    contrast = {"samples": 5, "min_confidence": 0.4, "min_confidence_against_weak": 0.4}
    content = content_of(repository, WEAK_TO_STRONG, contrast=contrast)
    content["training"]["epochs"] = 5  # that it reasons, and so is sure of something
    run_deployment(school, "weak-to-strong/weak-to-strong-gsm8k", content)
    report = report_of(school.data, WEAK_TO_STRONG)
    assert list(accuracies(report)) == ["weak", "strong", "M_plus, round 1", "M_pro"]
    agreed, pairs = report["trained_on"].values()
    assert agreed["counts"]["train"] == 2 * agreed["counts"]["agreed"] > 0
    assert agreed["counts"]["agreed"] + agreed["dropped"]["agree"]["different_answers"] <= 24
    (pro,) = report["models"]["M_pro"]
    manifest = json.loads((Path(pro) / MANIFEST).read_text())
    assert manifest["settings"]["objective"] == "dpo"
    assert manifest["counts"]["examples"] == pairs["counts"]["train"] > 0
    check_exports(Path(pairs["folder"]), tmp_path, rows=pairs["counts"]["train"])


def check_exports(folder: Path, out: Path, *, rows: int) -> None:
    """Pairs for TRL and LLaMA-Factory, as those read them."""
    dataset = open_dataset(folder)
    trl = pd.read_parquet(export_trl(dataset, out / "pairs.parquet"))
    assert list(trl.columns) == ["id", "prompt", "chosen", "rejected"]
    assert len(trl) == rows
    assert trl.chosen[0][0]["role"] == "assistant"
    assert 'load_dataset("me/pairs", split="train")' in at(select(dataset), "me/pairs").card
    lines = export_jsonl(dataset, out / "pairs.jsonl").read_bytes()
    assert lines == dataset.file("pairs.jsonl").read_bytes()
    info = json.loads(export_llama_factory(dataset, out / "factory").read_text())
    entry = info[dataset.name]
    assert entry["ranking"] is True
    held = pd.read_parquet(out / "factory" / entry["file_name"])
    assert set(entry["columns"].values()) <= set(held.columns)
    assert not (held.chosen == held.rejected).any()


def test_a_bad_recipe_is_refused_at_submission(school: Engine, repository: Path) -> None:
    """Stage II trains on pairs: the server says so before a run exists."""
    content = content_of(repository, WEAK_TO_STRONG, preference={"objective": "sft"})
    deployment = school.deployment("weak-to-strong/weak-to-strong-gsm8k")
    answer = school.ask(
        "POST", f"deployments/{deployment['id']}/create_flow_run",
        parameters={"recipe": content | {"agreement": {"round": 2}}},
    )  # fmt: skip
    assert answer.status_code in {409, 422}
    assert "round" in answer.text


# --- with trainings and evaluations that take no time -------------------------------------------


class Laboratory:
    """Stands in for training and evaluation, and remembers what it was given."""

    def __init__(self) -> None:
        self.trained: list[TrainingJob] = []
        self.evaluated: list[tuple[str, str]] = []

    async def train(
        self, jobs: Sequence[TrainingJob], *, on_event: Callable[[TrainingEvent], None]
    ) -> list[Trained]:
        """Make every model's folder: the base model with another note beside it."""
        for job in jobs:
            if not job.output.exists():
                shutil.copytree(job.model, job.output)
                (job.output / "note.txt").write_text(str(job.settings.seed))
                self.trained.append(job)
            on_event(TrainingEvent(kind="finished", job=job.name))  # type: ignore[arg-type]
        manifest = {"version": "0" * 12, "steps": [], "counts": {"steps": 0}}
        return [Trained(folder=job.output, manifest=manifest, skipped=False) for job in jobs]

    async def evaluate(self, model: ModelSpec, *, name: str, settings: Any, **_: Any) -> Evaluation:
        """Say that a trained model is right about the first of two questions, and others not."""
        self.evaluated.append((name, settings.prompt_suffix))
        trained = "seed" in name or "reinforced" in name
        verdicts = (Verdict.CORRECT if trained else Verdict.INCORRECT, Verdict.INCORRECT)
        items = [ItemResult(id=f"i{n}", verdicts=(one,)) for n, one in enumerate(verdicts)]
        found = BenchmarkResult(name="held-out", kind=BenchmarkKind.AIME, items=tuple(items))
        return Evaluation(
            name=name,
            model={"model": name},
            settings=settings.model_dump(mode="json"),
            benchmarks=(found,),
            samples=tuple(map(sample, items)),
        )


def sample(item: ItemResult) -> EvaluatedSample:
    """The one answer to a question."""
    from weak2wise_core.records import FinishReason

    return EvaluatedSample(
        benchmark="held-out", item=item.id, draw=0, gold="1", verdict=item.verdicts[0], answer="1",
        cut=False, finish_reason=FinishReason.STOP, prompt_tokens=1, completion_tokens=1,
        reply="1", error="",
    )  # fmt: skip


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """Trainings and evaluations that take no time."""
    made = Laboratory()
    monkeypatch.setattr("weak2wise_core.training.running.train", made.train)
    monkeypatch.setattr("weak2wise_core.evaluation.running.evaluate", made.evaluate)
    monkeypatch.setattr("weak2wise_core.training.saving.point_latest", lambda folder: folder)
    return made


Run = Callable[[str, Content], Awaitable[Any]]


@pytest.fixture
def run(engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> Run:
    """Runs a flow in this process with its data below `tmp_path` / data; the final state."""
    monkeypatch.setenv("WEAK2WISE_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(repository)

    async def start(name: str, content: Content) -> Any:
        from flows.w2sr import w2sr
        from flows.weak_to_strong import weak_to_strong

        flow: Any = w2sr if name == W2SR else weak_to_strong
        return await flow(kind_of(name).model_validate(content), return_state=True)

    return start


async def test_a_second_run_asks_and_trains_nothing(
    run: Run, laboratory: Laboratory, repository: Path, tmp_path: Path
) -> None:
    """Stage results, models and the report are those of the first; another seed trains anew."""
    from tasks.teaching import PROGRESS, TeachingProgress

    content = content_of(repository, W2SR)
    first = await run(W2SR, content)
    assert first.is_completed(), first.message
    assert len(laboratory.trained) == 1
    again = TeachingProgress()
    token = PROGRESS.set(again)
    second = await run(W2SR, content | {"seeds": 2})
    PROGRESS.reset(token)
    assert second.is_completed()
    assert again.models.calls == 0
    assert again.models.cached["answer_questions"] == 24
    assert [job.settings.seed for job in laboratory.trained] == [0, 1]
    taught = await second.aresult()
    assert taught.report.recovery[0].undefined == "no_reinforced_student"
    suffixes = dict(laboratory.evaluated)
    assert suffixes["w2sr-testbed-student"] == suffixes["w2sr-testbed-after-seed0"] == ""
    assert "step by step" in suffixes["w2sr-testbed-student-cot"]


@pytest.mark.parametrize("traces", ["correct", "incorrect"])
async def test_a_selection_trains_on_its_own_traces(
    run: Run, laboratory: Laboratory, repository: Path, traces: str
) -> None:
    """W2SR-P on right ones, W2SR-N on wrong ones; the others leave by name."""
    content = content_of(repository, W2SR, selection={"traces": traces})
    state = await run(W2SR, content)
    assert state.is_completed(), state.message
    (training,) = (await state.aresult()).report.trained_on.values()
    rows = pd.read_parquet(Path(training["folder"]) / "train.parquet")
    assert set(rows.score) == {1.0 if traces == "correct" else 0.0}
    other = "incorrect" if traces == "correct" else "correct"
    assert training["dropped"]["select_traces"][other] > 0


async def test_rounds_replace_the_answers_in_context(
    run: Run, laboratory: Laboratory, repository: Path
) -> None:
    """From the second round on M_plus answers; every round begins at the strong model."""
    content = content_of(
        repository, WEAK_TO_STRONG, agreement={"rounds": 2}, contrast={"samples": 4}
    )
    state = await run(WEAK_TO_STRONG, content)
    assert state.is_completed(), state.message
    first, second, *rest = laboratory.trained
    assert first.model == second.model == "testbed/strong_model"
    assert second.dataset_version.startswith(f"{WEAK_TO_STRONG}-agreed-round2-seed0/")
    report = (await state.aresult()).report
    assert list(report.models)[:2] == ["M_plus, round 1", "M_plus, round 2"]
    assert len(rest) == len(report.models.get("M_pro", ()))
    if rest:
        assert rest[0].model == str(second.output)


async def test_a_budget_stops_a_run_before_it_is_crossed(
    run: Run, laboratory: Laboratory, repository: Path
) -> None:
    """And nothing is trained."""
    content = content_of(repository, W2SR, budget={"calls": 5})
    state = await run(W2SR, content)
    assert state.name == "StoppedAtBudget"
    assert laboratory.trained == []


async def test_models_that_never_agree_train_nothing(
    run: Run, laboratory: Laboratory, repository: Path
) -> None:
    """The end has a name and says where to look."""
    content = content_of(repository, WEAK_TO_STRONG, answers={"style": "hashes"})
    state = await asyncio.wait_for(run(WEAK_TO_STRONG, content), LONGEST)
    assert not state.is_completed()
    assert "answers.style" in (state.message or str(await state.aresult(raise_on_failure=False)))
    assert laboratory.trained == []


@pytest.mark.parametrize(
    ("command", "name", "change", "found"),
    [
        ("w2sr", W2SR, "evaluation.benchmarks=[]", "compares models on benchmarks"),
        ("w2sr", W2SR, "selection.traces=good", "selection.traces"),
        ("w2sr", W2SR, "execution.runner=dask", "one event loop"),
        ("w2sr", W2SR, "recovery.reinforced_results=docs/examples/weak.jsonl", "row 1: field"),
        ("weak-to-strong", WEAK_TO_STRONG, "preference.objective=sft", "dpo or orpo"),
        ("weak-to-strong", WEAK_TO_STRONG, "models.weak.model=/nowhere/model", "does not exist"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused_before_anything_starts(
    repository: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str, change: str,
    found: str,
) -> None:  # fmt: skip
    """One sentence and exit code 2."""
    monkeypatch.chdir(repository)
    path = repository / "deployments" / "recipes" / f"{name}.yaml"
    code, output = invoke(command, path, "--set", change)
    assert code == 2
    assert found in output


def test_the_recipes_of_the_testbed_are_of_their_kind(repository: Path) -> None:
    """Neither is a build's."""
    for name in (W2SR, WEAK_TO_STRONG):
        path = repository / "deployments" / "recipes" / f"{name}.yaml"
        recipe: Any = load_recipe(path, kind=kind_of(name))
        assert recipe.dataset == name
