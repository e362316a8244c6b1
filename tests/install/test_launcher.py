"""The launcher as an owner meets it: real Python, real pip, a small project (conftest.py)."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import launcher
from appliance.install.completeness import interpreter_exists, python_of
from appliance.install.lock import locked
from appliance.install.venv import LOCK

Launch = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(launcher.__file__).parent


def told(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the small project's command says of itself, in its last line."""
    assert result.returncode == 0, result.stdout + result.stderr
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def pins(project: Path, version: str) -> None:
    (project / "constraints.txt").write_text(f"greeting=={version}\n", "utf-8")


@pytest.mark.parametrize("version", [(3, 6, 9), (3, 9, 2), (3, 10, 14), (3, 14, 1)])
def test_another_python_gets_one_sentence(
    version: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert launcher.main([]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"this is {version[0]}.{version[1]}.{version[2]}." in said
    assert "https://www.python.org" in said


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 9)])
def test_supported_pythons_are_not_refused(version: tuple[int, int, int]) -> None:
    assert launcher.refusal(version) is None


def test_an_old_python_can_read_the_launcher() -> None:
    source = (ROOT / "launcher.py").read_text("utf-8")
    nodes = list(ast.walk(ast.parse(source, feature_version=(3, 6))))
    assert "from __future__" not in source
    assert source.isascii(), "Python 2 wants a declaration for anything else"
    unknown_to_python_2 = (ast.AnnAssign, ast.JoinedStr, ast.AsyncFunctionDef, ast.Nonlocal)
    assert [node for node in nodes if isinstance(node, unknown_to_python_2)] == []
    for function in (node for node in nodes if isinstance(node, ast.FunctionDef)):
        hints = [function.returns, *(argument.annotation for argument in function.args.args)]
        assert set(hints) == {None}, function.name
        assert function.args.kwonlyargs == []


