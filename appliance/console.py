"""What the owner sees in the terminal: where to go, how far the model is, what went wrong."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser

import typer

from appliance.engine.status import Engine, EngineStatus


def say(text: str) -> None:
    typer.echo(text)


async def follow_engine(engine: Engine) -> None:
    """Print the engine's life: progress on one line of a terminal, else a line a stage."""
    shown = ""
    async for status in engine.changes():
        line = _line(status)
        if line == shown:
            continue
        growing = sys.stdout.isatty() and status.phase == "loading"
        if growing or status.percent in (None, 100):
            typer.echo(f"\r\033[K{line}" if sys.stdout.isatty() else line, nl=not growing)
        shown = line


def _line(status: EngineStatus) -> str:
    facts = status.facts
    match status.phase:
        case "ready" if facts is not None:
            notice = f"\n! {status.notice}" if status.notice else ""
            return (
                f"Ready: {facts.model} ({facts.precision}, {facts.backend}) after "
                f"{facts.load_seconds:.1f} s; context {facts.context_length} tokens, "
                f"{facts.max_concurrency} answers at once.{notice}"
            )
        case "loading":
            return f"Model: {(status.stage or 'load').replace('_', ' ')}{_how_far(status)}"
        case "failed" | "restarting":
            return f"Engine {status.phase}: {status.reason}"
        case _:
            return f"Engine: {status.phase}"


def _how_far(status: EngineStatus) -> str:
    far = "" if status.percent is None else f" {status.percent} %"
    far += "" if not status.speed else f", {status.speed / 1e6:.1f} MB/s"
    return far + ("" if status.seconds_left is None else f", {status.seconds_left} s left")


def open_browser(url: str) -> None:
    """Without waiting, and only where there is a screen: elsewhere a text browser would start."""
    has_screen = (
        sys.platform in ("win32", "darwin")
        or os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
    )
    if has_screen:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
