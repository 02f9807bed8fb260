import json

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from weak2wise_core.records import ChatReply, FinishReason, Usage
from weak2wise_core.stores import reply_records
from weak2wise_core.stores.reply_records import Packer, from_json, to_json

any_text = st.text(st.characters())  # halves of surrogate pairs too
tokens = st.integers(0, 2**63 - 1)
replies = st.builds(
    ChatReply,
    content=any_text,
    reasoning=st.none() | any_text,
    finish_reason=st.sampled_from(FinishReason),
    usage=st.builds(
        Usage,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        reasoning_tokens=tokens,
        cached_tokens=tokens,
    ),
    model=any_text,
)
cut_emoji = ChatReply(
    content="\x00 \ud83d", reasoning="", finish_reason=FinishReason.LENGTH, usage=Usage(), model=""
)


@given(replies)
@example(cut_emoji)
def test_any_reply_comes_back_as_it_was(reply: ChatReply) -> None:
    """Also one that UTF-8 cannot hold, such as one that a length limit cut inside an emoji."""
    packer = Packer()
    assert from_json(packer.unpack(*packer.pack([to_json(reply)]))) == reply


@given(replies)
@example(cut_emoji)
def test_a_record_is_plain_json(reply: ChatReply) -> None:
    """Any JSON reader gets the fields of the reply, with enums as their words."""
    plain = json.loads(to_json(reply))
    assert plain["content"] == reply.content
    assert plain["finish_reason"] == reply.finish_reason.value
    assert plain["usage"]["prompt_tokens"] == reply.usage.prompt_tokens


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"content": "x"}',
        to_json(cut_emoji).replace(b'"length"', b'"tired"'),
        to_json(cut_emoji).replace(b'"usage"', b'"use"'),
        to_json(cut_emoji).replace(b"{", b'{"more": 1, ', 1),
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    """Broken JSON, missing, unknown and wrong fields are a ValueError, never half a reply."""
    with pytest.raises(ValueError, match=r"."):
        from_json(data)


(GOOD,) = Packer().pack([to_json(cut_emoji) * 20])


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_damage_is_found(position: int, change: int) -> None:
    """With any byte changed a record gives the same JSON or an error, never another one."""
    data = bytearray(GOOD)
    data[position] ^= change
    try:
        unpacked = Packer().unpack(bytes(data))
    except ValueError:
        return
    assert unpacked == to_json(cut_emoji) * 20


@pytest.mark.parametrize("at_once", [True, False])
def test_records_are_packed_alike_together_and_alone(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record does not know its company, nor what the library can do."""
    records = [b"", b"one", to_json(cut_emoji), b"long " * 50_000]
    alone = [
        zstandard.ZstdCompressor(level=3, write_checksum=True).compress(one) for one in records
    ]
    monkeypatch.setattr(reply_records, "_CAN_PACK_ALL", at_once)
    assert Packer().pack(records) == alone
    assert Packer().pack([]) == []


def test_a_record_cannot_ask_for_all_memory() -> None:
    """A header that claims a petabyte is refused before anything is reserved."""
    header = zstandard.FRAME_HEADER + b"\xe0" + (2**50).to_bytes(8, "little")
    with pytest.raises(ValueError, match="its length is not credible"):
        Packer().unpack(header + b"\x01\x00\x00")


@pytest.mark.parametrize("body", [b"", b"not zstandard", "text", 5])
def test_other_values_are_refused(body: object) -> None:
    """Whatever a damaged database returns as a record is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        Packer().unpack(body)  # type: ignore[arg-type]
