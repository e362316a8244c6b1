"""The Dockerfile and the compose file, as far as they can be judged without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.settings import load_settings
from tests.live import ROOT, free_port
from tests.observability.watching import wait_for
from tests.servers import program

DOCKER = ROOT / "deploy" / "docker"
COMPOSE = DOCKER / "compose.yaml"
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
COMPOSED: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSED["services"]
OURS = ("cpu", "cuda", "vllm-front")
HARDENED = (*OURS, "nginx", "postgres", "redis", "prometheus", "grafana")
SECRETS = Path("/run/secrets")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint is installed on Linux")
def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    command = str(beside) if beside.exists() else shutil.which("hadolint")
    assert command is not None
    done = run(command, str(DOCKER / "Dockerfile"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_keeps_to_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema"]
    done = run(*command, "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    wanted = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in wanted for source in line.split()}
    assert len(sources) >= 8
    assert [source for source in sources if not (ROOT / source).exists()] == []
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    let_in = [line[1:].rstrip("/") for line in allowed if line.startswith("!")]
    missed = [s for s in sources if not any(s.rstrip("/").startswith(one) for one in let_in)]
    assert missed == []


def test_data_files_of_the_project_reach_the_image() -> None:
    """`data/` is also where a running appliance writes: the image takes what git knows."""
    known = run("git", "ls-files", "data").stdout.split()
    if not known:
        pytest.skip("not a git checkout")
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    let_in = tuple(line[1:] for line in allowed if line.startswith("!data/") and line != "!data/")
    assert [name for name in known if not name.startswith(let_in)] == []


def test_the_images_run_without_rights() -> None:
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert users == ["10001:10001"]
    for target in ("cpu", "cuda"):
        assert f"FROM ground AS {target}" in DOCKERFILE
    assert "HEALTHCHECK" in DOCKERFILE


def test_code_is_the_last_layer() -> None:
    """A change of ours must not install anything again."""
    for part in DOCKERFILE.split("FROM ")[1:]:
        if "pip install" in part:
            assert "COPY appliance/ " not in part
            assert "COPY static/" not in part


@pytest.mark.parametrize("name", HARDENED)
def test_containers_are_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_images_are_pinned() -> None:
    foreign = {name: s["image"] for name, s in SERVICES.items() if name not in OURS}
    unpinned = {n: image for n, image in foreign.items() if not re.search(r":v?\d+\.\d+", image)}
    assert unpinned == {}


def test_only_nginx_is_open_to_the_network() -> None:
    ports = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    open_to_all = {n for n, p in ports.items() if not all(x.startswith("127.0.0.1:") for x in p)}
    assert open_to_all == {"nginx"}


def test_the_proxy_that_is_trusted_is_nginx() -> None:
    address = SERVICES["nginx"]["networks"]["inside"]["ipv4_address"]
    for name in OURS:
        assert SERVICES[name]["environment"]["APPLIANCE_TRUSTED_PROXIES"] == address


@pytest.mark.parametrize("name", SERVICES)
def test_containers_are_watched_and_bounded(name: str) -> None:
    """The image of our own services has its health check in itself."""
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert {"memory", "pids"} <= set(limits)
    assert name in OURS or "test" in SERVICES[name]["healthcheck"]


def test_nobody_starts_before_what_it_needs() -> None:
    needs = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    for name in OURS:
        assert {"postgres", "redis"} <= set(needs[name])
    assert set(needs["nginx"]) == set(OURS)
    found = [how for each in needs.values() for how in each.values()]
    assert all(how["condition"] == "service_healthy" for how in found)


def test_settings_that_are_given_exist() -> None:
    """Variables that nobody reads are ignored in silence."""
    from appliance.given import FILE, PREFIX
    from appliance.settings import Settings

    given = {name for service in OURS for name in SERVICES[service]["environment"]}
    given |= {PREFIX + name for name in re.findall(rf"{PREFIX}([A-Z_]+)", DOCKERFILE)}
    names = {name.removeprefix(PREFIX).removesuffix(FILE).lower() for name in given}
    assert {"database_url", "redis_url", "data_dir"} <= names
    assert names - set(Settings.model_fields) == set()


def test_secrets_are_files_that_their_containers_have() -> None:
    for name, service in SERVICES.items():
        text = yaml.safe_dump(service)
        read = set(re.findall(r"/run/secrets/(\w+)", text)) - {"metrics_token"}
        assert read <= set(service.get("secrets", ())), name
    assert not re.search(r"(?i)(password|token|key): \$\{", COMPOSE.read_text("utf-8"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's first commands leave behind, up to the first that needs Docker."""
    folder = tmp_path_factory.mktemp("begun")
    (block,) = re.findall(r"```\n(cd .+?)```", (DOCKER / "README.md").read_text("utf-8"), re.DOTALL)
    commands = block.partition("docker compose")[0].replace("cd deploy/docker\n", "")
    done = subprocess.run(
        [str(shutil.which("bash")), "-euo", "pipefail", "-c", commands],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_first_commands_make_every_secret(begun: Path) -> None:
    files = {name: begun / secret["file"] for name, secret in COMPOSED["secrets"].items()}
    assert {file.name for file in (begun / "secrets").iterdir()} == set(files)
    assert {file.name for file in (begun / "tls").iterdir()} == {"tls.crt", "tls.key"}
    environ = {
        variable: str(files[Path(file).name])
        for variable, file in SERVICES["vllm-front"]["environment"].items()
        if variable.endswith("_FILE")
    }
    settings = load_settings({"data_dir": begun}, environ)
    password = files["database_password"].read_text("ascii")
    assert settings.database_url == f"postgresql://appliance:{password}@postgres/appliance"
    assert settings.engine_key == files["engine_key"].read_text("ascii")
    assert len(password) == 48


def test_redis_begins_as_it_is_told(begun: Path, tmp_path: Path) -> None:
    """Its own command, with Debian's program: bounded, and closed to whoever has no password."""
    from redis import Redis
    from redis.exceptions import AuthenticationError

    server, port = program("redis-server", "redis-server"), free_port()
    shell, option, script = SERVICES["redis"]["command"]
    script = script.replace("$$", "$").replace(f"{SECRETS}/", f"{begun}/secrets/")
    script = script.replace("redis-server -", f"{server} --bind 127.0.0.1 --port {port} -")
    password = (begun / "secrets" / "redis_password").read_text("ascii")
    with subprocess.Popen([shell, option, script], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        try:
            wait_for(lambda: answers(port, password))
            with Redis(port=port, password=password) as client:
                assert client.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
                assert client.config_get("save") == {"save": ""}
            with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
                stranger.ping()
            assert password not in Path(f"/proc/{process.pid}/cmdline").read_text()
        finally:
            process.terminate()
        assert process.wait(20) == 0


def answers(port: int, password: str) -> bool:
    from redis import Redis
    from redis.exceptions import ConnectionError as Refused

    with Redis(port=port, password=password) as client:
        try:
            return bool(client.ping())
        except Refused:
            return False


def test_mounted_files_exist() -> None:
    mounts = [v for s in SERVICES.values() for v in s.get("volumes", ()) if v.startswith("../")]
    assert len(mounts) >= 5
    assert [m for m in mounts if not (DOCKER / m.split(":")[0]).exists()] == []


def test_the_lists_of_the_image_are_the_projects() -> None:
    script = str(DOCKER / "requirements.py")
    done = run(sys.executable, script, "base", "openvino")
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert {"fastapi", "openvino-genai"} <= set(names)
    assert "torch==2.13.0" not in names
    assert run(sys.executable, script, "nonsense").returncode == 1
