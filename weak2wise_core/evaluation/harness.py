"""lm-evaluation-harness: our tasks and stock ones, put to a model through a `Bridge`.

The harness loads tasks, renders prompts, repeats questions, filters and aggregates. It is imported
when it is first needed, once; its own caches, bootstrap and progress bars are not used, so that an
evaluation costs milliseconds beside the model's time and leaves nothing behind.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from weak2wise_core.config import BenchmarkKind, EvaluationSettings
from weak2wise_core.errors import MissingExtraError, UsageError
from weak2wise_core.evaluation.benchmarks import Benchmark, Problem
from weak2wise_core.evaluation.bridge import Bridge
from weak2wise_core.evaluation.grading import Grade, Grader
from weak2wise_core.evaluation.records import StockResult
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.records import Verdict

TASKS = Path(__file__).parent / "tasks"
FEWSHOT_SEED = 1234
"""The harness's own, for the examples that some stock tasks show."""
METRIC = "pass_at_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the harness found."""

    grades: Mapping[tuple[str, str], Sequence[Grade]]
    """By benchmark and question, one per draw."""
    pass_at_1: Mapping[str, float]
    """By benchmark, as the harness aggregates it."""
    stock: tuple[StockResult, ...]


def run_harness(
    bridge: Bridge,
    benchmarks: Sequence[Benchmark],
    *,
    settings: EvaluationSettings,
    grader: Grader,
) -> Found:
    """Ask and grade everything; called in a thread of its own.

    Args:
        bridge: Asks the model; afterwards it holds the replies.
        benchmarks: Our own tasks.
        settings: Samples, sampling, limits, prompt suffix, stock tasks.
        grader: Decides what is right in our own tasks.

    Raises:
        MissingExtraError: The harness is not installed.
        UsageError: A stock task does not exist, cannot be loaded or cannot be asked this way.
        EvaluationError, ModelError, BudgetReachedError: As `Bridge.generate_until`.
    """
    harness = load_harness()
    grades: dict[tuple[str, str], Sequence[Grade]] = {}
    own = {
        one.name: _own_task(harness, one, settings=settings, into=grades, by=grader)
        for one in benchmarks
    }
    loaded = harness.stock_tasks(settings.stock_tasks) if settings.stock_tasks else {"tasks": {}}
    if taken := own.keys() & loaded["tasks"].keys():
        raise UsageError(f"{min(taken)!r} is a benchmark and a stock task; name one otherwise")
    rows = harness.evaluate(bridge, {**loaded, "tasks": {**own, **loaded["tasks"]}})["results"]
    return Found(
        grades=grades,
        pass_at_1={name: float(rows[name][f"{METRIC},graded"]) for name in own},
        stock=tuple(_stock_result(name, rows[name]) for name in rows if name not in own),
    )


