"""Laws of cache keys: everything that matters is in them, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from tasks.caching import VERSIONS, StageKey, stage_settings
from weak2wise_core.config import ModelSpec, Recipe
from weak2wise_core.prompts import PromptSet
from weak2wise_core.recipes import parse_recipe
from weak2wise_core.records import Question

QUESTIONS = [Question(id="a", question="Question?", answer="1")]


def recipe(**changes: Any) -> Recipe:
    """A recipe with changes by dotted key."""
    content: dict[str, Any] = {
        "dataset": "d",
        "questions": {"path": "q.jsonl"},
        "models": {
            "weak": {"backend": "openai", "model": "w", "base_urls": ["http://one/v1"]},
            "strong": [
                {"name": "s", "backend": "openai", "model": "s", "base_urls": ["http://s/v1"]}
            ],
            "judge": {"backend": "openai", "model": "j", "base_urls": ["http://j/v1"]},
            "truncator": {"backend": "openai", "model": "t", "base_urls": ["http://t/v1"]},
        },
        "step_mask": {"policy": "exhaustive"},
    }
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node: Any = content
        for part in parents:
            node = node[int(part)] if part.isdigit() else node.setdefault(part, {})
        node[last] = value
    return parse_recipe(content)


def key(stage: str, recipe: Recipe, **rows: Any) -> str:
    """The key of a stage for a recipe."""
    inputs = {"recipe": recipe, "shard": "01", "questions": QUESTIONS} | rows
    return StageKey(stage=stage).compute_key(None, inputs, {})  # type: ignore[arg-type]


ALL = set(VERSIONS)
SCORED = {"score_step_masks"}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"step_mask__beta": 0.7}, {"select_golden"}),
        ({"step_mask__reading": "as_printed"}, {"select_golden"}),
        ({"step_mask__granularity": 5}, SCORED | {"select_golden"}),
        ({"models__weak__temperature": 0.1}, {"filter_qa", "score_step_masks"}),
        ({"models__judge__model": "other"}, {"filter_qa", "score_step_masks"}),
        ({"judging__votes": 5}, {"filter_qa", "score_step_masks"}),
        ({"models__strong__0__temperature": 0.9}, {"generate_candidates"}),
        ({"generate__refuse_answer_leak": True}, {"generate_candidates"}),
        (
            {"selection__by": "shortest"},
            {"select_golden"},
        ),
        ({"selection__window": 9}, {"measure_traces"}),
        ({"truncation__over_tokens": 9}, {"truncate_golden"}),
        ({"models__truncator__model": "other"}, {"truncate_golden"}),
        ({"sft__max_tokens": 99}, {"format_sft"}),
        ({"models__weak__base_urls": ["http://two/v1", "http://three/v1"]}, set()),
        ({"models__weak__api_key_env": "OTHER_KEY"}, set()),
        ({"models__weak__in_flight": 7}, set()),
        ({"models__strong__0__usd_per_mtok": {"input": 9}}, set()),
        ({"execution__in_flight": 7}, set()),
        ({"execution__questions_per_task": 7}, set()),
        ({"budget__usd": 5.0}, set()),
        ({"questions__path": "elsewhere.jsonl"}, set()),
        ({"zero_score__action": "keep"}, set()),
    ],
)
def test_a_setting_changes_the_stages_that_read_it(
    change: dict[str, Any], stages: set[str]
) -> None:
    """A change of the recipe gives new keys to the stages that read it and to no other."""
    plain, changed = recipe(), recipe(**change)
    different = {stage for stage in ALL if key(stage, plain) != key(stage, changed)}
    assert different == stages


def test_the_rows_and_the_draws_are_in_the_key() -> None:
    """Other content, or other draws of the same content, is another run."""
    other = [Question(id="a", question="Question?", answer="2")]
    assert key("filter_qa", recipe()) != key("filter_qa", recipe(), questions=other)
    first = key("generate_candidates", recipe(), first_draw=0, draws=3)
    assert first != key("generate_candidates", recipe(), first_draw=3, draws=3)


def test_the_shard_and_its_name_are_not() -> None:
    """The same rows in a shard of another name are the same run."""
    assert key("filter_qa", recipe()) == key("filter_qa", recipe(), shard="other")


def test_a_row_that_is_not_plain_data_is_refused() -> None:
    """There is no fallback to pickle, which hashes differently in every process."""
    with pytest.raises(TypeError, match="no content hash"):
        key("filter_qa", recipe(), questions=[object()])


def test_every_stage_has_a_version_and_settings() -> None:
    """The key of each stage can be computed, and is shaped like a partition."""
    for stage in VERSIONS:
        assert stage_settings(stage, recipe(), prompts=PromptSet())
        assert key(stage, recipe()).startswith(f"stage={stage}/")
        assert key(stage, recipe()).endswith(".parquet")


def test_a_race_reads_the_weights_that_it_races_by() -> None:
    """With the policy `race` another beta asks other levels: that is another run."""
    race, other = (recipe(step_mask__policy="race", step_mask__beta=beta) for beta in (0.5, 0.7))
    assert key("score_step_masks", race) != key("score_step_masks", other)
    assert key("score_step_masks", race) != key("score_step_masks", recipe())


def answers_key(**changes: Any) -> str:
    """The key of a model's answers."""
    model = {"backend": "openai", "model": "m", "base_urls": ["http://one/v1"]}
    inputs: dict[str, Any] = {
        "model": ModelSpec.model_validate(model | changes.pop("model", {})),
        "name": "weak",
        "shard": "01",
        "questions": QUESTIONS,
        "draws": 1,
        "judged": False,
    } | changes
    return StageKey(stage="answer_questions").compute_key(None, inputs, {})  # type: ignore[arg-type]


def test_answers_of_a_model_are_keyed_by_what_was_asked_of_whom() -> None:
    """The prompt, the model with its sampling, the draws and the judge; no name and no address."""
    changes: list[dict[str, Any]] = [
        {"model": {"temperature": 0.5}},
        {"model": {"model": "other"}},
        {"draws": 2},
        {"judged": True},
        {"questions": [replace(QUESTIONS[0], question="Another prompt?")]},
    ]
    assert len({answers_key(), *(answers_key(**change) for change in changes)}) == 6
    for same in ({"name": "strong"}, {"shard": "02"}, {"model": {"base_urls": ["http://2/v1"]}}):
        assert answers_key(**same) == answers_key()
