"""Uploading a dataset to a repository of a hub that speaks the Hugging Face protocol."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from weak2wise_core.dataset.card import CONFIGURATIONS
from weak2wise_core.errors import HubError, UsageError
from weak2wise_core.exporting.folder import ANSWERS, TRAINING, Selection, at, fill

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_KIND: Final = "dataset"
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_CONFLICT: Final = 409
_REASONS: Final = {
    401: "the hub does not know this token; name another with --token-env or --token-block",
    403: "this token may not write there; it needs write access to the repository's owner",
    404: "there is no such owner or repository, or this token may not see it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What an upload left behind."""

    url: str
    """Of the repository."""
    commit: str
    version: str
    """Of the dataset; the tag of the commit."""
    private: bool


def check_repository(name: str) -> str:
    """The name of a repository, as `owner/name`.

    Raises:
        UsageError: It is not one.
    """
    if not _REPOSITORY.fullmatch(name):
        raise UsageError(f"repository {name!r}: write OWNER/NAME, as in my-team/gr1k")
    return name


def push(
    selection: Selection,
    *,
    repository: str,
    token: str,
    public: bool = False,
    endpoint: str | None = None,
) -> Pushed:
    """Upload a selection as one version of a repository, and tag it with the dataset's version.

    The repository is made where it is missing, private unless `public`. Tables that an earlier
    version had there and this one does not give are removed from it; they remain in its history.

    Args:
        selection: What is given away.
        repository: Owner and name.
        token: A token of the hub that may write; sent to `endpoint` only.
        public: Whether everybody may read the repository.
        endpoint: The hub's address; the one that `huggingface_hub` is set to where absent.

    Raises:
        UsageError: The repository is public already, and `public` was not asked for.
        HubError: The hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    with _explained(api, repository):
        private = _prepare(api, repository, public=public)
        commit = _upload(api, repository, at(selection, repository))
        _tag(api, repository, selection.dataset.version, commit=commit)
    return Pushed(
        url=f"{api.endpoint}/datasets/{repository}",
        commit=commit,
        version=selection.dataset.version,
        private=private,
    )


def _prepare(api: "HfApi", repository: str, *, public: bool) -> bool:
    """Find or make the repository; whether it is private.

    Raises:
        UsageError: It is public, against what was asked for: making it does not hide one that is
            there, so that an upload meant to be private would be read by everybody.
    """
    if not api.repo_exists(repository, repo_type=_KIND):
        api.create_repo(repository, repo_type=_KIND, private=not public, exist_ok=True)
    private = bool(api.dataset_info(repository).private)
    if not private and not public:
        raise UsageError(
            f"{repository} is public, and this upload was meant to be private; add --public, or "
            "name another repository"
        )
    return private


def _upload(api: "HfApi", repository: str, selection: Selection) -> str:
    """Put the files there in one go; the commit."""
    ours = {*CONFIGURATIONS.values(), *TRAINING, f"{ANSWERS}*.parquet"}
    with tempfile.TemporaryDirectory(prefix="weak2wise-push-") as name:
        folder = Path(name)
        fill(folder, selection)
        done = api.upload_folder(
            repo_id=repository,
            repo_type=_KIND,
            folder_path=folder,
            delete_patterns=sorted(ours),  # what is uploaded stays
            commit_message=f"{selection.dataset.name} {selection.dataset.version}",
        )
    return str(done.oid)


def _tag(api: "HfApi", repository: str, version: str, *, commit: str) -> None:
    """Let the version's tag point to the commit, also where an earlier upload has set it."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_tag(repository, tag=version, revision=commit, repo_type=_KIND)
    except HfHubHTTPError as error:
        if error.response.status_code != _CONFLICT:
            raise
        api.delete_tag(repository, tag=version, repo_type=_KIND)
        api.create_tag(repository, tag=version, revision=commit, repo_type=_KIND)


@contextmanager
def _explained(api: "HfApi", repository: str) -> Iterator[None]:
    """Turn what the client raises into one sentence for the reader."""
    import httpx2 as httpx
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        reason = _REASONS.get(error.response.status_code, "it refused")
        raise HubError(f"{api.endpoint}, {repository}: {reason} ({_first_line(error)})") from error
    except (httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        # RuntimeError is what the client wraps a failed transfer in, ValueError a malformed reply.
        cause = _first_line(error.__cause__ or error)
        raise HubError(
            f"{api.endpoint}: the upload to {repository} failed: {cause}. Start it again: what is "
            "there already is not sent twice"
        ) from error


def _first_line(error: BaseException) -> str:
    said = getattr(error, "server_message", None) or str(error) or type(error).__name__
    return str(said).strip().partition("\n")[0].removesuffix(".")
