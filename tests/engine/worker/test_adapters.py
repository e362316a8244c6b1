"""LoRA adapters in turns: each name answers as its merged model would."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from appliance.engine.config import Adapter, EngineConfig
from appliance.engine.worker.backends.adapters import Adapters
from appliance.engine.worker.backends.base import TokenStream
from appliance.engine.worker.backends.transformers import PAGE_TOKENS, TransformersBackend
from appliance.engine.worker.backends.weights import load_model
from appliance.engine.worker.failure import LoadFailure
from tests.engine.worker.playing import Player, ask, collect
from tests.engine.worker.running import running
from tests.engine.worker.test_transformers import prompt

# peft's own class, which only these tests use, asks transformers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

NAMES = ("first.of us", "second")


@pytest.fixture(scope="module")
def adapter_folders(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Random ones, as peft writes them."""
    folders = []
    for seed, targets in enumerate((["q_proj", "v_proj"], ["o_proj", "down_proj"])):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=64, target_modules=targets, init_lora_weights=False)
        folder = tmp_path_factory.mktemp("adapter")
        get_peft_model(load_model(tiny_folder, "fp32", None), config).save_pretrained(str(folder))
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def player(tiny_folder: Path, adapter_folders: list[Path]) -> Iterator[Player]:
    model = load_model(tiny_folder, "fp32", None)
    adapters = Adapters(
        model,
        [Adapter(name, str(folder)) for name, folder in zip(NAMES, adapter_folders, strict=True)],
    )
    backend = TransformersBackend(model, [], kv_tokens=4096, max_concurrency=4, adapters=adapters)
    backend.warm_up()
    player = Player(backend)
    yield player
    player.close()


