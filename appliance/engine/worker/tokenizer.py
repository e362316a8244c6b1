"""One tokenizer for both backends: text to ids, and for each id the bytes that it stands for.

Knowing every token's bytes makes decoding exact and cheap: a stream of tokens is a stream of
bytes, and UTF-8 says by itself where a character ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from appliance.engine.worker.failure import LoadFailure

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE_MARK = "\u2581"


class TokenBytes:
    """Callable table from token id to bytes. Special tokens and unknown ids are empty."""

    def __init__(
        self, tokenizer: Tokenizer, *, byte_level: bool, strip_leading_space: bool
    ) -> None:
        self.strip_leading_space = strip_leading_space
        spell = _byte_level_spelling() if byte_level else {}
        added = tokenizer.get_added_tokens_decoder()
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self._bytes: list[bytes] = [b""] * (max(vocabulary.values(), default=-1) + 1)
        for token, index in vocabulary.items():
            if index in added:
                self._bytes[index] = b"" if added[index].special else token.encode()
            elif byte_level:
                self._bytes[index] = bytes(spell[c] for c in token if c in spell)
            else:
                self._bytes[index] = _byte_fallback(token)

    def __call__(self, token: int) -> bytes:
        return self._bytes[token] if 0 <= token < len(self._bytes) else b""


class TextTokenizer:
    """Encoding is thread-safe and releases the GIL."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        kinds = _decoder_kinds(json.loads(tokenizer.to_str()).get("decoder"))
        if not kinds & {"ByteLevel", "ByteFallback"}:
            raise LoadFailure(
                "load_failed",
                "This model's tokenizer is neither byte-level nor has it byte fallback; such "
                "tokenizers cannot be streamed exactly and are not supported.",
            )
        self.bytes = TokenBytes(
            tokenizer, byte_level="ByteLevel" in kinds, strip_leading_space="Strip" in kinds
        )

    @classmethod
    def from_file(cls, path: Path) -> TextTokenizer:
        try:
            return cls(Tokenizer.from_file(str(path)))
        except LoadFailure:
            raise
        except Exception as error:  # the library raises plain Exception for every kind of damage
            raise LoadFailure(
                "model_corrupt", f"{path.name} of the model cannot be read: {error}"
            ) from error

    def spell(self, token: int) -> bytes:
        """A token as it is written, special ones included; empty for an unknown id."""
        if spelt := self.bytes(token):
            return spelt
        return (self._tokenizer.id_to_token(token) or "").encode() if token >= 0 else b""

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens, special ones included. Half a character becomes U+FFFD."""
        text = b"".join(map(self.spell, tokens)).decode(errors="replace")
        return text.removeprefix(" ") if self.bytes.strip_leading_space else text

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """`add_special_tokens` is for raw text; a chat template writes its own."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))


def _byte_level_spelling() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes stand for themselves, the others begin at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    spelling = {chr(byte): byte for byte in printable}
    return spelling | {chr(0x100 + index): byte for index, byte in enumerate(others)}


def _byte_fallback(token: str) -> bytes:
    """SentencePiece's spelling: `<0x0A>` is a byte, U+2581 a space."""
    if match := _BYTE_TOKEN.fullmatch(token):
        return bytes([int(match[1], 16)])
    return token.replace(_SPACE_MARK, " ").encode()


def _decoder_kinds(decoder: dict[str, Any] | None) -> set[str]:
    if decoder is None:
        return set()
    parts: list[dict[str, Any]] = decoder.get("decoders", [decoder])
    return {part["type"] for part in parts}
