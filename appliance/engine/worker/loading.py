"""From an order to a loaded engine, telling how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from appliance.engine.config import EngineConfig, EngineFacts
from appliance.engine.worker.backends.base import Backend
from appliance.engine.worker.engine import Engine
from appliance.engine.worker.failure import LoadFailure, Progress
from appliance.engine.worker.fingerprint import known_hash
from appliance.engine.worker.folder import ModelFolder, open_folder
from appliance.engine.worker.prompt import ChatTemplate
from appliance.engine.worker.sampling import default_sampling
from appliance.engine.worker.sources import locate


class LoadedBackend(Backend, Protocol):
    def warm_up(self) -> None:
        """Run one step, before `start`, so that the first user does not wait for it."""


def load_engine(config: EngineConfig, progress: Progress) -> Engine:
    """Blocks for seconds to minutes. Raises LoadFailure, or whatever a library raises."""
    began = time.monotonic()
    path = locate(config, progress)
    folder = open_folder(path, Path(config.cache_dir), progress)
    template = folder.template()
    load = _load_openvino if config.backend == "openvino" else _load_transformers
    with ThreadPoolExecutor(1) as beside:
        # A second of a processor that the libraries leave idle while they open the weights.
        reading = beside.submit(folder.tokenizer)
        backend = load(config, folder, folder.end_tokens(), progress)
        progress("warm_up", 0, 0)
        backend.warm_up()
        tokenizer = reading.result()
    facts = EngineFacts(
        model=config.model,
        backend=config.backend,
        engine_version=backend.engine_version,
        precision=config.precision,
        context_length=config.context_length,
        kv_tokens=config.kv_tokens,
        max_concurrency=config.max_concurrency,
        capabilities=tuple(sorted({*backend.capabilities, *_continuing(template)})),
        load_seconds=round(time.monotonic() - began, 2),
        thinking=template is not None and template.thinking,
        adapters=tuple(each.name for each in config.adapters),
        default_sampling=_usable(config.default_sampling, backend),
        thinking_sampling=_usable(config.thinking_sampling, backend),
        model_hash=known_hash(path, Path(config.cache_dir)),
    )
    return Engine(
        backend=backend,
        tokenizer=tokenizer,
        template=template,
        defaults=default_sampling(config.default_sampling, backend.capabilities),
        thinking_defaults=default_sampling(
            config.thinking_sampling or config.default_sampling, backend.capabilities
        ),
        facts=facts,
        weights=path,
    )


def _continuing(template: ChatTemplate | None) -> tuple[str, ...]:
    """Where turns have a form, an answer can go on within its own."""
    return () if template is None else ("continue_final_message",)


def _usable(wanted: dict[str, float | int], backend: Backend) -> dict[str, float | int]:
    """What of the recommendation this backend obeys."""
    return {name: value for name, value in wanted.items() if name in backend.capabilities}


def _load_openvino(
    config: EngineConfig, folder: ModelFolder, end_tokens: Sequence[int], progress: Progress
) -> LoadedBackend:
    from appliance.engine.worker.backends.openvino import OpenVinoBackend
    from appliance.engine.worker.backends.openvino_conversion import MODEL, converted
    from appliance.engine.worker.backends.openvino_pipeline import open_pipeline

    model = folder.path
    if folder.gguf is not None:
        model = converted(folder.gguf, folder.path, progress) or folder.gguf
    elif not (model / MODEL).is_file():
        raise LoadFailure(
            "load_failed",
            f"The OpenVINO engine reads GGUF files and exported models; {folder.path} holds "
            "neither. Use --engine transformers, or a GGUF file of this model.",
        )
    progress("load", 0, 0)
    opened = open_pipeline(
        model,
        kv_tokens=config.kv_tokens,
        max_concurrency=config.max_concurrency,
        threads=config.threads,
    )
    return OpenVinoBackend(opened, end_tokens)


def _load_transformers(
    config: EngineConfig, folder: ModelFolder, end_tokens: Sequence[int], progress: Progress
) -> LoadedBackend:
    from appliance.engine.worker.backends.adapters import Adapters
    from appliance.engine.worker.backends.grammar import GrammarCompiler
    from appliance.engine.worker.backends.transformers import TransformersBackend
    from appliance.engine.worker.backends.weights import dequantise_gguf, load_model

    weights = folder.path
    if folder.gguf is not None:
        progress("convert", 0, 0)
        weights = dequantise_gguf(folder.gguf, folder.path / "transformers")
    progress("load", 0, 0)
    with ThreadPoolExecutor(1) as beside:
        # Without an end token no form could ever be complete.
        grammars = (
            beside.submit(GrammarCompiler, folder.path / "tokenizer.json", end_tokens)
            if end_tokens
            else None
        )
        model = load_model(weights, config.precision, config.threads, config.yarn_factor)
        adapters = Adapters(model, config.adapters) if config.adapters else None
        return TransformersBackend(
            model,
            end_tokens,
            kv_tokens=config.kv_tokens,
            max_concurrency=config.max_concurrency,
            grammars=grammars.result() if grammars else None,
            adapters=adapters,
        )
