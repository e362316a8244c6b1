"""An appliance as a team has it after two weeks: a model that answers, keys, chats, a full ledger.

Everything is the product's own but the model, which says what `stories.toml` has it say.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2

from appliance.engine.config import Endpoint, EngineFacts
from appliance.fit.catalogue import load_catalogue
from appliance.fit.hardware import GIB, Gpu, Hardware
from appliance.fit.plan import Wish, plan
from appliance.lan.addresses import Address
from appliance.lan.authority import Authority
from appliance.lan.network import Network
from appliance.ledger.recorder import Recorder
from docs.images.weeks import two_weeks
from tests.access.house import House
from tests.scripted_answers import DONE, chunk, delta, sse
from tests.scripted_engine import ScriptedEngine, serving
from tests.waiting import until
from tests.web.site import ScriptedEngine as Board

STORIES = tomllib.loads((Path(__file__).parent / "stories.toml").read_text(encoding="utf-8"))
CARD = Gpu(
    index=0,
    name="NVIDIA GeForce RTX 4090 Laptop GPU",
    total_bytes=16 * GIB,
    free_bytes=round(15.2 * GIB),
    compute_capability=(8, 9),
    driver_version="580.95",
    cuda_driver=(13, 0),
    uuid="",
)
LAPTOP = Hardware(
    gpus=(CARD,),
    ram_total_bytes=32 * GIB,
    ram_available_bytes=22 * GIB,
    cores_physical=16,
    cores_logical=24,
    disk_free_bytes=400 * GIB,
    platform="linux",
    machine="x86_64",
)
PLAN = plan(LAPTOP, Wish(), load_catalogue())
FACTS = EngineFacts(
    model=PLAN.model,
    backend=PLAN.engine,
    engine_version="5.23.0",
    precision=PLAN.precision or "",
    context_length=PLAN.context_length,
    kv_tokens=PLAN.kv_tokens,
    max_concurrency=PLAN.max_concurrency,
    capabilities=(),
    load_seconds=21.4,
    thinking=True,
)
PACE_SECONDS = 0.022


class Telling(ScriptedEngine):
    """Answers by the words that a question holds, a word at a time."""

    async def _script(self, word: str, rest: str, body: dict[str, Any]) -> AsyncIterator[bytes]:
        asked = [str(message["content"]) for message in body["messages"]]
        known = [
            one for said in reversed(asked) for one in STORIES["answer"] if one["asked"] in said
        ]
        story = known[0]
        text = story["title"] if "a title of" in asked[-1] else story["text"].strip()
        thinking = body.get("chat_template_kwargs", {}).get("enable_thinking")
        thoughts = story.get("thinking", "") if thinking else ""
        for piece in thoughts.split():
            yield delta(reasoning_content=piece + " ")
            await asyncio.sleep(PACE_SECONDS)
        if story.get("waits"):
            await until(self.release.is_set, 60)
        for piece in text.split(" "):
            yield delta(content=piece + " ")
            await asyncio.sleep(PACE_SECONDS)
        said = len((thoughts + text).split(" "))
        usage = {"prompt_tokens": len(" ".join(asked)) // 3, "completion_tokens": said}
        yield chunk({"delta": {}, "finish_reason": "stop"})
        yield sse({"choices": [], "usage": usage})
        yield DONE


class Ready(Board):
    """An engine that is reached where `Telling` listens."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self.board.publish(phase="ready", facts=FACTS)

    def endpoint(self) -> Endpoint:
        return self._endpoint

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Endpoint]:
        yield self._endpoint


@dataclass(frozen=True)
class Lively:
    """The house at `url`, and the model behind it, which waits for `model.release`."""

    url: str
    house: House
    model: Telling


@contextmanager
def lively(folder: Path) -> Iterator[Lively]:
    """Two weeks of a small team, always the same ones."""
    network = Network("0.0.0.0", 8000, "https", "appliance.local", _at_home)  # noqa: S104
    model = Telling()
    Authority(folder / "tls").renew(["192.168.1.20"], datetime.now(UTC))
    with serving(model.app) as engine_url:
        endpoint = Endpoint(engine_url + "/v1", "engine-key", PLAN.model)
        flags = {"lan": True, "https": True}
        house = House(folder, Ready(endpoint), PLAN, network, **flags)
        asyncio.run(_keys(house))
        two_weeks(Recorder(house.writer), FACTS)
        with serving(house.app) as url:
            _chats(url)
            yield Lively(url, house, model)
        house.close()


def _at_home() -> list[Address]:
    return [Address(ip_address("192.168.1.20"), "wlan0")]


async def _keys(house: House) -> None:
    soon = datetime.now(UTC) + timedelta(days=9)
    await house.keys.create("anna", rate="60/minute", tokens_per_day=200_000)
    await house.keys.create("ben", tokens_per_day=100_000)
    await house.keys.create("home assistant", rate="20/minute", scopes=("chat",))
    await house.keys.create("nightly report", expires_at=soon)


def _chats(url: str) -> None:
    for chat in STORIES["chat"]:
        turns = [
            {"role": ("user", "assistant")[place % 2], "content": said}
            for place, said in enumerate(chat["messages"])
        ]
        settings = {"folder": chat.get("folder")}
        whole = {"title": chat["title"], "settings": settings, "messages": turns}
        file = {"file": ("chat.json", httpx2.Request("POST", url, json=whole).read())}
        httpx2.post(f"{url}/chats/import", files=file, timeout=60)
