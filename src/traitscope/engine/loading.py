"""Loading a base model by its name: folder, GGUF file, installed package or the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from traitscope.engine.base import DTYPES, Base
from traitscope.engine.quantised import NF4, is_quantised, nf4_options
from traitscope.engine.wrap import wrap_model
from traitscope.errors import TraitscopeError
from traitscope.store.causal import check_model
from traitscope.store.fingerprints import fingerprint_folder
from traitscope.store.model_config import refuse_adapter
from traitscope.store.model_errors import not_loaded
from traitscope.store.model_tensors import refuse_missing, refuse_unread
from traitscope.store.models import BUILT_IN, ModelSource, cached_folder, locate


def pick_device(device: str) -> torch.device:
    """``auto`` is the first CUDA device, else the CPU.

    Raises:
        TraitscopeError: this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise TraitscopeError(
            f"device {device} asked for, but torch sees no GPU", where="compute.device", fix="use cpu or auto"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise TraitscopeError(
            "device mps asked for, but torch finds none here", where="compute.device", fix="use cpu or auto"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise TraitscopeError(
            f"device {device} asked for, and torch sees {torch.cuda.device_count()} GPUs, the first of which is cuda:0",
            where="compute.device",
            fix=f"use cuda:{torch.cuda.device_count() - 1} or auto",
        )
    return chosen


def pick_dtype(dtype: str, config_dtype: Any, device: torch.device) -> torch.dtype:
    """``auto`` is the checkpoint's own dtype on a GPU and fp32 on a CPU."""
    if dtype == "auto":
        return config_dtype if device.type == "cuda" and isinstance(config_dtype, torch.dtype) else torch.float32
    if dtype not in DTYPES:
        raise TraitscopeError(
            f"unknown dtype {dtype!r}", where="base.dtype", fix=f"use one of {', '.join(DTYPES)}, {NF4} or auto"
        )
    return DTYPES[dtype]


def load_base(
    model: str | Path,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    root: str | Path = ".",
    onto: ModelSource | None = None,
) -> Base:
    """Load a base model from a folder, a GGUF file, the Hub (only when a Hub id is named) or an installed package.

    Args:
        model: ``"embedded"``, ``"smollm2-135m"``, a local folder, a GGUF file (in the transformers layout it is kept
            in the user's cache from then on) or a Hub id. The base's name is its absolute path, but for the first two.
        revision: commit, tag or branch of a Hub model.
        dtype: ``fp32``, ``bf16``, ``fp16``, ``fp64``, ``nf4`` (4 bits, through bitsandbytes) or ``auto``.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        root: the folder that relative paths start from.
        onto: the base of an adapter that is merged into it (``store.merged``), where the model is such a one.

    Raises:
        TraitscopeError: the model is missing, damaged, no causal LM, or quantised in another way than by bitsandbytes,
            needs code that does not ship with transformers, or has an adapter beside it; or there is no such device.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    name = str(model) if str(model) in BUILT_IN else str(locate(model, root))
    asked = ModelSource(str(model), revision, dtype, Path(root), onto)
    target = asked.resolved()
    local = isinstance(target, Path)
    fingerprint = fingerprint_folder(target) if isinstance(target, Path) else ""
    where = f"base model {model}"
    check_model(asked, numbers=False)
    try:
        # Code that lies in a folder is neither run nor asked about.
        named = {"revision": revision or "main", "local_files_only": local, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(target, **named)
        torch_device = pick_device(device)
        options = (
            nf4_options(torch_device)
            if dtype == NF4
            else {"dtype": pick_dtype(dtype, getattr(config, "dtype", None), torch_device)}
        )
        hf_model, info = AutoModelForCausalLM.from_pretrained(
            target, use_safetensors=True, output_loading_info=True, **named, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(target, **named)
    except TraitscopeError:
        raise
    except Exception as error:  # transformers, safetensors and the packages of quantised weights have their own
        raise not_loaded("could not be loaded", error, target, model) from error
    if getattr(hf_model, "_hf_peft_config_loaded", False):
        raise refuse_adapter(where)
    refuse_missing(info["missing_keys"], where)
    refuse_unread(info["unexpected_keys"], hf_model, where)
    commit = None
    if not isinstance(target, Path):
        folder = cached_folder(target, revision)
        assert folder is not None, "it was just loaded from there"
        commit = fingerprint = folder.name
    # On a CPU element-wise work is faster in fp32 than in bf16, and products are twice as fast in bf16: the weights are
    # rounded to bf16, activations stay fp32 between the products.
    mixed = options["dtype"] == torch.bfloat16 and torch_device.type == "cpu"
    if not is_quantised(hf_model):
        hf_model = hf_model.float() if mixed else hf_model.to(torch_device)
    base = wrap_model(hf_model, tokenizer, name=name, revision=commit or revision, fingerprint=fingerprint)
    base.product_dtype = torch.bfloat16 if mixed else None
    return base
