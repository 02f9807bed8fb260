"""Deployments: what they say is valid, and a real server with a real worker runs them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.importtools import import_object

from tests.flows.serving import Engine
from weak2wise_core.config import Recipe, W2SRRecipe, WeakToStrongRecipe
from weak2wise_core.recipes import load_recipe


def deployments(repository: Path) -> list[dict[str, Any]]:
    """Every deployment of prefect.yaml."""
    content = yaml.safe_load((repository / "deployments" / "prefect.yaml").read_text())
    found: list[dict[str, Any]] = content["deployments"]
    return found


def test_every_deployment_starts_a_flow_with_valid_parameters(repository: Path) -> None:
    """Entrypoints are module paths that import, and their parameters pass the flow's own check."""
    for deployment in deployments(repository):
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow = import_object(f"{module}:{name}" if ":" in module else f"{module}.{name}")
        flow.validate_parameters(deployment["parameters"])


def kind_of(name: str) -> type[Recipe | W2SRRecipe | WeakToStrongRecipe]:
    """What a recipe file describes, by its name."""
    if name.startswith("w2sr"):
        return W2SRRecipe
    return WeakToStrongRecipe if name.startswith("weak-to-strong") else Recipe


@pytest.mark.parametrize("name", ["build-gr1k", "w2sr-math", "weak-to-strong-gsm8k"])
def test_the_deployment_says_what_the_recipe_file_says(repository: Path, name: str) -> None:
    """A run of the deployment and the command with the same recipe are the same run."""
    file = name.removeprefix("build-")
    path = repository / "deployments" / "recipes" / f"{file}.yaml"
    recipe: Any = load_recipe(path, kind=kind_of(file))
    (deployment,) = [one for one in deployments(repository) if one["name"] == name]
    assert recipe.model_validate(deployment["parameters"]["recipe"]) == recipe


def test_every_recipe_file_is_valid(repository: Path) -> None:
    """Recipes that ship can be loaded."""
    paths = sorted((repository / "deployments" / "recipes").glob("*.yaml"))
    names: list[Any] = [load_recipe(path, kind=kind_of(path.stem)) for path in paths]
    assert [one.dataset for one in names] == [path.stem for path in paths]


@pytest.mark.slow
def test_a_worker_builds_a_dataset(served: Engine, repository: Path) -> None:
    """`prefect deployment run` with the testbed's values ends with a published dataset."""
    recipe = yaml.safe_load((repository / "deployments" / "recipes" / "testbed.yaml").read_text())
    recipe["questions"]["limit"] = 8
    served.run(
        "deployment",
        "run",
        "weak2wise/build-gr1k",
        "--params",
        json.dumps({"recipe": recipe}),
        "--watch",
    )
    folder = served.data / "datasets" / "testbed" / "latest"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["counts"]["train"] >= 1
    like = {"key": {"like_": "testbed-"}}
    keys = {one["key"] for one in served.post("artifacts/filter", artifacts=like, limit=200)}
    assert {"testbed-progress", "testbed-drops", "testbed-account", "testbed-summary"} <= keys
    events = served.post(
        "events/filter",
        filter={
            "event": {"name": ["weak2wise.dataset.published"]},
            "resource": {"id": ["weak2wise.dataset.testbed"]},
        },
        limit=10,
    )
    assert [one["payload"]["version"] for one in events["events"]] == [manifest["version"]]


@pytest.mark.slow
def test_a_bad_recipe_is_refused_at_submission(served: Engine, repository: Path) -> None:
    """The server checks the parameter against its schema before a run exists."""
    recipe = yaml.safe_load((repository / "deployments" / "recipes" / "testbed.yaml").read_text())
    deployment = served.deployment("weak2wise/build-gr1k")
    answer = served.ask(
        "POST",
        f"deployments/{deployment['id']}/create_flow_run",
        parameters={"recipe": recipe | {"step_mask": {"fineness": 6}}},
    )
    assert answer.status_code in {409, 422}
    assert "fineness" in answer.text


@pytest.mark.slow
def test_the_nightly_schedule_creates_runs(served: Engine) -> None:
    """The scheduler plans the coming nights by itself."""
    for _ in range(60):
        runs = served.post(
            "flow_runs/filter", flow_runs={"state": {"name": {"any_": ["Scheduled"]}}}, limit=20
        )
        if scheduled := [run for run in runs if run["auto_scheduled"]]:
            break
        time.sleep(1)
    else:
        raise AssertionError(f"no scheduled run appeared: {served.log.read_text()[-3000:]}")
    assert all("T02:00:00" in run["expected_start_time"] for run in scheduled)


@pytest.mark.slow
def test_deploying_again_keeps_one_trigger_for_each_link(served: Engine, repository: Path) -> None:
    """A second `prefect deploy` replaces triggers: no dataset is trained on twice."""
    served.run("deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
    names = [one["name"] for one in served.post("automations/filter", limit=50)]
    wanted = [one["name"] for each in deployments(repository) for one in each.get("triggers", [])]
    assert sorted(names) == sorted(wanted) == sorted(set(wanted))
