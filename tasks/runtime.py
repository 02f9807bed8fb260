"""The models, stores and counters of one build: opened once, shared by all of its tasks.

Tasks take settings, never clients: a client has no content hash. They find the build's runtime
through a context variable that the flow sets in its own event loop.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from contextvars import ContextVar
from pathlib import Path
from typing import TypeAlias

from tasks.heeding import heeding_signals
from tasks.identities import local_model
from tasks.keys import Keys, check_environment, read_keys, read_recipe_keys
from tasks.pauses import few_pauses, spare_what_is_loaded
from tasks.progress import Progress
from tasks.reserve import Reserve
from weak2wise_core.config import (
    Backend,
    BudgetSettings,
    ExecutionSettings,
    ModelSpec,
    Recipe,
    Speculation,
    W2SRRecipe,
    WeakToStrongRecipe,
)
from weak2wise_core.config.recipe import without_probabilities
from weak2wise_core.equivalence import AnswerChecker
from weak2wise_core.errors import BuildError, RecipeError, StoreError
from weak2wise_core.gateway import Asker, Gateway, ModelHandle
from weak2wise_core.hashing import content_hash
from weak2wise_core.llm.forced import PassageReader
from weak2wise_core.llm.protocol import ChatModel
from weak2wise_core.llm.tokens import Tokens
from weak2wise_core.prompts import PromptSet, load_prompts
from weak2wise_core.recipe_files import check_files
from weak2wise_core.slots import Slots
from weak2wise_core.stages.judge import Judge
from weak2wise_core.stores.files import remove_abandoned_below
from weak2wise_core.stores.replies import ReplyStore

RelatedRecipe: TypeAlias = W2SRRecipe | WeakToStrongRecipe

DATA_VARIABLE = "WEAK2WISE_DATA"
RESULTS, KEYS, SHARDS = "results", "keys", "shards"
"""Folders of a data folder: stage results, their cache keys, and finished shards."""
REPLIES = "replies.sqlite"
WEAK, JUDGE, TRUNCATOR = "weak", "judge", "truncator"

_CURRENT: ContextVar["Session | None"] = ContextVar("weak2wise_runtime", default=None)


def data_folder() -> Path:
    """Where builds keep replies, stage results and datasets: $WEAK2WISE_DATA, or ./data."""
    return Path(os.environ.get(DATA_VARIABLE, "data")).absolute()


def check_keys(recipe: Recipe | RelatedRecipe) -> None:
    """Make sure that every key in an environment variable is there, before the engine starts.

    Keys in Secret blocks need the engine; `open_runtime` reads them, before anything is paid.

    Raises:
        MissingKeyError: One is not.
    """
    check_environment(recipe.models.specs().values())


class Session:
    """What the tasks of one run share, whichever method it follows."""

    def __init__(
        self,
        *,
        data: Path,
        keys: Keys,
        execution: ExecutionSettings,
        budget: BudgetSettings,
        progress: Progress | None = None,
    ) -> None:
        """Prepare a run; nothing is connected or loaded before it is first needed.

        Args:
            data: Where replies, stage results and datasets are kept.
            keys: The keys of all models, read already.
            execution: How many calls there may be at once.
            budget: What the run may spend.
            progress: Counters that somebody watches.

        Raises:
            StoreError: The reply store cannot be opened.
        """
        self.data = data
        self.keys = keys
        self.progress = progress or Progress()
        self.store = ReplyStore(data / REPLIES)
        self.checker = AnswerChecker()
        self.gateway = Gateway(in_flight=execution.in_flight, store=self.store, budget=budget)
        self.progress.accounts = self.gateway.accounts
        self.unwritten: StoreError | None = None
        """Why a stage result could not be written; the engine itself would go on without it."""
        self._models: dict[str, ChatModel] = {}

    def ask_model(
        self, spec: ModelSpec, *, name: str, stage: str, votes: bool = False
    ) -> ModelHandle:
        """A model as one stage asks it.

        Args:
            spec: The model.
            name: Under which it is counted.
            stage: Under which its calls are counted.
            votes: Whether its calls come before all others.
        """
        model = self._model(spec)
        self.progress.local.watch(name, model)
        return self.gateway.handle(model, spec=spec, name=name, stage=stage, votes=votes)

    async def release(self) -> None:
        """Close every model, so that a training can have their memory; asked again, they open."""
        models, self._models = list(self._models.values()), {}
        async with AsyncExitStack() as closing:  # all of them, also where one fails
            for model in models:
                closing.push_async_callback(model.aclose)

    async def aclose(self) -> None:
        """Close every model and write what is left to the stores."""
        async with AsyncExitStack() as closing:
            closing.push_async_callback(asyncio.to_thread, self.checker.close)
            closing.push_async_callback(asyncio.to_thread, self.store.close)
            closing.push_async_callback(self.release)

    def _model(self, spec: ModelSpec) -> ChatModel:
        # Two roles on one model share its client and limits or, if local, its weights.
        own = {"name", "usd_per_mtok", "temperature", "top_p", "max_tokens", "seed"}
        key = content_hash(spec.model_dump(mode="json", exclude=own))
        if key not in self._models:
            self._models[key] = open_model(spec, keys=self.keys)
            spare_what_is_loaded()
        return self._models[key]


class Runtime(Session):
    """What the tasks of one build share."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        data: Path,
        progress: Progress | None = None,
        keys: Keys,
        prompts: PromptSet | None = None,
    ) -> None:
        """Prepare a build; see `Session`.

        Args:
            recipe: What is built.
            data: Where replies, stage results and datasets are kept.
            progress: Counters that somebody watches.
            keys: The keys of all models, read already.
            prompts: The wording; that of the recipe where absent.

        Raises:
            StoreError: The reply store cannot be opened.
        """
        self.prompts: PromptSet = prompts or load_prompts(recipe.prompts)
        super().__init__(
            data=data,
            keys=keys,
            execution=recipe.execution,
            budget=recipe.budget,
            progress=progress,
        )
        self.recipe = recipe
        self._tokens: Tokens | None = None
        self._loading = asyncio.Lock()

    def ask(self, name: str, *, stage: str) -> ModelHandle:
        """A model of the recipe, as one stage asks it."""
        spec = self.recipe.models.spec(name)
        return self.ask_model(spec, name=name, stage=stage, votes=name == JUDGE)

    def idle_slots(self) -> Slots | None:
        """The slots that a race may fill with guesses; None where it may not."""
        models = self.recipe.models
        free = all(spec is None or not spec.has_price for spec in (models.weak, models.judge))
        speculate = self.recipe.execution.speculate
        allowed = free if speculate is Speculation.AUTO else speculate is Speculation.ALWAYS
        return self.gateway.slots if allowed else None

    def strong(self, *, stage: str) -> Mapping[str, Asker]:
        """The strong models, by name."""
        return {spec.name: self.ask(spec.name, stage=stage) for spec in self.recipe.models.strong}

    def truncator(self, *, stage: str) -> ModelHandle | None:
        """The truncating model, or None where the recipe has none."""
        return self.ask(TRUNCATOR, stage=stage) if self.recipe.models.truncator else None

    def reader(self) -> PassageReader:
        """The weak model, or its local copy, as one that reads traces.

        Raises:
            RecipeError: It is a server, which does not tell probabilities.
        """
        model = self._model(self.recipe.reader)
        if not isinstance(model, PassageReader):
            raise RecipeError(without_probabilities(self.recipe.selection.by))
        return model

    def judge(self, *, stage: str) -> Judge:
        """The judge that the recipe describes."""
        model = self.ask(JUDGE, stage=stage) if self.recipe.models.judge else None
        return Judge(self.recipe.judging, checker=self.checker, model=model, prompts=self.prompts)

    async def tokens(self) -> Tokens:
        """The weak model's tokenizer, loaded once, off the event loop."""
        async with self._loading:
            if self._tokens is None:
                self._tokens = await asyncio.to_thread(load_tokens, self.recipe.models.weak)
                spare_what_is_loaded()
        return self._tokens


