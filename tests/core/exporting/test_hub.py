"""Laws of uploads: private, whole, tagged, without what was not asked for."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.exporting.hub_stand_in import TOKEN, Hub, Repository
from tests.core.exporting.taught import pairs_dataset, replies_dataset
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.errors import HubError, UsageError
from weak2wise_core.exporting.folder import Selection, select
from weak2wise_core.exporting.hub import Pushed, check_repository, push

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")
"""The client's own way of calling its transport."""
LOADING = """
import datasets, sys
plain = datasets.load_dataset("me/tiny", "plain", split="train", revision=sys.argv[1])
default = datasets.load_dataset("me/tiny", split="train")
print(plain[0]["response"], default[0]["completion"][0]["content"], sep="|")
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without Xet storage: files travel by the LFS protocol."""
    import huggingface_hub.constants
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    disable_progress_bars()
    with Hub() as served:
        yield served
    enable_progress_bars()


def upload(hub: Hub, selection: Selection, **options: Any) -> Pushed:
    """Push to `me/tiny`."""
    defaults = {"repository": "me/tiny", "token": TOKEN, "endpoint": hub.endpoint}
    return push(selection, **(defaults | options))


def test_a_dataset_arrives_private_whole_and_tagged(hub: Hub, dataset: DatasetFolder) -> None:
    """The repository holds the selection, its card and the manifest; the tag is the version."""
    selection = select(dataset)
    pushed = upload(hub, selection)
    repository = hub.repositories["me/tiny"]
    assert repository.private
    assert pushed.private
    assert pushed.url == f"{hub.endpoint}/datasets/me/tiny"
    assert repository.tags == {dataset.version: pushed.commit}
    files = dict(repository.files)
    assert b'load_dataset("me/tiny"' in files.pop("README.md")
    assert set(files) == {*selection.files, "manifest.json", ".gitattributes"}
    for name in (*selection.files, "manifest.json"):
        assert files[name] == (dataset.folder / name).read_bytes()


@pytest.mark.slow
def test_a_pushed_dataset_can_be_loaded(hub: Hub, dataset: DatasetFolder, tmp_path: Path) -> None:
    """`load_dataset("owner/name", revision=version)` gives the training rows."""
    upload(hub, select(dataset))
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", LOADING, dataset.version],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "|".join(["<think> thinking é </think> 1"] * 2)


def test_an_upload_that_changes_nothing_is_no_commit(hub: Hub, dataset: DatasetFolder) -> None:
    """Pushing the same again leaves the repository as it is."""
    first = upload(hub, select(dataset))
    again = upload(hub, select(dataset))
    assert again.commit == first.commit
    assert len(hub.repositories["me/tiny"].commits) == 2  # the hub's own first one, and ours


def test_a_table_that_is_not_given_any_more_is_removed(hub: Hub, dataset: DatasetFolder) -> None:
    """The repository holds one selection, other people's files stay, and the tag follows."""
    upload(hub, select(dataset, tables=["candidates"]))
    repository = hub.repositories["me/tiny"]
    assert "candidates.parquet" in repository.files
    repository.commit(repository.files | {"notes.md": b"mine"}, "a person's")
    pushed = upload(hub, select(dataset))
    assert "candidates.parquet" not in repository.files
    assert repository.files["notes.md"] == b"mine"
    assert repository.tags == {dataset.version: pushed.commit}


def test_preference_pairs_arrive_as_a_dataset_does(hub: Hub, tmp_path: Path) -> None:
    """Private, whole, tagged, with their own card; what another dataset left there is gone."""
    upload(hub, select(replies_dataset(tmp_path), tables=["all"]))
    dataset = pairs_dataset(tmp_path)
    selection = select(dataset, tables=["answers-m-plus"])
    pushed = upload(hub, selection)
    repository = hub.repositories["me/tiny"]
    assert repository.private
    assert repository.tags[dataset.version] == pushed.commit
    files = dict(repository.files)
    assert b'load_dataset("me/tiny", split="train")  # preferences' in files.pop("README.md")
    assert set(files) == {*selection.files, "manifest.json", ".gitattributes"}
    assert files["pairs.parquet"] == dataset.file("pairs.parquet").read_bytes()


