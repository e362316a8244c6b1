"""How people get in: sessions, the network's addresses, and the certificate to trust, wired up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import Request

from appliance.folder import DataFolder
from appliance.gateway.http import identify
from appliance.gateway.identity import Caller, Identity
from appliance.gateway.tries import WrongKeys
from appliance.lan.network import Network
from appliance.ledger.keys import KeyStore
from appliance.settings import Settings
from appliance.signing import Signing
from appliance.web.parts import Reach
from appliance.web.session import Sessions


@dataclass(frozen=True, slots=True)
class Doors:
    """What the app is given about its entrances."""

    sessions: Sessions
    signing: Signing
    reach: Reach
    tries: WrongKeys

    def named(self, keys: KeyStore, *, require_key: bool) -> Callable[[Request], Awaitable[Caller]]:
        """The dependency that names a request's caller."""
        identity = Identity(keys, require_key=require_key, tries=self.tries)

        async def named(request: Request) -> Caller:
            return await identify(identity, request, self.sessions.read)

        return named


def doors(
    settings: Settings,
    folder: DataFolder,
    network: Network | None,
    tries: WrongKeys,
    shared: Signing | None,
) -> Doors:
    """`network` is where the server listens; without one it is what the settings say. `shared`
    signs sessions for several appliances; without it the folder's secrets do."""
    network = network or Network(settings.bind_host, settings.port)
    signing = shared or folder.signing
    reach = Reach(
        started_at=datetime.now(UTC),
        host=settings.bind_host,
        port=settings.port,
        require_key=settings.require_key,
        urls=network.urls,
        authority=folder.authority if settings.vouches_for_itself else lambda: None,
    )
    return Doors(Sessions(signing), signing, reach, tries)
