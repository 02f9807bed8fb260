"""Laws of the two committed files behind `make reproduce`."""

import json
from pathlib import Path

import pytest

from testbed.language import read_problem
from testbed.questions import ABLATION_FILE, QUESTIONS_FILE, TEST_FILE, main
from testbed.world import Share, share_of
from weak2wise_core.recipes import load_recipe


@pytest.mark.parametrize(
    ("path", "arguments"),
    [(ABLATION_FILE, ["--count", "300"]), (TEST_FILE, ["--test", "--count", "400"])],
)
def test_each_file_is_what_the_documented_command_writes(
    path: Path, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody picked the questions: the generator did, byte by byte."""
    out = tmp_path / "questions.jsonl"
    monkeypatch.setattr("sys.argv", ["questions", *arguments, "--out", str(out)])
    main()
    assert out.read_bytes() == path.read_bytes()


def test_no_test_problem_was_ever_trained_on() -> None:
    """Its chain is in the share of the test, which neither pretraining nor the pool may see."""
    pool, test = (
        [read_problem(json.loads(line)["question"]) for line in path.read_text().splitlines()]
        for path in (ABLATION_FILE, TEST_FILE)
    )
    assert {share_of(problem) for problem in pool} == {Share.POOL}
    assert {share_of(problem) for problem in test} == {Share.TEST}
    assert not {one.chain for one in pool} & {one.chain for one in test}
    assert len({one.chain for one in test}) == 400


def test_the_larger_pool_begins_with_the_smaller_one() -> None:
    """What `make demo` asked is in the reply store when `make reproduce` comes."""
    small = QUESTIONS_FILE.read_text().splitlines()
    assert ABLATION_FILE.read_text().splitlines()[: len(small)] == small


def test_the_recipe_asks_for_what_the_readme_reports(repository: Path) -> None:
    """Five seeds or more, every arm, the balanced pool, and the files above."""
    recipe = load_recipe(repository / "deployments" / "recipes" / "ablation.yaml", {})
    assert recipe.ablation.seeds >= 5
    assert {arm.value for arm in recipe.ablation.arms} == {
        "highest", "random", "lowest", "shortest", "untruncated",
    }  # fmt: skip
    assert recipe.ablation.length_balanced
    assert recipe.questions.path == Path("testbed/questions_ablation.jsonl")
    assert [one.path for one in recipe.evaluation.benchmarks] == [
        Path("testbed/questions_test.jsonl")
    ]
