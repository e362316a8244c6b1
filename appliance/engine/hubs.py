"""Where models come from: the hub that a setting names, and the address of each of its files.

Two kinds of hub are known: those that speak Hugging Face's protocol (mirrors among them), and
ModelScope with its own. Nothing is fetched here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

from appliance.errors import SetupError

HUGGING_FACE = "https://huggingface.co"
MODELSCOPE = "https://modelscope.cn"
_MODELSCOPE_HOSTS = ("modelscope.cn", "modelscope.ai")


@dataclass(frozen=True, slots=True)
class Hub:
    """One hub. `url` has no slash at its end."""

    kind: Literal["huggingface", "modelscope"]
    url: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc or self.url

    def file_url(self, model: str, path: str, revision: str | None = None) -> str:
        if self.kind == "modelscope":
            query = (
                f"Revision={quote(revision or 'master', safe='')}&FilePath={quote(path, safe='')}"
            )
            return f"{self.url}/api/v1/models/{model}/repo?{query}"
        return f"{self.url}/{model}/resolve/{quote(revision or 'main', safe='')}/{quote(path)}"

    def listing_url(self, model: str, revision: str | None = None) -> str:
        """ModelScope's list of all files of a model, with sizes and checksums."""
        query = f"Revision={quote(revision or 'master', safe='')}&Recursive=True"
        return f"{self.url}/api/v1/models/{model}/repo/files?{query}"


def hub_of(endpoint: str | None) -> Hub:
    """The hub of the setting: an address, the word `modelscope`, or None for the usual one.

    None obeys HF_ENDPOINT, as all programs that fetch from Hugging Face do. Raises SetupError for
    what is neither.
    """
    wanted = (endpoint or os.environ.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")
    if wanted.casefold() == "modelscope":
        return Hub("modelscope", MODELSCOPE)
    parts = urlsplit(wanted)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SetupError(
            "The hub %(value)s is not an address: give one such as https://hf-mirror.com, or the "
            "word modelscope.",
            param="hub_endpoint",
            value=repr(wanted),
        )
    host = parts.hostname
    is_modelscope = any(host == one or host.endswith("." + one) for one in _MODELSCOPE_HOSTS)
    return Hub("modelscope" if is_modelscope else "huggingface", wanted)
