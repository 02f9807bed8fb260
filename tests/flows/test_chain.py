"""The nightly chain: a build, the training that its dataset starts, that model's evaluation."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.flows.serving import Engine
from weak2wise_core.llm.weights import folder_digest

pytestmark = pytest.mark.slow
BUILD, TRAIN, EVALUATE = "weak2wise/build-gr1k", "sft/train-gr7b", "evaluation/eval-gr7b"
TRAINING = {
    "model": "testbed/weak_model", "epochs": 1, "max_length": 1024, "packing": False,
    "device": "cpu", "threads": 1,
}  # fmt: skip
EVALUATION = {
    "benchmarks": [{"kind": "aime24", "path": "testbed/questions_test.jsonl", "limit": 3}],
    "max_tokens": 32,
    "temperature": 0,
}
LONGEST = 400.0
"""Seconds for one link on a machine that does other work too."""


def recipe(repository: Path, *, dataset: str) -> dict[str, Any]:
    """The testbed's recipe, small, under the name of the dataset that others wait for."""
    content = yaml.safe_load((repository / "deployments" / "recipes" / "testbed.yaml").read_text())
    content["dataset"] = dataset
    content["questions"]["limit"] = 6
    content["generate"] = {"samples_per_model": 1}
    return dict(content)


def event(name: str, resource: str, *, deployment: str, **payload: Any) -> dict[str, Any]:
    """An event as a run of a deployment emits it."""
    related = {
        "prefect.resource.id": f"prefect.deployment.{uuid4()}",
        "prefect.resource.role": "deployment",
        "prefect.resource.name": deployment,
    }
    return {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": name,
        "resource": {"prefect.resource.id": resource},
        "related": [related],
        "payload": payload,
    }


@pytest.fixture(scope="module")
def chained(served: Engine) -> Iterator[Engine]:
    """The deployments as they are, but with the testbed's model and problems."""
    for name, changes in ((TRAIN, {"training": TRAINING}), (EVALUATE, {"evaluation": EVALUATION})):
        found = served.deployment(name)
        parameters = found["parameters"] | changes
        answer = served.ask("PATCH", f"deployments/{found['id']}", parameters=parameters)
        assert answer.status_code == 204, answer.text
    yield served
    for name in (BUILD, TRAIN, EVALUATE):
        for run in served.runs(name):
            served.ask("DELETE", f"flow_runs/{run['id']}")


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text())


def run_that_began(engine: Engine, name: str, parameter: str, value: str) -> dict[str, Any]:
    """Wait until a deployment has a run with this parameter; that run."""
    for _ in range(120):
        found = [run for run in engine.runs(name) if run["parameters"].get(parameter) == value]
        if found:
            return found[0]
        time.sleep(0.5)
    raise AssertionError(f"no run of {name} with {parameter}={value}")


@pytest.mark.parametrize(
    ("name", "parameter", "published", "resource", "deployment"),
    [
        (
            TRAIN,
            "dataset",
            "weak2wise.dataset.published",
            "weak2wise.dataset.gr1k",
            "build-gr1k",
        ),
        (EVALUATE, "model", "weak2wise.model.trained", "weak2wise.model.gr7b", "train-gr7b"),
    ],
)
def test_a_link_waits_for_its_own_event_only(
    chained: Engine, name: str, parameter: str, published: str, resource: str, deployment: str
) -> None:
    """Other datasets and models, other deployments and other events start nothing."""
    before = {run["id"] for run in chained.runs(name)}
    strangers = [
        event(published, f"{resource}-trial", deployment=deployment, uri="/trial"),
        event(published, resource, deployment="somebody-elses", uri="/elsewhere"),
        event("weak2wise.something", resource, deployment=deployment, uri="/something"),
    ]
    own = event(published, resource, deployment=deployment, uri="/own")
    assert chained.send([*strangers, own]).is_success
    started = run_that_began(chained, name, parameter, "/own")
    new = [run for run in chained.runs(name) if run["id"] not in before]
    assert [run["id"] for run in new] == [started["id"]]
    assert started["created_by"]["type"] == "AUTOMATION"
    kept = chained.deployment(name)["parameters"]
    assert started["parameters"] == kept | {parameter: "/own"}
    assert chained.ask("DELETE", f"flow_runs/{started['id']}").is_success


def test_a_build_ends_in_an_evaluation_of_its_model(chained: Engine, repository: Path) -> None:
    """Nobody starts training or evaluation, and both are of what the build published."""
    chained.start("worker", "start", "--pool", "gpu")
    before = {run["id"] for name in (BUILD, TRAIN, EVALUATE) for run in chained.runs(name)}
    wanted = json.dumps({"recipe": recipe(repository, dataset="gr1k")})
    chained.run("deployment", "run", BUILD, "--params", wanted)
    chained.wait_for_run(BUILD, seconds=LONGEST, before=before)
    dataset = (chained.data / "datasets" / "gr1k" / "latest").resolve()
    manifest = json.loads((dataset / "manifest.json").read_text())

    training = chained.wait_for_run(TRAIN, seconds=LONGEST, before=before)
    assert training["parameters"]["dataset"] == str(dataset)
    evaluating = chained.wait_for_run(EVALUATE, seconds=LONGEST, before=before)
    model = Path(evaluating["parameters"]["model"])
    trained = json.loads((model / "training.json").read_text())
    assert trained["dataset"]["version"] == f"gr1k/{manifest['version']}"

    results = (chained.data / "evaluations").glob("*/latest/results.json")
    evaluated = {one["model"]["weights"]: one for one in map(read_json, results)}
    found = evaluated[folder_digest(model)]
    assert found["model"]["weights"] != folder_digest(repository / "testbed" / "weak_model")
    assert found["benchmarks"]["aime24"]["answers"] == 3
    for name in (TRAIN, EVALUATE):
        assert len([run for run in chained.runs(name) if run["id"] not in before]) == 1