def open_model(spec: ModelSpec, *, keys: Keys) -> ChatModel:
    """A model as its specification says; it connects or loads when it is first asked.

    Raises:
        MissingKeyError: Its key is not among these.
        UsageError: A local model cannot be what the specification says.
    """
    if spec.backend is Backend.OPENAI:
        from weak2wise_core.llm.openai_compatible import OpenAIModel  # takes a second

        return OpenAIModel(spec, api_key=keys.of(spec))
    return local_model(spec)


def load_tokens(weak: ModelSpec) -> Tokens:
    """The tokenizer of the weak model, from `tokenizer` or `model` in its specification."""
    if weak.backend is Backend.TESTBED and weak.tokenizer is None:
        from testbed.models import WEAK_MODEL_FOLDER

        return Tokens.load(str(WEAK_MODEL_FOLDER))
    return Tokens.load(weak.tokenizer or weak.model)


def prompts_of(recipe: Recipe) -> PromptSet:
    """The wording that the running build read at its start; outside of one, what files say now."""
    runtime = _CURRENT.get()
    return runtime.prompts if isinstance(runtime, Runtime) else load_prompts(recipe.prompts)


@asynccontextmanager
async def open_runtime(
    recipe: Recipe, *, data: Path, progress: Progress | None = None
) -> AsyncIterator[Runtime]:
    """Open what a build needs and make it current for every task started inside.

    Raises:
        RecipeError: The recipe names a file that it may not read.
        MissingKeyError: A model needs a key that is not there; found before anything is paid.
        StoreError: The disk is full, or the reply store cannot be opened.
    """
    check_files(recipe, data=data)
    async with open_share(recipe, data=data, progress=progress) as runtime:
        yield runtime


