"""A base whose linear layers are kept in 4 bits, through bitsandbytes (the extra ``4bit``).

The number format is NF4 of Dettmers et al. 2023 (QLoRA).
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from traitscope.errors import TraitscopeError

NF4 = "nf4"
# On a CPU it complains, whenever PEFT looks whether it is there, of kernels that it could not fetch from the Hub.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def nf4_options(device: torch.device) -> dict[str, Any]:
    """What ``from_pretrained`` is told: NF4 with doubly quantised scales; products in bf16 on a GPU, in fp32 on a CPU.

    Raises:
        TraitscopeError: bitsandbytes or accelerate is not installed.
    """
    try:
        import accelerate
        import bitsandbytes
    except ImportError as error:
        raise TraitscopeError(
            f"4-bit weights need {error.name}", where="base.dtype: nf4", fix="pip install 'traitscope[4bit]'"
        ) from None
    from transformers import BitsAndBytesConfig

    _ = accelerate, bitsandbytes
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=NF4, bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": config, "dtype": dtype, "device_map": {"": str(device)}}


def is_quantised(model: Any) -> bool:
    """Whether a loaded model keeps weights in a form of its own."""
    return getattr(model, "hf_quantizer", None) is not None


def keep_differentiable(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking weights for inference on a CPU: its packed product has no gradient.

    It repacks at the first pass in eval mode, for good; a 4-bit layer has nothing else that depends on the mode.

    Raises:
        TraitscopeError: the model has already run, and its weights are packed.
    """
    for name, module in model.named_modules():
        if type(module).__name__ != "Linear4bit":
            continue
        if getattr(module.weight.quant_state, "packing_format_for_cpu", False):
            raise TraitscopeError(
                "its 4-bit weights are packed for inference, which has no gradient",
                where=f"layer {name}",
                fix="load the model again and hand it over before its first pass",
            )
        module.train()
