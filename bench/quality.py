"""What shrinking costs: how well each precision predicts a fixed text, and whether a batch changes
an answer.

    nice python -m bench.quality                      all of them, in some minutes

NLL is the mean negative log-likelihood, in nats a token, of the first 1,000 tokens of
`quality.txt`, each given all before it. Answers: 8 prompts greedily, one after the other and then
all at once; how many came out the same.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.engine.config import EngineConfig, ModelSource, Precision
from appliance.engine.worker.folder import ModelFolder, open_folder
from bench.contestants import ROOT, Worker, demo_config, demo_gguf
from bench.ending import end_with_children
from bench.report import heading, markdown
from bench.requantise import as_q8_0

TEXT = ROOT / "bench" / "quality.txt"
TOKENS = 1000
PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a",
    "The three states of water are",
    "def fibonacci(n):",
    "To bake a simple loaf of bread, first",
    "The difference between a list and a tuple is",
    "In the year 1969, people first",
    "My favourite season is autumn because",
)
TRANSFORMERS: dict[str, Precision] = {"fp32": "fp32", "bf16": "bf16", "int8": "int8", "nf4": "nf4"}
OPENVINO = ("openvino-gguf", "openvino-q8_0")
WHO = (*TRANSFORMERS, *OPENVINO)
NAMES = {
    "fp32": "transformers, fp32 out of the GGUF file",
    "bf16": "transformers, bf16",
    "int8": "transformers, bitsandbytes int8 (threshold 0)",
    "nf4": "transformers, bitsandbytes nf4 (double quantisation)",
    "openvino-gguf": "OpenVINO, the GGUF file (Q4_1) as its reader converts it",
    "openvino-q8_0": "OpenVINO, the same weights as a Q8_0 GGUF file",
}


def nll_of_transformers(folder: ModelFolder, precision: Precision, ids: Sequence[int]) -> float:
    import torch

    from appliance.engine.worker.backends.weights import dequantise_gguf, load_model

    path = folder.path
    if folder.gguf is not None:
        path = dequantise_gguf(folder.gguf, path / "transformers")
    # It says with every product of matrices that it casts.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    model = load_model(path, precision, None)
    tokens = torch.tensor([list(ids)], device=model.device)
    with torch.no_grad():
        logits: Any = model(tokens).logits[0, :-1].double()
    chosen = logits.log_softmax(-1).gather(1, tokens[0, 1:, None])
    del model
    gc.collect()
    return -float(chosen.mean())


def nll_of_openvino(model: Path, ids: Sequence[int]) -> float:
    """By the very pipeline that serves: it echoes the prompt with its log-probabilities."""
    import numpy
    import openvino
    import openvino_genai as genai

    from appliance.engine.worker.backends.openvino_pipeline import numbers

    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = len(ids) // 32 + 2
    scheduler.max_num_batched_tokens = len(ids) + 1
    pipeline = genai.ContinuousBatchingPipeline(str(model), scheduler, "CPU", numbers())
    config = genai.GenerationConfig()
    config.apply_chat_template = False
    config.max_new_tokens, config.echo, config.logprobs = 1, True, 1
    handle = pipeline.add_request(0, openvino.Tensor(numpy.array([list(ids)])), config)
    while pipeline.has_non_finished_requests():
        pipeline.step()
    # The first token has nothing before it, the last was generated.
    scores = handle.read_all()[0].generated_log_probs[1 : len(ids)]
    return -float(sum(scores)) / len(scores)


def same_answers(config: EngineConfig, tokens: int) -> int:
    """How many of PROMPTS get the same greedy answer alone and all at once, from our worker."""
    worker = Worker(config)

    async def at_once() -> list[str]:
        answers = await asyncio.gather(*(worker.stream(each, tokens) for each in PROMPTS))
        return [answer.text for answer in answers]

    try:
        alone = [asyncio.run(worker.stream(each, tokens)).text for each in PROMPTS]
        return sum(a == b for a, b in zip(alone, asyncio.run(at_once()), strict=True))
    finally:
        worker.end()


def measure(name: str, folder: ModelFolder, cache: Path, options: Any) -> list[object]:
    ids = folder.tokenizer().encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=True)
    ids = list(ids)[: options.text_tokens]
    if name in TRANSFORMERS:
        nll = nll_of_transformers(folder, TRANSFORMERS[name], ids)
        config = replace(demo_config("transformers", str(cache)), precision=TRANSFORMERS[name])
    else:
        config = demo_config("openvino", str(cache))
        file = demo_gguf()
        if name == "openvino-q8_0":
            file = as_q8_0(file, cache / "demo-q8_0.gguf")
            config = replace(config, source=ModelSource("gguf", str(file)))
        nll = nll_of_openvino(file, ids)
    same = f"{same_answers(config, options.tokens)} of {len(PROMPTS)}"
    return [NAMES[name], f"{nll:.4f}", f"{math.exp(nll):.2f}", same]


def main() -> None:
    end_with_children()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--who", default=",".join(WHO), help="of: %(default)s")
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--text-tokens", type=int, default=TOKENS, help="of the fixed text")
    parser.add_argument("--cache-dir", help="keep conversions here; the next start is then fast")
    options = parser.parse_args()
    who = options.who.split(",")
    if unknown := set(who) - set(WHO):
        parser.error(f"--who: {', '.join(sorted(unknown))} is none of {', '.join(WHO)}")
    print(
        heading(f"Quality: {options.text_tokens} tokens of text, {options.tokens} of each answer")
    )
    with tempfile.TemporaryDirectory() as fresh:
        cache = Path(options.cache_dir or fresh)
        folder = open_folder(demo_gguf(), cache, lambda *_: None)
        rows = [measure(name, folder, cache, options) for name in who]
    print(markdown(["", "NLL", "perplexity", "same alone and among 8"], rows))


if __name__ == "__main__":
    main()
