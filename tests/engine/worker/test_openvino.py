"""The OpenVINO backend alone, with the packaged model: forms, prompts in pieces, counts, cancel."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from appliance.engine.config import EngineConfig
from appliance.engine.worker.backends import openvino_forms
from appliance.engine.worker.backends.base import Ask, BackendFailed, Step, TokenStream
from appliance.engine.worker.backends.openvino import OpenVinoBackend
from appliance.engine.worker.backends.openvino_pipeline import (
    TOKENS_PER_STEP,
    OpenedModel,
    is_converted,
    open_pipeline,
)
from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.forms import (
    CAPABILITY,
    Form,
    JsonObject,
    JsonSchema,
    OneOf,
    Regex,
    ToolCalls,
)
from appliance.engine.worker.loading import load_engine
from appliance.engine.worker.prefix_index import PrefixIndex
from appliance.engine.worker.sampling import TokenSampling
from appliance.engine.worker.tokenizer import TextTokenizer
from appliance.errors import InvalidRequest
from tests.engine.worker.conftest import no_progress
from tests.waiting import until

pytestmark = pytest.mark.anyio
BOUND_SECONDS = 100
BLOCK = 32
END = [2]
KV_TOKENS = 1024
GREEDY = TokenSampling(temperature=0.0)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
# A small model without a sense of form goes round in circles otherwise.
RESTLESS = TokenSampling(temperature=0.0, frequency_penalty=1.5)
CALL = re.compile(
    r'<tool_call>\n\{"name": "(\w+)", "arguments": (\{.*?\})\}\n</tool_call>', re.DOTALL
)


@pytest.fixture(scope="module")
def opened(openvino_config: EngineConfig, demo_folder: ModelFolder) -> OpenedModel:
    converted = demo_folder.path / "openvino"
    if not is_converted(converted):
        load_engine(openvino_config, no_progress).close()
    model = open_pipeline(converted, kv_tokens=KV_TOKENS, max_concurrency=4, threads=None)
    OpenVinoBackend(model, END).warm_up()
    return model


@pytest.fixture
async def backend(opened: OpenedModel) -> AsyncIterator[OpenVinoBackend]:
    """Each test has a backend of its own over the one pipeline, in its own event loop."""
    deaths: list[BaseException] = []
    backend = OpenVinoBackend(opened, END)
    backend.start(asyncio.get_running_loop(), deaths.append)
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            yield backend
    finally:
        backend.close()
        await until(lambda: all(each.name != "openvino" for each in threading.enumerate()))
        assert not deaths


class Answer:
    """One stream that is read as it comes."""

    def __init__(self, backend: OpenVinoBackend, prompt: Sequence[int], **ask: Any) -> None:
        values: dict[str, Any] = {"max_tokens": 8, "sampling": GREEDY} | ask
        self.stream = TokenStream(Ask(prompt=prompt, **values))
        self.steps: list[Step] = []
        self._backend = backend
        self._task = asyncio.ensure_future(self._read())

    async def _read(self) -> list[int]:
        self._backend.submit(self.stream)
        try:
            async for step in self.stream.steps():
                self.steps.append(step)
        finally:
            self._backend.cancel(self.stream)
        return self.tokens

    @property
    def tokens(self) -> list[int]:
        return [token for step in self.steps for token in step.tokens]

    def __await__(self) -> Any:
        return self._task.__await__()

    def cancel(self) -> None:
        self._task.cancel()


def random_prompt(length: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(100, 40_000), k=length)  # noqa: S311


@pytest.fixture(scope="module")
def tokenizer(demo_folder: ModelFolder) -> TextTokenizer:
    return demo_folder.tokenizer()


@pytest.fixture(scope="module")
def say(tokenizer: TextTokenizer) -> Callable[..., list[int]]:
    """The prompt of a chat in the packaged model's form."""

    def say(text: str, system: str = "Be brief.") -> list[int]:
        turns = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n"
        return tokenizer.encode(f"{turns}<|im_start|>assistant\n", add_special_tokens=False)

    return say


@pytest.fixture(scope="module")
def text_of(tokenizer: TextTokenizer) -> Callable[[Sequence[int]], str]:
    def text_of(tokens: Sequence[int]) -> str:
        kept = [token for token in tokens if token not in END]
        return b"".join(tokenizer.bytes(token) for token in kept).decode()

    return text_of


# --- forms


