"""The manifests against the schemas of a current Kubernetes, and against each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from appliance.given import FILE, PREFIX
from appliance.settings import Settings
from tests.live import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.37"
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))
ADAPTER = FOLDER / "overlays" / "cluster" / "prometheus-adapter-values.yaml"
SCRAPE = FOLDER / "prometheus-scrape.yaml"
NOT_MANIFESTS = {"kustomization.yaml", ADAPTER.name, SCRAPE.name}
STORES = ("StatefulSet/postgres", "Deployment/redis")
FOREIGN = {"RayService"}

# Fronts tell of the line in vLLM's words too.
TOLD = {
    "front": ("appliance_queue_waiting", "vllm:num_requests_waiting"),
    "vllm": ("vllm:num_requests_waiting",),
    "router": ("vllm:num_requests_waiting",),
}

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


def built(folder: Path) -> list[Manifest]:
    """What `kubectl apply --kustomize` would send. The kubectl is the one that is pinned."""
    beside = Path(sys.executable).with_name("kubectl")
    kubectl = str(beside) if beside.exists() else shutil.which("kubectl")
    assert kubectl is not None
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="kubectl is installed on Linux")
@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda file: file.parent.name)
def test_kustomizations_build_and_keep_to_the_schemas(file: Path) -> None:
    there = built(file.parent)
    names = [named(one) for one in there]
    assert len(names) == len(set(names))
    assert {"Deployment/front", "StatefulSet/postgres", "Deployment/redis"} <= set(names)
    assert {one["metadata"].get("namespace", "appliance") for one in there} == {"appliance"}
    for one in there:
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
    # Stores hold no answers: they are told to stop at once.
    pause = 0 if name in STORES else container["lifecycle"]["preStop"]["sleep"]["seconds"]
    (front,) = [one for one in MANIFESTS if named(one) == "ConfigMap/front"]
    drain = int(front["data"]["APPLIANCE_DRAIN_SECONDS"]) if name.endswith("/front") else 0
    assert pause + drain + 10 <= spec["terminationGracePeriodSeconds"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_settings_that_are_given_exist() -> None:
    text = "".join(file.read_text("utf-8") for file in FOLDER.rglob("*.yaml"))
    found = re.findall(rf"{PREFIX}([A-Z_]+)", text)
    given = {name.removesuffix(FILE).lower() for name in found}
    assert {"database_url", "redis_url", "engine_key"} <= given
    assert given - set(Settings.model_fields) == set()


def test_fronts_keep_nothing_and_find_their_secrets() -> None:
    (front,) = [one for one in MANIFESTS if named(one) == "Deployment/front"]
    assert front["spec"]["replicas"] >= 2
    spec = front["spec"]["template"]["spec"]
    assert all({"emptyDir", "secret"} & set(volume) for volume in spec["volumes"])
    (settings,) = [one["data"] for one in MANIFESTS if named(one) == "ConfigMap/front"]
    (secret,) = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "secrets"]
    there = {f"{mount['mountPath']}/{item['path']}" for item in secret["items"]}
    assert {value for name, value in settings.items() if name.endswith(FILE)} == there


def test_the_readme_makes_every_key_of_the_secret() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    made = set(re.findall(r"--from-literal=([\w-]+)=", readme))
    text = "".join(file.read_text("utf-8") for file in FOLDER.rglob("*.yaml"))
    asked = set(re.findall(r"\bkey: ([\w-]+)[,}]", text)) - {"nvidia"}
    assert asked == made


def test_what_must_not_go_all_at_once_has_a_budget() -> None:
    budgets = {
        one["spec"]["selector"]["matchLabels"]["app"]
        for one in MANIFESTS
        if one["kind"] == "PodDisruptionBudget"
    }
    assert budgets == {"front", "postgres", "vllm"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
def test_the_scrape_configuration_is_prometheus_own(tmp_path: Path) -> None:
    """But for how pods are found, which Debian's Prometheus has not been built with."""
    token = tmp_path / "metrics-token"
    token.write_text("secret", encoding="ascii")
    text = SCRAPE.read_text("utf-8").replace("/etc/secrets/appliance/metrics-token", str(token))
    jobs = yaml.safe_load(text)
    for job in jobs:
        (found,) = job.pop("kubernetes_sd_configs")
        assert found == {"role": "pod", "namespaces": {"names": ["appliance"]}}
    config = yaml.safe_dump({"scrape_configs": jobs})
    (tmp_path / "prometheus.yml").write_text(config, encoding="utf-8")
    done = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(shutil.which("promtool")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


WAITING = {
    "the line of both fronts, and each engine's": ({"front": [10, 10], "vllm": [3, 4]}, 17),
    "no engine is there yet": ({"front": [10, 9]}, 10),
    "a router repeats what its engines say": ({"front": [0], "vllm": [5], "router": [5]}, 5),
}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
@pytest.mark.parametrize("story", WAITING)
def test_autoscalers_see_who_waits_once(story: str, tmp_path: Path) -> None:
    """Prometheus answers the adapter's own question."""
    (rule,) = yaml.safe_load(ADAPTER.read_text("utf-8"))["rules"]["external"]
    question = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="appliance"')
    question = question.replace("<<.GroupBy>>", "namespace")
    pods, expected = WAITING[story]
    series = [
        {
            "series": f"{metric}{{app='{app}', instance='{app}-{n}', namespace='appliance'}}",
            "values": f"{value}x2",
        }
        for app, values in pods.items()
        for n, value in enumerate(values)
        for metric in TOLD[app]
    ]
    sample = {"labels": '{namespace="appliance"}', "value": expected}
    test = {"expr": question, "eval_time": "1m", "exp_samples": [sample]}
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": [test]}]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"tests": tests}), encoding="utf-8")
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_pod_has_a_network_policy() -> None:
    policies = [one["spec"]["podSelector"] for one in MANIFESTS if one["kind"] == "NetworkPolicy"]
    chosen = {one.get("matchLabels", {}).get("app") for one in policies}
    pods = {template["metadata"]["labels"]["app"] for template in TEMPLATES.values()}
    assert pods <= chosen
    assert {} in policies, "nobody speaks to anybody, unless another policy says so"


def test_no_secret_is_in_the_files() -> None:
    assert [named(one) for one in MANIFESTS if one["kind"] == "Secret"] == []
