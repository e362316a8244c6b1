"""Loading a model for transformers: positions beyond what it was trained for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from appliance.engine.worker.backends.transformers import TransformersBackend
from appliance.engine.worker.backends.weights import load_model
from appliance.engine.worker.failure import LoadFailure
from tests.engine.worker.playing import Player, ask
from tests.engine.worker.test_transformers import prompt


@pytest.fixture
def short_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny model, said to be trained on 64 positions, with room for 16 of an answer."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "short"))
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = 80
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_yarn_stretches_the_positions(short_folder: Path) -> None:
    model = load_model(short_folder, "fp32", None, yarn_factor=4.0)
    assert model.config.max_position_embeddings == 256
    assert model.config.rope_parameters["original_max_position_embeddings"] == 64
    rotary, plain = (
        each.model.rotary_emb for each in (model, load_model(short_folder, "fp32", None))
    )
    # The slowest wave is slowed by the whole factor, the fastest not at all; attention is scaled.
    assert rotary.inv_freq[-1].item() == pytest.approx(plain.inv_freq[-1].item() / 4)
    assert rotary.inv_freq[0].item() == pytest.approx(plain.inv_freq[0].item())
    assert rotary.attention_scaling == pytest.approx(1.1386, abs=1e-3)


def test_answers_beyond_the_trained_length(short_folder: Path) -> None:
    ids = prompt(1, 190)
    backend = TransformersBackend(
        load_model(short_folder, "fp32", None, yarn_factor=4.0),
        [],
        kv_tokens=512,
        max_concurrency=1,
    )
    backend.warm_up()
    player = Player(backend)
    [played] = player.play(ask(ids, 30))
    player.close()
    alone = load_model(short_folder, "fp32", None, yarn_factor=4.0).generate(
        torch.tensor([ids]), max_new_tokens=30, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    assert played.tokens == alone[0, 190:].tolist()


def test_a_model_that_is_scaled_already_is_not_stretched_again(short_folder: Path) -> None:
    config = json.loads((short_folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    (short_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadFailure, match="already scaled"):
        load_model(short_folder, "fp32", None, yarn_factor=2.0)
