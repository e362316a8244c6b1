"""A real Prometheus scrapes a real load: every panel of the board has something to show."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live import ROOT, free_port
from tests.observability.watching import (
    TOKEN,
    ask,
    one_working_one_waiting,
    wait_for,
)
from tests.scripted_app import ScriptedAppliance

DEPLOY = ROOT / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "boards" / "appliance.json").read_text("utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
CONFIG = """
global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
scrape_configs:
  - job_name: appliance
    authorization:
      credentials: {token}
    static_configs:
      - targets: ["{target}"]
"""

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="Prometheus is not installed",
)


class Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = httpx2.get(self.url + "/api/v1/query", params={"query": expression}, timeout=10)
        body = answer.json()
        assert body["status"] == "success", (expression, body)
        found: list[dict[str, Any]] = body["data"]["result"]
        return found

    def number(self, expression: str) -> float:
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else 0.0


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Prometheus]:
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(token=TOKEN, target=target), encoding="utf-8")
    port = free_port()
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    running = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: _is_ready(running.url, process, folder / "log"))
        yield running
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text("utf-8")
    try:
        return httpx2.get(url + "/-/ready", timeout=1).status_code == 200
    except httpx2.HTTPError:
        return False


def work(appliance: ScriptedAppliance) -> None:
    """A little of all that a day brings."""
    for _ in range(3):
        assert ask(appliance, "say A B C D").status_code == 200
    for _ in range(2):
        assert ask(appliance, "say twice", temperature=0).status_code == 200
    assert ask(appliance, "refuse 503").status_code == 503


def concrete(expression: str) -> str:
    return expression.replace("$instance", ".*").replace("$__rate_interval", "1m")


def test_every_panel_of_the_board_shows_data(watched: ScriptedAppliance, tmp_path: Path) -> None:
    work(watched)
    target = watched.url.removeprefix("http://")
    with prometheus(target, tmp_path) as server:
        wait_for(lambda: server.number('up{job="appliance"}') == 1)
        with one_working_one_waiting(watched):
            wait_for(lambda: server.number("appliance_queue_waiting") == 1)
        work(watched)
        wait_for(lambda: server.number("increase(appliance_generations_total[1m])") > 0)
        silent = set(EXPRESSIONS)

        def all_speak() -> bool:
            for title, expression in tuple(silent):
                if server.query(concrete(expression)):
                    silent.remove((title, expression))
            return not silent

        try:
            wait_for(all_speak)
        except AssertionError:
            raise AssertionError(f"no data for {silent}") from None
        answered = 'gen_ai_server_request_duration_seconds_count{error_type=""}'
        # Two loads of four and three computed answers, and the two that waited.
        wait_for(lambda: server.number(f"sum({answered})") == 9)


def test_nobody_asks_for_a_metric_that_is_not_there() -> None:
    """Rules, board, autoscalers and documentation; docs/metrics.md itself comes from the code."""
    table = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    there = set(re.findall(r"^\| `([\w:]+)`", table, re.MULTILINE))
    assert len(there) > 40
    asking = [*DEPLOY.rglob("*.yml"), *DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.json")]
    asking += (ROOT / "docs").glob("*.md")
    not_ours = r"appliance_(?:front|pod|session|waiting)\b|gen_ai_token_type\b"
    not_ours += r"|vllm:num_preemptions_total"  # vLLM tells it itself
    pattern = re.compile(rf"(?<![\w:/])(?!{not_ours})((?:appliance_|gen_ai_|vllm:)[a-z_]+[a-z])")
    unknown = {
        (file.name, name)
        for file in asking
        for name in pattern.findall(file.read_text("utf-8"))
        if name not in there and re.sub("_(bucket|sum|count)$", "", name) not in there
    }
    assert unknown == set()


def test_the_board_is_whole() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in BOARD["panels"]]
    assert len(titles) == len(set(titles))
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize(
    "command", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")]
)
def test_the_rules_hold_and_tell_their_stories(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [str(shutil.which("promtool")), *command],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_prometheus_own(tmp_path: Path) -> None:
    """As it ships; its token stands in a file of the container, here in one beside it."""
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="ascii")
    for name in ("prometheus.yml", "rules.yml"):
        text = (DEPLOY / "prometheus" / name).read_text("utf-8")
        text = text.replace("/run/secrets/metrics_token", str(token))
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_story() -> None:
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text("utf-8")
    stories = (DEPLOY / "prometheus" / "rules_test.yml").read_text("utf-8")
    alerts = [line.split()[-1] for line in rules.splitlines() if line.strip().startswith("- alert")]
    assert len(alerts) >= 10
    untold = [name for name in alerts if name not in stories and not name.startswith("Gpu")]
    assert untold == []
