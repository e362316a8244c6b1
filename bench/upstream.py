"""A scripted engine for `bench.front`: it answers at once, in a steady rhythm, and thinks nothing.

    python -m bench.upstream --gap 0.005      prints its port, ends when standard input closes

It speaks as much of `/v1/completions` and `/v1/models` as the front needs, by hand, so that the
front beside it is what a measurement measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading

MODEL = "demo"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
    return _data({"id": "cmpl-1", "object": "text_completion", "model": MODEL, "choices": [choice]})


def _data(value: object) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


class Upstream:
    """`gap` is the seconds between two tokens of one stream; 0: as fast as a socket takes them."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._token = _chunk(event(" word"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                _, mark, rest = head.partition(b"content-length:")
                length = int(rest.split(b"\r\n")[0]) if mark else 0
                body = await reader.readexactly(length)
                if head.startswith(b"post"):
                    await self._answer(json.loads(body), writer)
                else:
                    _send_models(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, ask: dict[str, object], writer: asyncio.StreamWriter) -> None:
        tokens = int(str(ask["max_tokens"]))
        writer.write(_HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(tokens):
            # By the clock, not by the gap: a late token does not make all later ones late.
            await asyncio.sleep(max(0.0, began + number * self._gap - loop.time()))
            writer.write(self._token)
            await writer.drain()
        usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
        writer.write(_chunk(event("", "length")))
        writer.write(_chunk(_data({"id": "cmpl-1", "choices": [], "usage": usage})))
        writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _send_models(writer: asyncio.StreamWriter) -> None:
    body = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()
    head = _HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(body)
    writer.write(head + body)


async def listen(gap: float) -> asyncio.Server:
    """On a free port of this machine."""
    return await asyncio.start_server(Upstream(gap).serve, "127.0.0.1", 0)


async def _main(gap: float) -> None:
    server = await listen(gap)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    await ended.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gap", type=float, default=0.005, help="seconds between two tokens")
    asyncio.run(_main(parser.parse_args().gap))
