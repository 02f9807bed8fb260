"""The commands `agree`, `pairs` and `rgr` on files: what goes in, what comes out, what is said."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from flows.commands.app import app
from tests.core.evaluation.test_publishing import evaluation
from tests.core.teaching.test_results_files import table
from weak2wise_core.errors import UsageError
from weak2wise_core.evaluation.publishing import publish_evaluation


def run(*words: object) -> Result:
    """Run a command; an error that it raises is raised."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def rows(*answers: str, by: str = "weak", draws: int = 1) -> list[dict[str, Any]]:
    """Rows that end in answers, under whole numbers as ids."""
    return [
        {"id": n, "prompt": f"é {n}?\n", "response": f"{by} {draw}\n#### {answer}", "gold": "1"}
        for n, answer in enumerate(answers)
        for draw in range(draws)
    ]


@pytest.fixture
def weak(tmp_path: Path) -> Path:
    """What the weak model said about four questions."""
    return table(tmp_path / "weak.jsonl", [*rows("1", "0.5", "3.0", ""), {"id": "bad"}])


@pytest.fixture
def icl(tmp_path: Path) -> Path:
    """What the strong one said."""
    return table(tmp_path / "icl.jsonl", rows("1", "0.50", "3", "", by="icl"))


def test_agree_writes_the_released_shape(weak: Path, icl: Path, tmp_path: Path) -> None:
    """Ids, texts, order, indentation and escapes are those of the source and the released files."""
    out = tmp_path / "agreed.json"
    done = run("agree", weak, icl, "--style", "hashes", "-o", out)
    assert done.exit_code == 0
    ours, theirs = rows("1", "0.5", "3.0", ""), rows("1", "0.50", "3", "", by="icl")
    expected = [
        {"id": one["id"], "content": one["prompt"], "output": each["response"]}
        for one, other in zip(ours, theirs, strict=True)
        if one["id"] in (0, 2)
        for each in (one, other)
    ]
    assert out.read_text(encoding="utf-8") == json.dumps(expected, indent=4)
    assert "2 of 4 questions agree (gair)" in done.stdout
    assert "3 would agree if equal numbers did" in done.stdout
    assert "1 of 2 agreed answers are gold ones" in done.stdout
    assert "1 dropped: different_answers" in done.stdout
    assert "row 5: there is no field 'prompt'" in done.stderr


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--train-on", "weak"), "agreed_weak.json"),
        (("--train-on", "icl"), "agreed_icl.json"),
        ((), "agreed_hybrid.json"),
        (("--allow-no-answer",), "agreed_hybrid_no_answer.json"),
    ],
)
def test_a_selection_in_the_released_format_comes_out_byte_for_byte(
    tmp_path: Path, repository: Path, options: tuple[str, ...], expected: str, lines: bool
) -> None:
    """Order, ids, fields, indentation, escapes, the end of the file, and texts to the last blank.

    The files were written without this project and without a JSON library. The weak model's order
    and prompts count; ids are numbers in no order, and one is text with zeros before it.
    """
    folder = repository / "tests/core/related/released_format"
    given = [folder / "weak.json", folder / "icl.json"]
    if lines:
        given = [_as_lines(path, tmp_path / f"{path.stem}.jsonl") for path in given]
    out = tmp_path / "agreed.json"
    facts = json.loads(run("agree", *given, "--json", "-o", out, *options).stdout)
    assert out.read_bytes() == (folder / expected).read_bytes()
    allowed = "no_answer" in expected
    assert (facts["questions"], facts["agreed"], facts["same_number"]) == (
        14, 8 + allowed, 9 + allowed
    )  # fmt: skip
    assert facts["dropped"] == {
        "different_answers": 2,
        **({} if allowed else {"no_answer": 1}),
        "no_icl_answer": 1,
        "no_icl_response": 1,
        "no_weak_response": 1,
    }


def _as_lines(path: Path, out: Path) -> Path:
    """The same rows as JSON lines, in the words of this project."""
    rows_ = json.loads(path.read_bytes())
    renamed = [
        {"id": row["id"], "prompt": row["content"], "response": row["output"]} for row in rows_
    ]
    return table(out, renamed)


def test_the_files_in_the_released_format_are_as_they_were_written(repository: Path) -> None:
    """ASCII, four blanks, no line feed at the end; and they hold what makes copying hard."""
    folder = repository / "tests/core/related/released_format"
    assert len(list(folder.iterdir())) == 6
    for path in folder.iterdir():
        data = path.read_bytes()
        assert data.isascii()
        assert data.startswith(b'[\n    {\n        "id": ')
        assert data.endswith(b'"\n    }\n]')
        assert b"\r" not in data
    weak = (folder / "weak.json").read_text(encoding="ascii")
    for sign in (
        "\\ud83c\\udf82",
        "\\u00a0",
        "\\u2019",
        "\\u007f",
        "\\r\\n",
        "\\b\\f\\u001b",
        '   "',
    ):
        assert sign in weak, sign


