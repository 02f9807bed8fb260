"""Laws of stage II: who is preferred to whom, and which question gives no pair."""

import random
from typing import Any

import pytest

from weak2wise_core.config import AnswerSettings, AnswerStyle, ContrastSettings, Normalisation
from weak2wise_core.related.contrast import contrast
from weak2wise_core.related.final_answers import answer_rule
from weak2wise_core.related.records import Contrasts, PairKind, Response

RULE = answer_rule(AnswerSettings(style=AnswerStyle.HASHES))


def said(answer: str, draw: int = 0, question: str = "q") -> Response:
    """A response with a text of its own; without an answer where that is empty."""
    ending = f"\n#### {answer}" if answer else ""
    return Response(id=question, prompt="p", response=f"draw {draw}{ending}", draw=draw)


def samples(*answers: tuple[str, int], question: str = "q") -> list[Response]:
    """So many samples of each answer."""
    flat = [answer for answer, count in answers for _ in range(count)]
    return [said(answer, draw + 1, question) for draw, answer in enumerate(flat)]


def made(weak: str, drawn: list[Response], **settings: Any) -> Contrasts:
    """What one question gives."""
    return contrast([said(weak)], drawn, rule=RULE, settings=ContrastSettings(**settings))


def reason(found: Contrasts) -> str:
    """Why the one question gives no pair."""
    assert found.pairs == ()
    (one,) = found.rejections
    return one.reason


def test_a_weak_response_with_the_frequent_answer_is_chosen() -> None:
    """The rejected one is a sample with another answer."""
    (pair,) = made("1", samples(("1", 6), ("2", 4))).pairs
    assert (pair.kind, pair.answer, pair.confidence) == (PairKind.WEAK_CHOSEN, "1", 0.6)
    assert pair.chosen == said("1").response
    assert pair.rejected.endswith("#### 2")


def test_a_weak_response_with_another_answer_is_rejected() -> None:
    """The chosen one is a sample with the frequent answer."""
    (pair,) = made("2", samples(("1", 8), ("2", 2))).pairs
    assert (pair.kind, pair.confidence) == (PairKind.WEAK_REJECTED, 0.8)
    assert pair.rejected == said("2").response
    assert pair.chosen.endswith("#### 1")


def test_a_weak_response_without_an_answer_is_rejected() -> None:
    """None is another answer than the frequent one."""
    (pair,) = made("", samples(("1", 10))).pairs
    assert pair.kind is PairKind.WEAK_REJECTED


def test_a_sample_without_an_answer_is_another_answer() -> None:
    """It is what may be rejected."""
    (pair,) = made("1", samples(("1", 9), ("", 1))).pairs
    assert pair.rejected == "draw 10"


@pytest.mark.parametrize(
    ("weak", "answers", "name"),
    [
        ("1", [("1", 5), ("2", 5)], "low_confidence"),
        ("1", [("", 6), ("1", 4)], "no_frequent_answer"),
        ("", [("", 6), ("1", 4)], "no_frequent_answer"),
        ("1", [("1", 10)], "no_other_answer"),
        ("2", [("1", 7), ("2", 3)], "unsure_of_weak"),
        ("1", [("1", 9)], "too_few_samples"),
        ("1", [], "too_few_samples"),
    ],
)
def test_a_question_without_a_pair_leaves_by_name(
    weak: str, answers: list[tuple[str, int]], name: str
) -> None:
    """Each reason has its case."""
    assert reason(made(weak, samples(*answers))) == name


def test_samples_of_an_unknown_question_leave_by_name() -> None:
    """And the known one keeps its pair."""
    drawn = samples(("1", 6), ("2", 4)) + samples(("1", 10), question="other")
    found = made("1", drawn)
    assert (found.questions, len(found.pairs)) == (2, 1)
    assert [(one.question_id, one.reason) for one in found.rejections] == [
        ("other", "no_weak_response")
    ]


def test_an_empty_frequent_answer_counts_only_on_request() -> None:
    """Then it is an answer like others."""
    drawn = samples(("", 8), ("1", 2))
    (pair,) = made("", drawn, require_answer=False).pairs
    assert (pair.kind, pair.answer) == (PairKind.WEAK_CHOSEN, "")
    (pair,) = made("1", drawn, require_answer=False).pairs
    assert pair.kind is PairKind.WEAK_REJECTED


@pytest.mark.parametrize(("weak", "others", "count"), [("1", 4, 3), ("1", 2, 2), ("2", 2, 3)])
def test_up_to_three_pairs_have_different_texts(weak: str, others: int, count: int) -> None:
    """Fewer where there are fewer samples to take."""
    drawn = samples(("1", 10 - others), ("2", others))
    pairs = made(weak, drawn, pairs_per_question=3).pairs
    assert len(pairs) == len({(pair.chosen, pair.rejected) for pair in pairs}) == count


def test_a_text_that_was_sampled_twice_gives_one_pair() -> None:
    """Two pairs of the same texts would teach nothing more."""
    twice = [said("2", 7), said("2", 7)]
    assert len(made("1", samples(("1", 8)) + twice, pairs_per_question=3).pairs) == 1


def test_the_seed_decides_and_the_order_of_the_rows_does_not() -> None:
    """Nor do other questions; another seed takes other samples."""
    questions = [f"q{number}" for number in range(20)]
    weak = [said("1", question=one) for one in questions]
    drawn = [one for name in questions for one in samples(("1", 6), ("2", 4), question=name)]
    settings = ContrastSettings(seed=5)
    first = contrast(weak, drawn, rule=RULE, settings=settings)
    shuffled = random.Random(1).sample(drawn, len(drawn))
    assert contrast(weak, shuffled, rule=RULE, settings=settings) == first
    alone = contrast(weak[3:4], [one for one in drawn if one.id == "q3"], rule=RULE,
                     settings=settings)  # fmt: skip
    assert alone.pairs == first.pairs[3:4]
    assert contrast(weak, drawn, rule=RULE, settings=ContrastSettings(seed=6)) != first
    assert len({pair.rejected for pair in first.pairs}) > 1


def test_the_bounds_are_exact() -> None:
    """6 of 10 are 0.6, though no binary fraction is; 0.7 of 10 are 7."""
    assert len(made("1", samples(("1", 7), ("2", 3)), min_confidence=0.7).pairs) == 1
    assert reason(made("1", samples(("1", 7), ("2", 3)), min_confidence=0.71)) == "low_confidence"


def test_pairs_by_value_do_not_depend_on_the_order_of_the_samples() -> None:
    """Also where an answer is the same as two that differ."""
    rule = answer_rule(AnswerSettings(style=AnswerStyle.HASHES, normalise=Normalisation.OURS))
    drawn = samples(("20", 5), ("0.2", 3), ("20%", 2))
    for weak, kind in (("20.0", PairKind.WEAK_CHOSEN), ("0.2", PairKind.WEAK_REJECTED)):
        settings = ContrastSettings(min_confidence_against_weak=0.7)
        first = contrast([said(weak)], drawn, rule=rule, settings=settings)
        assert [(one.kind, one.answer, one.confidence) for one in first.pairs] == [
            (kind, "20", 0.7)
        ]
        for seed in range(10):
            mixed = random.Random(seed).sample(drawn, len(drawn))
            assert contrast([said(weak)], mixed, rule=rule, settings=settings) == first
