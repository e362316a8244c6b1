"""Our tokenizer from a GGUF file says the same as OpenVINO's own, and no less than the hub's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.engine.worker.failure import LoadFailure
from appliance.engine.worker.folder import ModelFolder, read_metadata
from appliance.engine.worker.gguf_tokenizer import build_tokenizer, end_tokens
from appliance.engine.worker.tokenizer import TextTokenizer
from tests.engine.worker.test_text import TRICKY

CHAT = "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def openvino_tokenizer(demo_gguf: Path) -> Any:
    import openvino_genai

    return openvino_genai.Tokenizer(str(demo_gguf))


def test_same_tokens_as_openvinos_own(demo_folder: ModelFolder, openvino_tokenizer: Any) -> None:
    ours = demo_folder.tokenizer()
    for text in [*TRICKY, CHAT]:
        theirs = openvino_tokenizer.encode(text, add_special_tokens=False).input_ids.data
        assert ours.encode(text, add_special_tokens=False) == theirs[0].tolist(), text


def test_digits_stand_alone_as_the_model_learned_them(demo_folder: ModelFolder) -> None:
    assert len(demo_folder.tokenizer().encode("2024", add_special_tokens=False)) == 4


def test_answers_end_with_the_turn_or_the_text(demo_gguf: Path) -> None:
    assert end_tokens(read_metadata(demo_gguf)) == [0, 2]


@pytest.mark.parametrize("length", [0, 3, 20, 100, 5000])
def test_a_cut_off_file_is_called_corrupt(demo_gguf: Path, tmp_path: Path, length: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(demo_gguf.read_bytes()[:length])
    with pytest.raises(LoadFailure) as caught:
        read_metadata(cut)
    assert caught.value.code == "model_corrupt"


@pytest.mark.parametrize(
    "changes", [{"tokenizer.ggml.model": "llama"}, {"tokenizer.ggml.pre": "unheard-of"}]
)
def test_vocabularies_that_would_be_cut_wrongly_are_refused(
    demo_gguf: Path, changes: dict[str, str]
) -> None:
    with pytest.raises(LoadFailure) as caught:
        build_tokenizer(read_metadata(demo_gguf) | changes)
    assert caught.value.code == "load_failed"


def test_sentencepiece_spelling_decodes_as_the_library_does() -> None:
    from tokenizers import Tokenizer, decoders
    from tokenizers.models import BPE

    vocabulary = {"<unk>": 0, "▁Hello": 1, "▁": 2, "<0xE4>": 3, "<0xBD>": 4, "<0xA0>": 5, "!": 6}
    library = Tokenizer(BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    library.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    from appliance.engine.worker.text import TextDecoder

    tokens = [1, 2, 3, 4, 5, 6]
    decoder = TextDecoder(TextTokenizer(library).bytes)
    assert "".join(decoder.feed([token]) for token in tokens) == library.decode(tokens)
    going_on = TextDecoder(TextTokenizer(library).bytes, goes_on=True)
    assert going_on.feed(tokens) == " " + library.decode(tokens)
