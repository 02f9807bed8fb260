"""Laws of the command line: one clear sentence and the right exit code."""

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from flows.commands.app import app
from tests.core.llm.asking import CANARY
from weak2wise_core.errors import Weak2WiseError

runner = CliRunner()


def invoke(*arguments: object) -> tuple[int, str]:
    """Exit code and output of a command, errors included, as `main` reports them."""
    result = runner.invoke(app, [str(one) for one in arguments])
    if isinstance(result.exception, Weak2WiseError):
        return result.exception.exit_code, f"{result.output}{result.exception}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def lines(path: Path, rows: list[Any]) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects among the lines of an output."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_verify_judges_by_rule_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Rows go out as they came in, with one of three verdicts."""
    rows = [
        {"id": "a", "question": "?", "gold": 42, "attempt": "So it is \\boxed{42}."},
        {"id": "b", "question": "?", "gold": "42", "attempt": "The answer is 41."},
        {"id": "c", "question": "?", "gold": "a long story", "attempt": "another story"},
        {"id": "d", "question": "?", "attempt": "no gold"},
    ]
    code, output = invoke("verify", lines(tmp_path / "a.jsonl", rows))
    found = objects(output)
    assert code == 0
    assert [row["id"] for row in found] == ["a", "b", "c", "d"]
    assert [row["verdict"] for row in found][:2] == ["correct", "incorrect"]
    assert {row["verdict"] for row in found[2:]} == {"unjudged"}


@pytest.mark.parametrize(
    ("name", "share", "false_positives"),
    [("gsm8k_attempts_labelled", 0.975, 0), ("math_pairs_from_mathverify", 0.96, 1)],
)
def test_verify_agrees_with_people_on_real_attempts(
    shared_data: Path, tmp_path: Path, name: str, share: float, false_positives: int
) -> None:
    """Verdicts by rule agree with published labels, and hardly ever praise a wrong answer."""
    source, target = shared_data / "verify" / f"{name}.jsonl", tmp_path / "verdicts.jsonl"
    code, output = invoke("verify", source, "--output", target)
    labels = [json.loads(line)["label"] for line in source.read_text().splitlines()]
    verdicts = [json.loads(line)["verdict"] for line in target.read_text().splitlines()]
    pairs = list(zip(labels, verdicts, strict=True))
    agreed = sum(verdict == ("correct" if label else "incorrect") for label, verdict in pairs)
    assert code == 0
    assert agreed / len(pairs) >= share
    assert f"({agreed} of {len(pairs)})" in output
    assert sum(not label and verdict == "correct" for label, verdict in pairs) <= false_positives


def test_truncate_returns_prefixes_or_a_reason(tmp_path: Path) -> None:
    """Each row is an exact prefix that holds the answer, or null with a reason."""
    trace = "2 * 3 = 6. So it is 6. Wait, let me check. Yes."
    rows = [
        {"id": "a", "model": "m", "gold": 6, "reasoning_content": trace},
        {"id": "b", "model": "m", "gold": "7", "reasoning_content": trace},
        {"id": "c", "model": "m", "gold": "7", "reasoning_content": None},
    ]
    code, output = invoke("truncate", lines(tmp_path / "t.jsonl", rows), "--method", "rule")
    found = objects(output)
    assert code == 0
    assert trace.startswith(found[0]["truncated"])
    assert "6" in found[0]["truncated"]
    assert [(row["truncated"], bool(row["reason"])) for row in found[1:]] == [(None, True)] * 2


def test_mask_shows_every_level_and_never_the_answer(tmp_path: Path) -> None:
    """Six levels, the lightest whole, none with the final step."""
    path = tmp_path / "t.txt"
    path.write_text("## Add\n1 + 1 is two\n\n## Final Answer\nanswer-42")
    code, output = invoke("mask", path, "--json")
    shown = json.loads(output)["levels"]
    assert (code, len(shown)) == (0, 6)
    assert "1 + 1 is two" in shown[0]
    assert not any("answer-42" in level for level in shown)


def test_mask_of_a_text_without_steps_is_an_error(tmp_path: Path) -> None:
    """The message says what a step looks like."""
    path = tmp_path / "t.txt"
    path.write_text("no steps here")
    code, output = invoke("mask", path)
    assert code == 1
    assert "##" in output


def test_import_traces_writes_candidates_that_name_their_refusals(tmp_path: Path) -> None:
    """The file holds usable and refused candidates; the counts say how many of each."""
    row = {"id": "q", "question": "1 + 1?", "gold": "2", "model": "m", "reasoning_content": "t"}
    rows = [row | {"content": "## A\nx\n\n## Final Answer\n2"}, row | {"content": "just 2"}]
    target = tmp_path / "c.parquet"
    code, output = invoke(
        "import-traces", lines(tmp_path / "t.jsonl", rows), "-o", target, "--json"
    )
    facts = json.loads(output)
    assert code == 0
    assert (facts["rows"], facts["usable"], facts["refused"]) == (2, 1, {"no_step": 1})
    assert pd.read_parquet(target)["refusal"].tolist()[1] == "no_step"


@pytest.fixture
def paper_recipe(tmp_path: Path) -> Path:
    """The paper's sizes: a thousand questions, no filter, two strong models, three votes."""
    rows = [{"question": f"Question number {i}?", "answer": i} for i in range(1000)]
    model = {"backend": "openai", "model": "m", "base_urls": ["http://127.0.0.1:9/v1"]}
    priced = model | {"max_tokens": 1000, "usd_per_mtok": {"input": 1, "output": 2}}
    recipe = {
        "dataset": "d",
        "questions": {"path": str(lines(tmp_path / "q.jsonl", rows))},
        "filter": {"enabled": False},
        "models": {
            "weak": model,
            "strong": [priced | {"name": "a"}, priced | {"name": "b"}],
            "judge": priced,
            "truncator": model,
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_plan_counts_the_calls_of_the_paper(paper_recipe: Path) -> None:
    """6,000 strong generations, 36,000 weak ones, up to 108,000 votes; those again stand apart.

    Nothing is asked.
    """
    code, output = invoke("plan", paper_recipe, "--json", "--data-dir", paper_recipe.parent)
    rows = {(row["stage"], row["model"]): row for row in json.loads(output)["calls"]}
    drawn = [row for (stage, _), row in rows.items() if stage == "generate_candidates"]
    votes = rows["score_step_masks", "judge"]
    assert code == 0
    assert sum(row["most"] for row in drawn) == 6_000
    assert all(row["exact"] for row in drawn)
    assert rows["score_step_masks", "weak"]["most"] == 36_000
    assert votes["most"] - votes["reasks"] == 108_000
    assert votes["reasks"] == 3 * 108_000  # every vote once more, and both again
    assert rows["truncate_golden", "truncator"]["most"] == 1_000
    assert not any(stage == "filter_qa" for stage, _ in rows)


def test_plan_prices_the_calls(paper_recipe: Path) -> None:
    """Money is calls times tokens times price; without a limit of replies there is no upper end."""
    arguments = ("plan", paper_recipe, "--data-dir", paper_recipe.parent)
    unlimited = json.loads(invoke(*arguments, "--json")[1])["calls"]
    judge = next(row for row in unlimited if row["model"] == "judge")
    typical = (judge["most"] - judge["reasks"]) * (judge["prompt_tokens"] * 1 + 80 * 2) / 1e6
    assert judge["usd_typical"] == pytest.approx(typical, abs=0.01)
    assert judge["usd_most"] is None  # a vote repeats an attempt, which has no limit
    limited = json.loads(invoke(*arguments, "--json", "--set", "models.weak.max_tokens=500")[1])
    judge = next(row for row in limited["calls"] if row["model"] == "judge")
    assert judge["usd_most"] > judge["most"] * (500 * 1 + 1000 * 2) / 1e6
    assert judge["usd_most"] < judge["most"] * (2000 * 1 + 1000 * 2) / 1e6
    assert "weak" in limited["unpriced"]
    code, output = invoke(*arguments)
    assert code == 0
    assert "108,000" in output
    assert "no limit" in output


@pytest.mark.parametrize(
    ("change", "code", "found"),
    [
        (["--set", "nonsense"], 2, "KEY=VALUE"),
        (["--set", "colour=1"], 2, "colour: unknown key"),
        (["--set", "sft=&x [*x]"], 2, "a value contains itself"),
        (["--set", "step_mask.beta=2"], 2, "step_mask.beta"),
        (["--set", "questions.path=absent.jsonl"], 2, "absent.jsonl does not exist"),
        (["--limit", "0"], 2, ""),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    paper_recipe: Path, change: list[str], code: int, found: str
) -> None:
    """What was asked for cannot be done as written, and nothing was started."""
    got, output = invoke("plan", paper_recipe, *change)
    assert got == code
    assert found in output


@pytest.mark.parametrize("command", ["plan", "build", "doctor"])
@pytest.mark.parametrize(
    ("role", "change", "place"),
    [
        ("weak", {"base_urls": [f"http://u:{CANARY}@127.0.0.1:9/v1"]}, "models.weak: base_urls.0"),
        ("judge", {"base_urls": [f"http://127.0.0.1:9/v1?key={CANARY}"]}, "the parameter 'key'"),
        ("judge", {"extra_body": {"x": [{"api_key": CANARY}]}}, "extra_body.x.0.api_key:"),
        ("weak", {"api_key": CANARY}, "models.weak.api_key: unknown key"),
    ],
)
def test_a_key_in_a_recipe_is_refused_and_shown_nowhere(
    paper_recipe: Path,
    command: str,
    role: str,
    change: dict[str, Any],
    place: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The command says where it is; neither output, log nor data folder holds it."""
    caplog.set_level(logging.DEBUG)
    content = yaml.safe_load(paper_recipe.read_text())
    content["models"][role] |= change
    recipe = lines(paper_recipe.with_name("keyed.json"), [content])
    data = paper_recipe.parent / "data"
    code, output = invoke(command, recipe, "--data-dir", data, "--json")
    assert code == 2
    assert place in output
    assert CANARY not in output + caplog.text
    assert not data.exists()


def test_a_key_on_the_command_line_or_from_a_form_is_not_repeated(paper_recipe: Path) -> None:
    """`--set`, `--base-url`, and what the engine says of a recipe that was submitted to it."""
    from prefect.exceptions import ParameterTypeError

    from flows.build import weak2wise

    body = f"models.weak.extra_body={{token: {CANARY}}}"
    address = f"http://127.0.0.1:9/v1?token={CANARY}"
    shown = [
        invoke("plan", paper_recipe, "--set", body),
        invoke("plan", paper_recipe, "--set", body.removesuffix("}")),
        invoke("evaluate", "m", "--base-url", address, "--benchmark", "math500=absent"),
    ]
    assert [code for code, _ in shown] == [2, 2, 2]
    content = yaml.safe_load(paper_recipe.read_text())
    content["models"]["weak"]["base_urls"] = [address]
    with pytest.raises(ParameterTypeError, match=r"recipe\.models\.weak: .*base_urls\.0") as caught:
        weak2wise.validate_parameters({"recipe": content})
    said = "".join(traceback.format_exception(caught.value))
    assert CANARY not in said + "".join(output for _, output in shown)


def test_every_command_has_help_with_an_example() -> None:
    """`--help` of every command shows how it is called."""
    for name in ("build", "plan", "doctor", "verify", "truncate", "mask", "import-traces"):
        code, output = invoke(name, "--help")
        assert code == 0
        assert f"weak2wise {name}" in output.replace("\n", " ")
    for name in ("stats", "prune", "verify", "export"):
        code, output = invoke("replies", name, "--help")
        assert code == 0
        assert f"weak2wise replies {name}" in output.replace("\n", " ")


def test_replies_of_a_folder_without_a_store_is_an_error(tmp_path: Path) -> None:
    """A mistyped folder makes no new store."""
    code, output = invoke("replies", "stats", "--data-dir", tmp_path / "nothing")
    assert code == 2
    assert "no reply store" in output
    assert not (tmp_path / "nothing").exists()
