"""The tasks of the writing assistant and the code helper, and what somebody orders of them.

Reads `data/tasks/*.toml` and knows neither pages nor engine nor prompts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from appliance.errors import InvalidRequest
from appliance.web.languages import CODE_LANGUAGES, guess_language
from appliance.web.passage import Passage, choose, normal

FOLDER = Path(__file__).resolve().parents[2] / "data" / "tasks"
MAX_CHARACTERS = 200_000

Target = Literal["human", "code"]

# The languages a text can be translated into; each name is a msgid on the page.
HUMAN_LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "Chinese"}
IN_CHINESE = {"en": "英文", "zh": "中文"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One thing an assistant can do. `name` and `hint` are msgids, `prompts` is by language.

    Each is read once, so that a task equals itself only.
    """

    id: str
    name: str
    hint: str
    temperature: float
    prompts: Mapping[str, str]
    input: Literal["prose", "code"] = "prose"
    result: Literal["replace", "new", "beside"] = "replace"
    target: Target | None = None
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Assistant:
    """A page's worth of tasks by id. `system`, `note` and `around` are by language."""

    id: str
    system: Mapping[str, str]
    note: Mapping[str, str]
    around: Mapping[str, str]
    tasks: Mapping[str, Task]


@dataclass(frozen=True, slots=True)
class Order:
    """What the reader has asked for, checked: `language` and `target` are names or empty.

    `language` is the one chosen, or the one that the code is in for sure.
    """

    task: Task
    passage: Passage
    language: str = ""
    target: str = ""
    think: bool = False


@cache
def load_assistant(name: str, folder: Path = FOLDER) -> Assistant:
    """Read `<folder>/<name>.toml`. A field that is missing or unknown raises at once."""
    content = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
    tasks = [_task(entry) for entry in content["task"]]
    return Assistant(
        name,
        content["system"],
        content.get("note", {}),
        content["around"],
        {t.id: t for t in tasks},
    )


def sentences() -> Iterator[tuple[str, str]]:
    """What the pages show of this data, each with the file it comes from, for the catalogue."""
    for path in sorted(FOLDER.glob("*.toml")):
        for task in load_assistant(path.stem).tasks.values():
            yield task.name, f"data/tasks/{path.name}"
            yield task.hint, f"data/tasks/{path.name}"
    for language in HUMAN_LANGUAGES.values():
        yield language, "appliance/web/tasks.py"


def _task(entry: dict[str, Any]) -> Task:
    prompts = {"en": entry.pop("en"), "zh": entry.pop("zh")}
    return Task(prompts=prompts, **entry)


def check_order(
    assistant: Assistant, *, task: str, text: str, language: str = "", target: str = "",
    think: bool = False, **chosen: str,
) -> Order:  # fmt: skip
    """The order, or InvalidRequest whose `param` is the field to mend and whose text says how.

    `chosen` is what `passage.choose` takes.
    """
    wanted = assistant.tasks.get(task)
    if wanted is None:
        raise InvalidRequest("Choose one of the tasks.", param="task")
    text = normal(text)
    if not text.strip():
        raise InvalidRequest("There is nothing to work on yet. Put it in here.", param="text")
    check_length(text)
    if language and language not in CODE_LANGUAGES:
        raise InvalidRequest("Choose one of the languages.", param="language")
    passage = choose(text, **chosen)
    if not language and wanted.input == "code":
        guess = guess_language(text)
        language = guess.language if guess and guess.sure else ""
    checked = _check_target(wanted, passage.part, target)
    return Order(wanted, passage, language, checked, think and wanted.thinking)


def check_length(text: str) -> None:
    """Raises InvalidRequest with the numbers for a text that is too long."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidRequest(
            "This is %(given)s characters long; at most %(allowed)s are allowed. Shorten it.",
            param="text", given=len(text), allowed=MAX_CHARACTERS,
        )  # fmt: skip


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
