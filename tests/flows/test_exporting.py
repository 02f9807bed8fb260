"""The commands `export` and `push`: what they say, what they need, where a token comes from."""

import asyncio
import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from flows.commands.app import app
from flows.commands.exporting import find_token
from tests.core.dataset.test_publishing import contents
from tests.core.exporting.taught import pairs_dataset
from weak2wise_core.dataset.publishing import publish
from weak2wise_core.errors import InputFileError, MissingKeyError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published dataset."""
    return publish(contents(), root=tmp_path / "datasets").folder


def test_export_says_where_the_rows_are(folder: Path, tmp_path: Path) -> None:
    """Every target writes what it names, from the folder of all versions too."""
    for to, name in (("trl", "a.parquet"), ("jsonl", "a.jsonl"), ("hub", "a")):
        out = tmp_path / name
        done = CliRunner().invoke(app, ["export", str(folder.parent), "--to", to, "-o", str(out)])
        assert done.stdout == f"1 training rows in {out}\n"
        assert out.exists()
    command = ["export", str(folder), "--to", "llama-factory", "-o", str(tmp_path / "lf")]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert (tmp_path / "lf" / "dataset_info.json").is_file()


def test_an_export_is_named_after_its_version(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, two versions never share a file."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["export", str(folder), "--to", "trl"]).exit_code == 0
    assert (tmp_path / f"tiny-{folder.name}.parquet").is_file()


def test_a_dry_run_needs_no_token_and_names_every_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be uploaded, and what would not, is said before anything is sent."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    command = ["push", str(folder), "me/tiny", "--dry-run", "--json", "--tables", "golden"]
    done = CliRunner().invoke(app, command)
    facts = json.loads(done.stdout)
    assert facts["url"] is None
    assert {"train.parquet", "golden.parquet", "README.md"} <= set(facts["files"])
    assert {"candidates", "quarantine"} <= set(facts["left_out"])
    assert "not uploaded: candidates" in done.stderr
    assert "me/tiny (private)" in done.stderr


def test_preference_pairs_have_a_dry_run_too(tmp_path: Path) -> None:
    """Pairs are uploaded as datasets of builds are, and a file of pairs gets one sentence."""
    folder = pairs_dataset(tmp_path).folder.parent
    command = ["push", str(folder), "me/pairs", "--dry-run", "--json"]
    done = CliRunner().invoke(app, command)
    facts = json.loads(done.stdout)
    assert {"pairs.parquet", "pairs.jsonl", "README.md"} <= set(facts["files"])
    assert "not uploaded: answers-m-plus (every answer of m-plus" in done.stderr
    out = tmp_path / "given"
    done = CliRunner().invoke(app, ["export", str(folder), "--to", "hub", "-o", str(out)])
    assert done.stdout == f"1 preference pairs in {out}\n"
    (tmp_path / "pairs.json").write_text("[]")
    done = CliRunner().invoke(app, ["push", str(tmp_path / "pairs.json"), "me/pairs", "--dry-run"])
    assert isinstance(done.exception, InputFileError)
    assert "is a file, and a dataset is a folder" in str(done.exception)


def test_a_dataset_is_found_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sft` finds it: NAME or NAME/VERSION below the data folder."""
    monkeypatch.setenv("WEAK2WISE_DATA", str(folder.parent.parent.parent))
    for name in ("tiny", f"tiny/{folder.name}"):
        done = CliRunner().invoke(app, ["push", name, "me/tiny", "--dry-run", "--json"])
        assert json.loads(done.stdout)["version"] == folder.name


def test_the_token_is_taken_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The named variable counts, HF_TOKEN without a name, and both ways at once are refused."""
    monkeypatch.setenv("HF_TOKEN", "one")
    monkeypatch.setenv("OTHER", " two \n")
    assert find_token(variable=None, block=None, endpoint=None) == "one"
    assert find_token(variable="OTHER", block=None, endpoint=None) == "two"
    with pytest.raises(MissingKeyError, match="ABSENT"):
        find_token(variable="ABSENT", block=None, endpoint=None)
    with pytest.raises(UsageError, match="either"):
        find_token(variable="OTHER", block="b", endpoint=None)


def test_a_saved_login_stays_with_its_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `hf auth login` saved is used for the usual hub and never sent to another address."""
    import huggingface_hub

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "saved")
    assert find_token(variable=None, block=None, endpoint=None) == "saved"
    with pytest.raises(MissingKeyError):
        find_token(variable=None, block=None, endpoint="http://127.0.0.1:1")


@pytest.mark.slow
def test_a_token_comes_from_a_secret_block(engine: None) -> None:
    """A token saved on the Prefect server is found by the name of its block."""
    from prefect.blocks.system import Secret

    asyncio.run(Secret(value=SecretStr("from-the-block")).asave("hub-token"))
    assert find_token(variable=None, block="hub-token", endpoint=None) == "from-the-block"
    with pytest.raises(MissingKeyError):
        find_token(variable=None, block="no-such-block", endpoint=None)
