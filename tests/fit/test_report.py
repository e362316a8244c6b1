"""`plan` as a person and as a program read it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain import Phrase
from appliance.errors import SetupError
from appliance.fit.catalogue import load_catalogue
from appliance.fit.hardware import Hardware
from appliance.fit.report import compare, plan_report, render_text, simulated_gpu, to_json
from appliance.fit.wish import Wish
from tests.fit.machines import machine


def text_for(hardware: Hardware, wish: Wish) -> str:
    return render_text(hardware, compare(hardware, wish, load_catalogue(), lambda _: None))


def rows(text: str) -> dict[str, list[str]]:
    """Cells of the table by the name of the line."""
    found = {}
    for line in text.splitlines():
        for label in ("here", "own engine", "8 GB card", "12 GB card", "16 GB card", "24 GB card"):
            if line.startswith(label + " "):
                found[label] = line.removeprefix(label).split()
    return found


def test_the_table_shows_this_machine_and_the_common_cards() -> None:
    table = rows(text_for(machine(simulated_gpu(12)), Wish()))
    assert {label: cells[:2] for label, cells in table.items()} == {
        "here": ["Qwen3-8B", "int8"],
        "8 GB card": ["Qwen3-8B", "nf4"],
        "12 GB card": ["Qwen3-8B", "int8"],
        "16 GB card": ["Qwen3-8B", "int8"],
        "24 GB card": ["Qwen3-8B", "bf16"],
    }


@pytest.mark.parametrize("size", [None, 8, 24])
def test_it_is_readable_in_80_columns(size: int | None) -> None:
    hardware = machine(simulated_gpu(size)) if size else machine()
    hardware = replace(hardware, notices=(Phrase("word " * 60),))
    assert max(map(len, text_for(hardware, Wish()).splitlines())) <= 80


def test_reasons_are_given_for_this_machine() -> None:
    text = " ".join(text_for(machine(simulated_gpu(8)), Wish()).split())
    assert "Qwen3-8B in int8 needs 8.7 GiB before its KV cache" in text
    assert "If loading fails: Qwen3-4B (nf4, transformers, card), then" in text


def test_what_does_not_fit_is_a_line_and_a_sentence() -> None:
    wish = Wish(model="qwen3-8b", precision="16bit")
    text = text_for(machine(simulated_gpu(8)), wish)
    assert rows(text)["here"] == ["does", "not", "fit"]
    assert rows(text)["24 GB card"][0] == "Qwen3-8B"
    assert "16-bit (bf16) of Qwen3-8B needs" in text


def test_programs_get_the_same_in_full() -> None:
    hardware = machine(simulated_gpu(16))
    answer = json.loads(
        to_json(hardware, compare(hardware, Wish(), load_catalogue(), lambda _: None))
    )
    assert answer["hardware"]["gpus"][0]["name"] == "16 GB card"
    assert [one["machine"] for one in answer["machines"]] == [
        "here",
        "8 GB card",
        "12 GB card",
        "16 GB card",
        "24 GB card",
    ]
    here = answer["machines"][0]["plan"]
    assert here["precision"] == "int8"
    assert here["total_bytes"] <= here["budget_bytes"]
    assert {"subject", "text"} == set(here["reasons"][0])
    assert here["fallbacks"][-1]["model"] == "SmolLM2-135M-Instruct"


def test_the_command_on_this_machine(tmp_path: Path) -> None:
    assert rows(plan_report(tmp_path, Wish(model="demo"), as_json=False))["here"]
    answer = json.loads(plan_report(tmp_path, Wish(model="demo"), as_json=True))
    assert answer["machines"][0]["plan"]["model"] == "SmolLM2-135M-Instruct"


def test_a_remote_engine_has_one_line() -> None:
    text = text_for(machine(), Wish(engine="remote", model="anything"))
    assert rows(text) == {"here": ["anything", "remote"]}


def test_a_nonsense_wish_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is no model"):
        plan_report(tmp_path, Wish(model="nonsense"), as_json=False)


def test_who_asks_for_vllm_sees_our_own_engine_beside_it() -> None:
    text = text_for(machine(simulated_gpu(16)), Wish(engine="vllm"))
    table = rows(text)
    assert table["here"][:2] == ["Qwen3-8B", "fp8"]
    assert table["own engine"][:2] == ["Qwen3-8B", "int8"]
    assert table["12 GB card"][:2] == ["Qwen3-8B", "awq"]
    assert "own engine" not in rows(text_for(machine(simulated_gpu(16)), Wish()))
    assert max(map(len, text.splitlines())) <= 80
