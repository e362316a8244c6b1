"""A GGUF file as a folder in OpenVINO's own format, which loads much faster: made once and kept.

The library converts and compiles the file and saves what it made; we join products in that, and
only a whole folder gets its final name.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

import openvino
import openvino_genai as genai

from appliance.engine.worker.backends.openvino_products import join_products
from appliance.engine.worker.failure import Progress

log = logging.getLogger(__name__)

MODEL = "openvino_model.xml"
WORDS = "openvino_detokenizer.xml"
_WEIGHTS = "openvino_model.bin"
# Counted up when conversions are made in another way; those of before are thrown away.
_NAME = "openvino-2"
_BEFORE = ("openvino", "openvino.partial")


def converted(gguf: Path, folder: Path, progress: Progress) -> Path | None:
    """The conversion of `gguf` in `folder`, made now if it is not there. Blocks for seconds to
    minutes. None: there is no room for it, or the library wrote none. One that cannot get its final
    name serves this once."""
    final = folder / _NAME
    if is_converted(final):
        return final
    progress("convert", 0, 0)
    for name in _BEFORE:
        shutil.rmtree(folder / name, ignore_errors=True)
    if not _has_room(folder, gguf):
        log.warning("no room for the converted model; it is converted at every start")
        return None
    partial = folder / f"{_NAME}.partial"
    place = place_in(partial, gguf)
    if place is None:
        return None
    _convert(place)
    place.unlink()
    if not (partial / _WEIGHTS).is_file():
        return None
    _join(partial)
    shutil.rmtree(final, ignore_errors=True)
    try:
        return partial.rename(final)
    except OSError:
        return partial


def is_converted(folder: Path) -> bool:
    """The folder holds a model and its tokenizer."""
    return all((folder / name).is_file() for name in (MODEL, WORDS))


def place_in(folder: Path, gguf: Path) -> Path | None:
    """Where the GGUF file seems to lie in a new folder of ours: the library writes beside it, and
    opens the file for writing too, so one that is not ours has to be copied. None: it cannot."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = folder / "model.gguf"
    ours = os.access(gguf, os.W_OK)
    for put in (os.symlink, os.link, shutil.copyfile) if ours else (shutil.copyfile,):
        with contextlib.suppress(OSError):
            put(gguf, place)
            return place
    return None


def _has_room(folder: Path, gguf: Path) -> bool:
    """For what the library saves and what we make of it, each about as large as the file."""
    return shutil.disk_usage(folder).free > 2.25 * gguf.stat().st_size


def _convert(gguf: Path) -> None:
    """There is no way to it but a whole pipeline."""
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = 1
    saving = {"enable_save_ov_model": True}
    tokenizer = genai.Tokenizer(str(gguf), **saving)
    genai.ContinuousBatchingPipeline(str(gguf), tokenizer, scheduler, "CPU", **saving)


def _join(folder: Path) -> None:
    """In the place of what the library saved, which serves as well, only slower."""
    joined = folder / "joined"
    try:
        model = openvino.Core().read_model(folder / MODEL)
        join_products(model)
        openvino.save_model(model, joined / MODEL, compress_to_fp16=False)
        del model  # It reads from the file that is about to go.
        for name in (_WEIGHTS, MODEL):
            (joined / name).replace(folder / name)
    except Exception:
        log.exception("products of this model are not joined")
    shutil.rmtree(joined, ignore_errors=True)