def merged(tiny_folder: Path, adapter: Path | None, ids: list[int], count: int) -> list[int]:
    model = load_model(tiny_folder, "fp32", None)
    if adapter is not None:
        loaded: Any = PeftModel.from_pretrained(model, str(adapter))
        model = loaded.merge_and_unload()
    answer = model.generate(
        torch.tensor([ids]), max_new_tokens=count, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    tokens: list[int] = answer[0, len(ids) :].tolist()
    return tokens


def test_each_name_answers_as_its_merged_model(
    player: Player, tiny_folder: Path, adapter_folders: list[Path]
) -> None:
    """The same prompt for all, longer than a page: shared keys and values would be wrong."""
    ids = prompt(1, 3 * PAGE_TOKENS)
    names = (None, *NAMES, None, NAMES[0])
    played = player.play(*[ask(ids, 12, adapter=name) for name in names])
    folders: list[Path | None] = [None, *adapter_folders]
    base, first, second = (merged(tiny_folder, folder, ids, 12) for folder in folders)
    assert [each.tokens for each in played] == [base, first, second, base, first]
    assert len({tuple(base), tuple(first), tuple(second)}) == 3
    assert "adapters" in player.backend.capabilities


def test_prefixes_are_shared_within_an_adapters_turn_only(player: Player) -> None:
    ids = prompt(2, 3 * PAGE_TOKENS)
    [before] = player.play(ask(ids, 2, adapter=NAMES[1]))
    [again] = player.play(ask(ids, 2, adapter=NAMES[1]))
    [other] = player.play(ask(ids, 2))
    assert (before.cached_tokens, again.cached_tokens, other.cached_tokens) == (0, 64, 0)


def test_who_waits_for_another_adapter_is_not_overtaken(player: Player) -> None:
    """A long answer runs, one for an adapter waits, and a later one for the model queues behind."""
    ended: list[str] = []

    async def note(name: str, stream: TokenStream) -> None:
        player.backend.submit(stream)
        await collect(stream)
        ended.append(name)

    async def scenario() -> None:
        await asyncio.gather(
            note("long", TokenStream(ask(prompt(3), 60))),
            note("adapter", TokenStream(ask(prompt(4), 30, adapter=NAMES[0]))),
            note("later", TokenStream(ask(prompt(5), 2))),
        )

    player.loop.run_until_complete(scenario())
    assert ended == ["long", "adapter", "later"]


@pytest.mark.timeout(240)  # four models are loaded
@pytest.mark.anyio
async def test_a_worker_lists_them_and_answers_as_each(
    transformers_config: EngineConfig,
    tiny_folder: Path,
    adapter_folders: list[Path],
    tmp_path: Path,
) -> None:
    """From the order over the wire to the weights, nothing in between is scripted."""
    pairs = zip(NAMES, map(str, adapter_folders), strict=True)
    adapters = tuple(Adapter(name, folder) for name, folder in pairs)
    ids = prompt(8, 2 * PAGE_TOKENS)
    body = {"prompt": ids, "max_tokens": 8, "temperature": 0}
    with running(transformers_config, tmp_path / "log", adapters=adapters) as worker:
        assert worker.wait_for("ready", "failed")["event"] == "ready"
        async with worker.client() as http:
            listed = (await http.get("/v1/models")).json()["data"]
            assert [(card["id"], card.get("parent")) for card in listed] == [
                ("tiny", None),
                *((name, "tiny") for name in NAMES),
            ]
            models = ("tiny", *NAMES)
            texts = [
                (await http.post("/v1/completions", json=body | {"model": name})).json()
                for name in models
            ]
            words = [
                (await http.post("/detokenize", json={"tokens": tokens})).json()["prompt"]
                for tokens in (
                    merged(tiny_folder, folder, ids, 8) for folder in (None, *adapter_folders)
                )
            ]
    assert [answer["choices"][0]["text"] for answer in texts] == words
    assert [answer["model"] for answer in texts] == list(models)
    assert len(set(words)) == len(models)


def test_a_full_cache_fails_nobody_whatever_adapter_answers(
    tiny_folder: Path, adapter_folders: list[Path]
) -> None:
    """Each asks for the whole cache, so those of one turn have to make room for each other."""
    model = load_model(tiny_folder, "fp32", None)
    adapters = Adapters(model, [Adapter(NAMES[0], str(adapter_folders[0]))])
    cache = 8 * PAGE_TOKENS
    backend = TransformersBackend(model, [], kv_tokens=cache, max_concurrency=3, adapters=adapters)
    backend.warm_up()
    player = Player(backend)
    ids = prompt(6, PAGE_TOKENS + 8)
    asks = [
        ask(ids if shared else prompt(7 + turn, len(ids)), cache - len(ids), adapter=name)
        for turn, name in enumerate((NAMES[0], None))
        for shared in (True, True, False)
    ]
    played = player.play(*asks)
    player.close()
    assert [each.error for each in played] == [None] * len(asks)
    assert {len(each.tokens) for each in played} == {cache - len(ids)}
    assert played[0].tokens == played[1].tokens
    assert played[3].tokens == played[4].tokens


def test_without_adapters_there_is_no_such_capability(tiny_folder: Path) -> None:
    model = load_model(tiny_folder, "fp32", None)
    backend = TransformersBackend(model, [], kv_tokens=256, max_concurrency=1)
    assert "adapters" not in backend.capabilities


def test_an_unreadable_adapter_is_a_clear_failure(
    tiny_folder: Path, adapter_folders: list[Path], tmp_path: Path
) -> None:
    def load(folder: Path) -> None:
        Adapters(load_model(tiny_folder, "fp32", None), [Adapter("mine", str(folder))])

    with pytest.raises(LoadFailure, match=r"mine needs adapter_config\.json"):
        load(tmp_path)
    broken = Path(shutil.copytree(adapter_folders[0], tmp_path / "broken"))
    (broken / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(
        LoadFailure, match=r"(?i)mine in .*broken could not be put beside.*(header|deserializ)"
    ):
        load(broken)
    (broken / "adapter_config.json").write_text("{")
    with pytest.raises(LoadFailure, match="damaged"):
        load(broken)
    (broken / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(LoadFailure, match="only LORA"):
        load(broken)


def test_an_adapter_of_another_model_is_refused(
    tiny_folder: Path, adapter_folders: list[Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(adapter_folders[0], tmp_path / "other"))
    weights = load_file(str(folder / "adapter_model.safetensors"))
    renamed = {name.replace("layers.1", "layers.7"): value for name, value in weights.items()}
    save_file(renamed, str(folder / "adapter_model.safetensors"), {"format": "pt"})
    with pytest.raises(LoadFailure, match="its weights differ in"):
        Adapters(load_model(tiny_folder, "fp32", None), [Adapter("mine", str(folder))])
