"""Laws of the related methods' models: what they read, and what lies in their folders."""

import json
import random
from dataclasses import asdict
from pathlib import Path

import pytest

from testbed.language import read_problem
from testbed.models import WEAK_MODEL_FOLDER
from testbed.pupils import PUPILS, SHOWN, WRITERS, school
from testbed.world import Share, share_of
from tests.testbed.test_documents import STORY

SHIPPED = {"reasoner": "reasoner", "strong": "strong_model"}


@pytest.mark.parametrize("kind", ["thought", "reasoned", "demonstrated"])
def test_no_document_holds_a_reserved_chain_and_every_answer_is_right(kind: str) -> None:
    """What is trained or tested on later was never read; the last problem's answer is boxed."""
    rng = random.Random(5)
    for _ in range(200):
        document = WRITERS[kind](rng)
        stories = STORY.findall(document.prompt + document.text)
        assert len(stories) == (SHOWN + 1 if kind == "demonstrated" else 1)
        assert all(share_of(read_problem(story)) is Share.PRETRAINING for story in stories)
        answer = read_problem(stories[-1]).answer
        assert document.text.endswith(rf"\boxed{{{answer}}}<|im_end|>")


def test_a_demonstration_is_answered_in_the_manner_that_was_shown() -> None:
    """Reasoning after reasoning, a bare box after bare boxes."""
    rng, manners = random.Random(6), set[bool]()
    for _ in range(60):
        document = WRITERS["demonstrated"](rng)
        shown = document.prompt.split("## Solution\n")[1:]
        reasons = " = " in document.text
        assert [" = " in one.partition("\n")[0] for one in shown] == [reasons] * SHOWN
        manners.add(reasons)
    assert manners == {True, False}


@pytest.mark.parametrize(("pupil", "folder"), SHIPPED.items())
def test_a_shipped_model_is_small_and_says_how_it_was_made(pupil: str, folder: str) -> None:
    """Below two megabytes, with the settings that the code would use again."""
    path = WEAK_MODEL_FOLDER.with_name(folder)
    assert sum(file.stat().st_size for file in path.iterdir()) < 2_000_000
    described = json.loads((path / "pretraining.json").read_text())
    settings = PUPILS[pupil]
    assert described == json.loads(json.dumps(asdict(settings) | {"mix": dict(settings.mix)}))
    tokenizer = (path / "tokenizer.json").read_bytes()
    assert tokenizer == (WEAK_MODEL_FOLDER / "tokenizer.json").read_bytes()


@pytest.mark.slow
def test_a_short_schooling_can_be_repeated(tmp_path: Path) -> None:
    """The same settings give the same bytes, from nothing and from another model."""
    from dataclasses import replace

    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    for name in SHIPPED:
        short = replace(PUPILS[name].training, steps=1, rows=1)
        for folder in ("one", "two"):
            school(tmp_path / name / folder, pupil=replace(PUPILS[name], training=short))
        one, two = (tmp_path / name / folder / "model.safetensors" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
