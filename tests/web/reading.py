"""Reading a page as a person would: its words, without markup, and what is on it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# Names, units and code, which read the same in every language.
SAME_EVERYWHERE = re.compile(
    r"https?://\S+|(?<!\w)/[\w/]+|sk-appl-|X-Log-Content: off|APPLIANCE_KEY|[245]xx|"
    r"\b(?:AI|API|UTC|KV|IP|Id|SQL|HTTP|Markdown|Python|curl|openai|JavaScript|TypeScript"
    r"|Ctrl|Enter|Esc|tokens?|Java|Go|Rust|Kotlin|Swift|PHP|Ruby|Bash|PowerShell|HTML|CSS|English|C|R|p50|p95|ms|s|min|MB"
    r"|JSON|Top-[pk]|Min-p|JSONL|CSV|Parquet|OpenAI|editor|minute|day|second|script|Script-1B|fp32|cpu|owner|lan|GET|POST|B|KB|GB"
    r"|OpenAI|CA|VPN|iPhone|iPad|Android|Windows|macOS|Linux|Debian|Ubuntu|Fedora|Chrome|Chromium|Firefox|Safari"
    r"|Node\.js|https|SHA|PEM|appliance\.crt|(?:[0-9A-F]{2}:){31}[0-9A-F]{2})\b|--(?:lan|https)\b"
)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "code", "pre", "textarea", "kbd"):
            self._skipped += 1
        shown = ("title", "aria-label", "placeholder")
        self.words += [value for name, value in attrs if name in shown and value]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "code", "pre", "textarea", "kbd"):
            self._skipped -= 1

    def handle_data(self, data: str) -> None:
        if not self._skipped and data.strip():
            self.words.append(data.strip())


def words(html: str) -> list[str]:
    """Every text on the page, shown or read aloud, except code and what has been typed in."""
    reader = _Words()
    reader.feed(html)
    return reader.words


def english_words(html: str) -> list[str]:
    """Texts of a Chinese page that still hold an English word."""
    return [
        text for text in words(html) if re.search(r"[A-Za-z]{2,}", SAME_EVERYWHERE.sub("", text))
    ]
