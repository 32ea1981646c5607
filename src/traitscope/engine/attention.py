"""The attention function that transformers calls for every layer of a wrapped model.

It hands queries, keys and values of the whole pass to the layout under way (packed rows, a prompt tree, a decoding
step). Outside a pass of ours it is plain scaled dot-product attention, so the model still works by itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from traitscope.engine.kernels import Attention, attend
from traitscope.engine.runtime import Call, Runtime
from traitscope.engine.spans import ALL, RowMask, Span

NAME = "traitscope"

# One entry for each pass under way (``base.use_layout``) and for each look at a model (``structure.watching``).
ACTIVE_PASSES: list[object] = []

# Options of an attention call that the layouts honour, or that say nothing about what is computed.
_HONOURED = {"scaling", "softcap", "sliding_window", "s_aux", "position_ids", "is_causal"}
_SAYS_NOTHING = {"dropout", "use_cache", "return_dict", "logits_to_keep", "cache_position", "past_key_values"}
_OUTPUTS = {"output_attentions", "output_hidden_states", "output_router_logits"}
KNOWN = frozenset(_HONOURED | _SAYS_NOTHING | _OUTPUTS)


def register() -> None:
    """Make ``attn_implementation="traitscope"`` known to transformers (idempotent)."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(*args: Any, **kwargs: Any) -> Any:
    """No mask for a pass of ours (the layout knows who may attend to whom); sdpa's own mask otherwise.

    A model that is looked at gets the function that its mask would be made from.
    """
    from transformers.masking_utils import sdpa_mask

    if not ACTIVE_PASSES:
        return sdpa_mask(*args, **kwargs)
    return RowMask(kwargs["mask_function"]) if ACTIVE_PASSES[-1] is RowMask else None


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
    assert isinstance(runtime, Runtime)
    if runtime.watched is not None:
        return _watched(runtime, module, query, key, value, attention_mask, kwargs), None
    layout = runtime.layout
    if layout is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        if kwargs.get("softcap") is None and kwargs.get("s_aux") is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        causal = attention_mask is None and query.shape[2] > 1
        how = _how(0, ALL, query, kwargs)
        return attend(how, query, key, value, mask=attention_mask, causal=causal).transpose(1, 2), None
    place, span = runtime.place(module)
    return layout.attend(_how(place, span, query, kwargs), query, key, value), None


def _watched(
    runtime: Runtime,
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Any,
    options: dict[str, Any],
) -> torch.Tensor:
    """Notes a call in a single row and answers it by the mask function itself."""
    assert runtime.watched is not None
    given = tuple(sorted(name for name, setting in options.items() if setting is not None))
    width = key.shape[1] * key.shape[3] + value.shape[1] * value.shape[3]
    runtime.watched.append(Call(module, mask, given, width))
    seen = None
    if isinstance(mask, RowMask):
        places = torch.arange(key.shape[2], device=query.device)
        seen = mask.grid(places[-query.shape[2] :], places)[None, None]
    how = _how(0, ALL, query, options)
    return attend(how, query, key, value, mask=seen, causal=seen is None).transpose(1, 2)


def _how(place: int, span: Span, query: torch.Tensor, options: dict[str, Any]) -> Attention:
    """The layer's attention from what transformers hands over."""
    scaling = options.get("scaling")
    return Attention(
        place=place,
        scale=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
        span=span,
        softcap=options.get("softcap"),
        sinks=options.get("s_aux"),
    )
