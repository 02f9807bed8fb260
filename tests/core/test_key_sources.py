"""Laws of where a model's key comes from: a recipe names it, in one way, and never holds it."""

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.loopback import LoopbackServer
from benchmarks.loopback_replies import Reply
from tests.core.llm.asking import CANARY, FAST, ask, spec_of
from weak2wise_core.config import ModelSpec
from weak2wise_core.errors import FatalModelError, RecipeError
from weak2wise_core.llm.openai_compatible import OpenAIModel
from weak2wise_core.recipes import load_recipe, parse_recipe

SERVED = {"backend": "openai", "model": "m", "base_urls": ["http://127.0.0.1:9/v1"]}


@pytest.mark.parametrize(
    "keys",
    [
        {"api_key_env": "A", "api_key_block": "b"},
        {"api_key_env": "sk-live-123"},
        {"api_key_block": "Not A Name"},
        {"api_key_block": "sk_live"},
        {"api_key_block": ""},
        {"api_key_env": "PREFECT_API_AUTH_STRING"},
        {"api_key_env": "prefect_server_encryption_key"},
    ],
)
def test_a_key_is_named_once_and_by_a_name(keys: dict[str, str]) -> None:
    """Two sources, a key in place of a name, and the engine's own passwords are refused."""
    with pytest.raises(ValidationError):
        ModelSpec.model_validate(SERVED | keys)


KEPT = {"extra_body": {"x": {"y": [{"token": CANARY}]}}}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"base_urls": [f"https://user:{CANARY}@h/v1"]}, "base_urls.0 holds a user or password"),
        ({"base_urls": ["http://h", f"http://{CANARY}@h"]}, "base_urls.1 holds a user or"),
        ({"base_urls": [f"http://me:half/{CANARY}@h"]}, "base_urls.0 holds a user or password"),
        ({"base_urls": [f"me:{CANARY}@h/v1"]}, "base_urls.0 does not begin with http"),
        ({"base_urls": [f"http://h/v1?v=1&api-key={CANARY}"]}, "base_urls.0 holds the parameter"),
        ({"base_urls": [f"http://h/v1?SIG={CANARY}"]}, "'SIG'"),
        ({"base_urls": [f"http://h/v1?api%5Fkey={CANARY}"]}, "'api_key'"),
        ({"base_urls": [f"http://h/v1#access_token={CANARY}"]}, "'access_token'"),
        ({"extra_body": {"api_key": CANARY}}, "extra_body.api_key:"),
        ({"extra_body": {"a": {"Ocp-Apim-Subscription-Key": CANARY}}}, "extra_body.a.Ocp-Apim"),
        ({"extra_body": {"headers": {"Authorization": f"Bearer {CANARY}"}}}, "s.Authorization:"),
        ({"extra_body": {"auth": {"value": CANARY}}}, "extra_body.auth:"),
        ({"extra_body": {"properties": {"apiKey": CANARY}}}, "extra_body.properties.apiKey:"),
        (KEPT, "extra_body.x.y.0.token:"),
    ],
)
def test_a_recipe_that_holds_a_key_is_refused_without_repeating_it(
    change: dict[str, Any], place: str
) -> None:
    """The place is named, in every form in which the error could be shown, and never the value."""
    with pytest.raises(ValidationError) as direct:
        ModelSpec.model_validate(SERVED | change)
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"models": {"weak": SERVED | change}})
    shown = "".join(traceback.format_exception(caught.value)) + str(direct.value)
    assert place in str(caught.value)
    assert "does not begin" in place or "api_key_env or api_key_block" in str(caught.value)
    assert CANARY not in shown


@pytest.mark.parametrize(
    "extra",
    [
        {"max_tokens": 5, "top_k": 4, "stop_token_ids": [1], "skip_special_tokens": False},
        {"tokenizer": "t", "keyword": "k", "prompt_cache_key": "c", "author": "a", "monkey": 1},
        {
            "eos_token": "</s>",
            "truncate_prompt_tokens": 3,
            "tokens": 4,
            "keys": 2,
            "valid_token": 1,
        },
        {"guided_json": {"properties": {"token": {"type": "string"}}, "required": ["token"]}},
    ],
)
def test_names_that_are_no_credentials_pass(extra: dict[str, Any]) -> None:
    """Tokens that are counted, keys that sort, and names that a JSON schema describes."""
    urls = ["http://h/v1?api-version=2", "http://h:80/keys/token"]
    assert ModelSpec.model_validate(SERVED | {"base_urls": urls, "extra_body": extra})


