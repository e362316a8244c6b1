"""A Chromium that nothing listens to.

Playwright is told of every request and every frame, which takes from the two cores that a page is
being painted on. Here a tab is told where to go and asked afterwards how it went, over the DevTools
protocol (https://chromedevtools.github.io/devtools-protocol/).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Self


class Chromium:
    """A browser on a pipe: fd 3 of the browser is what it is told, fd 4 what it says, each message
    ended by a zero byte. To be used as a context; a refused command is a RuntimeError."""

    def __init__(self, path: str, arguments: Sequence[str]) -> None:
        self._numbers = count(1)
        self._rest = b""
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        told, self._tell = os.pipe()
        self._heard, said = os.pipe()
        profile = f"--user-data-dir={self._folder.name}"
        command = [path, "--headless", "--remote-debugging-pipe", profile, *arguments]
        shell = ["bash", "-c", f'exec "$0" "$@" 3<&{told} 4>&{said}', *command]
        self._process = subprocess.Popen(
            shell, pass_fds=(told, said), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        os.close(told)
        os.close(said)
        self.version: str = self.call("Browser.getVersion")["product"].rpartition("/")[2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.call("Browser.close")
        self._process.wait(10)
        self._folder.cleanup()

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """What a command answers. What a browser says unasked is passed over."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": parameters}
        if session is not None:
            asked["sessionId"] = session
        os.write(self._tell, json.dumps(asked).encode() + b"\0")
        while (said := self._hear()).get("id") != number:
            pass
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._heard, 1 << 16)
            if not more:
                raise RuntimeError("The browser has ended.")
            self._rest += more
        said, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(said)
        return message

    @contextmanager
    def profile(self) -> Iterator[str]:
        """A profile that has never been anywhere, forgotten afterwards."""
        made = self.call("Target.createBrowserContext")["browserContextId"]
        yield made
        self.call("Target.disposeBrowserContext", browserContextId=made)

    def tab(self, profile: str, width: int, height: int) -> Tab:
        """An empty tab, in a window of its own."""
        opened = self.call(
            "Target.createTarget", url="about:blank", browserContextId=profile, newWindow=True
        )
        target = opened["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", session, **size)
        return Tab(self, session)


class Tab:
    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    def go(self, url: str) -> None:
        """As if somebody had typed the address; returns when the first bytes are there."""
        self._browser.call("Page.navigate", self._session, url=url)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of its promise."""
        answer = self._browser.call(
            *("Runtime.evaluate", self._session),
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")
