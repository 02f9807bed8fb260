"""Laws of the model folder: it is whole, it loads here and elsewhere, and it says what it is."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from testbed.models import WEAK_MODEL_FOLDER
from tests.core.training.conftest import School
from tests.core.training.schooling import job, rows, surprise, training_rows
from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.protocol import Sampling
from weak2wise_core.llm.tokens import CHATML, Tokens
from weak2wise_core.records import FinishReason, Message
from weak2wise_core.training.examples import encode_rows
from weak2wise_core.training.jobs import job_version
from weak2wise_core.training.saving import (
    end_generation_with_turn,
    publish_model,
    save_tokenizer,
)

pytestmark = pytest.mark.slow


def formats(folder: Path) -> set[str]:
    """Number formats of the stored weights."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {str(file.get_tensor(name).dtype) for name in file.keys()}  # noqa: SIM118


async def test_a_trained_model_loads_and_answers(school: School) -> None:
    """The local backend asks the folder like any other model; the reply ends by itself."""
    folder = school.trained["plain"].folder
    model = TransformersModel(
        ModelSpec(backend=Backend.TRANSFORMERS, model=str(folder), device="cpu", dtype="float32")
    )
    question = Message(role="user", content=rows(1)[0]["prompt"][0]["content"])
    try:
        greedy = Sampling(temperature=0.0, max_tokens=200)
        reply = await model.chat([question], sampling=greedy, draw=0)
    finally:
        await model.aclose()
    assert reply.finish_reason is FinishReason.STOP
    assert reply.content


def test_what_is_saved_is_what_was_trained(school: School, tokens: Tokens) -> None:
    """The folder's weights know the traces better than the base model's do."""
    import torch
    from transformers import AutoModelForCausalLM

    examples = encode_rows(training_rows(rows(6)), tokens=tokens, longest=1024)
    kind: Any = AutoModelForCausalLM
    found = {}
    for folder in (WEAK_MODEL_FOLDER, *(one.folder for one in school.trained.values())):
        model = kind.from_pretrained(folder, dtype=torch.float32)
        found[folder] = sum(surprise(model, example) for example in examples)
    base = found.pop(WEAK_MODEL_FOLDER)
    assert max(found.values()) < 0.95 * base, found


@pytest.mark.parametrize("name", ["plain", "adapted"])
def test_the_tokenizer_is_that_of_the_base_model(school: School, name: str) -> None:
    """Byte by byte: saving it through a library would change how it splits text."""
    folder = school.trained[name].folder
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / file).read_bytes() == (WEAK_MODEL_FOLDER / file).read_bytes()


def test_weights_are_saved_in_the_format_of_the_arithmetic(school: School) -> None:
    """32 bits in float32, 16 bits in bfloat16; config.json says the same."""
    for name, expected in (("plain", "float32"), ("half", "bfloat16")):
        folder = school.trained[name].folder
        assert formats(folder) == {f"torch.{expected}"}
        assert json.loads((folder / "config.json").read_text())["dtype"] == expected


def test_merged_adapters_are_the_model_with_adapters(school: School) -> None:
    """The folder computes what the base model computes with the adapters beside it."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = school.trained["adapted"].folder
    kind: Any = AutoModelForCausalLM
    base = kind.from_pretrained(WEAK_MODEL_FOLDER, dtype=torch.float32)
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        plain = base(ids).logits
        adapted = PeftModel.from_pretrained(base, folder / "adapter").eval()(ids).logits
        merged = kind.from_pretrained(folder, dtype=torch.float32)(ids).logits
    assert float((merged - adapted).abs().max()) < 1e-4
    assert float((merged - plain).abs().max()) > 1e-2


def test_the_manifest_says_what_was_trained(school: School) -> None:
    """Dataset, base model, settings, versions, counts and every loss; no path of this machine."""
    manifest = school.trained["packed"].manifest
    wanted = job(
        school.folder, "packed", packing=True, global_batch_size=2, per_device_batch_size=1
    )
    counts = manifest["counts"]
    assert manifest["version"] == job_version(wanted)
    assert manifest["dataset"]["version"] == wanted.dataset_version
    assert manifest["settings"]["packing"] is True
    assert manifest["base_model"].startswith("weak_model@")
    assert {"torch", "transformers", "trl"} <= manifest["packages"].keys()
    assert (counts["examples"], counts["context"]) == (32, 1024)
    assert counts["rows"] < 32
    assert counts["steps"] == len(manifest["steps"])
    assert manifest["steps"][-1]["num_tokens"] == 2 * counts["tokens"]
    assert str(school.folder) not in json.dumps(manifest)
    assert str(WEAK_MODEL_FOLDER) not in json.dumps(manifest)


def test_the_card_tells_the_losses_and_the_limits(school: School) -> None:
    """README.md holds base model, dataset, settings, a table of losses, and what it is not."""
    manifest = school.trained["plain"].manifest
    text = (school.trained["plain"].folder / "README.md").read_text()
    for step in (manifest["steps"][0], manifest["steps"][-1]):
        assert f"| {step['step']} | {step['loss']:.4f} |" in text
    for found in (manifest["base_model"], "0123456789ab", "`learning_rate`: 0.001", "## Limits"):
        assert found in text
    assert str(school.folder) not in text


def test_nothing_is_left_beside_the_models(school: School) -> None:
    """Checkpoints go when the model is there; the folder holds no half-written file."""
    models = school.folder / "models"
    assert sorted(path.name for path in models.iterdir()) == sorted(school.trained)
    assert not list(models.rglob("*.tmp"))
    assert not list(models.rglob("optimizer*"))


def test_what_a_killed_process_left_while_it_published_is_removed(
    school: School, tmp_path: Path
) -> None:
    """Weights are large, and nobody would look for them under a hidden name."""
    left = tmp_path / f".v1.{'0' * 32}.tmp"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    staged = tmp_path / "staged"
    staged.mkdir()
    publish_model(staged, school.trained["plain"].manifest, output=tmp_path / "v1")
    assert not left.exists()
    assert (tmp_path / "v1" / "training.json").is_file()


def test_a_base_model_without_a_template_gets_the_one_it_was_trained_with(
    school: School, tmp_path: Path
) -> None:
    """A server then asks it as the training did, and ends its replies where they ended."""
    source, target = tmp_path / "base", tmp_path / "trained"
    for folder in (source, target):
        folder.mkdir()
    (source / "tokenizer.json").write_bytes((WEAK_MODEL_FOLDER / "tokenizer.json").read_bytes())
    (source / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    bare = Tokens.load(source)
    assert bare.uses_chatml
    wanted = job(tmp_path).model_copy(update={"model": str(source)})
    save_tokenizer(wanted, tokens=bare, folder=target)
    assert (target / "chat_template.jinja").read_text() == CHATML
    assert Tokens.load(target).end_of_turn == bare.end_of_turn
    end_of_text = bare.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    (target / "generation_config.json").write_text(json.dumps({"eos_token_id": end_of_text}))
    end_generation_with_turn(target, tokens=bare)
    settings = json.loads((target / "generation_config.json").read_text())
    assert set(settings["eos_token_id"]) == {end_of_text, *bare.end_ids}
    assert len(bare.end_ids) == 2
