"""One table of settings: each becomes a flag, a variable, a line of a file and of the docs.

A flag wins over `APPLIANCE_<NAME>`, that over the file that `APPLIANCE_<NAME>_FILE` names, that
over `<data-dir>/appliance.toml`, that over the default.
Nothing reads this module's values globally: `load_settings` makes them, the wiring passes on
plain values.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from appliance.engine.config import Adapter
from appliance.errors import SetupError
from appliance.given import in_words, lines_of, variables

ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseModel):
    """Everything the owner may choose. The order is the order of `--help` and of the docs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    lan: bool = Field(False, description="Listen on every address, so that team-mates get in.")
    lan_name: str = Field(
        "appliance",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$",
        description="With --lan: the name on the network, NAME.local.",
    )
    https: bool = Field(
        False, description="Speak HTTPS, with a certificate of this machine's own authority."
    )
    tls_cert: Path | None = Field(
        None, description="Your own certificate (PEM, with its chain); needs --tls-key."
    )
    tls_key: Path | None = Field(
        None, description="The key of --tls-cert (PEM, without a password)."
    )
    redirect_port: int | None = Field(
        None, ge=1, le=65535, description="With HTTPS: a port of plain HTTP that leads to it."
    )
    hsts_days: int = Field(
        0,
        ge=0,
        description="With HTTPS: forbid browsers plain HTTP for so long; 0 leaves them free.",
    )
    no_browser: bool = Field(False, description="Do not open the browser.")
    model: str = Field(
        "auto", description="auto, demo, a hub id, a folder, or a GGUF file.", min_length=1
    )
    precision: Literal["auto", "16bit", "int8", "nf4", "fp8", "awq"] = Field(
        "auto",
        description="Precision of the weights; auto takes the best that fits (fp8, awq: vLLM).",
    )
    engine: Literal["auto", "transformers", "openvino", "vllm", "remote"] = Field(
        "auto", description="Which engine computes; auto takes the fastest for this hardware."
    )
    engine_url: str | None = Field(
        None, description="URL of an OpenAI-compatible server (ends in /v1), for --engine remote."
    )
    engine_key: str | None = Field(None, description="API key for --engine-url.")
    vllm_command: str | None = Field(
        None,
        description="Command that starts vLLM, for --engine vllm; default: vllm, found on PATH.",
        min_length=1,
    )
    adapter: tuple[str, ...] = Field(
        (), description="NAME=FOLDER of a LoRA adapter to serve as NAME; may be given again."
    )
    idle_unload_minutes: float = Field(
        0, ge=0, description="Unload the model after so long without a request; 0: never."
    )
    context_length: int | None = Field(
        None, ge=256, description="Most tokens of prompt and answer together; default: what fits."
    )
    max_concurrency: int | None = Field(
        None, ge=1, le=512, description="Most answers computed at once; default: what fits."
    )
    data_dir: Path = Field(
        ROOT / "data", description="Folder of the database, the settings file and the models."
    )
    database_url: str | None = Field(
        None,
        description="sqlite:/// or postgresql:// URL; default: SQLite at <data-dir>/appliance.db.",
    )
    no_update_copy: bool = Field(
        False, description="Change the tables of an older ledger without copying it first."
    )
    redis_url: str | None = Field(
        None,
        pattern="^rediss?://",
        description="Redis by which several fronts share answers, limits and one queue.",
    )
    require_key: bool = Field(False, description="Ask for a key on this machine too.")
    rate_limit: str | None = Field(
        None, description="Requests allowed to each caller, such as 60/minute; default: no limit."
    )
    queue_limit: int = Field(
        256, ge=0, description="Most requests that may wait; the next one is told to come back."
    )
    queue_limit_per_key: int = Field(
        64, ge=0, description="Most requests of one key, or of the owner, that may wait."
    )
    no_chat_titles: bool = Field(
        False, description="Do not let the model name chats after their first answer."
    )
    cache_minutes: int = Field(
        10, ge=0, description="How long answers to deterministic requests are kept; 0 keeps none."
    )
    cache_mb: int = Field(64, ge=1, description="Most memory for kept answers, in megabytes.")
    cache_shared: bool = Field(
        False,
        description="Give kept answers to every caller: a quick one then tells that somebody else "
        "has asked the same.",
    )
    log_content: Literal["full", "metadata"] = Field(
        "full", description="Keep inputs and outputs in the ledger, or only their metadata."
    )
    retention_days: int | None = Field(
        None, ge=1, description="Delete ledger rows older than this; default: keep everything."
    )
    retention_content_days: int | None = Field(
        None, ge=1, description="Delete texts older than this, and keep their metadata."
    )
    retention_mb: int | None = Field(
        None, ge=10, description="Delete the oldest rows while all of them take more than this."
    )
    trusted_proxies: str = Field(
        "", description="Addresses or networks, comma-separated, whose X-Forwarded-For is believed."
    )
    drain_seconds: int = Field(
        3, ge=0, description="How long answers may go on after the appliance was told to stop."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Log lines for people, or JSON with a line for every request."
    )
    metrics_token: str | None = Field(
        None,
        min_length=16,
        description="Bearer token that may read /metrics and nothing else, for Prometheus.",
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://",
        description="OpenTelemetry collector that gets traces over OTLP/HTTP, such as "
        "http://127.0.0.1:4318.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that serve side by side before one engine; above 1: --redis-url.",
    )
    hub_endpoint: str | None = Field(
        None,
        description="Hub: a mirror's address, or modelscope; default: huggingface.co.",
    )
    language: Literal["auto", "en", "zh"] = Field(
        "auto", description="Language of the pages; auto follows each browser."
    )

    @field_validator("rate_limit")
    @classmethod
    def _rate_is_readable(cls, value: str | None) -> str | None:
        if value is not None:
            from limits import parse as parse_rate  # slow to import, and seldom needed

            try:
                parse_rate(value)
            except ValueError:
                raise ValueError(
                    "write a count and a unit, such as 60/minute or 5/second"
                ) from None
        return value

    @field_validator("adapter", mode="before")
    @classmethod
    def _adapters_are_a_list(cls, value: object) -> object:
        """A variable, and a line of the file, may separate them with commas."""
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("adapter")
    @classmethod
    def _adapters_are_named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [adapter.partition("=")[0].strip() for adapter in value]
        if not all(names) or not all(one.partition("=")[2].strip() for one in value):
            raise ValueError("write NAME=FOLDER, such as poet=adapters/poet")
        if len(set(names)) < len(names):
            raise ValueError("each adapter needs a name of its own")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: str) -> str:
        for part in filter(None, (p.strip() for p in value.split(","))):
            ip_network(part, strict=False)
        return value

    @field_validator("workers")
    @classmethod
    def _workers_share_what_they_must(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and sys.platform == "win32":
            raise ValueError("on Windows several processes cannot listen on one port; give 1")
        if value > 1 and info.data.get("redis_url") is None:
            raise ValueError(
                "they count limits and wait in one line through Redis; give redis_url too"
            )
        return value

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: give both or neither")
        if self.redirect_port is not None and not self.has_tls:
            raise ValueError("redirect_port leads to HTTPS: give https or tls_cert too")
        if self.redirect_port == self.port:
            raise ValueError("redirect_port and port must differ")
        return self

    @property
    def has_tls(self) -> bool:
        return self.https or self.tls_cert is not None

    @property
    def vouches_for_itself(self) -> bool:
        """Whether the certificate is of our own authority, which devices must be told to trust."""
        return self.https and self.tls_cert is None

    @property
    def bind_host(self) -> str:
        """The address uvicorn binds: every one with `--lan`, else `host`."""
        return "0.0.0.0" if self.lan else self.host  # noqa: S104 - only when asked for

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters with absolute folders: the engine works in a directory of its own."""
        pairs = (one.partition("=") for one in self.adapter)
        return tuple(
            Adapter(name.strip(), str(Path(folder.strip()).expanduser().resolve()))
            for name, _, folder in pairs
        )

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'appliance.db').as_posix()}"


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from `flags` (None means: not given), variables, the file, and the defaults.

    Raises SetupError that names the setting, what was wrong and what is allowed.
    """
    given = variables(Settings.model_fields, environ)
    given |= {k: v for k, v in flags.items() if v is not None}
    data_dir = Path(given.get("data_dir", ROOT / "data")).expanduser().resolve()
    merged = lines_of(data_dir / "appliance.toml") | given | {"data_dir": data_dir}
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise SetupError("%(problems)s", problems=in_words(error)) from None
