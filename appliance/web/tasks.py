"""The tasks of the writing assistant and the code helper: data in, prompts out.

Reads `data/assistants/*.toml` and knows neither pages nor engine. What a person pastes is data:
it is fenced with a mark that does not occur in it, and the instruction stands after it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from appliance.domain import GenerationRequest, Message, Sampling
from appliance.engine.config import EngineFacts
from appliance.errors import InvalidRequest

FOLDER = Path(__file__).resolve().parents[2] / "data" / "assistants"
MAX_CHARACTERS = 200_000
AMPLE_ANSWER_TOKENS = 2048

Target = Literal["human", "code"]

# The languages a text can be translated into; each name is a msgid on the page.
HUMAN_LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "Chinese"}
_IN_CHINESE = {"en": "英文", "zh": "中文"}

# Name on the page → info string of a fenced block, which is also Pygments' alias.
CODE_LANGUAGES: Mapping[str, str] = {
    "Python": "python", "JavaScript": "javascript", "TypeScript": "typescript", "Java": "java",
    "C": "c", "C++": "cpp", "C#": "csharp", "Go": "go", "Rust": "rust", "Kotlin": "kotlin",
    "Swift": "swift", "PHP": "php", "Ruby": "ruby", "R": "r", "SQL": "sql", "Bash": "bash",
    "PowerShell": "powershell", "HTML": "html", "CSS": "css",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing an assistant can do. `name` and `hint` are msgids, `prompts` is by language."""

    id: str
    name: str
    hint: str
    temperature: float
    prompts: Mapping[str, str]
    input: Literal["prose", "code"] = "prose"
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Assistant:
    """A page's worth of tasks. `system` and `note` are by language, `tasks` by id."""

    id: str
    system: Mapping[str, str]
    note: Mapping[str, str]
    tasks: Mapping[str, Task]


@dataclass(frozen=True, slots=True)
class Order:
    """What the reader has asked for, checked: `language` and `target` are names or empty."""

    task: Task
    text: str
    language: str = ""
    target: str = ""


@cache
def load_assistant(name: str, folder: Path = FOLDER) -> Assistant:
    """Read `<folder>/<name>.toml`. A field that is missing or unknown raises at once."""
    content = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    tasks = [_task(entry) for entry in content["task"]]
    return Assistant(name, content["system"], content.get("note", {}), {t.id: t for t in tasks})


def sentences() -> Iterator[tuple[str, str]]:
    """What the pages show of this data, each with the file it comes from, for the catalogue."""
    for path in sorted(FOLDER.glob("*.toml")):
        for task in load_assistant(path.stem).tasks.values():
            yield task.name, f"data/assistants/{path.name}"
            yield task.hint, f"data/assistants/{path.name}"
    for language in HUMAN_LANGUAGES.values():
        yield language, "appliance/web/tasks.py"


def _task(entry: dict[str, Any]) -> Task:
    prompts = {"en": entry.pop("en"), "zh": entry.pop("zh")}
    return Task(prompts=prompts, **entry)


def check_order(
    assistant: Assistant, *, task: str, text: str, language: str = "", target: str = ""
) -> Order:
    """The order, or InvalidRequest whose `param` is the field to mend and whose text says how."""
    chosen = assistant.tasks.get(task)
    if chosen is None:
        raise InvalidRequest("Choose one of the tasks.", param="task")
    text = text.replace("\r\n", "\n").strip("\n")
    if not text.strip():
        raise InvalidRequest("There is nothing to work on yet. Put it in here.", param="text")
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(
            "This is %(given)s characters long; at most %(allowed)s are allowed. Shorten it.",
            param="text", given=len(text), allowed=MAX_CHARACTERS,
        )  # fmt: skip
    if language and language not in CODE_LANGUAGES:
        raise InvalidRequest("Choose one of the languages.", param="language")
    return Order(chosen, text, language, _check_target(chosen, text, target))


def _check_target(task: Task, text: str, target: str) -> str:
    if task.target == "human":
        if target and target not in HUMAN_LANGUAGES:
            raise InvalidRequest("Choose one of the languages.", param="target")
        return target or other_language(text)
    if task.target == "code" and target not in CODE_LANGUAGES:
        raise InvalidRequest("Choose the language to rewrite in.", param="target")
    return target if task.target else ""


def other_language(text: str) -> str:
    """`en` for a text that is mostly Chinese, else `zh`.

    A Chinese character carries about as much as two Latin letters, so that a Chinese text with
    some English names in it still counts as Chinese.
    """
    han = len(re.findall(r"[\u3400-\u9fff\U00020000-\U0003ffff]", text))
    latin = len(re.findall(r"[A-Za-z]", text))
    return "en" if han * 2 > latin else "zh"


def compose(assistant: Assistant, order: Order, reader: str) -> tuple[Message, ...]:
    """The turns to send. `reader` is the page's language; anything but zh reads English."""
    tongue = "zh" if reader.startswith("zh") else "en"
    target = order.target
    if order.task.target == "human":
        target = _IN_CHINESE[target] if tongue == "zh" else HUMAN_LANGUAGES[target]
    instruction = order.task.prompts[tongue].replace("{target}", target)
    if order.language and assistant.note:
        note = assistant.note[tongue].replace("{language}", order.language)
        instruction = f"{note} {instruction}" if tongue == "en" else f"{note}{instruction}"
    return (
        Message("system", assistant.system[tongue]),
        Message("user", f"{_fenced(order)}\n\n{instruction}"),
    )


def generation_request(
    assistant: Assistant, order: Order, reader: str, facts: EngineFacts | None
) -> GenerationRequest:
    """What to ask of the engine that `facts` describe (None while it is being loaded)."""
    limit = answer_limit(order.text, facts.context_length) if facts else None
    return GenerationRequest(
        prompt=compose(assistant, order, reader),
        sampling=Sampling(temperature=order.task.temperature, max_tokens=limit),
        # These tasks are short; where the model can think first, it is told not to.
        enable_thinking=False if facts and facts.thinking else None,
    )


def answer_limit(text: str, context_length: int) -> int | None:
    """Most tokens that an answer about `text` needs, so that a small model does not ramble on.

    None, which leaves it to the engine, where the limit and a text of a token a character might
    not fit into the context together: a limit must never be the reason for a refusal.
    """
    limit = max(AMPLE_ANSWER_TOKENS, 2 * len(text))
    return limit if len(text) + limit + 512 <= context_length else None


def _fenced(order: Order) -> str:
    if order.task.input == "code":
        longest = max(map(len, re.findall(r"`+", order.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}{CODE_LANGUAGES.get(order.language, '')}\n{order.text}\n{fence}"
    tag = "text"
    while f"{tag}>" in order.text:
        tag += "_"
    return f"<{tag}>\n{order.text}\n</{tag}>"
