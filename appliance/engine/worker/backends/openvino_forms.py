"""Forms in OpenVINO GenAI's words, and a place to compile them that no running answer shares.

The library compiles a grammar inside a step: a bad one would end the pipeline for everybody, a
slow one would hold up all answers. Compiled grammars belong to the tokenizer, so a pipeline
around a model that computes nothing, with the same tokenizer, compiles them first, in any thread.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai
from openvino import opset13 as ops

from appliance.engine.worker.forms import Form, JsonObject, JsonSchema, OneOf, Regex, ToolCalls
from appliance.engine.worker.schema_check import check_form
from appliance.engine.worker.schema_unions import with_closed_bounds
from appliance.errors import InvalidRequest

_Structured = genai.StructuredOutputConfig
# The library keeps every grammar, some hundred kilobytes each; then it starts anew.
_KEPT = 256
_CALL_BEGINS = '<tool_call>\n{"name": %s, "arguments": '
_CALL_ENDS = "}\n</tool_call>"
# The library's messages begin with the path of its own source file.
_SOURCE_FILE = re.compile(r"^.*?\.(?:cc|cpp|h|hpp):\d+:\s*", re.DOTALL)


def structured(form: Form) -> genai.StructuredOutputConfig:
    """Equal forms give equal grammars."""
    match form:
        case JsonObject():
            return _Structured(json_schema='{"type": "object"}')
        case JsonSchema(schema):
            return _Structured(json_schema=_json(schema))
        case Regex(pattern):
            return _Structured(regex=pattern)
        case OneOf(texts):
            choices = " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)
            return _Structured(grammar=f"root ::= {choices}")
        case ToolCalls():
            return _Structured(structural_tags_config=_calls(form))


def _calls(form: ToolCalls) -> genai.StructuredOutputConfig.TagsWithSeparator:
    tags = [
        _Structured.Tag(
            _CALL_BEGINS % json.dumps(name), _Structured.JSONSchema(_json(schema)), _CALL_ENDS
        )
        for name, schema in form.tools
    ]
    return _Structured.TagsWithSeparator(
        tags, "\n", at_least_one=True, stop_after_first=not form.many
    )


def _json(schema: Mapping[str, Any]) -> str:
    # The library takes an integer that is bounded on one side only as not bounded at all.
    return json.dumps(with_closed_bounds(schema), ensure_ascii=False)


class FormCompiler:
    """Holds `lock` while it compiles: the library's list of compile times is nobody's to share, so
    a step in which a form begins must hold it too. `vocabulary` is the model's number of logits.
    """

    def __init__(self, tokenizer: genai.Tokenizer, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._pipeline: genai.LLMPipeline | None = None
        self._compiled: set[str] = set()
        self.lock = threading.Lock()

    def check(self, form: Form) -> None:
        """Compile, or find compiled. Raises InvalidRequest. In any thread."""
        with self.lock:
            self.ensure(form)

    def ensure(self, form: Form) -> None:
        """As `check`, for who holds `lock`."""
        key = repr(form)
        if key in self._compiled:
            return
        # What the library would pass over without a word, and what would take it very long.
        check_form(form)
        if self._pipeline is None:
            self._pipeline = _idle_pipeline(self._tokenizer, self._vocabulary)
        try:
            _run(self._pipeline, form)
        except (RuntimeError, ValueError) as error:
            raise InvalidRequest(
                "This form cannot be held to: %(reason)s", reason=_reason(error)
            ) from error
        self._compiled.add(key)

    def trim(self) -> None:
        """Drop all grammars when there are many. For who holds `lock`, and in the thread that
        adds requests to the library. Answers that are running keep theirs."""
        if len(self._compiled) > _KEPT:
            # Another number of logits makes the library begin with a compiler of its own.
            _run(_idle_pipeline(self._tokenizer, self._vocabulary + 1), JsonObject())
            self._compiled.clear()


def _run(pipeline: genai.LLMPipeline, form: Form) -> None:
    config = genai.GenerationConfig()
    config.apply_chat_template = False
    config.max_new_tokens = 1
    config.structured_output_config = structured(form)
    pipeline.generate(openvino.Tensor(np.zeros((1, 1), dtype=np.int64)), config)


def _reason(error: Exception) -> str:
    return " ".join(_SOURCE_FILE.sub("", str(error)).split())[:300]


def _idle_pipeline(tokenizer: genai.Tokenizer, vocabulary: int) -> genai.LLMPipeline:
    """All logits are 0. Takes 0.1 s."""
    ids = _input("input_ids", [-1, -1], openvino.Type.i64)
    mask = _input("attention_mask", [-1, -1], openvino.Type.i64)
    beams = _input("beam_idx", [-1], openvino.Type.i32)
    # Every input must be used.
    unused = [
        ops.reduce_sum(ops.convert(each, "f32"), ops.constant(np.arange(rank)), keep_dims=False)
        for each, rank in ((mask, 2), (beams, 1))
    ]
    nothing = ops.multiply(ops.add(*unused), ops.constant(np.float32(0)))
    shape = ops.concat([ops.shape_of(ids), ops.constant(np.array([vocabulary]))], axis=0)
    logits = ops.broadcast(nothing, shape)
    logits.output(0).get_tensor().set_names({"logits"})
    model = openvino.Model([logits], [ids, mask, beams], "idle")
    with TemporaryDirectory() as folder:
        xml = Path(folder, "idle.xml")
        openvino.serialize(model, xml)
        weights = openvino.Tensor(np.fromfile(xml.with_suffix(".bin"), dtype=np.uint8))
        text = xml.read_text(encoding="utf-8")
    return genai.LLMPipeline(text, weights, tokenizer, "CPU", ATTENTION_BACKEND="SDPA")


def _input(name: str, shape: list[int], kind: openvino.Type) -> openvino.Node:
    node = ops.parameter(shape, kind)
    node.output(0).get_tensor().set_names({name})
    return node