def test_agree_reads_answers_as_the_released_code_unless_told_otherwise(tmp_path: Path) -> None:
    """Words beside a number are part of an answer, of which only the last line is read."""
    weak = table(tmp_path / "weak.jsonl", rows("300 miles", "5", "**7**", "(it is\n9)"))
    icl = table(tmp_path / "icl.jsonl", rows("300", "5 units", "7", "9)", by="icl"))
    counts = {}
    for style in ("released", "any"):
        option = ["--style", style] if style == "any" else []
        done = run("agree", weak, icl, "--json", "-o", tmp_path / "a.json", *option)
        counts[style] = json.loads(done.stdout)["agreed"]
    assert counts == {"released": 1, "any": 3}


def test_agree_counts_as_json_and_names_what_was_dropped(
    weak: Path, icl: Path, tmp_path: Path
) -> None:
    """Questions are agreed or dropped; every malformed row is named."""
    lost = tmp_path / "dropped.jsonl"
    done = run("agree", weak, icl, "--style", "hashes", "--dropped", lost, "--json",
               "-o", tmp_path / "a.json", "--train-on", "icl")  # fmt: skip
    facts = json.loads(done.stdout)
    assert facts["questions"] == facts["agreed"] + sum(facts["dropped"].values()) == 4
    assert facts["rows"] == facts["agreed"] == 2
    assert [row["reason"] for row in facts["malformed"]] == ["no_prompt"]
    named = [json.loads(line) for line in lost.read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["reason"]) for row in named] == [
        ("1", "different_answers"),
        ("3", "no_answer"),
    ]


@pytest.mark.parametrize(
    ("options", "kept"),
    [(["--normalise", "ours"], 3), (["--allow-no-answer"], 3), (["--train-on", "weak"], 2)],
)
def test_the_options_of_agree_decide(
    weak: Path, icl: Path, tmp_path: Path, options: list[str], kept: int
) -> None:
    """Equal values, questions without an answer, and one set alone."""
    done = run("agree", weak, icl, "--style", "hashes", "--json", "-o", tmp_path / "a", *options)
    assert json.loads(done.stdout)["agreed"] == kept


def test_agree_writes_conversations_for_trl(weak: Path, icl: Path, tmp_path: Path) -> None:
    """The same texts, as a trainer loads them."""
    out = tmp_path / "a.parquet"
    run("agree", weak, icl, "--style", "hashes", "--to", "trl", "--train-on", "weak", "-o", out)
    first, _ = pq.read_table(out).to_pylist()
    assert first == {
        "id": "0",
        "prompt": [{"role": "user", "content": "é 0?\n"}],
        "completion": [{"role": "assistant", "content": "weak 0\n#### 1"}],
    }


def test_nothing_kept_is_a_failure_without_a_file(weak: Path, icl: Path, tmp_path: Path) -> None:
    """Exit code 1, and a hint."""
    out = tmp_path / "a.json"
    done = run("agree", weak, icl, "--style", "boxed", "-o", out)
    assert (done.exit_code, out.exists()) == (1, False)
    assert "look at --style" in done.stderr


@pytest.mark.parametrize("option", ["-o", "--dropped"])
def test_an_input_is_never_written_over(weak: Path, icl: Path, option: str) -> None:
    """Neither by the result nor by what was dropped."""
    before = icl.read_bytes()
    with pytest.raises(UsageError, match="name another file"):
        run("agree", weak, icl, option, icl)
    assert icl.read_bytes() == before


