"""What a model is, for a cache key: found without opening a connection or loading weights."""

import threading
from functools import lru_cache
from typing import Any

from testbed.models import WEAK_MODEL_FOLDER, open_testbed_model
from weak2wise_core.config import Backend, ModelSpec
from weak2wise_core.errors import RecipeError
from weak2wise_core.llm.local import TransformersModel
from weak2wise_core.llm.protocol import ChatModel
from weak2wise_core.llm.weights import model_name

_DIGESTING = threading.Lock()  # keys are made in threads: one of them reads, the others wait


def local_model(spec: ModelSpec) -> ChatModel:
    """A model that runs in this process; its weights are loaded when it is first asked.

    Raises:
        RecipeError: The backend is not a local one, or the testbed has no such model.
    """
    if spec.backend is Backend.TRANSFORMERS:
        return TransformersModel(spec)
    if spec.backend is Backend.TESTBED:
        return open_testbed_model(spec)
    raise RecipeError(f"backend {spec.backend.value} does not run in this process")


def model_identity(spec: ModelSpec | None) -> dict[str, Any] | None:
    """The settings and, for local models, the weights that decide a model's replies.

    Addresses, keys, limits, prices and folders are left out: the same model in another place is the
    same model.
    """
    if spec is None:
        return None
    identity = spec.identity()
    if spec.backend is not Backend.OPENAI:
        given = spec.model_dump_json(include=set(ModelSpec.model_fields), exclude_unset=True)
        with _DIGESTING:
            identity["model"] = _weights(given)
    return identity


def reply_identity(spec: ModelSpec) -> dict[str, Any]:
    """What decides a model's replies beside the request, as its client says it; no client is made.

    It is part of the key of every stored reply.
    """
    if spec.backend is Backend.OPENAI:
        return spec.identity()
    identity: dict[str, Any] = (model_identity(spec) or {})["model"]
    return identity


def tokenizer_identity(weak: ModelSpec) -> str:
    """The tokenizer of a model: a hub id, or the content of a folder, wherever it lies."""
    testbed = weak.backend is Backend.TESTBED and weak.tokenizer is None
    with _DIGESTING:
        return _folder(str(WEAK_MODEL_FOLDER) if testbed else weak.tokenizer or weak.model)


@lru_cache(maxsize=64)
def _folder(name: str) -> str:
    return model_name(name)


@lru_cache(maxsize=64)
def _weights(spec_json: str) -> Any:
    return local_model(ModelSpec.model_validate_json(spec_json)).identity
