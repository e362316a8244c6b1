"""Several fronts on a scripted engine and a real Redis, and ways to ask a certain one of them."""

from __future__ import annotations

import json
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from appliance.lan.tls import client_context
from tests.live import Appliance, appliance
from tests.observability.watching import wait_for
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine
from tests.servers import running_redis


@dataclass(frozen=True)
class House:
    running: Appliance
    engine: ScriptedEngine
    count: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        return self.running.url.replace("http", self.scheme)

    @property
    def trusted(self) -> ssl.SSLContext:
        """Knows the authority that it has made for itself, if it has."""
        authority = self.running.data_dir / "tls" / "authority.pem"
        return client_context(authority.read_bytes() if authority.exists() else None)

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.url + path, timeout=30, verify=self.trusted)

    @property
    def first(self) -> psutil.Process:
        return psutil.Process(self.running.process.pid)

    def further(self) -> list[psutil.Process]:
        children = self.first.children()
        return [child for child in children if "appliance.fronts" in child.cmdline()]

    def wait_until_all_serve(self) -> None:
        wait_for(lambda: self._answers() and self.metric("appliance_fronts") == self.count, 60)

    def metric(self, name: str) -> float:
        """The sum over its series."""
        page = self.get("/metrics").text
        rows = [line.rpartition(" ") for line in page.splitlines()]
        return sum(float(value) for key, _, value in rows if key.partition("{")[0] == name)

    @contextmanager
    def awake(self, front: psutil.Process) -> Iterator[None]:
        """Inside, the others are asleep: this front takes whoever connects."""
        others = [one for one in (self.first, *self.further()) if one != front]
        for one in others:
            one.suspend()
        try:
            yield
        finally:
            for one in others:
                one.resume()

    @contextmanager
    def at(self, front: psutil.Process, address: str = "127.0.0.1") -> Iterator[httpx2.Client]:
        """A client with one connection, which this front has taken."""
        only_one = httpx2.Limits(max_connections=1)
        transport = httpx2.HTTPTransport(
            verify=self.trusted, local_address=address, limits=only_one
        )
        with httpx2.Client(transport=transport, base_url=self.url, timeout=60) as client:
            with self.awake(front):
                client.get("/health").raise_for_status()
            yield client

    def key(self, name: str, **rules: Any) -> dict[str, str]:
        """The header that shows a new key."""
        body = {"name": name, **rules}
        address = self.url + "/admin/keys"
        answer = httpx2.post(address, json=body, timeout=30, verify=self.trusted)
        assert answer.status_code == 201, answer.text
        return {"authorization": f"Bearer {answer.json()['secret']}"}

    def rows(self, sql: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.running.data_dir / "appliance.db", timeout=30)) as ledger:
            return ledger.execute(sql, values).fetchall()

    def row(self, request_id: str, columns: str) -> tuple[Any, ...]:
        """Of one request, once it is closed."""
        sql = f"select {columns} from request where id = ? and status is not null"
        wait_for(lambda: self.rows(sql, request_id))
        (row,) = self.rows(sql, request_id)
        return tuple(row)

    def log(self) -> list[dict[str, Any]]:
        lines = self.running.said().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def served_by(self) -> dict[str, int]:
        """The number of the front that wrote each request's line."""
        return {line["request_id"]: line["front"] for line in self.log() if "route" in line}

    def _answers(self) -> bool:
        try:
            return self.get("/ready").status_code == 200
        except httpx2.HTTPError:
            assert self.running.process.poll() is None, self.running.said()
            return False


@contextmanager
def house(folder: Path, count: int, *flags: str) -> Iterator[House]:
    with running_redis(folder) as redis, scripted_engine() as engine:
        more = ["--engine", "remote", "--engine-url", engine.url, "--engine-key", KEY]
        more += ["--workers", str(count), "--redis-url", redis.url, "--log-format", "json"]
        with appliance(folder / "data", *more, *flags) as running:
            scheme = "https" if "--https" in flags else "http"
            found = House(running, engine, count, scheme)
            found.wait_until_all_serve()
            yield found
            engine.release.set()
