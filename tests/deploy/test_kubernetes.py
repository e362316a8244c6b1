"""The manifests against the schemas of a current Kubernetes, and against each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from appliance.settings import PREFIX, Settings
from tests.live import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.37"
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))
NOT_MANIFESTS = {"kustomization.yaml", "prometheus-adapter-values.yaml"}
FOREIGN = {"RayService"}

Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def manifests() -> list[Manifest]:
    files = [file for file in FOLDER.rglob("*.yaml") if file.name not in NOT_MANIFESTS]
    return [document for file in sorted(files) for document in documents(file.read_text("utf-8"))]


MANIFESTS = manifests()
OURS = [one for one in MANIFESTS if one["kind"] not in FOREIGN]


def named(one: Manifest) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def templates() -> Iterator[tuple[str, Manifest]]:
    """Every pod that is described anywhere, Ray's too."""
    for one in MANIFESTS:
        spec = one.get("spec", {})
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield named(one), spec["template"]
        if one["kind"] == "RayService":
            cluster = spec["rayClusterConfig"]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
                yield f"{named(one)}/{group.get('groupName', 'head')}", group["template"]


TEMPLATES = dict(templates())


@pytest.mark.parametrize("one", OURS, ids=named)
def test_manifests_keep_to_the_schemas(one: Manifest) -> None:
    kubernetes_validate.validate(one, VERSION, strict=True)


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name.startswith("Ray")])
def test_rays_pods_keep_to_the_schema_of_pods(name: str) -> None:
    """Ray's own schema is the operator's; the pods inside are anybody's."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, **TEMPLATES[name]}
    kubernetes_validate.validate(pod | {"metadata": {"name": "one"}}, VERSION, strict=True)


def test_what_ray_serves_is_a_configuration() -> None:
    (service,) = [one for one in MANIFESTS if one["kind"] == "RayService"]
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    (model,) = application["args"]["llm_configs"]
    cards = model["engine_kwargs"]["tensor_parallel_size"]
    nodes = model["engine_kwargs"]["pipeline_parallel_size"]
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["nvidia.com/gpu"], group["replicas"]) == (str(cards), nodes)


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda file: file.parent.name)
def test_kustomizations_name_what_is_there(file: Path) -> None:
    kustomization = yaml.safe_load(file.read_text("utf-8"))
    assert [r for r in kustomization["resources"] if not (file.parent / r).exists()] == []
    names = {(one["kind"], one["metadata"]["name"]) for one in MANIFESTS}
    for patch in kustomization.get("patches", ()):
        assert (patch["target"]["kind"], patch["target"]["name"]) in names
        assert all({"op", "path"} <= set(step) for step in yaml.safe_load(patch["patch"]))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl builds the overlays")
@pytest.mark.parametrize("overlay", ["cluster", "large"])
def test_overlays_build_and_keep_to_the_schemas(overlay: str) -> None:
    """The other two are inside of these."""
    folder = FOLDER / "overlays" / overlay
    command = [str(shutil.which("kubectl")), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for one in documents(done.stdout):
        if one["kind"] not in FOREIGN:
            kubernetes_validate.validate(one, VERSION, strict=True)


@pytest.mark.parametrize("name", TEMPLATES)
def test_images_are_pinned_and_memory_is_bounded(name: str) -> None:
    for container in TEMPLATES[name]["spec"]["containers"]:
        image = container["image"]
        assert image == "appliance" or re.search(r":v?\d+\.\d+", image), image
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", [name for name in TEMPLATES if not name.startswith("Ray")])
def test_pods_are_probed_and_end_in_peace(name: str) -> None:
    """The pause before SIGTERM, and what the front gives its answers, fit into the grace."""
    spec = TEMPLATES[name]["spec"]
    (container,) = spec["containers"]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    (front,) = [one for one in MANIFESTS if named(one) == "ConfigMap/front"]
    drain = int(front["data"]["APPLIANCE_DRAIN_SECONDS"]) if name.endswith("/front") else 0
    assert pause + drain + 10 <= spec["terminationGracePeriodSeconds"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_settings_that_are_given_exist() -> None:
    text = "".join(file.read_text("utf-8") for file in FOLDER.rglob("*.yaml"))
    given = {name.lower() for name in re.findall(rf"{PREFIX}([A-Z_]+)", text)}
    assert given
    assert given - set(Settings.model_fields) == set()


def test_every_pod_has_a_network_policy() -> None:
    policies = [one["spec"]["podSelector"] for one in MANIFESTS if one["kind"] == "NetworkPolicy"]
    chosen = {one.get("matchLabels", {}).get("app") for one in policies}
    pods = {template["metadata"]["labels"]["app"] for template in TEMPLATES.values()}
    assert pods <= chosen
    assert {} in policies, "nobody speaks to anybody, unless another policy says so"


def test_no_secret_is_in_the_files() -> None:
    assert [named(one) for one in MANIFESTS if one["kind"] == "Secret"] == []
