"""Laws of finished shards: found only where everything is the same, whatever they are called."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.caching import build_settings
from tasks.progress import Progress
from tasks.shards import ShardResult, find, keep, place
from tests.core.dataset.test_publishing import candidate, contents
from tests.tasks.test_caching import recipe
from weak2wise_core.hashing import content_hash
from weak2wise_core.prompts import PromptSet
from weak2wise_core.records import Question

QUESTIONS = [Question(id="a", question="Question?", answer="1")]


def kept(path: Path) -> ShardResult:
    """A shard as one build left it."""
    plain = contents()
    return keep(
        path,
        shard="0",
        portions=list(plain.portions()),
        rejections=plain.rejections,
        entered={"filter_qa": 3},
        recipe=plain.recipe,
    )


def test_a_shard_is_found_under_the_name_that_this_build_gives_it(tmp_path: Path) -> None:
    """The same questions have a longer name where others stand beside them."""
    made = kept(tmp_path / "a.portions")
    found = find(tmp_path / "a.portions", shard="011")
    assert found == replace(made, shard="011")
    progress = Progress()
    found.show(progress)
    assert progress.cached == {"filter_qa": 3}


def test_a_damaged_shard_is_none(tmp_path: Path) -> None:
    """One changed byte or a missing half: it is made anew; so it is where there is none."""
    path = tmp_path / "a.portions"
    assert find(path, shard="0") is None
    kept(path)
    whole = path.read_bytes()
    for broken in (whole[:-1], whole[: len(whole) // 2], b"", whole[:90] + b"x" + whole[91:]):
        path.write_bytes(broken)
        assert find(path, shard="0") is None
    path.write_bytes(whole)
    assert find(path, shard="0") is not None


def settings(prompts: PromptSet | None = None, **changes: Any) -> str:
    """The hash of what a recipe says about rows."""
    return content_hash(build_settings(recipe(**changes), prompts=prompts or PromptSet()))


@pytest.mark.parametrize(
    ("change", "another"),
    [
        ({"filter__enabled": False}, True),
        ({"generate__samples_per_model": 2}, True),
        ({"zero_score__action": "keep"}, True),
        ({"zero_score__max_draws": 5}, True),
        ({"step_mask__beta": 0.7}, True),
        ({"step_mask__policy": "race"}, True),
        ({"selection__by": "shortest"}, True),
        ({"truncation__over_tokens": 9}, True),
        ({"sft__max_tokens": 99}, True),
        ({"models__judge__model": "other"}, True),
        ({"models__weak__base_urls": ["http://two/v1"]}, False),
        ({"models__weak__usd_per_mtok": {"input": 9}}, False),
        ({"budget__calls": 7}, False),
        ({"execution__runner": "dask"}, False),
        ({"execution__questions_per_task": 7}, False),
        ({"decontaminate__against": ["other.jsonl"]}, False),  # it leaves out whole questions
    ],
)
def test_a_setting_that_changes_rows_is_another_shard(
    change: dict[str, Any], another: bool
) -> None:
    """Settings between stages count as well; how, where and for how much do not."""
    assert (settings() != settings(**change)) is another


@pytest.mark.parametrize("name", ["generate", "solve", "hint", "judge", "truncate_endpoint"])
def test_another_wording_is_another_shard(name: str) -> None:
    """Of whichever template that the recipe uses."""
    worded = replace(getattr(PromptSet(), name), version="other")
    assert settings() != settings(replace(PromptSet(), **{name: worded}))


def test_what_people_and_files_bring_is_in_the_place(tmp_path: Path) -> None:
    """Another answer, another imported candidate or another note: another shard."""

    def at(**changes: Any) -> Path:
        given: dict[str, Any] = {"questions": QUESTIONS, "imported": (), "notes": {}}
        return place(tmp_path, "settings", **(given | changes))

    assert at() == at()
    one = candidate("a", 0)
    others = [
        at(questions=[replace(QUESTIONS[0], answer="2")]),
        at(imported=[one]),
        at(imported=[replace(one, normal_reasoning="other")]),
        at(notes={"a": "A person wrote this."}),
        at(notes={"a": "Another one did."}),
    ]
    assert len({at(), *others}) == 6
