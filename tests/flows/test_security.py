"""Laws of the flow under hostile input: keys by name, no pickles, no files from elsewhere."""

import base64
import io
import json
import lzma
import os
import pickle
import shutil
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.system import Secret
from prefect.serializers import PickleSerializer

from benchmarks.loopback import LoopbackServer
from flows.commands.checking import _blocks
from tasks.keys import read_block
from tasks.progress import Progress
from tests.flows.test_build import ALL_STAGES, questions, recomputed, script, server_recipe
from weak2wise_core.config import Recipe
from weak2wise_core.errors import InputFileError, MissingKeyError, RecipeError

pytestmark = pytest.mark.slow

__all__ = ["questions"]  # a fixture

Build = Callable[..., Awaitable[Any]]
MakeRecipe = Callable[..., Recipe]
CANARY = "sk-canary-from-a-block-0123456789"


def with_strong(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with changes of its strong model."""
    spec = recipe.models.strong[0].model_copy(update=changes)
    models = recipe.models.model_copy(update={"strong": (spec,)})
    return recipe.model_copy(update={"models": models})


async def test_a_key_from_a_secret_block_is_sent_and_nothing_else_is(
    build: Build, questions: Path
) -> None:
    """The block's text goes to the model that names it; other models get no key."""
    await Secret(value=f" {CANARY}\n").save("strong-key", overwrite=True)
    with LoopbackServer(script) as server:
        recipe = with_strong(server_recipe(server, questions), api_key_block="strong-key")
        state = await build(recipe)
        assert state.name == "Completed", state.message
        sent = {
            request.body["model"]: request.headers["authorization"] for request in server.requests
        }
    assert sent == {"s": f"Bearer {CANARY}", "m": "Bearer none"}


async def test_a_key_that_looks_like_a_number_stays_what_it_is(engine: None) -> None:
    """The engine's own reading turns 007 into 7."""
    await Secret(value="007").save("agent", overwrite=True)
    assert (await read_block("agent")).get_secret_value() == "007"


@pytest.mark.parametrize("value", [None, "", "  ", {"key": "x"}, 7])
async def test_a_missing_or_empty_block_is_found_before_anything_is_paid(
    build: Build, questions: Path, value: Any
) -> None:
    """The error names the block and says what to do; no model was asked."""
    name = "absent" if value is None else "unfit"
    if value is not None:
        await Secret(value=value).save(name, overwrite=True)
    with LoopbackServer(script) as server:
        recipe = with_strong(server_recipe(server, questions), api_key_block=name)
        error = await (await build(recipe)).aresult(raise_on_failure=False)
        assert isinstance(error, MissingKeyError)
        assert repr(name) in str(error)
        assert "Save the key" in str(error)
        assert server.requests == []


async def test_doctor_names_the_blocks_that_hold_no_key(engine: None, questions: Path) -> None:
    """Each block is one line, good or bad; its content is in none of them."""
    await Secret(value=CANARY).save("strong-key", overwrite=True)
    with LoopbackServer(script) as server:
        plain = server_recipe(server, questions)
    found = {}
    for name in ("strong-key", "absent"):
        keys, (finding,) = await _blocks(with_strong(plain, api_key_block=name))
        found[name] = finding
        assert CANARY not in repr(vars(keys))
    assert [found[name].ok for name in ("strong-key", "absent")] == [True, False]
    assert "absent" in found["absent"].detail
    assert CANARY not in repr(found)


# --- pickles --------------------------------------------------------------------------------------


class Payload:
    """What a pickle can do to whoever reads it: here, make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def hostile_pickle(path: Path) -> bytes:
    """A pickle that makes `path` when it is read."""
    return pickle.dumps(Payload(path))


def test_the_payload_works(tmp_path: Path) -> None:
    """Else the tests below would prove nothing."""
    pickle.loads(hostile_pickle(tmp_path / "touched"))
    PickleSerializer[Any]().loads(base64.encodebytes(hostile_pickle(tmp_path / "touched again")))
    assert (tmp_path / "touched").exists()
    assert (tmp_path / "touched again").exists()


HOSTILE: dict[str, tuple[dict[str, Any], Callable[[bytes], bytes]]] = {
    "a pickle in place of a table": ({"type": "weak2wise-parquet"}, lambda data: data),
    "the engine's pickle": ({"type": "pickle"}, base64.encodebytes),
    "a plain pickle": ({"type": "pickle", "picklelib": "pickle"}, base64.encodebytes),
    "a compressed pickle": (
        {"type": "compressed/pickle"},
        lambda data: base64.encodebytes(lzma.compress(base64.encodebytes(data))),
    ),
    "a compressed pickle, spelt out": (
        {"type": "compressed", "serializer": {"type": "pickle"}},
        lambda data: base64.encodebytes(lzma.compress(base64.encodebytes(data))),
    ),
    "JSON decoded by any function": (
        {"type": "json", "jsonlib": "pickle", "object_decoder": None},
        lambda data: data,
    ),
    "no serializer, which is a pickle": ({}, base64.encodebytes),
}


def plant(data: Path, marks: Path) -> set[str]:
    """Replace stage results and the serializers that the notes beside them name; the cases used."""
    notes = sorted((data / "keys").glob("*/*"))
    for note, (case, (serializer, encoded)) in zip(notes, cycle(HOSTILE.items()), strict=False):
        content = json.loads(note.read_text())
        del content["serializer"]
        note.write_text(json.dumps(content | ({"serializer": serializer} if serializer else {})))
        result = encoded(hostile_pickle(marks / case))
        Path(content["storage_key"]).write_bytes(result)
    return {case for _, case in zip(notes, cycle(HOSTILE), strict=False)}


async def test_planted_pickles_are_computed_anew_and_never_run(
    build: Build, testbed_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Whoever can write to the data folder can change results, but runs nothing."""
    first = await (await build(testbed_recipe())).aresult()
    marks = tmp_path / "marks"
    marks.mkdir()
    assert plant(tmp_path / "data", marks) == set(HOSTILE)
    shutil.rmtree(tmp_path / "data" / "shards")  # else no stage result is looked for
    progress = Progress()
    state = await build(testbed_recipe(), progress=progress)
    assert state.name == "Completed", state.message
    assert (await state.aresult()).version == first.version
    assert recomputed(progress) == ALL_STAGES
    assert progress.calls == 0
    assert list(marks.iterdir()) == []
    check_no_pickle_is_left(tmp_path / "data")


async def test_a_note_is_read_one_way_only(build: Build, tmp_path: Path) -> None:
    """A key that stands twice in a note does not show one serializer to us, another to the engine.

    And a note that names a module is refused before the engine imports it.
    """
    from tasks.storage import keys_in

    folder = tmp_path / "data" / "keys"
    folder.mkdir(parents=True)
    ours, theirs = '{"type": "weak2wise-parquet"}', '{"type": "pickle"}'
    (folder / "twice").write_text(f'{{"serializer": {theirs}, "serializer": {ours}}}')
    assert json.loads(keys_in(tmp_path / "data").read_path("twice")) == {
        "serializer": {"type": "weak2wise-parquet"}
    }
    (folder / "module").write_text('{"serializer": {"type": "pickle", "picklelib": "antigravity"}}')
    with pytest.raises(InputFileError, match="not read"):
        keys_in(tmp_path / "data").read_path("module")
    with pytest.raises(ValueError, match="outside"):
        keys_in(tmp_path / "data").read_path("../../module")


def check_no_pickle_is_left(data: Path) -> None:
    """No file of a build is a pickle or half a file, and stage results are plain tables."""
    files = [path for path in data.rglob("*") if path.is_file()]
    for path in files:
        assert not path.read_bytes().startswith((b"\x80\x04", b"\x80\x05", b"gASV", b"gAWV")), path
        assert not path.name.endswith(".tmp"), path
    results = [path for path in files if path.parent.parent.name == "results"]
    assert len(results) >= len(ALL_STAGES)
    assert all(path.read_bytes()[:4] == b"PAR1" for path in results)


def test_weights_that_are_pickles_are_refused(tmp_path: Path) -> None:
    """A model folder with `pytorch_model.bin` in place of safetensors is a clear error."""
    torch = pytest.importorskip("torch")
    from tests.core.llm.tiny_model import spec, tiny_model
    from weak2wise_core.errors import FatalModelError
    from weak2wise_core.llm.loading import load_engine

    folder = tiny_model(tmp_path / "model")
    load_engine(spec(folder))
    (folder / "model.safetensors").unlink()
    plain = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, plain)
    for name, data in {
        "hostile": hostile_pickle(tmp_path / "touched"),
        "harmless": plain.getvalue(),
    }.items():
        (folder / "pytorch_model.bin").write_bytes(data)
        with pytest.raises(FatalModelError, match="safetensors"):
            load_engine(spec(folder))
        assert not (tmp_path / "touched").exists(), name