@pytest.mark.parametrize(
    ("form", "holds"),
    [
        (JsonObject(), lambda text: isinstance(json.loads(text), dict)),
        (JsonSchema(PERSON), lambda text: set(json.loads(text)) == {"name", "age"}),
        (Regex("[0-9]{3}-[a-z]{2}"), lambda text: re.fullmatch("[0-9]{3}-[a-z]{2}", text)),
        (OneOf(("always so",)), lambda text: text == "always so"),
        (OneOf(("", "\U0001f600\\n\t")), lambda text: text in ("", "\U0001f600\\n\t")),
        (OneOf(("maybe", 'perhaps\n"so"')), lambda text: text in ("maybe", 'perhaps\n"so"')),
        (
            ToolCalls((("weather", CITY), ("now", NOTHING)), many=False),
            lambda text: len(CALL.findall(text)) == 1 and CALL.fullmatch(text),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_answers_hold_to_their_form(
    backend: OpenVinoBackend,
    say: Callable[..., list[int]],
    text_of: Callable[[Sequence[int]], str],
    form: Form,
    holds: Callable[[str], object],
) -> None:
    await asyncio.to_thread(backend.check_form, form)
    prompt = say("Give me a person as JSON.")
    answer = Answer(backend, prompt, max_tokens=200, form=form, sampling=RESTLESS)
    text = text_of(await answer)
    assert answer.steps[-1].finish_reason == "stop", text
    assert holds(text), text


async def test_several_calls_are_one_line_break_apart(
    backend: OpenVinoBackend,
    say: Callable[..., list[int]],
    text_of: Callable[[Sequence[int]], str],
) -> None:
    form = ToolCalls((("weather", CITY),), many=True)
    text = text_of(await Answer(backend, say("The weather?"), max_tokens=120, form=form))
    calls = CALL.findall(text)
    assert len(calls) > 1
    assert text.startswith("\n".join(match.group(0) for match in CALL.finditer(text)))


BAD_FORMS: list[Form] = [
    JsonSchema({"enum": []}),
    JsonSchema({"type": "object", "properties": {"a": {"not": {}}}}),
    JsonSchema({"type": "array", "minItems": 5, "maxItems": 2}),
    Regex("[a-"),
    Regex("(?=x)a"),
    ToolCalls((("weather", {"enum": []}),), many=True),
]


async def test_bad_forms_are_refused_and_disturb_nobody(backend: OpenVinoBackend) -> None:
    """The library would die of them in a step: none may reach it, checked before or not."""
    running = Answer(backend, random_prompt(20, 1), max_tokens=900)
    await until(lambda: running.tokens)
    for form in BAD_FORMS:
        with pytest.raises(InvalidRequest, match=r"cannot be (enforced|held to: \w)"):
            await asyncio.to_thread(backend.check_form, form)
        with pytest.raises(BackendFailed, match="cannot be"):
            await Answer(backend, random_prompt(20, 2), form=form)
    before = len(running.tokens)
    await until(lambda: len(running.tokens) > before)
    running.cancel()


async def test_forms_are_compiled_beside_running_answers(backend: OpenVinoBackend) -> None:
    running = Answer(backend, random_prompt(20, 3), max_tokens=900)
    await until(lambda: running.tokens)
    fields = {
        f"f{i}": {"type": "string", "pattern": f"^[a-z]{{2,9}}[0-9]{{{i}}}$"} for i in range(30)
    }
    checks = [
        asyncio.to_thread(backend.check_form, JsonSchema({"type": "object", "properties": {n: s}}))
        for n, s in fields.items()
    ]
    before = len(running.tokens)
    await asyncio.gather(*checks)
    assert len(running.tokens) > before
    running.cancel()


def test_grammars_are_dropped_when_there_are_many(
    opened: OpenedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert opened.forms is not None
    monkeypatch.setattr(openvino_forms, "_KEPT", 1)
    for text in ("a", "b"):
        opened.forms.check(Regex(text))
    with opened.forms.lock:
        opened.forms.trim()
        opened.forms.ensure(Regex("a"))
        opened.forms.trim()  # one is not many
    opened.forms.check(Regex("a"))


def test_capabilities_are_what_the_backend_can(opened: OpenedModel) -> None:
    capabilities = OpenVinoBackend(opened, END).capabilities
    assert capabilities >= {*CAPABILITY.values(), "logprobs", "temperature", "seed"}
    assert not capabilities & {"top_logprobs", "logit_bias", "adapters"}
    assert not OpenVinoBackend(opened, []).capabilities & set(CAPABILITY.values())


# --- sampling


async def test_logprobs_are_those_before_sampling_parameters(backend: OpenVinoBackend) -> None:
    prompt = random_prompt(20, 4)
    plain = Answer(backend, prompt, top_logprobs=0)
    await plain
    scores = [score for step in plain.steps for score in step.scores]
    assert len(scores) == len(plain.tokens)
    assert all(score.logprob < 0 and score.top == [] for score in scores)
    # The same first token from a sharpened and penalised distribution has the same score.
    sharp = TokenSampling(temperature=0.01, top_k=3, top_p=0.9, presence_penalty=1.0, seed=1)
    sampled = Answer(backend, prompt, top_logprobs=0, sampling=sharp)
    await sampled
    assert sampled.tokens[0] == plain.tokens[0]
    assert sampled.steps[0].scores[0].logprob == pytest.approx(scores[0].logprob, abs=0.05)
    unasked = Answer(backend, prompt)
    await unasked
    assert not any(step.scores for step in unasked.steps)


async def test_greedy_answers_repeat(
    backend: OpenVinoBackend, say: Callable[..., list[int]], text_of: Callable[[Any], str]
) -> None:
    """Golden: alone, the same text every time, on every machine that we know."""
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    prompt = say("What is the capital of France?", system)
    texts = [text_of(await Answer(backend, prompt, max_tokens=12)) for _ in range(2)]
    assert texts == ["The capital of France is Paris."] * 2


# --- prompts


async def test_cached_tokens_are_counted(backend: OpenVinoBackend) -> None:
    prompt = random_prompt(400, 5)
    first, again = Answer(backend, prompt), None
    await first
    assert first.stream.cached_tokens == 0  # its own pieces do not count
    again = Answer(backend, prompt)
    await again
    assert again.stream.cached_tokens == 384
    assert again.tokens == first.tokens
    onward = Answer(backend, [*prompt, *first.tokens, *random_prompt(40, 6)])
    await onward
    assert 384 <= onward.stream.cached_tokens <= 407


async def test_prompt_in_pieces_reads_as_the_whole_does(backend: OpenVinoBackend) -> None:
    """Beside a running answer a prompt is read in small pieces; the answer is the same."""
    prompt = random_prompt(300, 7)
    alone = await Answer(backend, prompt)
    running = Answer(backend, random_prompt(20, 8), max_tokens=900)
    await until(lambda: running.tokens)
    fresh = [prompt[1], *prompt[1:]]
    before = len(running.steps)
    staged = Answer(backend, fresh)
    await staged
    assert staged.stream.cached_tokens == 0
    # A step for each piece of at most TOKENS_PER_STEP tokens, and one a token.
    assert len(running.steps) - before >= 300 // TOKENS_PER_STEP
    running.cancel()
    assert await Answer(backend, fresh) == staged.tokens
    assert await Answer(backend, prompt) == alone


async def test_cancel_in_every_phase_leaves_nothing_behind(
    opened: OpenedModel, backend: OpenVinoBackend
) -> None:
    running = Answer(backend, random_prompt(20, 9), max_tokens=900)
    await until(lambda: running.tokens)
    for steps in (0, 1, 2, 3, 5):  # waiting, each piece, the first tokens
        victim = Answer(backend, random_prompt(200, 100 + steps), max_tokens=100)
        before = len(running.steps)
        await until(lambda: len(running.steps) > before + steps)  # noqa: B023 - used at once
        victim.cancel()
    running.cancel()
    await until(lambda: not opened.pipeline.has_non_finished_requests())


async def test_evicted_pieces_end_in_the_library_reading_alone(
    opened: OpenedModel, backend: OpenVinoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every piece had been lost: the index says cached, and the library knows nothing."""
    monkeypatch.setattr(PrefixIndex, "known", lambda self, chain: len(chain) * BLOCK)
    prompt = random_prompt(300, 10)
    answer = Answer(backend, prompt)
    await answer
    assert answer.stream.cached_tokens == 0
    monkeypatch.undo()
    assert await Answer(backend, prompt) == answer.tokens


async def test_full_cache_still_answers_everybody(backend: OpenVinoBackend) -> None:
    """Prompts that are more than the cache together: pieces are lost, answers are not."""
    answers = [Answer(backend, random_prompt(330, 200 + i), max_tokens=5) for i in range(4)]
    assert [len(await answer) for answer in answers] == [5] * 4
