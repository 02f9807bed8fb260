"""A tiny random model with its tokenizer: a few thousand parameters, made in a second."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.records import Message

torch = pytest.importorskip("torch")

CONTEXT = 256
END_IDS = (2, *range(40, 55))
"""Many end tokens, so that random replies stop at many lengths."""

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GREEDY = Sampling(temperature=0.0, max_tokens=24)
WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=24)


def tiny_model(folder: Path) -> Path:
    """Make the whole model in a new folder."""
    folder.mkdir()
    model_in(folder)
    tokenizer_in(folder)
    return folder


def tokenizer_in(folder: Path) -> None:
    """A byte-level BPE of 300 tokens with three special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Tom has 12 apples and buys 7 more. 12 + 7 = 19"] * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    marks = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(marks))
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def model_in(folder: Path) -> None:
    """Random Qwen2 weights, wide enough apart that no two tokens tie, stored in half precision."""
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(config)
    settings: Any = {"eos_token_id": list(END_IDS), "pad_token_id": 0}
    model.generation_config = GenerationConfig(**settings)  # type: ignore[no-untyped-call]
    model.to(torch.float16).save_pretrained(folder)


def spec(folder: Path | str, **settings: Any) -> ModelSpec:
    """A specification of a model on the CPU."""
    settings = {"device": "cpu", **settings}
    return ModelSpec(backend=Backend.TRANSFORMERS, model=str(folder), **settings)


def question(number: int) -> list[Message]:
    """Conversations of many lengths."""
    return [Message(role="user", content=f"{number} + {number} = " * (number % 7 + 1))]


class Cramped:
    """A model whose memory holds two rows, or that fails in another way."""

    def __init__(self, model: Any, *, error: str = "CUDA out of memory. Tried to allocate") -> None:
        self._model = model
        self._error = error
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, **batch: Any) -> Any:
        """Fail on three rows or more."""
        self.sizes.append(len(batch["input_ids"]))
        if len(batch["input_ids"]) > 2:
            raise RuntimeError(self._error)
        return self._model.generate(**batch)
