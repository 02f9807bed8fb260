"""The models, stores and counters of one build: opened once, shared by all of its tasks.

Tasks take settings, never clients: a client has no content hash. They find the build's runtime
through a context variable that the flow sets in its own event loop.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

from tasks.identities import local_model
from tasks.progress import Progress
from weak2wise_core.config import Backend, ModelSpec, Recipe
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import BuildError, MissingKeyError
from weak2wise_core.gateway import Asker, Gateway, ModelHandle
from weak2wise_core.hashing import content_hash
from weak2wise_core.llm.protocol import ChatModel
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import PromptSet, load_prompts
from weak2wise_core.stages.judge import Judge
from weak2wise_core.stores.replies import ReplyStore

DATA_VARIABLE = "WEAK2WISE_DATA"
REPLIES = "replies.sqlite"
WEAK, JUDGE, TRUNCATOR = "weak", "judge", "truncator"

_CURRENT: ContextVar["Runtime | None"] = ContextVar("weak2wise_runtime", default=None)


def data_folder() -> Path:
    """Where builds keep replies, stage results and datasets: $WEAK2WISE_DATA, or ./data."""
    return Path(os.environ.get(DATA_VARIABLE, "data")).absolute()


def api_key(spec: ModelSpec) -> str:
    """The key of a model, from the environment variable that its specification names.

    Raises:
        MissingKeyError: The variable is not set, or empty.
    """
    if spec.api_key_env is None:
        return ""  # local servers ask for no key
    key = os.environ.get(spec.api_key_env, "").strip()
    if not key:
        raise MissingKeyError(
            f"the API key of {spec.model} is missing: set the environment variable "
            f"{spec.api_key_env} (its name comes from api_key_env in the recipe)"
        )
    return key


def check_keys(recipe: Recipe) -> None:
    """Make sure that every key is there, before anything is paid.

    Raises:
        MissingKeyError: One is not.
    """
    for spec in recipe.models.specs().values():
        if spec.backend is Backend.OPENAI:
            api_key(spec)


class Runtime:
    """What the tasks of one build share."""

    def __init__(self, recipe: Recipe, *, data: Path, progress: Progress | None = None) -> None:
        """Prepare a build; nothing is connected or loaded before it is first needed.

        Raises:
            MissingKeyError: A model needs a key that is not there; found before anything is paid.
            StoreError: The reply store cannot be opened.
        """
        check_keys(recipe)
        self.recipe = recipe
        self.data = data
        self.progress = progress or Progress()
        self.prompts: PromptSet = load_prompts(recipe.prompts)
        self.store = ReplyStore(data / REPLIES)
        self.checker = AnswerChecker()
        self.gateway = Gateway(
            in_flight=recipe.execution.in_flight, store=self.store, budget=recipe.budget
        )
        self.progress.accounts = self.gateway.accounts
        self._models: dict[str, ChatModel] = {}
        self._tokens: Tokens | None = None
        self._loading = asyncio.Lock()

    def ask(self, name: str, *, stage: str) -> ModelHandle:
        """A model of the recipe, as one stage asks it."""
        spec = self.recipe.models.spec(name)
        return self.gateway.handle(self._model(spec), spec=spec, name=name, stage=stage)

    def strong(self, *, stage: str) -> Mapping[str, Asker]:
        """The strong models, by name."""
        return {spec.name: self.ask(spec.name, stage=stage) for spec in self.recipe.models.strong}

    def truncator(self, *, stage: str) -> ModelHandle | None:
        """The truncating model, or None where the recipe has none."""
        return self.ask(TRUNCATOR, stage=stage) if self.recipe.models.truncator else None

    def judge(self, *, stage: str) -> Judge:
        """The judge that the recipe describes."""
        model = self.ask(JUDGE, stage=stage) if self.recipe.models.judge else None
        return Judge(self.recipe.judging, checker=self.checker, model=model, prompts=self.prompts)

    async def tokens(self) -> Tokens:
        """The weak model's tokenizer, loaded once, off the event loop."""
        async with self._loading:
            if self._tokens is None:
                self._tokens = await asyncio.to_thread(load_tokens, self.recipe.models.weak)
        return self._tokens

    async def aclose(self) -> None:
        """Close every model and write what is left to the stores."""
        async with AsyncExitStack() as closing:  # all of them, also where one fails
            closing.push_async_callback(asyncio.to_thread, self.checker.close)
            closing.push_async_callback(asyncio.to_thread, self.store.close)
            for model in self._models.values():
                closing.push_async_callback(model.aclose)

    def _model(self, spec: ModelSpec) -> ChatModel:
        # Two roles on one model share its client and limits or, if local, its weights.
        own = {"name", "usd_per_mtok", "temperature", "top_p", "max_tokens", "seed"}
        key = content_hash(spec.model_dump(mode="json", exclude=own))
        if key not in self._models:
            if spec.backend is Backend.OPENAI:
                from weak2wise_core.llm.openai_compatible import OpenAIModel  # takes a second

                self._models[key] = OpenAIModel(spec, api_key=api_key(spec))
            else:
                self._models[key] = local_model(spec)
        return self._models[key]


def load_tokens(weak: ModelSpec) -> Tokens:
    """The tokenizer of the weak model, from `tokenizer` or `model` in its specification."""
    if weak.backend is Backend.TESTBED and weak.tokenizer is None:
        from testbed.models import WEAK_MODEL_FOLDER

        return Tokens.load(str(WEAK_MODEL_FOLDER))
    return Tokens.load(weak.tokenizer or weak.model)


def prompts_of(recipe: Recipe) -> PromptSet:
    """The wording that the running build read at its start; outside of one, what files say now."""
    runtime = _CURRENT.get()
    return load_prompts(recipe.prompts) if runtime is None else runtime.prompts


@asynccontextmanager
async def open_runtime(
    recipe: Recipe, *, data: Path, progress: Progress | None = None
) -> AsyncIterator[Runtime]:
    """Open what a build needs and make it current for every task started inside."""
    runtime = Runtime(recipe, data=data, progress=progress)
    token = _CURRENT.set(runtime)
    try:
        yield runtime
    finally:
        _CURRENT.reset(token)
        await asyncio.shield(runtime.aclose())


def current() -> Runtime:
    """The runtime of the build that this task belongs to.

    Raises:
        BuildError: The task runs outside of a build.
    """
    runtime = _CURRENT.get()
    if runtime is None:
        raise BuildError("this task runs inside the flow weak2wise only; start the flow instead")
    return runtime
