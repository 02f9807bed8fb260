"""Tokens of one row are chosen by that row's own request, whatever stands in the other rows."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.sampling import Choice, RowwiseChooser, keep_likeliest, noise_of, noise_seed
from weak2wise_core.records import Message

torch = pytest.importorskip("torch")
CPU = torch.device("cpu")
QUESTION = (Message(role="user", content="1 + 1?"),)
SAMPLED = Choice(temperature=1.0)
GREEDY = Choice(temperature=0.0)


def chooser(
    *choices: Choice, seeds: list[int] | None = None, padding: list[int] | None = None
) -> RowwiseChooser:
    """A chooser for one batch on the CPU."""
    rows = len(choices)
    return RowwiseChooser(
        choices,
        noise=[
            noise_of(choice, seed=seed, device=CPU)
            for choice, seed in zip(choices, seeds or range(rows), strict=True)
        ],
        padding=padding or [0] * rows,
        device=CPU,
    )


def no_text(rows: int) -> Any:
    """Token numbers of a batch whose rows hold one token each."""
    return torch.zeros(rows, 1, dtype=torch.long)


def test_a_model_that_does_not_sample_by_itself_is_greedy() -> None:
    """Without a temperature the model's own settings decide, and silence means greedy."""
    assert Choice.of(Sampling(), settings={}).temperature == 0
    assert Choice.of(Sampling(), settings={"temperature": 0.7}).temperature == 0
    assert Choice.of(Sampling(), settings={"do_sample": True}).temperature == 1
    own = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
    assert Choice.of(Sampling(), settings=own) == Choice(temperature=0.7, top_p=0.8, top_k=20)


def test_a_request_outranks_the_settings_of_the_model() -> None:
    """What is asked is done; only what is left open is the model's choice."""
    own = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05}
    asked = Choice.of(Sampling(temperature=0.0, top_p=0.5), settings=own)
    assert asked == Choice(temperature=0.0, top_p=0.5, repetition_penalty=1.05)


def test_noise_depends_on_all_that_decides_a_reply_but_its_limit() -> None:
    """Messages, temperature, nucleus, seed and draw each change the noise; max_tokens does not."""
    sampling = Sampling(temperature=0.5, max_tokens=10)
    other = (Message(role="user", content="1 + 2?"),)
    seeds = {
        noise_seed(QUESTION, sampling=sampling, draw=0),
        noise_seed(QUESTION, sampling=sampling, draw=1),
        noise_seed(other, sampling=sampling, draw=0),
        noise_seed(QUESTION, sampling=Sampling(temperature=0.6), draw=0),
        noise_seed(QUESTION, sampling=Sampling(temperature=0.5, top_p=0.9), draw=0),
        noise_seed(QUESTION, sampling=Sampling(temperature=0.5, seed=7), draw=0),
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert noise_seed(QUESTION, sampling=Sampling(temperature=0.5), draw=0) in seeds


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**31),
    st.integers(0, 12),
    st.floats(0.05, 1.0),
)
def test_narrowing_keeps_what_the_transformers_library_keeps(
    seed: int, top_k: int, top_p: float
) -> None:
    """Top-k, then the nucleus of what is left, as the library's own warpers do."""
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    scores = torch.randn(3, 10, generator=torch.Generator().manual_seed(seed)) * 3
    expected = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
    expected = TopPLogitsWarper(top_p)(None, expected) if top_p < 1 else expected
    found = keep_likeliest(scores, top_k=torch.full((3,), top_k), top_p=torch.full((3,), top_p))
    assert torch.equal(found, expected)


def test_a_row_without_a_nucleus_loses_no_token_to_a_neighbour_that_has_one() -> None:
    """Narrowing one row leaves the others whole, also where sums of shares round up to 1."""
    scores = torch.randn(2, 5000, generator=torch.Generator().manual_seed(1)) * 20
    found = keep_likeliest(scores, top_k=torch.tensor([0, 3]), top_p=torch.tensor([1.0, 0.5]))
    assert torch.equal(found[0], scores[0])
    assert 1 <= found[1].isfinite().sum() <= 3


def test_sampled_tokens_follow_the_softmax() -> None:
    """Over many seeds each token is drawn as often as its probability says, within 4 sigma."""
    rows, temperature = 6000, 0.5
    logits = torch.tensor([1.0, 0.5, 0.0, -0.5, -2.0])
    choose = chooser(*[Choice(temperature=temperature)] * rows)
    drawn = choose(no_text(rows), logits.repeat(rows, 1)).argmax(-1)
    counts = torch.bincount(drawn, minlength=5)
    for count, share in zip(counts.tolist(), (logits / temperature).softmax(-1), strict=True):
        sigma = math.sqrt(rows * float(share) * (1 - float(share)))
        assert abs(count - rows * float(share)) < 4 * sigma


def test_the_noise_of_a_row_does_not_depend_on_its_neighbours() -> None:
    """Three steps of a row are the same alone and between greedy and narrowed neighbours."""
    steps = torch.randn(3, 3, 50, generator=torch.Generator().manual_seed(2))
    together = chooser(GREEDY, SAMPLED, Choice(temperature=2.0, top_p=0.5), seeds=[1, 2, 3])
    alone = chooser(SAMPLED, seeds=[2])
    for scores in steps:
        assert torch.equal(together(no_text(3), scores)[1], alone(no_text(1), scores[1:2])[0])


def test_noise_is_new_at_every_step_and_for_every_seed() -> None:
    """A flat distribution does not repeat one token, along a row or down a column."""
    choose = chooser(*[SAMPLED] * 20)
    drawn = torch.stack([choose(no_text(20), torch.zeros(20, 200)).argmax(-1) for _ in range(20)])
    assert all(len(set(line.tolist())) > 10 for line in (*drawn, *drawn.T))


def test_greedy_rows_keep_their_scores() -> None:
    """A row of temperature 0 is not touched by the noise of its neighbours."""
    scores = torch.randn(2, 30, generator=torch.Generator().manual_seed(3))
    assert torch.equal(chooser(GREEDY, SAMPLED)(no_text(2), scores)[0], scores[0])
    assert torch.equal(chooser(GREEDY, GREEDY)(no_text(2), scores), scores)


def test_padding_is_not_a_repetition() -> None:
    """A penalty falls on what stands in prompt and reply, not on what fills a row up."""
    from transformers import RepetitionPenaltyLogitsProcessor

    scores = torch.randn(2, 8, generator=torch.Generator().manual_seed(4))
    text = torch.tensor([[0, 0, 5, 6], [1, 2, 3, 3]])
    penalised = Choice(temperature=0.0, repetition_penalty=1.3)
    found = chooser(penalised, GREEDY, padding=[2, 0])(text, scores)
    expected = RepetitionPenaltyLogitsProcessor(1.3)(text[:1, 2:], scores[:1].clone())
    assert torch.equal(found[:1], expected)
    assert torch.equal(found[1], scores[1])
