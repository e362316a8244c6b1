"""A collector of traces: OTLP over HTTP, read by OpenTelemetry's own definition of it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.live import free_port
from tests.observability.watching import wait_for

IDS = ("traceId", "spanId", "parentSpanId")


class Collector:
    """Keeps every span. `status` other than 200 is what it answers instead of taking any."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.status = 200
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.posts = 0

    def take(self, path: str, body: bytes) -> int:
        self.posts += 1
        if self.status != 200:
            return self.status
        assert path == "/v1/traces"
        # A word that the definition does not know is an error here.
        request = Parse(_with_ids_as_protobuf_has_them(body), ExportTraceServiceRequest())
        for resource in request.resource_spans:
            self.resources.append(values(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        self.bodies.append(body)
        return 200

    def of(self, trace_id: str, count: int) -> dict[str, Span]:
        """The spans of a trace by their names, once there are so many."""

        def found() -> list[Span]:
            return [span for span in tuple(self.spans) if span.trace_id.hex() == trace_id]

        wait_for(lambda: len(found()) >= count)
        assert len(found()) == count
        return {span.name: span for span in found()}

    @contextmanager
    def running(self) -> Iterator[None]:
        server = ThreadingHTTPServer(
            ("127.0.0.1", int(self.url.rpartition(":")[2])), _handler(self)
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)


def values(attributes: Any) -> dict[str, Any]:
    pairs: list[KeyValue] = list(attributes)
    assert len({pair.key for pair in pairs}) == len(pairs)
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def _with_ids_as_protobuf_has_them(body: bytes) -> str:
    """OTLP writes ids in hexadecimal, where protobuf's own JSON has base64."""

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {
            name: base64.b64encode(bytes.fromhex(value)).decode() if name in IDS else value
            for name, value in pairs
        }

    return json.dumps(json.loads(body, object_pairs_hook=read))


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing is said of it."""

    return Handler
