"""Stands for `vllm serve`: its options, its routes and its ways to fail, around scripted answers.

    python -m tests.engine.scripted_vllm --model MODEL --port N …

What it does is chosen by MODEL: `good`, `oom` (fails as vLLM does when the card is full), `deaf`
(does not listen to SIGTERM) or `slow` (prints progress and is not ready until a file appears).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.scripted_engine import MODEL, ScriptedEngine

OUT_OF_MEMORY = """
(EngineCore pid=7) ValueError: Free memory on device (1.0/8.0 GiB) on startup is less than desired \
GPU memory utilization (0.9, 7.2 GiB).
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.
"""


async def health(request: Request) -> Response:
    return Response()


async def version(request: Request) -> Response:
    return JSONResponse({"version": "0.32.0"})


async def metrics(request: Request) -> Response:
    labels = 'block_size="16",cache_dtype="auto",num_gpu_blocks="512"'
    usage = 'vllm:kv_cache_usage_perc{engine="0",model_name="scripted"} 0.5'
    return PlainTextResponse(f"vllm:cache_config_info{{{labels}}} 1.0\n{usage}\n")


async def models(request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
        return JSONResponse({"error": "Unauthorized"}, 401)
    return JSONResponse({"data": [{"id": MODEL, "max_model_len": 1234}]})


def _option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def main() -> None:
    model, port = _option("--model"), int(_option("--port"))
    # vLLM computes in processes of its own.
    core = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(f"core is {core.pid}", flush=True)  # noqa: T201 - what the log is
    match Path(model).name:
        case "oom":
            sys.stderr.write(OUT_OF_MEMORY)
            sys.exit(1)
        case "slow":
            sys.stderr.write("Loading safetensors checkpoint shards:  50% Completed | 1/2\n")
            while not Path(model).exists():
                time.sleep(0.01)
    engine = ScriptedEngine()
    engine.app.routes[:0] = [
        Route("/health", health),
        Route("/version", version),
        Route("/metrics", metrics),
        Route("/v1/models", models),
    ]
    config = uvicorn.Config(engine.app, host="127.0.0.1", port=port, log_config=None, ws="none")
    server = uvicorn.Server(config)
    if Path(model).name == "deaf":
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        server.handle_exit = lambda *_: None  # type: ignore[method-assign]
    server.run()


if __name__ == "__main__":
    main()
