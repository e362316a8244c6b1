"""What is pictured: each page in the state that shows it best, and how it is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
from playwright.sync_api import Page

from docs.images.lively import Lively

SECONDS_MS = 30_000
TEXT = {
    "en": "Dear customers,\n\nOur new opening hours are: from 1. March on we are opened until 8pm "
    "on Thursdays and at Saturdays we open already at 9am. We hope this is more better for you. "
    "Please look at the note on the door on holidays.\n\nKind regards,\nLena Moser",
    "zh": "尊敬的顾客：\n\n我们的新营业时间是，从3月1号起我们每周四开到晚上8点，周六早上9点就"
    "开门了。希望这样对您更方便一些。节假日请看门口贴的告示。\n\n此致\n敬礼\n莫丽娜",
}
PROGRAM = """\
import csv

def slowest(path):
    file = open(path)
    rows = list(csv.DictReader(file))
    worst = rows[0]
    for row in rows:
        if float(row["ms"]) == max(float(r["ms"]) for r in rows):
            worst = row
    return worst

print(slowest("requests.csv"))
"""
QUESTION = {"en": "Explain compound interest, with code.", "zh": "什么是复利？请附代码。"}


@dataclass(frozen=True)
class Shot:
    """A picture: what to do for it, and how it is looked at. `variants` are words of its name."""

    name: str
    pose: Callable[[Page, Lively, str], None]
    variants: tuple[str, ...] = ("desktop", "phone")


def opened(path: str) -> Callable[[Page, Lively, str], None]:
    """The page at `path` as it is."""

    def pose(page: Page, _: Lively, __: str) -> None:
        page.goto(path)

    return pose


def chat(page: Page, _: Lively, language: str) -> None:
    page.goto("/")
    page.check("#thinking", force=True)
    page.fill("#prompt", QUESTION[language])
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/chat/"))
    page.locator(".message-actions").wait_for(timeout=SECONDS_MS)
    page.locator("#chat-title", has_text=re.compile("Compound|怎么回事")).wait_for()
    page.evaluate("scrollTo(0, 0)")


def thinking(page: Page, lively: Lively, _: str) -> None:
    lively.model.release.clear()
    page.goto("/")
    page.check("#thinking", force=True)
    page.fill("#prompt", "How do I read tide tables?")
    page.keyboard.press("Enter")
    page.get_by_text("a harbour").wait_for(timeout=SECONDS_MS)


def settings(page: Page, _: Lively, __: str) -> None:
    page.goto("/")
    page.locator(".settings > summary").click()


def menu(page: Page, _: Lively, __: str) -> None:
    page.goto("/")
    page.locator(".menu > summary").click()


def talk(page: Page, _: Lively, __: str) -> None:
    page.goto("/assistants/service/talk")
    for question in ("How long does delivery take?", "Can I send it back?"):
        page.fill("#prompt", question)
        page.locator(".send").click()
        page.locator("article.answer").last.locator(".sources, .muted").first.wait_for()


def write(page: Page, _: Lively, language: str) -> None:
    page.goto("/write")
    page.fill("#text", TEXT[language])
    page.check("input[value=polish]", force=True)
    page.click("#order .primary")
    page.locator("#difference .change").first.wait_for(timeout=SECONDS_MS)
    page.evaluate("scrollTo(0, 0)")


def code(page: Page, _: Lively, __: str) -> None:
    page.goto("/code")
    page.fill("#text", PROGRAM)
    page.check("input[value=refactor]", force=True)
    page.click("#order .primary")
    page.locator("#difference").wait_for(timeout=SECONDS_MS)
    page.evaluate("scrollTo(0, 0)")


def request(page: Page, lively: Lively, _: str) -> None:
    page.goto(f"/history/{_asked(lively)}")


def compare(page: Page, lively: Lively, _: str) -> None:
    page.goto(f"/history/{_asked(lively)}")
    page.locator("form[action$=replay] button").first.click()
    page.wait_for_url("**/compare/**")
    page.locator(".sides").wait_for(timeout=SECONDS_MS)


def secret(page: Page, _: Lively, __: str) -> None:
    page.goto("/keys")
    page.fill("#name", f"clara {page.viewport_size['width']}")  # type: ignore[index]
    page.locator("form:has(#name) .primary").first.click()
    page.locator("#secret").wait_for()


def invite(page: Page, _: Lively, language: str) -> None:
    page.goto("/keys")
    page.fill("#name", {"en": "David", "zh": "小林"}[language])
    page.locator("button[formaction$=invite]").click()
    page.locator("#link").wait_for()


def join(page: Page, lively: Lively, language: str) -> None:
    invite(page, lively, language)
    page.goto("/join" + page.locator("#link").inner_text().partition("/join")[2])
    page.locator("form[action='/join'] button").wait_for()


def engine(**changes: object) -> Callable[[Page, Lively, str], None]:
    """The chat while the engine is something else than ready."""

    def pose(page: Page, lively: Lively, _: str) -> None:
        lively.house.engine.board.publish(**changes)
        page.goto("/")
        page.locator("#engine .notice").wait_for()

    return pose


def _asked(lively: Lively) -> str:
    """A question that was put to the API just now."""
    body = {"prompt": "How many piano tuners work in a city of a million?", "max_tokens": 200}
    answer = httpx2.post(f"{lively.url}/generate", json=body, timeout=60)
    return answer.raise_for_status().headers["x-request-id"]


LOADING = {"phase": "loading", "stage": "load", "done": 62, "total": 100, "seconds_left": 9}
WITH_CHINESE = ("desktop", "phone", "desktop-zh", "phone-zh")
SHOTS = (
    Shot("history", opened("/history"), ("desktop", "phone", "desktop-zh")),
    Shot("request", request),
    Shot("compare", compare, ("desktop",)),
    Shot("charts", opened("/history/charts")),
    Shot("mine", opened("/history/mine"), ("phone",)),
    Shot("status", opened("/status"), ("desktop", "phone", "phone-zh")),
    Shot("keys", opened("/keys"), ("desktop", "phone", "desktop-zh")),
    Shot("key", opened("/keys/of?name=anna"), ("desktop",)),
    Shot("key-new", secret, ("phone",)),
    Shot("chat", chat, (*WITH_CHINESE, "desktop-dark")),
    Shot("chat-new", opened("/"), WITH_CHINESE),
    Shot("chat-thinking", thinking, ("phone",)),
    Shot("chat-settings", settings),
    Shot("menu", menu, ("phone", "phone-zh")),
    Shot("chats", opened("/chats"), ("desktop",)),
    Shot("assistants", opened("/assistants"), ("desktop", "phone-zh")),
    Shot("assistant-edit", opened("/assistants/new?like=service"), ("desktop",)),
    Shot("assistant-talk", talk),
    Shot("assistant-share", opened("/assistants/service/share"), ("phone",)),
    Shot("write", write, WITH_CHINESE),
    Shot("code", code, ("desktop", "phone", "desktop-dark")),
    Shot("invite", invite),
    Shot("join", join, ("phone", "phone-zh")),
    Shot("connect", opened("/connect"), ("desktop",)),
    Shot("login", opened("/login"), ("phone",)),
    Shot("trust", opened("/trust"), ("phone",)),
    Shot("offline", opened("/offline"), ("phone",)),
    Shot("error", opened("/no/such/page"), ("phone",)),
    Shot("loading", engine(**LOADING, facts=None)),
    Shot("unloaded", engine(phase="unloaded", facts=None), ("phone",)),
)