@pytest.mark.parametrize("name", ["python2", "python3.6", "python3.9", "python3.10"])
def test_a_real_old_python_says_the_sentence(name: str) -> None:
    old = shutil.which(name)
    if old is None or subprocess.run([old, "-V"], capture_output=True, check=False).returncode:
        pytest.skip(f"{name} is not installed here")
    result = subprocess.run(
        [old, str(ROOT / "launcher.py")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Python 3.11, 3.12 or 3.13 is needed; this is ")
    assert len(result.stderr.splitlines()) == 1


def test_fresh_clone_to_running_command(bare: Path, launch: Launch) -> None:
    result = launch(bare, "plan", "--json", cwd=bare.parent)
    answer = told(result)
    assert answer["arguments"] == ["plan", "--json"]
    assert answer["folder"] == str(bare.parent)
    assert Path(answer["prefix"]) == bare / ".venv"
    assert " 1/4 Environment" in result.stdout
    assert "Ready after 0 min" in result.stdout
    assert not (bare / ".venv" / "tmp").exists()


def spent() -> float:
    """Seconds of processor time of all children so far; of the clock where that is not counted."""
    times = os.times()
    return time.perf_counter() if os.name == "nt" else times.children_user + times.children_system


def test_second_start_does_nothing_and_is_quick(finished: Path, launch: Launch) -> None:
    seconds = []
    for _ in range(5):
        began = spent()
        result = launch(finished)
        seconds.append(spent() - began)
        assert len(result.stdout.splitlines()) == 1
    assert min(seconds) < 0.3


def test_exit_status_is_the_commands(finished: Path, launch: Launch) -> None:
    assert launch(finished, "fail").returncode == 7


def test_changed_pins_are_installed(finished: Path, launch: Launch) -> None:
    pins(finished, "2.0")
    assert told(launch(finished))["greeting"] == "2.0"
    assert len(launch(finished).stdout.splitlines()) == 1


def test_set_up_without_a_stamp_is_gone_over_again(finished: Path, launch: Launch) -> None:
    (finished / ".venv" / "appliance.json").unlink()
    result = launch(finished)
    assert told(result)["greeting"] == "1.0"
    assert "Setting up" in result.stdout


def test_half_installed_package_is_installed_again(finished: Path, launch: Launch) -> None:
    """As after a kill in the middle: metadata there, files not all there."""
    (finished / ".venv" / "appliance.json").unlink()
    (module,) = (finished / ".venv").rglob("greeting.py")
    module.unlink()
    (module.parent / "greeting-1.0.dist-info" / "INSTALLER").unlink()
    assert told(launch(finished))["greeting"] == "1.0"


def test_environment_whose_python_is_gone_is_rebuilt(finished: Path, launch: Launch) -> None:
    python = python_of(finished / ".venv")
    python.unlink()
    assert told(launch(finished))["greeting"] == "1.0"
    assert python.exists()


def test_environment_of_an_uninstalled_system_python_is_not_trusted(finished: Path) -> None:
    assert interpreter_exists(finished / ".venv")
    settings = finished / ".venv" / "pyvenv.cfg"
    text = settings.read_text("utf-8")
    settings.write_text(re.sub(r"(?m)^executable = .*", "executable = /gone/python", text), "utf-8")
    assert not interpreter_exists(finished / ".venv")


def test_without_network_one_sentence_and_no_traceback(finished: Path, launch: Launch) -> None:
    pins(finished, "3.0")
    unreachable = "http://127.0.0.1:9/simple"
    result = launch(finished, PIP_NO_INDEX="0", PIP_INDEX_URL=unreachable, PIP_RETRIES="1")
    assert result.returncode == 1
    assert "The package index cannot be reached." in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    pins(finished, "1.0")
    assert told(launch(finished))["greeting"] == "1.0"


def test_index_without_the_package_is_said_in_words(finished: Path, launch: Launch) -> None:
    pins(finished, "3.0")
    result = launch(finished)
    assert result.returncode == 1
    assert "no build of a package for this system" in result.stderr
    assert "setup.log" in result.stderr


def test_wrong_data_file_is_refused(finished: Path, launch: Launch) -> None:
    (finished / "requirements-data.txt").write_text(f"cargo==1.0 --hash=sha256:{'0' * 64}\n")
    shutil.rmtree(next((finished / ".venv").rglob("cargo-1.0.dist-info")))
    result = launch(finished)
    assert result.returncode == 1
    assert "not the one this project was tested with" in result.stderr


def test_active_environment_that_has_everything_is_used(
    finished: Path, bare: Path, launch: Launch
) -> None:
    answer = told(launch(bare, python=python_of(finished / ".venv")))
    assert Path(answer["prefix"]) == finished / ".venv"
    assert not (bare / ".venv").exists()


def test_active_environment_with_other_versions_is_left_alone(
    finished: Path, launch: Launch
) -> None:
    other = shutil.copytree(finished, finished.with_name("other"), symlinks=True)
    pins(finished, "2.0")
    answer = told(launch(finished, python=python_of(other / ".venv")))
    assert Path(answer["prefix"]) == finished / ".venv"
    assert answer["greeting"] == "2.0"
    assert told(launch(other))["greeting"] == "1.0"


def test_second_launcher_waits_for_the_first(finished: Path, pip_settings: dict[str, str]) -> None:
    (finished / ".venv" / "appliance.json").unlink()
    command = [sys.executable, "-u", str(finished / "launcher.py")]
    with locked(finished / ".venv" / LOCK):
        second = subprocess.Popen(command, env=pip_settings, stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert "waiting for it" in second.stdout.readline()
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert '"greeting": "1.0"' in said


@contextmanager
def stuck(project: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A set-up of "2.0" that goes no further: the index takes pip's call and says nothing."""
    pins(project, "2.0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        process = subprocess.Popen(
            [sys.executable, str(project / "launcher.py")],
            env={**settings, "PIP_NO_INDEX": "0", "PIP_INDEX_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that runs the suite in the background has its children ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        caller, _ = server.accept()
        with caller:
            yield process


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_a_killed_pip_says_so_and_is_mended(
    finished: Path, launch: Launch, pip_settings: dict[str, str]
) -> None:
    with stuck(finished, pip_settings) as process:
        (pip,) = psutil.Process(process.pid).children()
        pip.kill()
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "pip was ended from outside" in complaint
    assert told(launch(finished))["greeting"] == "2.0"


@pytest.mark.skipif(sys.platform == "win32", reason="sends Ctrl-C to a process group")
def test_ctrl_c_during_set_up_says_so_and_is_mended(
    finished: Path, launch: Launch, pip_settings: dict[str, str]
) -> None:
    with stuck(finished, pip_settings) as process:
        os.killpg(process.pid, signal.SIGINT)
        said, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "The same command goes on from here." in complaint
    assert "Traceback" not in said + complaint
    assert told(launch(finished))["greeting"] == "2.0"


def test_folder_that_cannot_be_written_is_named(bare: Path, launch: Launch) -> None:
    (bare / ".venv").write_text("a file where the folder should be")
    result = launch(bare)
    assert result.returncode == 1
    assert ".venv" in result.stderr
    assert "Traceback" not in result.stderr
