"""Asking a scripted appliance, and reading its metrics as Prometheus does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.scripted_app import ScriptedAppliance

TOKEN = "scrape-me-if-you-can"
FROM_AFAR = {"x-forwarded-for": "203.0.113.7"}


def ask(appliance: ScriptedAppliance, text: str, **more: Any) -> httpx2.Response:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **more}
    headers = body.pop("headers", {})
    url = appliance.url + "/v1/chat/completions"
    return httpx2.post(url, json=body, headers=headers, timeout=30)


class Page:
    """The metrics at one moment."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def value(self, name: str, **labels: str) -> float:
        """The sum over all series of this name that carry these labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str) -> set[str]:
        return {key for sample in self.families[name].samples for key in sample.labels}


def scrape(appliance: ScriptedAppliance) -> Page:
    answer = httpx2.get(appliance.url + "/metrics", timeout=30)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def wait_for(true: Callable[[], object], seconds: float = 30.0) -> None:
    """Until `true()` is. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.02)


@contextmanager
def one_working_one_waiting(appliance: ScriptedAppliance) -> Iterator[None]:
    """The engine's only place is taken, and somebody waits for it; both are answered after."""
    threads = [threading.Thread(target=ask, args=(appliance, "wait")) for _ in range(2)]
    appliance.engine.release.clear()
    try:
        for thread in threads:
            thread.start()
        wait_for(lambda: scrape(appliance).value("appliance_queue_waiting") == 1)
        yield
    finally:
        appliance.engine.release.set()
        for thread in threads:
            thread.join(30)
        appliance.engine.release.clear()
