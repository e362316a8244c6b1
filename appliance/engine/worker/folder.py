"""What a model folder says besides its weights: tokenizer, chat template, end tokens.

A GGUF file is turned into such a folder once, in the cache, under the name of its checksum.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.engine.gguf import GgufError, read_gguf
from appliance.engine.worker.checksum import sha256_of
from appliance.engine.worker.failure import LoadFailure, Progress
from appliance.engine.worker.gguf_tokenizer import build_tokenizer, end_tokens
from appliance.engine.worker.prompt import ChatTemplate
from appliance.engine.worker.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """`path` has tokenizer files in the hub's layout; `gguf` is set when weights are there."""

    path: Path
    gguf: Path | None = None

    def tokenizer(self) -> TextTokenizer:
        file = self.path / "tokenizer.json"
        if not file.is_file():
            raise LoadFailure(
                "load_failed",
                f"The model folder {self.path} has no tokenizer.json, which is needed.",
            )
        return TextTokenizer.from_file(file)

    def template(self) -> ChatTemplate | None:
        """None for a model that was not trained to chat."""
        config = self._json("tokenizer_config.json")
        file = self.path / "chat_template.jinja"
        source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
        if isinstance(source, list):  # several named templates
            source = {entry["name"]: entry["template"] for entry in source}.get("default")
        if not source:
            return None
        return ChatTemplate(
            source,
            bos_token=_token_text(config.get("bos_token")),
            eos_token=_token_text(config.get("eos_token")),
        )

    def end_tokens(self) -> list[int]:
        for name in ("generation_config.json", "config.json"):
            ids = self._json(name).get("eos_token_id")
            if ids is not None:
                return ids if isinstance(ids, list) else [ids]
        return []

    def _json(self, name: str) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise LoadFailure(
                "model_corrupt", f"{name} of the model is damaged: {error}"
            ) from error
        return values


def open_folder(path: Path, cache_dir: Path, progress: Progress) -> ModelFolder:
    """The folder itself, or the one made from a GGUF file. Raises LoadFailure."""
    if path.is_dir():
        return ModelFolder(path)
    digest = sha256_of(path, cache_dir, progress)
    folder = cache_dir / "gguf" / digest[:16]
    if not (folder / "generation_config.json").is_file():
        progress("convert", 0, 0)
        _write_tokenizer(path, folder)
    return ModelFolder(folder, gguf=path)


def read_metadata(gguf: Path) -> dict[str, Any]:
    """Every key of a GGUF file with its value. Raises LoadFailure `model_corrupt`."""
    try:
        return read_gguf(gguf).metadata
    except GgufError as error:
        raise LoadFailure(
            "model_corrupt", f"{gguf.name} is not a GGUF file that can be read: {error}"
        ) from error


def _write_tokenizer(gguf: Path, folder: Path) -> None:
    metadata = read_metadata(gguf)
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"), pretty=False)
    tokens = metadata["tokenizer.ggml.tokens"]
    config = {
        f"{name}_token": tokens[metadata[key]]
        for name in ("bos", "eos")
        if (key := f"tokenizer.ggml.{name}_token_id") in metadata
    }
    if template := metadata.get("tokenizer.chat_template"):
        config["chat_template"] = template
    _write(folder / "tokenizer_config.json", config)
    # Last: its presence says that the others are whole.
    _write(folder / "generation_config.json", {"eos_token_id": end_tokens(metadata)})


def _write(path: Path, values: dict[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values), encoding="utf-8")
    partial.replace(path)


def _token_text(token: Any) -> str:
    """A special token is written as text, or as an object around it."""
    return str(token.get("content", "") if isinstance(token, dict) else token or "")
