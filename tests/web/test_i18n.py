"""Both languages are whole: whatever the code can say is in the catalogue."""

from __future__ import annotations

import re

import pytest

from appliance.domain import Phrase
from appliance.web import catalog, formats, i18n, rendering

PLACES = re.compile(r"%\((\w+)\)s|%\((\w+)\)d")


def test_every_sentence_is_translated() -> None:
    chinese = catalog.read(catalog.CHINESE)
    assert catalog.untranslated(chinese) == []


def test_nothing_old_is_left_in_the_catalogue() -> None:
    chinese = catalog.read(catalog.CHINESE)
    known = {message.id for message in catalog.extract()}
    assert [message.id for message in chinese if message.id not in known] == []


def test_translations_fill_the_same_places() -> None:
    chinese = catalog.read(catalog.CHINESE)
    for message in chinese:
        if not message.id:
            continue
        english = message.id[-1] if isinstance(message.id, (tuple, list)) else message.id
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        for text in texts:
            assert set(PLACES.findall(str(text))) == set(PLACES.findall(english)), english


def test_a_phrase_is_translated_with_its_values_and_the_phrases_in_them() -> None:
    inner = Phrase("No NVIDIA driver is installed, so the model runs on the CPU.")
    phrase = Phrase("The engine failed: %(reason)s", {"reason": inner})
    assert i18n.translate(phrase, "zh") == "引擎出错：没有安装 NVIDIA 驱动，因此模型在 CPU 上运行。"
    assert i18n.translate(phrase, "en") == f"The engine failed: {inner}"


@pytest.mark.parametrize(
    ("template", "english", "chinese"),
    [
        ("{{ _('New chat') }}", "New chat", "新聊天"),
        # What is filled in may be anybody's words.
        (
            "{{ _('%(time)s left', time='<b>') }}",
            "&lt;b&gt; left",
            "剩余 &lt;b&gt;",
        ),
        ("{{ ngettext('%(num)d day', '%(num)d days', 1) }}", "1 day", "1 天"),
        (
            "{{ ngettext('%(count)s token', '%(count)s tokens', 2, count='<2') }}",
            "&lt;2 tokens",
            "&lt;2 个 token",
        ),
    ],
)
def test_templates_say_sentences_with_their_values_escaped(
    template: str, english: str, chinese: str
) -> None:
    for language, said in (("en", english), ("zh", chinese)):
        made = rendering.environment(language).from_string(template)
        assert [made.render(), made.render()] == [said, said]


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(None, "—"), (0, "0 ms"), (999, "999 ms"), (3210, "3.2 s"), (125_000, "2 min 05 s")],
)
def test_durations(milliseconds: float | None, shown: str) -> None:
    assert formats.filters("en")["ms"](milliseconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (16_381_470_720, "16.4 GB")]
)
def test_sizes(size: int, shown: str) -> None:
    assert formats.filters("en")["bytes"](size) == shown
