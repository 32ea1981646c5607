"""What a model folder's small files may say: told before transformers makes lists and tensors of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.store.adapters import CONFIG as ADAPTER
from traitscope.store.fingerprints import refuse_pipe
from traitscope.store.weights import Entry, refuse_pointer

CONFIG = "config.json"
# Beyond it a number of a configuration is no size of anything.
_MOST = 10**11
_SIZES = ("_size", "_layers", "_heads", "n_layer", "n_head", "n_embd", "d_model")
_SAVE_AGAIN = "save the model again"
# bitsandbytes writes one such tensor beside every weight that it has packed in 4 bits.
_PACKED = ".quant_state.bitsandbytes__"


def check_files(folder: Path) -> None:
    """Refuses a folder that is no model's, and numbers of its configuration that cannot be.

    Raises:
        TraitscopeError: naming the file, and the key where it is one.
    """
    path = folder / CONFIG
    if not path.is_file():
        inner = [file.parent.name for file in sorted(folder.glob(f"*/{ADAPTER}"))]
        raise TraitscopeError(
            f"no {CONFIG}: this is not a Hugging Face model folder",
            where=str(folder),
            fix=f"name one of the adapters in it ({', '.join(inner[:5])}), with its folder"
            if inner
            else "name the folder that save_pretrained wrote",
        )
    for file in sorted(folder.iterdir()):
        refuse_pipe(file)
        if file.is_file() and file.suffix != ".safetensors":
            refuse_pointer(file)
    if (folder / ADAPTER).exists():
        raise refuse_adapter(str(folder))
    try:
        said = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise TraitscopeError("is no JSON mapping of keys to values", where=str(path), fix=_SAVE_AGAIN)
    for name, value in _numbers(said):
        if _cannot_be(name, value):
            raise TraitscopeError(f"{name} is {value}, which cannot be", where=str(path), fix=_SAVE_AGAIN)


def refuse_adapter(where: str) -> TraitscopeError:
    """The error for a model beside which an adapter lies: transformers would add it to the model's weights."""
    return TraitscopeError(
        f"holds an adapter too ({ADAPTER}), which transformers would add to the model's weights",
        where=where,
        fix="move the adapter's files to a folder of their own, and name that under models: to have it evaluated",
    )


def refuse_quantised(said: Any, entries: Mapping[str, Entry], where: str) -> None:
    """Raises TraitscopeError where a configuration asks for weights that were quantised in a way not supported here.

    Args:
        said: ``quantization_config``; None where there is none.
        entries: the tensors of the model's files; empty where these are not here.
        where: the model.
    """
    if said is None:
        return
    said = said if isinstance(said, Mapping) else said.to_dict() if hasattr(said, "to_dict") else {}
    method = said.get("quant_method")
    if method != "bitsandbytes" or not said.get("load_in_4bit", said.get("_load_in_4bit")):
        raise TraitscopeError(
            f"its weights are quantised (quantization_config: quant_method {method}), which is not supported",
            where=where,
            fix="take the model in full precision; base.dtype: nf4 quantises it while it is loaded",
        )
    if entries and not any(_PACKED in name for name in entries):
        raise TraitscopeError(
            "its configuration says 4-bit weights (quantization_config), and its files hold none",
            where=where,
            fix=f"take quantization_config out of {CONFIG}; base.dtype: nf4 quantises while loading",
        )


def _cannot_be(name: str, value: float) -> bool:
    if math.isnan(value):
        return True
    if name.endswith(("_eps", "_epsilon")):
        return not 0 <= value < 1
    if name in ("factor", "rope_theta"):
        return not 0 < value < math.inf
    if not isinstance(value, int):
        return False
    size = name.endswith(_SIZES)
    return abs(value) > _MOST or (size and value < 0) or (name.endswith("hidden_size") and value == 0)


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of a configuration with their keys; those in lists have none."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, str(key))
    elif isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value
