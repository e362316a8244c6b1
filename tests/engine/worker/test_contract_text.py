"""What every engine promises of raw prompts: as text, as token ids, and said again."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.engine.worker.running import answered, content_of, sse_payloads

pytestmark = pytest.mark.anyio

TEXT = "/v1/completions"
PROMPT = "The capital of France is"


async def choice(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    wish = {"prompt": PROMPT, "temperature": 0, "max_tokens": 6} | body
    (found,) = (await answered(client, TEXT, wish))["choices"]
    return dict(found)


async def tokens_of(client: httpx2.AsyncClient, text: str = PROMPT) -> list[int]:
    answer = await client.post("/tokenize", json={"prompt": text})
    return list(answer.json()["tokens"])


async def test_token_ids_are_a_prompt(client: httpx2.AsyncClient) -> None:
    ids = await tokens_of(client)
    assert (await choice(client, prompt=ids))["text"] == (await choice(client))["text"] != ""


async def test_an_id_beyond_the_vocabulary_is_refused(client: httpx2.AsyncClient) -> None:
    response = await client.post(TEXT, json={"prompt": [1, 10_000_000], "max_tokens": 1})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert "10000000" in error["message"]
    assert error["param"] in ("prompt", None), "vLLM names the value alone"


@pytest.mark.parametrize("stop", [None, ["France"]])
async def test_an_echo_is_the_prompt_and_then_the_answer(
    client: httpx2.AsyncClient, stop: list[str] | None
) -> None:
    """No stop string is looked for in the prompt."""
    plain = (await choice(client, stop=stop))["text"]
    for prompt in (PROMPT, await tokens_of(client)):
        whole = await choice(client, prompt=prompt, echo=True, stop=stop)
        assert whole["text"] == PROMPT + plain
    body = {"prompt": PROMPT, "temperature": 0, "max_tokens": 6, "echo": True, "stream": True}
    chunks = sse_payloads((await client.post(TEXT, json=body | {"stop": stop})).text)
    assert content_of(chunks) == PROMPT + plain


async def test_logprobs_of_an_echo_or_a_refusal_by_name(client: httpx2.AsyncClient) -> None:
    """As evaluation tools ask: what the model thinks of the prompt's tokens and of one more."""
    ids = await tokens_of(client)
    body = {"prompt": ids, "temperature": 0, "max_tokens": 1, "echo": True, "logprobs": 2}
    response = await client.post(TEXT, json=body)
    if response.status_code == 400:
        error = response.json()["error"]
        assert error["code"] == "unsupported_parameter"
        assert error["param"] in ("echo", "logprobs")
        return
    scores = response.json()["choices"][0]["logprobs"]
    assert scores["token_logprobs"][0] is None
    assert scores["top_logprobs"][0] is None
    assert "".join(scores["tokens"][: len(ids)]) == PROMPT
    assert scores["text_offset"][:2] == [0, len(scores["tokens"][0])]
    lengths = {name: len(found) for name, found in scores.items()}
    assert set(lengths.values()) == {len(ids) + 1}
    for at in range(1, len(ids)):
        next_one = await choice(client, prompt=ids[:at], max_tokens=1, logprobs=2)
        (alone,) = next_one["logprobs"]["top_logprobs"]
        told = scores["top_logprobs"][at]
        for token, value in alone.items():
            assert told[token] == pytest.approx(value, abs=0.02), at
        if scores["tokens"][at] in alone:
            own = scores["token_logprobs"][at]
            assert own == pytest.approx(alone[scores["tokens"][at]], abs=0.02)
