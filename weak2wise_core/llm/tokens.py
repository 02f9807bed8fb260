"""A model's own tokenizer: token counts, and conversations in its own chat template."""

import functools
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weak2wise_core.errors import InputFileError, RequestRefusedError, UsageError
from weak2wise_core.llm.lazy import IMPORTING
from weak2wise_core.records import Message

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The template of a model that has none of its own."""

# Some templates tell the model today's date: the same question would be another prompt tomorrow.
# This is the date that such templates of Llama fall back on.
_FIXED_DATE = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"

_PROBE = "probe"
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_ANOTHER = "name another folder or hub id as `tokenizer:` of the model in the recipe"


@functools.cache
def _warn_of_chatml(name: str) -> None:
    logger.warning("the tokenizer of %s has no chat template; ChatML is used instead", name)


class Tokens:
    """A tokenizer with its chat template. May be used from several threads."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, name: str) -> None:
        """Wrap a tokenizer of the transformers library; `load` is the usual way.

        Args:
            tokenizer: The tokenizer. It must not be used elsewhere while this object is.
            name: What to call it in messages.
        """
        self._tokenizer: Any = tokenizer
        self._lock = threading.Lock()
        self.name = name
        self.uses_chatml: bool = not tokenizer.chat_template
        """The tokenizer has no chat template of its own."""
        if self.uses_chatml:
            _warn_of_chatml(name)
        self._template = self._own_template() if not self.uses_chatml else CHATML
        added: dict[int, AddedToken] = tokenizer.added_tokens_decoder
        self._controls = frozenset(token.content for token in added.values())
        self._hidden = frozenset(
            number
            for number, token in added.items()
            if token.special and token.content not in {"<think>", "</think>"}
        )

    @classmethod
    def load(cls, name_or_folder: str | Path, *, otherwise: str = _ANOTHER) -> "Tokens":
        """Read a tokenizer from a folder, or by its hub id from the cache or the network.

        A `tokenizer.json` is used exactly as it stands.

        Args:
            name_or_folder: Hub id or folder.
            otherwise: What a person may do instead of mending the folder, for messages.

        Raises:
            InputFileError: The folder holds no tokenizer that can be read.
            UsageError: The hub id is neither in the cache nor can it be fetched.
        """
        name = str(name_or_folder)
        return cls(_read_tokenizer(name, otherwise=otherwise), name=name)

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The tokenizer itself, for a library that takes no other; this object must then rest."""
        tokenizer: PreTrainedTokenizerBase = self._tokenizer
        return tokenizer

    def _own_template(self) -> str:
        template: str = self._tokenizer.get_chat_template()
        return _FIXED_DATE + template if "strftime_now" in template else template

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text; none is added, none is cut off."""
        with self._lock:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token numbers without special tokens; thinking tags always stay."""
        shown = [number for number in ids if number not in self._hidden]
        with self._lock:
            text: str = self._tokenizer.decode(shown, clean_up_tokenization_spaces=False)
        return text

    def count(self, text: str) -> int:
        """Number of tokens of a text, without the special ones that open or close a document."""
        return len(self.encode(text))

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """A conversation as the one text that the model reads.

        Args:
            messages: The conversation, oldest first.
            add_generation_prompt: End with the opening of the assistant's turn. Some models of
                thinking open a `<think>` there as well.

        Raises:
            RequestRefusedError: The template does not take this conversation, for example because
                it knows no system role.
        """
        rendered: str = self._apply(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return rendered

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Token numbers of a conversation that asks for a reply.

        Text in a message that looks like a control token (`<|im_end|>`) is encoded as plain text:
        what is quoted in a message cannot end its turn. Where ChatML stands in for a missing
        template and its marks are no tokens of the model, nothing can tell the two apart.

        Raises:
            RequestRefusedError: As in `render`.
        """
        if not any(mark in message.content for message in messages for mark in self._controls):
            return self.encode(self.render(messages))
        with self._lock:
            ids: list[int] = self._apply(
                messages,
                tokenize=True,
                return_dict=False,
                add_generation_prompt=True,
                sanitize_control_tokens=True,
            )
        return ids

    def _apply(self, messages: Sequence[Message], **options: bool) -> Any:
        from jinja2 import TemplateError

        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._tokenizer.apply_chat_template(
                turns, chat_template=self._template, **options
            )
        except TemplateError as error:
            roles = ", ".join(message.role for message in messages)
            raise RequestRefusedError(
                f"the chat template of {self.name} does not take a conversation of the roles "
                f"{roles}: {error}. Use another model for this role, or one with another template."
            ) from error

    @functools.cached_property
    def end_of_turn(self) -> str:
        """The token with which the model ends its own turn; empty where it has none."""
        probe = (Message(role="user", content=_PROBE), Message(role="assistant", content=_PROBE))
        closing = self.render(probe, add_generation_prompt=False).rpartition(_PROBE)[2]
        found = [mark for mark in self._controls if mark in closing]
        if found:
            return min(found, key=closing.index)
        eos: str | None = self._tokenizer.eos_token
        return eos or ""

    @functools.cached_property
    def end_ids(self) -> frozenset[int]:
        """Numbers of the tokens after which the model has said all."""
        marks = {self.end_of_turn, self._tokenizer.eos_token} - {"", None}
        return frozenset(self._tokenizer.convert_tokens_to_ids(list(marks)))

    @property
    def padding_id(self) -> int:
        """A number to fill short rows of a batch with; it is masked, so any will do."""
        pad: int | None = self._tokenizer.pad_token_id
        return 0 if pad is None else pad

    @functools.cached_property
    def opens_thinking(self) -> bool:
        """The generation prompt ends inside a `<think>`, so a reply does not show that tag."""
        prompt = self.render((Message(role="user", content=_PROBE),))
        return prompt.rstrip().endswith("<think>")

    def count_example(self, prompt: Sequence[Message], *, response: str) -> int:
        """Tokens of one training example: the length gate before fine-tuning.

        Args:
            prompt: The conversation up to the reply.
            response: The reply, thinking included.

        Returns:
            Tokens of the rendered prompt with generation prompt, the response and the end of turn.
            The response never goes through the template: templates of thinking models delete
            everything up to `</think>` from an assistant's turn.

        Raises:
            RequestRefusedError: As in `render`.
        """
        return self.count(self.render(prompt) + response + self.end_of_turn)