@pytest.mark.parametrize("to", ["llama-factory", "released", "trl"])
def test_pairs_have_a_shape_for_each_trainer(tmp_path: Path, to: str) -> None:
    """Chosen first; the weak model's text stays as it is."""
    weak = table(tmp_path / "weak.jsonl", rows("1", "2", "1"))
    drawn = rows("1", "1", "1", by="s", draws=8)
    drawn += [row | {"response": "other\n#### 9"} for row in rows("", "", draws=2)]
    samples = table(tmp_path / "samples.jsonl", drawn)
    out = tmp_path / "pairs"
    done = run("pairs", weak, samples, "--style", "hashes", "--to", to, "-o", out, "--json",
               "--samples", 8)  # fmt: skip
    facts = json.loads(done.stdout)
    assert (facts["weak_chosen"], facts["weak_rejected"]) == (1, 1)
    assert facts["dropped"] == {"no_other_answer": 1}
    if to == "trl":
        first, second = pq.read_table(out).to_pylist()
        assert first["rejected"] == [{"role": "assistant", "content": "other\n#### 9"}]
        return
    first, second = json.loads(out.read_text(encoding="utf-8"))
    if to == "released":
        assert list(first) == ["id", "instruction", "input", "output"]
        assert first["output"] == ["weak 0\n#### 1", "other\n#### 9"]
    else:
        assert (first["id"], first["prompt"]) == (0, "é 0?\n")
        assert second["rejected"] == "weak 0\n#### 2"


def test_pairs_do_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    """Nor on how the samples are spread over files."""
    weak = table(tmp_path / "weak.jsonl", rows("1", "1", "1"))
    drawn = rows("1", "1", "1", by="a", draws=6) + rows("2", "3", "4", by="b", draws=4)
    files = (
        [table(tmp_path / "all.jsonl", drawn)],
        [table(tmp_path / "x.jsonl", drawn[9:][::-1]), table(tmp_path / "y.jsonl", drawn[:9])],
    )
    found = []
    for number, samples in enumerate(files):
        out = tmp_path / f"pairs-{number}.json"
        run("pairs", weak, *samples, "--style", "hashes", "--seed", 4, "-o", out)
        found.append(out.read_bytes())
    assert found[0] == found[1]
    assert len(json.loads(found[0])) == 3


def answers(path: Path, right: int) -> Path:
    """A model that is right about the first so many of 40 questions."""
    return table(path, [{"id": n, "correct": n < right} for n in range(40)])


def rgr(tmp_path: Path, best: int | None, *options: object) -> Result:
    """The command on a small table."""
    given = {"before": 10, "before-cot": 16, "after": 25} | ({"reinforced": best} if best else {})
    words: list[object] = []
    for name, right in given.items():
        words += [f"--{name}", answers(tmp_path / f"{name}.jsonl", right)]
    return run("rgr", *words, "--resamples", 400, *options)


def test_rgr_is_told_against_both_baselines(tmp_path: Path) -> None:
    """(25 - 10) / (30 - 10) and (25 - 16) / (30 - 16), each with its interval."""
    facts = json.loads(rgr(tmp_path, 30, "--json").stdout)
    plain, chain = facts["recovery"]
    assert plain["value"]["value"] == pytest.approx(0.75)
    assert chain["value"]["value"] == pytest.approx(9 / 14)
    assert plain["value"]["low"] < 0.75 < plain["value"]["high"]
    shown = rgr(tmp_path, 30).stdout
    assert "student before, zero-shot chain of thought" in shown
    assert "0.750 [" in shown


@pytest.mark.parametrize(
    ("best", "why"), [(10, "no_gain_of_reinforcement"), (None, "no_reinforced_student")]
)
def test_rgr_without_a_gap_is_undefined_by_name(tmp_path: Path, best: int | None, why: str) -> None:
    """The accuracies are told all the same, and the command is done."""
    done = rgr(tmp_path, best, "--json")
    facts = json.loads(done.stdout)
    assert done.exit_code == 0
    assert facts["recovery"][0]["value"] is None
    assert facts["recovery"][0]["undefined"].startswith(why)
    assert facts["tables"][0]["arms"][0]["accuracy"]["value"] == 0.25


def test_rgr_reads_folders_of_evaluate_beside_tables(tmp_path: Path) -> None:
    """A table takes the name of the folder's benchmark, and must have its questions."""
    folder = publish_evaluation(evaluation("1000"), root=tmp_path / "results").folder
    given = ("rgr", "--before", folder, "--before-cot", folder / "results.json", "--resamples", 100)
    items = [{"id": f"q{n}", "correct": n < 3} for n in range(4)]
    best = [row | {"correct": True} for row in items]
    after = table(tmp_path / "after.jsonl", items)
    words = (*given, "--after", after, "--reinforced", table(tmp_path / "rl.jsonl", best))
    facts = json.loads(run(*words, "--benchmark", "math", "--json").stdout)
    assert [one["value"]["value"] for one in facts["recovery"]] == [pytest.approx(2 / 3)] * 2
    with pytest.raises(UsageError, match="was not asked math"):
        run(*words)
    fewer = table(tmp_path / "fewer.jsonl", items[:3])
    with pytest.raises(UsageError, match="not asked the same questions"):
        run(*given, "--after", fewer, "--benchmark", "math")