@asynccontextmanager
async def open_share(
    recipe: Recipe,
    *,
    data: Path,
    progress: Progress | None = None,
    prompts: PromptSet | None = None,
) -> AsyncIterator[Runtime]:
    """The same for a process that does a part of a build; its files were checked by the first.

    Raises:
        MissingKeyError: A model needs a key that is not there; found before anything is paid.
        StoreError: The disk is full, or the reply store cannot be opened.
    """
    keys = await read_recipe_keys(recipe)
    with closing(Reserve(data)) as reserve:
        runtime = Runtime(recipe, data=data, progress=progress, keys=keys, prompts=prompts)
        async with _current_while_open(runtime, reserve):
            yield runtime


@asynccontextmanager
async def open_session(
    recipe: RelatedRecipe, *, data: Path, progress: Progress | None = None
) -> AsyncIterator[Session]:
    """Open what a run of a related method needs; see `open_runtime`."""
    check_files(recipe, data=data)
    keys = await read_keys(recipe.models.specs().values())
    with closing(Reserve(data)) as reserve:
        session = Session(
            data=data,
            keys=keys,
            execution=recipe.execution,
            budget=recipe.budget,
            progress=progress,
        )
        async with _current_while_open(session, reserve):
            yield session


@asynccontextmanager
async def _current_while_open(session: Session, reserve: Reserve) -> AsyncIterator[None]:
    for folder in (RESULTS, KEYS, SHARDS):  # a killed run may have left halves of files
        await asyncio.to_thread(remove_abandoned_below, session.data / folder)
    token = _CURRENT.set(session)
    try:
        with heeding_signals():
            async with few_pauses():
                yield
    finally:
        _CURRENT.reset(token)
        reserve.close()  # room for the replies that a full disk did not take
        await asyncio.shield(session.aclose())


def report_unwritten(error: StoreError) -> None:
    """Tell the running build that the result of one of its stages could not be written."""
    runtime = _CURRENT.get()
    if runtime is not None and runtime.unwritten is None:
        runtime.unwritten = error


def session() -> Session:
    """What the run shares that this task belongs to, whichever method it follows.

    Raises:
        BuildError: The task runs outside of a flow.
    """
    found = _CURRENT.get()
    if found is None:
        raise BuildError("this task runs inside a flow of this project only; start one instead")
    return found


def current() -> Runtime:
    """The runtime of the build that this task belongs to.

    Raises:
        BuildError: The task runs outside of a build.
    """
    runtime = _CURRENT.get()
    if not isinstance(runtime, Runtime):
        raise BuildError("this task runs inside the flow weak2wise only; start the flow instead")
    return runtime
