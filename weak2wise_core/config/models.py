"""Models: what decides their replies, and how they are reached."""

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from weak2wise_core.config.base import Name, PositiveInt, Settings
from weak2wise_core.config.credentials import ADVICE, credentials_in, fault_of_address


class Backend(StrEnum):
    """How a model is reached."""

    OPENAI = "openai"
    TRANSFORMERS = "transformers"
    TESTBED = "testbed"


class Batching(StrEnum):
    """How a local model answers many requests at once. It changes no reply but by rounding."""

    AUTO = "auto"
    """On a CUDA device the faster of the two, measured on the work itself; elsewhere plain."""
    CONTINUOUS = "continuous"
    """A request takes the slot of another as soon as that one ends."""
    PLAIN = "plain"
    """Batches of similar length; a batch ends with its longest reply."""


class Prices(Settings):
    """US dollars for a million tokens, as the provider's price list says."""

    input: float = Field(0.0, ge=0, description="prompt tokens")
    output: float = Field(0.0, ge=0, description="reply tokens, thinking included")
    cached_input: float | None = Field(
        None, ge=0, description="prompt tokens from the server's cache; as `input` where absent"
    )

    @property
    def charged(self) -> bool:
        """Whether anything costs money."""
        return bool(self.input or self.output or self.cached_input)


_SERVED_ONLY = frozenset(
    {
        "base_urls",
        "api_key_env",
        "api_key_block",
        "stream",
        "rpm",
        "tpm",
        "timeout_s",
        "retries",
        "backoff_s",
    }
)
"""Settings of a model behind a server; a local one would ignore them."""


class ModelSpec(Settings):
    """One model: what decides its replies, and how it is reached."""

    backend: Backend = Field(description="openai (any compatible server), transformers or testbed")
    model: str = Field(min_length=1, description="model id, hub id or folder")
    base_urls: tuple[str, ...] = Field(
        (), description="openai only: one address per replica, with /v1 where wanted; no key in it"
    )
    api_key_env: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="name of the environment variable that holds the key; never the key itself",
    )
    api_key_block: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+$",
        description="name of the Prefect Secret block that holds the key, in its place",
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="sampling temperature; the model's default where absent"
    )
    top_p: float | None = Field(None, gt=0, le=1, description="nucleus sampling")
    max_tokens: PositiveInt | None = Field(None, description="limit of one reply, in tokens")
    seed: int | None = Field(None, description="sent as seed + draw, for servers that honour seeds")
    stream: bool = Field(False, description="ask for a stream; some endpoints answer no other way")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="further fields of the request, passed through; no key"
    )
    tokenizer: str | None = Field(
        None, description="hub id or folder of the tokenizer; `model` where absent"
    )
    usd_per_mtok: Prices = Field(Prices(), description="prices, for `plan` and the final account")
    in_flight: PositiveInt | None = Field(None, description="calls to this model at once")
    rpm: PositiveInt | None = Field(None, description="calls a minute")
    tpm: PositiveInt | None = Field(None, description="tokens a minute, prompt and reply")
    timeout_s: float = Field(900.0, gt=0, description="seconds without a byte from the server")
    retries: int = Field(8, ge=0, le=50, description="further tries after a passing failure")
    backoff_s: float = Field(
        0.5, gt=0, le=60, description="longest wait after the first failure; then doubled, 60-fold"
    )
    batch_size: PositiveInt = Field(64, description="transformers: requests at once")
    batching: Batching = Field(
        Batching.AUTO, description="transformers: plain, continuous, or the faster one (auto)"
    )
    device: str | None = Field(None, description="transformers: cuda, mps or cpu")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="transformers: number format of the weights"
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.backend is Backend.OPENAI and not self.base_urls:
            raise ValueError("backend openai needs at least one address in base_urls")
        served = _SERVED_ONLY & self.model_fields_set
        if self.backend is not Backend.OPENAI and served:
            raise ValueError(
                f"{', '.join(sorted(served))}: only a model with backend openai reads this"
            )
        for number, url in enumerate(self.base_urls):
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"base_urls.{number} does not begin with http:// or https://")
        return self

    @model_validator(mode="after")
    def _no_key_itself(self) -> Self:
        """Messages repeat no value: they are shown, logged and kept."""
        for number, url in enumerate(self.base_urls):
            if fault := fault_of_address(url):
                raise ValueError(f"base_urls.{number} holds {fault}: {ADVICE}")
        try:
            found = list(credentials_in(self.extra_body, "extra_body"))
        except RecursionError:
            raise ValueError("extra_body contains itself") from None
        if found:
            raise ValueError(f"{', '.join(found)}: {ADVICE}")
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key_env is not None and self.api_key_block is not None:
            raise ValueError("name either api_key_env or api_key_block")
        if (self.api_key_env or "").upper().startswith("PREFECT_"):
            raise ValueError(
                f"api_key_env: {self.api_key_env} belongs to the task engine and is no model's key"
            )
        return self

    @property
    def key_source(self) -> str | None:
        """Where the key comes from, for messages; None where the model has none."""
        if self.api_key_block is not None:
            return f"the Secret block {self.api_key_block!r}"
        return None if self.api_key_env is None else f"${self.api_key_env}"

    @property
    def has_price(self) -> bool:
        """Whether a reply costs money by the recipe's prices."""
        return self.usd_per_mtok.charged

    def identity(self) -> dict[str, Any]:
        """The part of the specification that decides the replies; no address, key or limit.

        Of a local model only the folder's name is part of it; its weights are known to whoever
        opens it.
        """
        identity = self.model_dump(
            mode="json",
            include={
                "backend",
                "model",
                "temperature",
                "top_p",
                "max_tokens",
                "seed",
                "extra_body",
                "dtype",
            },
        )
        if self.backend is not Backend.OPENAI and Path(self.model).is_absolute():
            identity["model"] = Path(self.model).name
        return identity


class StrongModelSpec(ModelSpec):
    """A strong model, with the name under which its traces are counted."""

    name: Name = Field(description="short name in tables, ties and reports")


class Models(Settings):
    """The four roles of a build."""

    weak: ModelSpec = Field(description="the model to be taught: filter and Step-Mask (3.2, 3.4)")
    strong: tuple[StrongModelSpec, ...] = Field(
        (), description="the teachers; two or more in the paper (3.3)"
    )
    judge: ModelSpec | None = Field(None, description="casts the votes of section 3.2")
    truncator: ModelSpec | None = Field(None, description="finds the end of a trace (3.5)")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [spec.name for spec in self.strong]
        if len(set(names)) != len(names):
            raise ValueError(f"strong models need different names, found {names}")
        if taken := {"weak", "judge", "truncator"} & set(names):
            raise ValueError(f"a strong model cannot be called {min(taken)!r}: a role is")
        return self

    def specs(self) -> dict[str, ModelSpec]:
        """Every model by the name under which it is counted."""
        named: dict[str, ModelSpec] = {"weak": self.weak}
        named |= {spec.name: spec for spec in self.strong}
        named |= {"judge": self.judge} if self.judge else {}
        return named | ({"truncator": self.truncator} if self.truncator else {})

    def spec(self, name: str) -> ModelSpec:
        """One model by its name; see `specs`."""
        return self.specs()[name]