def test_an_adapter_that_is_a_pickle_runs_nothing(tmp_path: Path) -> None:
    """The library reads an adapter beside the weights by itself, also in the older format."""
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    from tests.core.llm.tiny_model import spec, tiny_model
    from weak2wise_core.errors import FatalModelError
    from weak2wise_core.llm.loading import load_engine

    folder = tiny_model(tmp_path / "model")
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(folder), "r": 2}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    (folder / "adapter_model.bin").write_bytes(hostile_pickle(tmp_path / "touched"))
    with pytest.raises(FatalModelError, match="adapter_model"):
        load_engine(spec(folder))
    assert not (tmp_path / "touched").exists()


# --- files ----------------------------------------------------------------------------------------


async def test_the_flow_reads_no_file_that_a_recipe_may_not_name(
    build: Build, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that comes through a form is held to the same rule as one from the command line."""
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("WEAK2WISE_FOLDERS", str(questions.parent / "elsewhere"))
    with LoopbackServer(script) as server:
        recipe = server_recipe(server, questions, prompts={"judge": str(secret)})
        error = await (await build(recipe)).aresult(raise_on_failure=False)
        assert isinstance(error, RecipeError)
        assert "questions.path" in str(error)
        assert "prompts.judge" in str(error)
        assert CANARY not in str(error)
        assert server.requests == []
