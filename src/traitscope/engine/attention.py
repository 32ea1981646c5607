"""The attention function that transformers calls for every layer of a wrapped model.

It hands queries, keys and values of the whole pass to the layout under way (packed rows, a prompt tree, a decoding
step). Outside a pass of ours it is plain scaled dot-product attention, so the model still works by itself.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from traitscope.engine.kernels import Attention, attend

NAME = "traitscope"

# One entry for each pass under way (``base.use_layout``).
ACTIVE_PASSES: list[object] = []

# Options that change what attention computes and that the packed path does not implement: the caller falls
# back to the architecture's own attention.
UNSUPPORTED = ("s_aux", "position_bias")


def register() -> None:
    """Make ``attn_implementation="traitscope"`` known to transformers (idempotent)."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(*args: Any, **kwargs: Any) -> Any:
    """No mask for a pass of ours (the layout knows who may attend to whom); sdpa's own mask otherwise."""
    from transformers.masking_utils import sdpa_mask

    return None if ACTIVE_PASSES else sdpa_mask(*args, **kwargs)


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one layer. query [1, H, T, hd], key and value [1, Hkv, T, hd]; returns [1, T, H, hd]."""
    runtime: Any = module._traitscope_runtime
    layout = runtime.layout
    if layout is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        if kwargs.get("softcap") is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        how = _how(module, query, kwargs)
        causal = attention_mask is None and query.shape[2] > 1
        return attend(how, query, key, value, mask=attention_mask, causal=causal).transpose(1, 2), None
    for name in UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise ValueError(f"attention option {name} is not implemented for packed rows")
    return layout.attend(_how(module, query, kwargs), query, key, value), None


def _how(module: nn.Module, query: torch.Tensor, options: dict[str, Any]) -> Attention:
    """The layer's attention from what transformers hands over."""
    scaling = options.get("scaling")
    return Attention(
        layer=int(cast(int, module.layer_idx)),
        scale=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
        window=options.get("sliding_window"),
        softcap=options.get("softcap"),
    )
