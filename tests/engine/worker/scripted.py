"""A backend whose answers are written by the test, and the worker's server around it.

The real backends are held to the same contract in test_contract; here the words are known.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from appliance.engine.config import EngineFacts
from appliance.engine.worker.backends.base import Ask, OnFatal, Scored, Step, TokenStream
from appliance.engine.worker.backends.pulse import Pulse
from appliance.engine.worker.engine import Engine
from appliance.engine.worker.forms import CAPABILITY, Form
from appliance.engine.worker.generation import Slot
from appliance.engine.worker.prompt import ChatTemplate
from appliance.engine.worker.sampling import NEUTRAL, SAMPLING_PARAMETERS, TokenSampling
from appliance.engine.worker.server import create_app
from appliance.engine.worker.tokenizer import TextTokenizer
from tests.engine.worker.running import sse_payloads

QWEN3_FORM = (Path(__file__).parent / "qwen3_form.jinja").read_text()
PLAIN = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
CLOCK = {"type": "function", "function": {"name": "clock"}}
TOOLS = [WEATHER, CLOCK]
# Where forms hold from the first token on.
OFF = "{% set enable_thinking = false %}" + QWEN3_FORM
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
SECOND = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>'
USER = {"role": "user", "content": "Hi"}
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
PLACES = 4
END_TOKEN = 2
EVERYTHING = (
    SAMPLING_PARAMETERS | set(CAPABILITY.values()) | {"logprobs", "top_logprobs", "adapters"}
)


class ScriptedBackend:
    """Says what `script` answers to an ask, a token a turn of the loop, then the end token.

    A script may contain `PAUSE`: there the stream waits until `go_on` is called. With `piled` all
    tokens come in one step.
    """

    PAUSE = "\x00"
    engine_version = "scripted"

    def __init__(
        self,
        tokenizer: TextTokenizer,
        script: Callable[[Ask], str],
        *,
        piled: bool = False,
        capabilities: frozenset[str] = EVERYTHING,
    ) -> None:
        self.capabilities = capabilities
        self.kv_usage = 0.0
        self.asks: list[Ask] = []
        self.checked: list[Form] = []
        self.refused: Exception | None = None
        self.running: set[TokenStream] = set()
        self.pulse = Pulse(lambda: bool(self.running))
        self.paused = asyncio.Event()
        self._resume = asyncio.Event()
        self._tokenizer = tokenizer
        self._script = script
        self._piled = piled

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        self._loop = loop

    def check_form(self, form: Form) -> None:
        self.checked.append(form)
        if self.refused is not None:
            raise self.refused

    def submit(self, stream: TokenStream) -> None:
        assert len(self.running) < PLACES
        self.asks.append(stream.ask)
        self.running.add(stream)
        stream.cached_tokens = 7
        self._task = self._loop.create_task(self._say(stream))

    def cancel(self, stream: TokenStream) -> None:
        self.running.discard(stream)

    def close(self) -> None:
        self._resume.set()

    def go_on(self) -> None:
        self._resume.set()

    def prompt(self, index: int) -> str:
        """What the model saw in the ask of this number."""
        return self._tokenizer.decode(self.asks[index].prompt)

    async def _say(self, stream: TokenStream) -> None:
        said, _, rest = self._script(stream.ask).partition(self.PAUSE)
        await self._push(stream, self._encode(said), ended=not rest)
        if rest:
            self.paused.set()
            await self._resume.wait()
            await self._push(stream, self._encode(rest), ended=True)

    async def _push(self, stream: TokenStream, tokens: list[int], *, ended: bool) -> None:
        if ended:
            tokens = [*tokens, END_TOKEN]
        room = stream.ask.max_tokens
        finish = "length" if len(tokens) > room else "stop" if ended else None
        tokens = tokens[:room]
        size = max(len(tokens), 1) if self._piled else 1
        for at in range(0, len(tokens), size):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if stream not in self.running:
                return
            piece = tokens[at : at + size]
            last = at + size >= len(tokens)
            scores = [self._score(token) for token in piece] if self._scored(stream) else []
            stream.push(Step(piece, finish if last else None, scores))  # type: ignore[arg-type]

    def _scored(self, stream: TokenStream) -> bool:
        self._top = stream.ask.top_logprobs or 0
        return stream.ask.top_logprobs is not None

    def _score(self, token: int) -> Scored:
        """A number by which a test knows the token again."""
        return Scored(-token / 1e6, [(token + rank, -float(rank)) for rank in range(self._top)])

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)


def engine_of(
    backend: ScriptedBackend,
    tokenizer: TextTokenizer,
    template: str = QWEN3_FORM,
    *,
    thinking_defaults: TokenSampling | None = None,
    adapters: tuple[str, ...] = (),
) -> Engine:
    facts = EngineFacts(
        model="scripted",
        backend="scripted",
        engine_version="1",
        precision="fp32",
        context_length=4096,
        kv_tokens=8192,
        max_concurrency=PLACES,
        capabilities=tuple(sorted(backend.capabilities)),
        adapters=adapters,
    )
    engine = Engine(
        backend=backend,
        tokenizer=tokenizer,
        template=ChatTemplate(template),
        defaults=NEUTRAL,
        thinking_defaults=thinking_defaults,
        facts=facts,
    )
    engine.start(asyncio.get_running_loop(), lambda error: None)
    return engine


class Call:
    """One HTTP request to the app; what is sent back can be looked at while it comes."""

    def __init__(self, app: Any, path: str, body: Any) -> None:
        self._app = app
        self._body = json.dumps(body).encode()
        self._path = path
        self._asked = False
        self._left = asyncio.Event()
        self.status = 0
        self.text = ""
        self._headers = {b"authorization": b"Bearer k", b"content-type": b"application/json"}

    async def run(self) -> Call:
        scope = {
            "type": "http",
            "method": "POST",
            "path": self._path,
            "query_string": b"",
            "headers": list(self._headers.items()),
        }
        await self._app(scope, self._receive, self._send)
        return self

    def hang_up(self) -> None:
        self._left.set()

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.text += message.get("body", b"").decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def chunks(self) -> list[Any]:
        return sse_payloads(self.text)

    @property
    def id(self) -> str:
        """Of the answer, as soon as the stream's first chunk is there."""
        return str(json.loads(self.text.split("\n\n")[0].removeprefix("data: "))["id"])


