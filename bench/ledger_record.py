"""Requests recorded as the appliance records them, and what that costs each of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from appliance.domain import Timings, Usage
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder
from appliance.ledger.writer import Writer
from bench.ledger_rows import KEYS, PARAMETERS, TOOLS, Texts

AT_ONCE = 50


@dataclass
class Recording:
    """`submitted`: seconds that each request spent on its record; `cpu`: seconds of all threads."""

    writer: Writer
    texts: Texts
    submitted: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def run(self, requests: int) -> float:
        """Records so many, `AT_ONCE` at a time; the seconds until all of them were committed."""
        recorder, chat = Recorder(self.writer), [self._turn("system")]
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(requests):
            if number % 6 == 0:
                chat = chat[:1]
            chat.append(self._turn("user"))
            before = time.perf_counter()
            self._record(recorder, list(chat))
            self.submitted.append(time.perf_counter() - before)
            chat.append(self._turn("assistant"))
            if number % AT_ONCE == 0:
                self.writer.schedule(lambda _session: None).result()
        self.writer.schedule(lambda _session: None).result()
        self.cpu = time.process_time() - cpu
        return time.perf_counter() - began

    def _turn(self, role: str) -> dict[str, str]:
        return {"role": role, "content": self.texts.text(12, 120)}

    def _record(self, log: Recorder, said: list[dict[str, str]]) -> None:
        request_id, generation_id = new_id(), new_id()
        log.open_request(
            id=request_id, created_at=datetime.now(UTC), method="POST",
            path="/v1/chat/completions", client_ip="10.0.0.1", user_agent="OpenAI/Python 2.8.0",
        )  # fmt: skip
        log.open_generation(
            id=generation_id, request_id=request_id, model="Qwen/Qwen3-8B", precision="int8",
            engine="transformers", parameters=PARAMETERS, input=said, dialect="openai", seed=1,
            tools=TOOLS if self.texts.random.random() < 0.1 else None,
        )  # fmt: skip
        log.close_generation(
            generation_id, output=self.texts.text(40, 300), reasoning=None,
            usage=Usage(300, 120, 40), timings=Timings(1.0, 80.0, 3000.0), finish_reason="stop",
            error=None, queue_place=0, output_bytes=500,
        )  # fmt: skip
        log.close_request(request_id, status=200, duration_ms=3001.0, key_name=KEYS[0])
