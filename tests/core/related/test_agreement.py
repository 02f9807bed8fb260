"""Laws of stage I: a question is kept where both models answer alike, and no other is lost."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weak2wise_core.config import AgreementSettings, AnswerSettings, AnswerStyle, StageOneSet
from weak2wise_core.exporting.related import ExamplesFormat, examples_file
from weak2wise_core.related.agreement import agree, examples
from weak2wise_core.related.final_answers import answer_rule
from weak2wise_core.related.reading import read_responses
from weak2wise_core.related.records import Agreements, Response

RULE = answer_rule(AnswerSettings(style=AnswerStyle.HASHES))
PUBLISHED = {"llama2_7b": (2_683, 8), "gemma_2b": (2_177, 0), "mistral_7b": (3_831, 2)}
"""Released selections: questions, and how many of them have no answer at all."""
RELEASED = ("full_weak", "iter1_icl", "iter1_hybrid", "iter1_weak")
"""The ends of the names of the files that are needed."""


def said(number: int, answer: str, by: str = "weak") -> Response:
    """A response that ends in an answer, or in none."""
    text = f"{by} says\n#### {answer}" if answer else f"{by} says nothing"
    return Response(id=f"q{number}", prompt=f"{by} was asked {number}", response=text)


def agreed(weak: list[str], icl: list[str], *, require_answer: bool = True) -> Agreements:
    """Agreement of answers, question by question."""
    return agree(
        [said(number, answer) for number, answer in enumerate(weak)],
        [said(number, answer, "icl") for number, answer in enumerate(icl)],
        rule=RULE,
        settings=AgreementSettings(require_answer=require_answer),
    )


def reasons(found: Agreements) -> dict[str, str]:
    """Why each question left."""
    return {one.question_id: one.reason for one in found.rejections}


def test_every_question_is_kept_or_leaves_by_name() -> None:
    """Each reason has its case."""
    found = agreed(["1", "1", "", "1", "", "5"], ["1", "2", "", "", "1"])
    assert [one.weak.id for one in found.agreed] == ["q0"]
    assert reasons(found) == {
        "q1": "different_answers",
        "q2": "no_answer",
        "q3": "no_icl_answer",
        "q4": "no_weak_answer",
        "q5": "no_icl_response",
    }
    assert reasons(agreed(["1"], ["1", "1"])) == {"q1": "no_weak_response"}


@pytest.mark.parametrize(("require_answer", "kept"), [(True, 1), (False, 2)])
def test_two_responses_without_an_answer_agree_only_on_request(
    require_answer: bool, kept: int
) -> None:
    """The released data keep some of them, the released code would drop them."""
    found = agreed(["", "1"], ["", "1"], require_answer=require_answer)
    assert len(found.agreed) == kept


@pytest.mark.parametrize("require_answer", [True, False])
def test_an_answer_never_agrees_with_none(require_answer: bool) -> None:
    """Whatever is required."""
    assert not agreed(["1", ""], ["", "1"], require_answer=require_answer).agreed


def test_equal_numbers_are_counted_beside() -> None:
    """0.5 and 0.50 differ in the released code; the count says what that costs."""
    found = agreed(["0.5", "3.0", "7"], ["0.50", "3", "8"])
    assert (len(found.agreed), found.same_number) == (1, 2)


@pytest.mark.parametrize(
    ("train_on", "texts"),
    [
        (StageOneSet.WEAK, ["weak says\n#### 1"]),
        (StageOneSet.ICL, ["icl says\n#### 1"]),
        (StageOneSet.HYBRID, ["weak says\n#### 1", "icl says\n#### 1"]),
    ],
)
def test_three_sets_share_the_prompt_of_the_weak_model(
    train_on: StageOneSet, texts: list[str]
) -> None:
    """Hybrid has two rows a question, the weak model's first; texts are untouched."""
    rows = examples(agreed(["1"], ["1"]).agreed, train_on=train_on)
    assert [row.response for row in rows] == texts
    assert {row.prompt for row in rows} == {"weak was asked 0"}


@given(st.lists(st.sampled_from(["", "1", "2"]), max_size=8), st.randoms())
def test_the_order_of_the_result_is_the_weak_models(answers: list[str], rng: object) -> None:
    """The order of the other file decides nothing."""
    weak = [said(number, answer) for number, answer in enumerate(answers)]
    icl = [said(number, "1", "icl") for number in range(len(answers))]
    shuffled = list(icl)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    settings = AgreementSettings()
    one = agree(weak, icl, rule=RULE, settings=settings)
    assert agree(weak, shuffled, rule=RULE, settings=settings) == one
    assert [kept.weak for kept in one.agreed] == [w for w, a in zip(weak, answers, strict=True)
                                                  if a == "1"]  # fmt: skip
    assert one.questions == len(answers) == len(one.agreed) + len(one.rejections)


@pytest.mark.parametrize("model", ["weak", "icl"])
def test_two_responses_to_one_question_are_refused(model: str) -> None:
    """Nobody can tell which one counts."""
    twice, once = [said(0, "1"), said(0, "2")], [said(0, "1")]
    given_ = (twice, once) if model == "weak" else (once, twice)
    with pytest.raises(ValueError, match=f"the {model} model has two responses"):
        agree(*given_, rule=RULE, settings=AgreementSettings())


def released(folder: Path, model: str) -> list[Path]:
    """The released files of one model, wherever below the folder; skips where one is missing."""
    wanted = [f"train_gsm8k_{model}_{name}.json" for name in RELEASED]
    found = [next(folder.rglob(name), None) for name in wanted]
    missing = [name for name, path in zip(wanted, found, strict=True) if path is None]
    if missing:
        pytest.skip(
            f"put {', '.join(missing)} anywhere below {folder}; they are released in "
            "data/llama_factory/gsm8k of github.com/GAIR-NLP/weak-to-strong-reasoning. The same "
            "laws are tested on tests/core/related/released_format"
        )
    return [path for path in found if path is not None]


@pytest.mark.parametrize("model", PUBLISHED)
def test_a_published_selection_comes_out_byte_for_byte(shared_data: Path, model: str) -> None:
    """All weak outputs and the released in-context ones give the three released files.

    The released in-context outputs are those of kept questions alone: what the other questions
    answered was not published, so that they leave as `no_icl_response` here.
    """
    weak, icl, hybrid, only = released(shared_data, model)
    ours, theirs = read_responses([weak]), read_responses([icl])
    kept, empty = PUBLISHED[model]
    for require_answer, count in ((False, kept), (True, kept - empty)):
        settings = AgreementSettings(require_answer=require_answer)
        found = agree(ours.responses, theirs.responses, rule=RULE, settings=settings)
        assert len(found.agreed) == count
        if require_answer:
            continue
        for train_on, path in zip(StageOneSet, (only, icl, hybrid), strict=True):
            rows = examples(found.agreed, train_on=train_on)
            made = examples_file(rows, ids=ours.ids, to=ExamplesFormat.LLAMA_FACTORY)
            assert json.loads(made) == json.loads(path.read_bytes())
            assert made == path.read_bytes()
