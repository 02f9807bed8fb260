"""Small datasets of the related methods: one of replies, one of preference pairs."""

from pathlib import Path
from typing import Any

from weak2wise_core.dataset.lessons import Lessons, publish_lessons
from weak2wise_core.dataset.reading import DatasetFolder, open_dataset
from weak2wise_core.records import (
    Answer,
    FinishReason,
    Question,
    Rejection,
    RejectionKind,
    SFTExample,
    Truncation,
    Verdict,
)
from weak2wise_core.related.records import PairKind, PreferencePair

_MODELS = {
    "weak": {"backend": "openai", "model": "small/weak"},
    "strong": {"backend": "openai", "model": "large/strong"},
}


def _answer(role: str) -> Answer:
    return Answer(
        question_id="a",
        prompt="Question a?",
        draw=0,
        reasoning="",
        content=f"what {role} said é",
        finish_reason=FinishReason.STOP,
        verdict=Verdict.CORRECT,
        model=f"{role}-as-returned",
        spent=(),
    )


def _lessons(name: str, **rows: Any) -> Lessons:
    return Lessons(
        name=name,
        method="weak-to-strong",
        questions=(Question(id="a", question="Question a?", answer="1"),),
        rejections=(
            Rejection(
                question_id="b",
                stage="contrast",
                kind=RejectionKind.DROPPED,
                reason="low_confidence",
                detail="3 of 10 samples answer '7'",
            ),
        ),
        counts={"rows": 2},
        settings={"models": _MODELS, "trained": "strong", "answers": {"style": "hashes"}},
        prompts={"solve": "1"},
        **rows,
    )


def pairs_dataset(root: Path) -> DatasetFolder:
    """One preference pair, one question that left."""
    pair = PreferencePair(
        id="a",
        prompt="Question a?",
        chosen="é so\n#### 1 ",
        rejected="no\n#### 2",
        kind=PairKind.WEAK_CHOSEN,
        answer="1",
        confidence=0.7,
    )
    answers = {"weak": [_answer("weak")], "m-plus": [_answer("m-plus")]}
    lessons = _lessons("tiny-pairs", step="stage II", answers=answers, pairs=(pair,))
    return open_dataset(publish_lessons(lessons, root=root).folder)


def replies_dataset(root: Path) -> DatasetFolder:
    """One agreed reply, one question that left."""
    row = SFTExample(
        question_id="a",
        prompt="Question a?",
        response="é so\n#### 1",
        answer="1",
        strong_model="weak",
        draw=0,
        score=0.0,
        truncation=Truncation.NOT_NEEDED,
        tokens=12,
    )
    answers = {"weak": [_answer("weak")], "strong": [_answer("strong")]}
    lessons = _lessons("tiny-agreed", step="stage I", answers=answers, train=(row,))
    return open_dataset(publish_lessons(lessons, root=root).folder)