def test_an_extra_body_that_contains_itself_is_refused() -> None:
    """YAML can say that; no request can hold it."""
    endless: dict[str, Any] = {}
    endless["again"] = [endless]
    with pytest.raises(ValidationError, match="contains itself"):
        ModelSpec.model_validate(SERVED | {"extra_body": endless})


@pytest.mark.parametrize("text", [f"a: b: {CANARY}", f"a: '{CANARY}", f"a: [{CANARY}", "a: \x00"])
def test_a_file_that_is_not_yaml_is_not_repeated(tmp_path: Path, text: str) -> None:
    """The line and what is wrong there are enough."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match="not YAML") as caught:
        load_recipe(path)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("backend", ["transformers", "testbed"])
def test_only_a_served_model_has_a_key(backend: str) -> None:
    """A local model would ignore it."""
    with pytest.raises(ValidationError, match="api_key_block"):
        ModelSpec.model_validate({"backend": backend, "model": "m", "api_key_block": "b"})


def test_the_source_of_a_key_does_not_decide_replies() -> None:
    """The same model with a key from elsewhere has the same identity, and so the same replies."""
    one = ModelSpec.model_validate(SERVED | {"api_key_block": "b"})
    other = ModelSpec.model_validate(SERVED | {"api_key_env": "A"})
    assert one.identity() == other.identity() == ModelSpec.model_validate(SERVED).identity()


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ({"api_key_env": "TEST_KEY"}, r"the key in \$TEST_KEY was refused"),
        ({"api_key_env": None, "api_key_block": "b"}, "the key in the Secret block 'b' was"),
        ({"api_key_env": None}, "api_key_env or api_key_block"),
    ],
)
async def test_a_refused_key_is_named_by_its_source(key: dict[str, Any], named: str) -> None:
    """The message says where to put another one, and does not show this one."""
    with LoopbackServer(lambda _: Reply(status=401, error=f"bad key {CANARY}")) as server:
        model = OpenAIModel(spec_of(server.base_url, **key), api_key=CANARY, backoff=FAST)
        with pytest.raises(FatalModelError, match=named) as caught:
            await ask(model)
        await model.aclose()
    assert CANARY not in str(caught.value)


async def test_a_reply_that_repeats_the_key_is_kept_without_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A proxy that shows the request in its reply puts no key into the reply store."""
    caplog.set_level(logging.DEBUG)
    said = Reply(content=f"2 {CANARY}.", reasoning=f"sent {CANARY}", model=f"m {CANARY}")
    with LoopbackServer(lambda _: said) as server:
        model = OpenAIModel(spec_of(server.base_url), api_key=CANARY, backoff=FAST)
        reply = await ask(model)
        await model.aclose()
    assert (reply.content, reply.reasoning, reply.model) == ("2 [key].", "sent [key]", "m [key]")
    assert CANARY not in caplog.text


async def test_a_word_in_place_of_a_key_is_not_taken_out_of_replies() -> None:
    """Servers without keys are often given a word such as EMPTY, which a reply may hold."""
    with LoopbackServer(lambda _: Reply(content="The set is EMPTY.")) as server:
        model = OpenAIModel(spec_of(server.base_url), api_key="EMPTY", backoff=FAST)
        assert (await ask(model)).content == "The set is EMPTY."
        await model.aclose()


@pytest.mark.parametrize(
    "tag", ["python/object/apply:os.mkdir", "python/name:os.mkdir", "python/module:antigravity"]
)
def test_a_recipe_is_read_as_plain_yaml(tmp_path: Path, tag: str) -> None:
    """A tag that would call a function is an error, and nothing is called."""
    touched = tmp_path / "touched"
    path = tmp_path / "recipe.yaml"
    path.write_text(f"dataset: !!{tag} ['{touched}']\n")
    with pytest.raises(RecipeError, match="not YAML"):
        load_recipe(path)
    assert not touched.exists()