class Server:
    """The worker's application over a scripted backend."""

    def __init__(self, engine: Engine, backend: ScriptedBackend) -> None:
        self.app = create_app(Slot(engine), "k")
        self.backend = backend

    async def post(self, path: str, **body: Any) -> Call:
        return await Call(self.app, path, body).run()

    async def chat(self, text: str = "Hi", **body: Any) -> Call:
        messages = [{"role": "user", "content": text}]
        return await self.post(CHAT, **({"messages": messages} | body))

    async def answer(self, text: str = "Hi", **body: Any) -> dict[str, Any]:
        """The only choice of a whole chat answer."""
        call = await self.chat(text, **body)
        assert call.status == 200, call.text
        choice: dict[str, Any] = call.json["choices"][0]
        return choice

    async def refusal(self, path: str = CHAT, **body: Any) -> dict[str, Any]:
        call = await (self.chat(**body) if path == CHAT else self.post(path, **body))
        assert call.status == 400, call.text
        error: dict[str, Any] = call.json["error"]
        assert error["type"] == "invalid_request_error"
        assert not self.backend.asks
        return error


@asynccontextmanager
async def serving(
    tokenizer: TextTokenizer,
    script: str | Callable[[Ask], str],
    template: str = QWEN3_FORM,
    *,
    piled: bool = False,
    capabilities: frozenset[str] = EVERYTHING,
    **engine: Any,
) -> AsyncIterator[Server]:
    """A server whose model says `script`; none of its streams may be left running."""
    say = script if callable(script) else lambda ask: script
    backend = ScriptedBackend(tokenizer, say, piled=piled, capabilities=capabilities)
    async with asyncio.timeout(20):
        yield Server(engine_of(backend, tokenizer, template, **engine), backend)
    assert not backend.running


def delta_of(chunks: list[Any], index: int = 0) -> dict[str, Any]:
    """A streamed choice put together as clients do it."""
    whole: dict[str, Any] = {"content": "", "reasoning": "", "tool_calls": {}, "finish": None}
    for choice in (c for chunk in chunks for c in chunk["choices"] if c["index"] == index):
        delta = choice["delta"]
        whole["content"] += delta.get("content") or ""
        whole["reasoning"] += delta.get("reasoning") or ""
        assert delta.get("reasoning") == delta.get("reasoning_content")
        for card in delta.get("tool_calls", ()):
            call = whole["tool_calls"].setdefault(card["index"], {"arguments": ""})
            call |= {"id": card["id"], "type": card["type"]} if "id" in card else {}
            call["name"] = card["function"].get("name", call.get("name"))
            call["arguments"] += card["function"]["arguments"]
        whole["finish"] = choice["finish_reason"] or whole["finish"]
    return whole
