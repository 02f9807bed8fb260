"""Base job templates of work pools: whole, accepted by a server, and read by the deployments."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, validate  # type: ignore[import-untyped]

from tests.flows.serving import Engine

TEMPLATES = ("process", "docker", "kubernetes")
PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")
READ = {
    "process": {"cuda_devices", "env"},
    "docker": {"cuda_devices", "memory", "extra", "env"},
    "kubernetes": {"gpus", "memory", "extra", "env"},
}
"""Which of the deployments' job variables each kind of worker reads."""


@pytest.fixture(params=TEMPLATES)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of worker."""
    return str(request.param)


@pytest.fixture
def template(kind: str, repository: Path) -> dict[str, Any]:
    """The template for GPU workers of one kind."""
    return read(repository, kind)


def read(repository: Path, kind: str) -> dict[str, Any]:
    """The content of a template."""
    path = repository / "deployments" / "templates" / f"{kind}-gpu.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def workers_own(kind: str) -> Mapping[str, Any]:
    """The template that the task engine knows for this kind of worker."""
    views = files("prefect.server.api") / "collections_data" / "views"
    known = json.loads((views / "aggregate-worker-metadata.json").read_text(encoding="utf-8"))
    package = "prefect" if kind == "process" else f"prefect-{kind}"
    found: Mapping[str, Any] = known[package][kind]["default_base_job_configuration"]
    return found


def gpu_variables(repository: Path) -> Iterator[dict[str, Any]]:
    """The job variables of every deployment on the pool `gpu`."""
    content = yaml.safe_load((repository / "deployments" / "prefect.yaml").read_text())
    for deployment in content["deployments"]:
        if deployment["work_pool"]["name"] == "gpu":
            yield deployment["work_pool"]["job_variables"]


def test_every_placeholder_has_a_variable_and_every_variable_a_place(
    template: dict[str, Any],
) -> None:
    """Nothing is left unfilled, and nothing can be set that has no effect."""
    placeholders = set(PLACEHOLDER.findall(json.dumps(template["job_configuration"])))
    assert placeholders | {"env"} == set(template["variables"]["properties"])


def test_the_variables_are_a_schema_that_their_defaults_pass(template: dict[str, Any]) -> None:
    """The form in the user interface is valid before anything is typed, and says what it asks."""
    schema = template["variables"]
    Draft202012Validator.check_schema(schema)
    defaults = {
        name: field["default"] for name, field in schema["properties"].items() if "default" in field
    }
    validate(defaults, schema)
    assert all(field["title"] and field["description"] for field in schema["properties"].values())


def test_the_worker_reads_what_the_template_sets(kind: str, template: dict[str, Any]) -> None:
    """Every part of the job is one that the worker has."""
    known = set(workers_own(kind)["job_configuration"])
    ours = set(template["job_configuration"])
    later = {"container_create_kwargs"} if kind == "docker" else set()  # prefect-docker 0.5 has it
    assert ours - later <= known


def test_a_kubernetes_job_keeps_the_workers_manifest(repository: Path) -> None:
    """Our job has every part of the worker's own, and GPUs, shared memory and data besides."""
    own = workers_own("kubernetes")["job_configuration"]["job_manifest"]
    job = read(repository, "kubernetes")["job_configuration"]["job_manifest"]
    assert (job["apiVersion"], job["kind"]) == (own["apiVersion"], own["kind"])
    assert job["metadata"] == own["metadata"]
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (theirs,) = own["spec"]["template"]["spec"]["containers"]
    assert set(theirs) <= set(container)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}"
    mounted = {one["name"] for one in container["volumeMounts"]}
    assert mounted == {one["name"] for one in pod["volumes"]}


def test_a_deployment_can_move_from_pool_to_pool(
    kind: str, template: dict[str, Any], repository: Path
) -> None:
    """The deployments' job variables fit every template, and each reads its part of them."""
    for variables in gpu_variables(repository):
        validate(variables, template["variables"])
        assert set(variables) & set(template["variables"]["properties"]) == READ[kind]


@pytest.mark.parametrize("devices", ["gpu0", "0;1", "0,", " 0", "0, 1"])
def test_devices_that_a_driver_would_misread_are_refused(repository: Path, devices: str) -> None:
    """A typing error in the devices is found at submission, not as a run on no GPU."""
    for kind in ("process", "docker"):
        checker = Draft202012Validator(read(repository, kind)["variables"])
        assert not checker.is_valid({"cuda_devices": devices})
        assert checker.is_valid({"cuda_devices": "0,1"})


@pytest.mark.slow
async def test_a_process_sees_its_devices_and_the_deployments_environment(
    engine: None, repository: Path
) -> None:
    """The worker's own code makes of template and variables what a run will see."""
    from prefect.workers.process import ProcessJobConfiguration

    made: ProcessJobConfiguration = await ProcessJobConfiguration.from_template_and_values(
        read(repository, "process"), {"cuda_devices": "2,3", "memory": "96G", "env": {"A": "b"}}
    )
    assert made.env["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert made.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert made.env["A"] == "b"
    assert made.command is None


@pytest.mark.slow
def test_a_server_makes_a_pool_of_every_template(served: Engine, repository: Path) -> None:
    """The server takes the templates, and refuses a deployment whose variables do not fit."""
    for kind in TEMPLATES:
        made = served.ask(
            "POST",
            "work_pools/",
            name=f"gpu-{kind}",
            type=kind,
            base_job_template=read(repository, kind),
        )
        assert made.status_code == 201, made.text
    train = served.deployment("sft/train-gr7b")
    for kind, variables, status in (
        ("docker", {"extra": "eval", "memory": "96G"}, 201),
        ("docker", {"extra": "everything"}, 422),
        ("kubernetes", {"gpus": 8}, 201),
        ("kubernetes", {"gpus": 0}, 422),
    ):
        answer = served.ask(
            "POST",
            "deployments/",
            name=f"on-{kind}",
            flow_id=train["flow_id"],
            work_pool_name=f"gpu-{kind}",
            job_variables=variables,
        )
        assert answer.status_code in {status, 200 if status == 201 else status}, answer.text
