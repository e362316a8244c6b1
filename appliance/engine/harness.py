"""Runs a server that is not ours under our worker's protocol (see `engine.config`).

    python -m appliance.engine.harness

Reads one line of JSON, `{"command": […], "facts": {…}}`, adds `--port`, starts the command and
says `listening`, `progress` and `ready` for it. When standard input closes, or when the server
ends, everything it has started ends too. Knows what vLLM's log lines mean; not how it is ordered.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any, NoReturn

from appliance.engine import harness_log, harness_questions

LOOK_EVERY_SECONDS = 0.25
END_SECONDS = 5.0
LAST_LINES_SECONDS = 0.5
LINES_KEPT = 400


class Harness:
    """One server and the pipes to our parent."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._facts: dict[str, Any] = order["facts"]
        self._port = free_port()
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._started = time.monotonic()
        self._speaking = threading.Lock()
        self._server = subprocess.Popen(
            [*order["command"], "--port", str(self._port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self) -> NoReturn:
        """Until the server or the parent ends."""
        threading.Thread(target=self._follow_parent, daemon=True).start()
        self._say(event="listening", port=self._port)
        self._say(event="progress", stage="load", done=0, total=0)
        reader = threading.Thread(target=self._read_log, daemon=True)
        reader.start()
        ready = self._wait_ready()
        status = self._server.wait()
        # Its own children may hold the log open for ever, so only what is there by now counts.
        reader.join(LAST_LINES_SECONDS)
        if not ready and status > 0:
            code, message = harness_log.why_not(list(self._lines))
            self._say(event="failed", code=code, message=message)
        # As a shell has it: the parent's last look at how it ended.
        os._exit(status if status >= 0 else 128 - status)

    def _wait_ready(self) -> bool:
        while self._server.poll() is None:
            if harness_questions.is_well(self._port):
                seconds = time.monotonic() - self._started
                key = os.environ.get("VLLM_API_KEY", "")
                found = harness_questions.facts(self._port, key, self._facts)
                self._say(event="ready", facts=found | {"load_seconds": seconds})
                return True
            time.sleep(LOOK_EVERY_SECONDS)
        return False

    def _read_log(self) -> None:
        assert self._server.stdout is not None  # noqa: S101 - we asked for the pipe
        for raw in self._server.stdout:
            sys.stderr.buffer.write(raw)
            sys.stderr.buffer.flush()
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if progress := harness_log.progress(line):
                stage, done, total = progress
                self._say(event="progress", stage=stage, done=done, total=total)

    def _follow_parent(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 65536):
                pass
        self._server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(END_SECONDS)
        end_all(self._server)

    def _say(self, **event: Any) -> None:
        with self._speaking, contextlib.suppress(OSError):
            os.write(1, json.dumps(event).encode() + b"\n")


def free_port() -> int:
    """Free a moment ago; the server takes it at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def own_group() -> None:
    """Lead a process group, so that ending it ends whatever the server has started, and us."""
    if sys.platform != "win32" and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def end_all(server: subprocess.Popen[bytes]) -> NoReturn:
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    server.kill()
    os._exit(0)


def main() -> None:
    # Ctrl-C reaches the whole terminal; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    own_group()
    order = json.loads(sys.stdin.buffer.readline())
    try:
        harness = Harness(order)
    except OSError as error:
        message = (
            f"{order['command'][0]} cannot be started: {error.strerror or error}. Install vLLM, or "
            "say with --vllm-command how to start it."
        )
        event = {"event": "failed", "code": "missing_package", "message": message}
        os.write(1, json.dumps(event).encode() + b"\n")
        os._exit(1)
    harness.run()


if __name__ == "__main__":
    main()
