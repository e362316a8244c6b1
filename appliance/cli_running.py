"""The appliance that runs on a data folder, as commands reach it: over its own address."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from appliance.errors import SetupError
from appliance.folder import DataFolder
from appliance.lan.tls import client_context

AdminKey = Annotated[str | None, typer.Option(help="An admin key, where this machine needs one.")]


class Refused(SetupError):
    """The appliance has answered, and does not do it."""


class Running:
    """Its `/admin`. An answer may take `seconds`."""

    def __init__(self, folder: Path, key: str | None, seconds: float) -> None:
        """Raises SetupError when no appliance runs on `folder`."""
        import httpx2

        self._folder = folder
        data = DataFolder(folder)
        if (url := data.holder_url()) is None:
            raise self._away()
        self._http = httpx2.Client(
            base_url=f"{url}/admin",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=seconds,
            trust_env=False,
            verify=client_context(data.authority()) if url.startswith("https") else True,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Raises Refused with the appliance's reason, SetupError when it does not answer."""
        import httpx2

        try:
            answer = self._http.request(method, path, **options)
        except httpx2.HTTPError:
            raise self._away() from None
        body: dict[str, Any] = answer.json()
        if answer.is_error:
            raise Refused("%(detail)s", detail=body.get("detail", answer.text))
        return body

    def _away(self) -> SetupError:
        return SetupError(
            "No appliance runs on %(folder)s. Start it with launcher.py, or name its folder with "
            "--data-dir.",
            folder=self._folder,
        )