def test_a_public_repository_needs_a_word(hub: Hub, dataset: DatasetFolder) -> None:
    """An upload that was meant to be private never lands where everybody reads."""
    hub.repositories["me/tiny"] = there = Repository(private=False)
    there.commit({})
    with pytest.raises(UsageError, match="public"):
        upload(hub, select(dataset))
    assert there.files == {}
    assert not upload(hub, select(dataset), public=True).private
    assert "train.parquet" in there.files


def test_public_is_public_only_when_asked(hub: Hub, dataset: DatasetFolder) -> None:
    """`public` makes a new repository readable, and leaves a private one as it is."""
    assert not upload(hub, select(dataset), public=True).private
    hub.repositories["me/tiny"].private = True
    assert upload(hub, select(dataset), public=True).private


def test_a_wrong_token_is_refused_and_not_shown(hub: Hub, dataset: DatasetFolder) -> None:
    """The message says what to do and does not hold the token."""
    with pytest.raises(HubError, match="--token-env") as caught:
        upload(hub, select(dataset), token="hf_wrong_secret")
    assert "hf_wrong_secret" not in str(caught.value)
    assert hub.repositories == {}


@pytest.mark.parametrize("part", ["/repos/create", "/preupload/", "/lfs/objects", "/commit/"])
def test_a_refusal_leaves_no_half_version(hub: Hub, dataset: DatasetFolder, part: str) -> None:
    """Wherever the hub stops, there is no commit of ours and no tag, and starting again works."""
    hub.refuse = {part: 403}
    with pytest.raises(HubError, match="may not write"):
        upload(hub, select(dataset))
    if "me/tiny" in hub.repositories:
        assert set(hub.repositories["me/tiny"].files) == {".gitattributes"}
        assert hub.repositories["me/tiny"].tags == {}
    hub.refuse = {}
    upload(hub, select(dataset))
    assert dataset.version in hub.repositories["me/tiny"].tags


def test_a_hub_that_is_not_there_is_an_error(dataset: DatasetFolder) -> None:
    """Nobody listens: one message with the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(HubError, match=endpoint):
            push(select(dataset), repository="me/tiny", token=TOKEN, endpoint=endpoint)


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "../x", "a b/c", "/x", "x/"])
def test_a_repository_has_owner_and_name(name: str) -> None:
    """What is no name of a repository is refused before anything is sent."""
    with pytest.raises(UsageError, match="OWNER/NAME"):
        check_repository(name)


@pytest.mark.slow
def test_the_command_uploads_through_xet(dataset: DatasetFolder, tmp_path: Path) -> None:
    """`weak2wise push` with the client's own storage protocol and a token by variable's name."""
    store = tmp_path / "store"
    store.mkdir()
    with Hub(xet=f"local://{store}") as hub:
        environment = os.environ | {
            "HF_HOME": str(tmp_path / "home"),
            "HF_XET_CACHE": str(tmp_path / "home" / "xet"),
            "HF_HUB_DISABLE_XET": "0",
            "HF_HUB_OFFLINE": "0",
            "THE_TOKEN": TOKEN,
        }
        command = ["push", str(dataset.folder), "me/tiny", "--endpoint", hub.endpoint]
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *command, "--token-env", "THE_TOKEN", "--json"],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(done.stdout)
    assert hub.repositories["me/tiny"].tags == {dataset.version: facts["commit"]}
    assert (facts["private"], facts["version"]) == (True, dataset.version)
    parquet = [name for name in facts["files"] if name.endswith(".parquet")]
    found = {name: hub.repositories["me/tiny"].files[name].decode() for name in parquet}
    assert found == {name: dataset.manifest["files"][name]["sha256"] for name in parquet}
    assert [path for path in store.rglob("*") if path.is_file()], "the content went nowhere"
    assert TOKEN not in done.stdout + done.stderr
