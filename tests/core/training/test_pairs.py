"""Laws of preference pairs before a training: nothing is cut, mixed up or compared with itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.training.schooling import (
    STRIPPING_AND_OPENING,
    pairs,
    rows,
    training_rows,
    write_rows,
)
from tests.core.training.test_examples import with_template
from weak2wise_core.config.training import Objective, TrainingSettings
from weak2wise_core.errors import InputFileError, TrainingRefusedError
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.training.examples import encode_rows
from weak2wise_core.training.pairs import (
    EncodedPair,
    PairRow,
    check_held,
    dpo_columns,
    encode_pairs,
    orpo_columns,
    read_pairs,
)

Content = list[dict[str, Any]]


def encoded(
    tokens: Tokens, content: Content, *, longest: int = 1024, thinking: bool = False
) -> list[EncodedPair]:
    """Rows as pairs."""
    found = [PairRow.model_validate(row) for row in content]
    return encode_pairs(found, tokens=tokens, longest=longest, thinking=thinking)


def saying(**replies: str) -> Content:
    """One pair with these replies."""
    (row,) = pairs(1)
    return [row | {k: [{"role": "assistant", "content": text}] for k, text in replies.items()}]


def as_rows(columns: dict[str, list[list[int]]]) -> list[dict[str, list[int]]]:
    """Columns as the rows of a trainer."""
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def test_both_replies_are_read_whole(tokens: Tokens) -> None:
    """Word for word, from their first one to the end of turn."""
    content = pairs(3)
    for row, pair in zip(content, encoded(tokens, content), strict=True):
        for name in ("chosen", "rejected"):
            said = str(tokens.tokenizer.decode(getattr(pair, name)))
            assert said == row[name][0]["content"] + "<|im_end|>"


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_prompt_and_either_reply_must_fit(tokens: Tokens, side: str) -> None:
    """The longer of the two decides, whichever it is; the pair is named with its tokens."""
    content = saying(**{side: "10 + 2 = 12. " * 40})
    (pair,) = encoded(tokens, content)
    assert pair.longest == len(pair.prompt) + len(getattr(pair, side))
    assert encoded(tokens, content, longest=pair.longest) == [pair]
    with pytest.raises(TrainingRefusedError, match=rf"1 of 1 .*pairs.* {pair.id} \({pair.longest}"):
        encoded(tokens, content, longest=pair.longest - 1)


def test_every_pair_that_is_too_long_is_counted(tokens: Tokens) -> None:
    """A pair that fits does not hide the others."""
    content = pairs(6)
    limit = sorted(pair.longest for pair in encoded(tokens, content))[2]
    with pytest.raises(TrainingRefusedError, match="3 of 6 preference pairs"):
        encoded(tokens, content, longest=limit)


def test_a_pair_of_equal_replies_is_refused(tokens: Tokens) -> None:
    """There is nothing to prefer."""
    with pytest.raises(TrainingRefusedError, match="the same"):
        encoded(tokens, saying(chosen="12.", rejected="12."))


@pytest.mark.parametrize("reply", ["", " \n", "12.<|im_end|> and more", "12. </think> 13"])
def test_a_reply_that_would_not_be_read_as_written_is_refused(tokens: Tokens, reply: str) -> None:
    """Empty, or with a command in it."""
    with pytest.raises(TrainingRefusedError, match="testbed-00000"):
        encoded(tokens, saying(rejected=reply))


def test_thinking_replies_must_show_their_thinking(tokens: Tokens) -> None:
    """With `thinking` the template gate holds for both replies of a pair, as in sft."""
    whole = saying(chosen="<think> a </think> 1", rejected="<think> b </think> 2")
    assert encoded(tokens, whole, thinking=True)
    lost = saying(chosen="<think> a </think> 1", rejected="2")
    with pytest.raises(TrainingRefusedError, match="lost its thinking"):
        encoded(tokens, lost, thinking=True)


def test_plain_replies_need_a_template_that_does_not_think(tokens: Tokens) -> None:
    """Behind an opened `<think>` a plain reply would be taught as thinking without an end."""
    opening = with_template(tokens, STRIPPING_AND_OPENING)
    with pytest.raises(TrainingRefusedError, match="opens the thinking"):
        encoded(opening, pairs(1))
    with pytest.raises(TrainingRefusedError, match="opens the thinking"):
        encode_rows(training_rows(rows(1)), tokens=opening, longest=1024, thinking=False)


def test_sft_takes_plain_replies_where_it_is_told_to(tokens: Tokens) -> None:
    """Without `thinking` any text is an example; with it, it has lost its thinking."""
    (row,) = rows(1)
    plain = [row | {"completion": [{"role": "assistant", "content": "26 - 3 = 23. #### 23"}]}]
    (example,) = encode_rows(training_rows(plain), tokens=tokens, longest=1024, thinking=False)
    assert tokens.decode(example.response) == "26 - 3 = 23. #### 23"
    with pytest.raises(TrainingRefusedError, match="lost its thinking"):
        encode_rows(training_rows(plain), tokens=tokens, longest=1024)


@pytest.mark.parametrize("columns", [dpo_columns, orpo_columns])
def test_what_the_trainer_holds_is_compared(tokens: Tokens, columns: Any) -> None:
    """A cut reply, a prompt in the loss, a swapped or a missing pair: nothing is trained."""
    found = encoded(tokens, pairs(3))
    check_held(as_rows(columns(found)), pairs=found)
    for name in columns(found):
        changed = as_rows(columns(found))
        changed[1][name] = changed[1][name][:-1]
        if not name.endswith("mask"):
            with pytest.raises(TrainingRefusedError, match=found[1].id):
                check_held(changed, pairs=found)
    with pytest.raises(TrainingRefusedError, match=found[2].id):
        check_held(as_rows(columns(found[:2])), pairs=found)
    swapped = [
        EncodedPair(id=one.id, prompt=one.prompt, chosen=one.rejected, rejected=one.chosen)
        for one in found
    ]
    with pytest.raises(TrainingRefusedError, match=found[0].id):
        check_held(as_rows(columns(swapped)), pairs=found)


def test_a_prompt_inside_the_loss_is_found(tokens: Tokens) -> None:
    """Labels must hide the prompt, of both replies."""
    found = encoded(tokens, pairs(1))
    (row,) = as_rows(orpo_columns(found))
    row["rejected_labels"] = row["rejected_input_ids"]
    with pytest.raises(TrainingRefusedError, match="masked"):
        check_held([row], pairs=found)


@pytest.mark.parametrize(
    "change",
    [{"chosen": []}, {"rejected": [{"role": "user", "content": "x"}]}, {"prompt": []}],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    """File and line are in the message."""
    first, second = pairs(2)
    path = write_rows(tmp_path / "pairs.jsonl", [first, second | change])
    with pytest.raises(InputFileError, match="line 2 is no preference pair"):
        list(read_pairs(path))


def test_settings_of_another_objective_change_no_version() -> None:
    """Models of sft keep their versions; those of pairs do not depend on packing."""
    plain = TrainingSettings()
    assert not {"objective", "beta", "sft_weight", "thinking"} & plain.decisive().keys()
    assert plain.model_copy(update={"beta": 0.5}).decisive() == plain.decisive()
    dpo = plain.model_copy(update={"objective": Objective.DPO})
    assert dpo.model_copy(update={"packing": False}).decisive() == dpo.decisive()
    for change in ({"objective": Objective.ORPO}, {"beta": 0.5}, {"sft_weight": 1.0}, {"seed": 1}):
        assert dpo.model_copy(update=change).decisive() != dpo.decisive()
    assert json.dumps(dpo.decisive())


@pytest.mark.parametrize(
    "wrong",
    [
        {"objective": "orpo", "sft_weight": 1.0},
        {"sft_weight": 0.5},
        {"objective": "dpo", "loss": "equation_10"},
    ],
)
def test_settings_that_an_objective_does_not_read_are_refused(wrong: dict[str, Any]) -> None:
    """Nothing is silently ignored that would have changed the loss."""
    with pytest.raises(ValueError, match=r"objective|sft"):
        TrainingSettings.model_validate(wrong)
