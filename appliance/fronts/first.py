"""The first front's side of several: its servers, and the orders to the others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from appliance.fronts.channel import Channel, Relayed, channel
from appliance.fronts.fronts import Fronts
from appliance.fronts.lines import Order
from appliance.server import Beside
from appliance.settings import Settings

# Longer than a further front keeps a connection that it does not use.
KEPT_SECONDS = 60


class FirstFront(uvicorn.Server):
    """Begins the further fronts once it serves, and has them end when it is to end."""

    def __init__(self, config: uvicorn.Config, fronts: Fronts) -> None:
        super().__init__(config)
        self._fronts = fronts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._fronts.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._fronts.stop()
        await super().shutdown(sockets)


@dataclass(frozen=True, slots=True)
class Several:
    """More than one front."""

    fronts: Fronts
    channel: Channel

    def main_server(self, config: uvicorn.Config) -> uvicorn.Server:
        return FirstFront(config, self.fronts)

    def relay_server(self, app: ASGIApp) -> uvicorn.Server:
        """For a block of `alongside` that outlives the main server."""
        config = uvicorn.Config(
            Relayed(app, self.channel.secret),
            lifespan="off",  # the app's life is the main server's
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEPT_SECONDS,
            ws="none",
        )
        return Beside(config)


@contextmanager
def several(
    settings: Settings, listener: socket.socket, places: int, tls: tuple[Path, Path] | None
) -> Iterator[Several]:
    """As many as the settings say, on `listener`. `tls` are certificate and key, None for HTTP."""
    certificate, key = (None, None) if tls is None else (str(tls[0]), str(tls[1]))
    with channel() as opened:
        order = partial(
            Order,
            settings=settings,
            listener=listener.fileno(),
            channel=opened.path,
            secret=opened.secret,
            places=places,
            certificate=certificate,
            key=key,
        )
        fronts = Fronts(
            settings.workers, lambda n: order(number=n), drain_seconds=settings.drain_seconds
        )
        yield Several(fronts, opened)
