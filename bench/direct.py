"""Each library without our server around it, in this very process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from appliance.engine.config import EngineConfig
from appliance.engine.worker.folder import ModelFolder
from bench.streams import Run

# What `sampled` means on both sides of a comparison.
SAMPLED: dict[str, Any] = {"temperature": 0.7, "top_p": 0.8, "top_k": 20}
_STEP_TOKENS = 128


class DirectOpenVino:
    """The pipeline's own step loop, over the same model and in the same numbers."""

    def __init__(self, config: EngineConfig, folder: ModelFolder, *, sampled: bool = False) -> None:
        import openvino_genai as genai

        from appliance.engine.worker.backends.openvino_conversion import converted
        from appliance.engine.worker.backends.openvino_pipeline import numbers

        assert folder.gguf is not None
        model = converted(folder.gguf, folder.path, lambda *_: None) or folder.gguf
        scheduler = genai.SchedulerConfig()
        scheduler.num_kv_blocks = config.kv_tokens // 32 + config.max_concurrency
        scheduler.max_num_batched_tokens = _STEP_TOKENS + config.max_concurrency
        scheduler.max_num_seqs = config.max_concurrency
        scheduler.dynamic_split_fuse = True
        scheduler.enable_prefix_caching = True
        self.pipeline = genai.ContinuousBatchingPipeline(str(model), scheduler, "CPU", numbers())
        self.tokenizer = folder.tokenizer()
        self.end_tokens = folder.end_tokens()
        self.sampled = sampled
        self.ids = 0

    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        began = time.perf_counter()
        handles = [self._add(prompt, tokens) for prompt in prompts]
        count, first = 0, 0.0
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
            for handle in handles:
                while handle.can_read():
                    count += len(handle.read()[0].generated_ids)
            first = first or (time.perf_counter() - began if count else 0.0)
        return Run(count, time.perf_counter() - began, first)

    def _add(self, prompt: str, tokens: int) -> Any:
        import numpy
        import openvino
        import openvino_genai as genai

        config = genai.GenerationConfig()
        config.apply_chat_template = False
        config.max_new_tokens = tokens
        config.stop_token_ids = set(self.end_tokens)
        config.eos_token_id = min(self.end_tokens, default=-1)
        config.do_sample = self.sampled
        for name, value in SAMPLED.items() if self.sampled else ():
            setattr(config, name, value)
        self.ids += 1
        ids = self.tokenizer.encode(prompt, add_special_tokens=True)
        return self.pipeline.add_request(self.ids, openvino.Tensor(numpy.array([ids])), config)


class DirectTransformers:
    """The library's manager as it comes, with its own processors, read from its own queue."""

    def __init__(self, config: EngineConfig, folder: ModelFolder, *, sampled: bool = False) -> None:
        from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

        from appliance.engine.worker.backends.weights import dequantise_gguf

        self.tokenizer = folder.tokenizer()
        path = folder.path
        if folder.gguf is not None:
            path = dequantise_gguf(folder.gguf, path / "transformers")
        model: Any = AutoModelForCausalLM.from_pretrained(path, attn_implementation="sdpa")
        kind: Any = GenerationConfig
        sampling: dict[str, Any] = {"do_sample": sampled, **(SAMPLED if sampled else {})}
        self.manager = model.init_continuous_batching(
            generation_config=kind(eos_token_id=folder.end_tokens(), pad_token_id=0, **sampling),
            # Left alone it takes 60 % of the memory, and a mask to match.
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=32,
                num_blocks=config.kv_tokens // 32 + config.max_concurrency,
                max_batch_tokens=_STEP_TOKENS + config.max_concurrency,
                max_requests_per_batch=config.max_concurrency,
            ),
        )
        self.manager.start()

    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        began = time.perf_counter()
        for prompt in prompts:
            ids = self.tokenizer.encode(prompt, add_special_tokens=True)
            self.manager.add_request(ids, max_new_tokens=tokens, streaming=True)
        count, first, open_requests = 0, 0.0, len(prompts)
        while open_requests:
            output = self.manager.get_result(timeout=60)
            first = first or time.perf_counter() - began
            if output.is_finished():
                open_requests -= 1
                count += len(output.generated_tokens)
        return Run(count, time.perf_counter() - began, first)