class Harness:
    """The parts of the library that are used; importing them takes seconds, once."""

    def __init__(self) -> None:
        from lm_eval import evaluator, tasks
        from lm_eval.api import model, task

        task.tqdm = lambda rows, **_: rows  # its bars have no switch, and would break our displays
        logger = logging.getLogger("lm_eval")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)
        self._evaluator, self._tasks, self._model, self._task = evaluator, tasks, model, task

    def evaluate(self, bridge: Bridge, loaded: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask, filter, grade and aggregate.

        Not `simple_evaluate`: that one sets the seeds of the whole process and starts programs to
        describe the machine.
        """
        results: Mapping[str, Any] = self._evaluator.evaluate(
            self._as_model(bridge),
            loaded,
            bootstrap_iters=0,  # intervals are ours
            log_samples=False,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
        )
        return results

    def _as_model(self, bridge: Bridge) -> Any:
        """The bridge as an `LM` of the harness."""
        body: dict[str, Any] = {
            "tokenizer_name": "weak2wise",
            "apply_chat_template": staticmethod(bridge.apply_chat_template),
            "generate_until": staticmethod(bridge.generate_until),
            "loglikelihood": staticmethod(bridge.loglikelihood),
            "loglikelihood_rolling": staticmethod(bridge.loglikelihood_rolling),
        }
        return type("ChatLM", (self._model.LM,), body)()

    def own_task(self, config: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> Any:
        """A task of ours over rows in memory: nothing is fetched, nothing is cached."""
        import datasets

        data = {"test": datasets.Dataset.from_list(list(rows))}
        return self._task.ConfigurableTask(config={**config, "custom_dataset": lambda **_: data})

    @cached_property
    def _manager(self) -> Any:
        """The index of all stock tasks; making it takes seconds."""
        return self._tasks.TaskManager()

    def stock_tasks(self, names: Sequence[str]) -> dict[str, Any]:
        """Stock tasks and groups by name, loaded with their data.

        Raises:
            UsageError: There is no such task, its data cannot be fetched, or it has no text to ask.
        """
        manager = self._manager
        if unknown := [name for name in names if name not in manager.all_tasks]:
            raise UsageError(
                f"stock_tasks: lm-evaluation-harness has no task {unknown[0]!r}; "
                "`lm-eval ls tasks` lists them"
            )
        try:
            loaded: dict[str, Any] = manager.load(list(names))
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            asked = ", ".join(names)
            raise UsageError(f"stock_tasks: {asked} cannot be loaded: {error}") from error
        for task in loaded["tasks"].values():
            _prepare(task)
        return loaded


def _prepare(task: Any) -> None:
    """Settle what the harness settles before it evaluates."""
    if task.OUTPUT_TYPE != "generate_until":
        raise UsageError(
            f"stock_tasks: {task.task_name} needs log-likelihoods, which chat models do not give; "
            "choose a task that lets the model write its answer"
        )
    if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
        raise UsageError(
            f"stock_tasks: {task.task_name} runs code that the model writes, or shows it pictures; "
            "neither is done here"
        )
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)


def require_harness() -> None:
    """Make sure that the library is there, without the seconds that importing it takes.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec("lm_eval") is None:
        raise _missing("no module named lm_eval")


def _missing(found: object) -> MissingExtraError:
    return MissingExtraError(
        "lm-evaluation-harness, which asks the questions of an evaluation, is not installed "
        f"({found}). Run: pip install 'weak2wise[eval]'"
    )


@lru_cache(maxsize=1)
def load_harness() -> Harness:
    """The library, imported once.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        with IMPORTING:
            return Harness()
    except ImportError as error:
        raise _missing(error) from error


def task_config(kind: BenchmarkKind) -> dict[str, Any]:
    """Our task definition of a kind of benchmark."""
    text = (TASKS / f"{kind.value}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


def _own_task(
    harness: Harness,
    benchmark: Benchmark,
    *,
    settings: EvaluationSettings,
    into: dict[tuple[str, str], Sequence[Grade]],
    by: Grader,
) -> Any:
    problems = {problem.id: problem for problem in benchmark.problems}

    def process_results(row: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
        """Grade every draw of one question."""
        replies: Sequence[str] = results[0]
        grades = [
            by.grade(text, problem=problems[row["id"]], kind=benchmark.kind) for text in replies
        ]
        into[benchmark.name, row["id"]] = grades
        right = sum(grade.verdict is Verdict.CORRECT for grade in grades)
        return {METRIC: right / len(grades)}

    config = task_config(benchmark.kind) | {
        "task": benchmark.name,
        "repeats": settings.samples,
        "filter_list": [
            {"name": "graded", "filter": [{"function": "take_first_k", "k": settings.samples}]}
        ],
        "process_results": process_results,
        "generation_kwargs": own_sampling(settings),
    }
    ending = f"\n\n{settings.prompt_suffix}" if settings.prompt_suffix else ""
    return harness.own_task(config, [_row(one, ending) for one in benchmark.problems])


def _row(problem: Problem, suffix: str) -> dict[str, Any]:
    return {
        "id": problem.id,
        "question": problem.question,
        "choices": list(problem.choices),
        "gold": problem.gold,
        "suffix": suffix,
    }


def own_sampling(settings: EvaluationSettings) -> dict[str, Any]:
    """The settings in the words of the harness; what is left to the model is left out."""
    wanted = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_gen_toks": settings.max_tokens,
    }
    return {"until": []} | {name: value for name, value in wanted.items() if value is not None}


def _stock_result(name: str, row: Mapping[str, Any]) -> StockResult:
    metrics = {
        key: float(value)
        for key, value in row.items()
        if "," in key and isinstance(value, int | float)
    }
    return StockResult(task=name, metrics=metrics, questions=int(row.get("sample_len") or 0))
