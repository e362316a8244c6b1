"""Text to tokens and back, as vLLM has it."""

from __future__ import annotations

import pytest

from appliance.engine.worker.folder import ModelFolder
from appliance.engine.worker.tokenizer import TextTokenizer
from tests.engine.worker.scripted import serving

pytestmark = pytest.mark.anyio
TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def tokenizer(demo_folder: ModelFolder) -> TextTokenizer:
    return demo_folder.tokenizer()


async def test_text_there_and_back(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, "x") as server:
        text = "Hello 👍 <|im_end|>"
        answer = (await server.post("/tokenize", prompt=text, return_token_strs=True)).json
        assert answer["tokens"] == tokenizer.encode(text, add_special_tokens=True)
        assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
        assert answer["token_strs"][0] == "Hello"
        assert answer["token_strs"][-1] == "<|im_end|>"
        assert answer["max_model_len"] == 4096
        back = await server.post("/detokenize", tokens=answer["tokens"])
        assert back.json == {"prompt": text}
        assert (await server.post("/tokenize", prompt=text)).json["token_strs"] is None


async def test_turns_are_counted_as_they_are_admitted(tokenizer: TextTokenizer) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    off = {"enable_thinking": False}
    async with serving(tokenizer, "x") as server:
        for more in ({}, {"tools": [tool]}, {"chat_template_kwargs": off}):
            counted = (await server.post("/tokenize", messages=TURNS, **more)).json
            used = (await server.chat(messages=TURNS, **more)).json["usage"]["prompt_tokens"]
            assert counted["count"] == used
        bare = await server.post("/tokenize", messages=TURNS, add_generation_prompt=False)
        assert tokenizer.decode(bare.json["tokens"]) == "<|im_start|>user\nHi<|im_end|>\n"


async def test_refusals(tokenizer: TextTokenizer) -> None:
    async with serving(tokenizer, "x") as server:
        error = await server.refusal("/detokenize", tokens=[1, 49152])
        assert error["param"] == "tokens.1"
        assert "0 to 49151" in error["message"]
        assert (await server.refusal("/detokenize", tokens=[-1]))["param"] == "tokens.0"
        assert (await server.refusal("/tokenize", prompt=7))["param"] == "prompt"
        assert (await server.refusal("/tokenize", text="x"))["param"] in ("prompt", "text")
