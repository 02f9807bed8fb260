"""Laws of teacher-forced reading: batching changes nothing, and memory stays bounded."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.core.llm.tiny_model import CONTEXT, TEMPLATE, question, spec, tiny_model
from weak2wise_core.errors import FatalModelError
from weak2wise_core.llm import forced
from weak2wise_core.llm.engine import Engine
from weak2wise_core.llm.forced import Fit, Passage, Row, batches, read_passages
from weak2wise_core.llm.loading import load_engine
from weak2wise_core.llm.local import TransformersModel

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model of a few thousand parameters."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    """The model, loaded."""
    return load_engine(spec(folder))


def passages(count: int = 9) -> list[Passage]:
    """Passages of many lengths, in two pieces, some after the beginning of a reply."""
    return [
        Passage(
            messages=tuple(question(number)),
            given="<think> So: " if number % 2 else "",
            pieces=(f"{number} + {number} = {2 * number}. " * (number % 4 + 1), " 19"),
        )
        for number in range(count)
    ]


def alone(engine: Engine, passage: Passage) -> tuple[list[float], list[int]]:
    """The same passage with nothing but the whole model and one row, in double precision."""
    encode = engine.tokens.encode
    before = [*engine.tokens.encode_chat(passage.messages), *encode(passage.given)]
    text = [token for piece in passage.pieces for token in encode(piece)]
    with torch.no_grad():
        scores = engine._model(torch.tensor([before + text])).logits[0].double()
    rows = scores[len(before) - 1 : -1]
    own = rows.gather(1, torch.tensor(text)[:, None])
    logs = (own - rows.logsumexp(1, keepdim=True)).squeeze(1)
    return logs.tolist(), (1 + (rows > own).sum(1)).tolist()


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_a_batch_reads_as_one_by_one(engine: Engine, batch_size: int) -> None:
    """Padding, neighbours and the order of lengths change neither probabilities nor ranks."""
    for passage, fits in zip(
        passages(), engine.read(passages(), batch_size=batch_size), strict=True
    ):
        assert fits is not None
        assert [len(fit.ranks) for fit in fits] == [
            len(engine.tokens.encode(piece)) for piece in passage.pieces
        ]
        logs, ranks = alone(engine, passage)
        assert [log for fit in fits for log in fit.log_probabilities] == pytest.approx(
            logs, abs=1e-4
        )
        assert [rank for fit in fits for rank in fit.ranks] == ranks


def test_probabilities_of_all_next_tokens_add_up_to_one(engine: Engine) -> None:
    """They are log-probabilities over the whole vocabulary, and ranks are a permutation."""
    row = engine.tokens.encode_chat(question(3))
    rows = [Row(context=tuple(row), pieces=((token,),)) for token in range(300)]
    found = forced.read_batch(engine._model, rows, padding_id=0)
    logs = torch.tensor([fits[0].log_probabilities[0] for fits in found])
    assert float(logs.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert sorted(fits[0].ranks[0] for fits in found) == list(range(1, 301))


def test_the_vocabulary_is_met_in_blocks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of three positions at a time gives the same numbers."""
    whole = engine.read(passages(), batch_size=4)
    monkeypatch.setattr(forced, "_LOGITS_AT_ONCE", 3 * 300)
    seen: list[int] = []
    head = engine._model.get_output_embeddings()
    watch = head.register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[0])))
    try:
        blocks = engine.read(passages(), batch_size=4)
    finally:
        watch.remove()
    assert max(seen) == 3
    for one, two in zip(whole, blocks, strict=True):
        assert one is not None
        assert two is not None
        for first, second in zip(one, two, strict=True):
            assert first.ranks == second.ranks
            assert first.log_probabilities == pytest.approx(second.log_probabilities, abs=1e-5)


def test_what_exceeds_the_context_is_not_cut(engine: Engine) -> None:
    """Such a passage has no fit, and its neighbours have theirs."""
    long = Passage(messages=tuple(question(1)), pieces=("1 + 1 = 2. " * CONTEXT,))
    empty = Passage(messages=tuple(question(2)), pieces=("",))
    first, nothing, none = engine.read([passages()[3], long, empty], batch_size=4)
    assert first is not None
    assert nothing is None
    assert none == (Fit(log_probabilities=(), ranks=()),)


def test_batches_are_of_one_length_and_none_is_too_much() -> None:
    """Every row once, the longest first, within rows and tokens of a batch."""
    rows = [Row(context=(1,) * length, pieces=((2,),)) for length in (5, 900, 7, 20_000, 20_001)]
    found = list(batches(rows, most_rows=2))
    assert [number for batch in found for number in batch] == [4, 3, 1, 2, 0]
    assert found == [[4], [3], [1, 2], [0]]


class Narrow:
    """A model whose memory holds some rows only."""

    def __init__(self, model: Any, *, rows: int) -> None:
        self._model, self._rows = model, rows
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def base_model(self, **batch: Any) -> Any:
        """Fail on more rows than there is room for."""
        self.sizes.append(len(batch["input_ids"]))
        if len(batch["input_ids"]) > self._rows:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return self._model.base_model(**batch)


def read_with(model: Any, engine: Engine) -> list[tuple[Fit, ...] | None]:
    """All passages in one batch, if there is room."""
    return read_passages(
        passages(), model=model, tokens=engine.tokens, context=CONTEXT, batch_size=64
    )


def test_a_batch_without_room_is_halved(engine: Engine) -> None:
    """The result is that of one batch; a single row without room is an error with advice."""
    narrow = Narrow(engine._model, rows=2)
    whole, halved = read_with(engine._model, engine), read_with(narrow, engine)
    assert narrow.sizes[0] == 9
    assert max(size for size in narrow.sizes[1:] if size <= 2) == 2
    for one, two in zip(whole, halved, strict=True):
        assert one is not None
        assert two is not None
        assert [fit.ranks for fit in one] == [fit.ranks for fit in two]
    with pytest.raises(FatalModelError, match="smaller model"):
        read_with(Narrow(engine._model, rows=0), engine)


def test_an_opened_thinking_is_not_opened_twice(folder: Path, tmp_path: Path) -> None:
    """Where the template ends in `<think>`, the reply's own tag is left out."""
    opening = tiny_model(tmp_path / "opening")
    ends = "<|im_start|>assistant\n{% endif %}"
    (opening / "chat_template.jinja").write_text(
        TEMPLATE.replace(ends, "<|im_start|>assistant\n<think>\n{% endif %}")
    )
    tagged = Passage(messages=tuple(question(1)), given="<think> So", pieces=(" 2",))
    plain = Passage(messages=tuple(question(1)), given="So", pieces=(" 2",))
    first, second = load_engine(spec(opening)).read([tagged, plain], batch_size=2)
    assert first == second
    closed = load_engine(spec(folder)).read([tagged, plain], batch_size=2)
    assert closed[0] != closed[1]


async def test_a_local_model_reads_beside_its_answers(folder: Path, engine: Engine) -> None:
    """Both pass through the model's one thread."""
    model = TransformersModel(spec(folder, batch_size=4))
    try:
        parts = await asyncio.gather(model.read(passages(4)), model.read(passages(4)))
    finally:
        await model.aclose()
    assert parts[0] == parts[1]
    assert [fits is not None for fits in parts[0]] == [True] * 4