def _read_tokenizer(name: str, *, otherwise: str) -> "PreTrainedTokenizerBase":
    """The tokenizer as its file says, or as its own class builds it where there is no such file.

    `AutoTokenizer` comes second because it replaces the pre-tokenizer of a `tokenizer.json` by the
    one that is usual for the architecture, which can split the same text differently.
    """
    with IMPORTING:
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

    reason: Exception | None = None
    try:
        if not Path(name).is_dir():
            # fetches what the cache does not hold yet
            AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise _no_tokenizer(name, reason=error, otherwise=otherwise) from error
    for kind in (PreTrainedTokenizerFast, AutoTokenizer):
        try:
            tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
                name, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError) as error:
            reason = error
            continue
        # a class that knows its architecture but finds no vocabulary builds an empty one
        if tokenizer.encode(_PROBE, add_special_tokens=False):
            return tokenizer
    raise _no_tokenizer(name, reason=reason, otherwise=otherwise)


def _no_tokenizer(name: str, *, reason: Exception | None, otherwise: str) -> UsageError:
    said = str(reason or "its vocabulary is empty").strip().split("\n", 1)[0]
    folder = Path(name)
    if folder.is_dir():
        if not any((folder / file).is_file() for file in _VOCABULARIES):
            said = f"there is none of {', '.join(_VOCABULARIES)}"
        return InputFileError(
            f"the model folder {name} holds no tokenizer that can be read ({said}). Copy "
            f"tokenizer.json and tokenizer_config.json of its base model there, or {otherwise}."
        )
    return UsageError(
        f"the tokenizer {name} is no folder here and could not be fetched ({said}). A hub id "
        f"needs the network or the local cache once; make sure that it is there, or {otherwise}."
    )
