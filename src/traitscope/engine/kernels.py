"""Attention over padded blocks, with and without the log-sum-exp that lets two partial results be merged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from traitscope.engine.spans import Span

_FLASH_CPU = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


@dataclass(frozen=True)
class Attention:
    """How one layer of the model attends.

    Attributes:
        place: number of the call of the attention function in the pass, from 0: its keys and values are kept under it.
        scale: what products of queries and keys are multiplied with.
        span: how far back a token sees.
        softcap: bound of the scores, c in c tanh(score / c); None: unbounded.
        sinks: by query head [H], a score that takes its share of attention and gives nothing; None: there is none.
    """

    place: int
    scale: float
    span: Span
    softcap: float | None
    sinks: torch.Tensor | None = None


def repeat_heads(x_BHTd: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Repeat grouped key or value heads until there are ``n_heads``."""
    groups = n_heads // x_BHTd.shape[1]
    return x_BHTd if groups == 1 else x_BHTd.repeat_interleave(groups, dim=1)


def attend(
    how: Attention,
    q_BHTd: torch.Tensor,
    k_BHSd: torch.Tensor,
    v_BHSd: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    causal: bool,
) -> torch.Tensor:
    """Attention of padded blocks; ``mask`` is boolean (True = may attend), broadcastable to [B, H, T, S].

    The span of ``how`` is in the mask.
    """
    k_BHSd, v_BHSd = (repeat_heads(x, q_BHTd.shape[1]) for x in (k_BHSd, v_BHSd))
    if how.softcap is None and how.sinks is None:
        return F.scaled_dot_product_attention(q_BHTd, k_BHSd, v_BHSd, attn_mask=mask, is_causal=causal, scale=how.scale)
    scores = _scores(how, q_BHTd, k_BHSd, mask, causal)
    out = scores.softmax(dim=-1).to(v_BHSd.dtype) @ v_BHSd
    return out if how.sinks is None else with_sinks(how, out.transpose(1, 2), scores.logsumexp(-1).mT).transpose(1, 2)


def with_sinks(how: Attention, out_THd: torch.Tensor, lse_TH: torch.Tensor) -> torch.Tensor:
    """Attention whose sinks take their share, from attention without them and the log-sum-exp of its scores.

    out_THd [..., T, H, d], lse_TH [..., T, H]: exp(lse) / (exp(lse) + exp(sink)) of it is left.
    """
    if how.sinks is None:
        return out_THd
    return out_THd * torch.sigmoid(lse_TH - how.sinks.to(lse_TH.dtype))[..., None].to(out_THd.dtype)


def attend_lse(
    how: Attention,
    q_BHTd: torch.Tensor,
    k_BHSd: torch.Tensor,
    v_BHSd: torch.Tensor,
    *,
    mask: torch.Tensor | None,
    causal: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As ``attend``, without gradients and sinks, with the log-sum-exp of the scores [B, H, T] beside it."""
    k_BHSd, v_BHSd = (repeat_heads(x, q_BHTd.shape[1]) for x in (k_BHSd, v_BHSd))
    same = q_BHTd.shape[3] == v_BHSd.shape[3]
    if how.softcap is None and same and q_BHTd.device.type == "cpu" and _FLASH_CPU is not None:
        bias = None
        if mask is not None:
            bias = torch.zeros_like(mask, dtype=q_BHTd.dtype).masked_fill_(~mask, float("-inf"))
        out, lse = _FLASH_CPU(q_BHTd, k_BHSd, v_BHSd, 0.0, causal, attn_mask=bias, scale=how.scale)
        return out, lse
    scores = _scores(how, q_BHTd, k_BHSd, mask, causal)
    lse = scores.logsumexp(dim=-1)
    weights = (scores - lse[..., None]).exp()
    return weights.to(v_BHSd.dtype) @ v_BHSd, lse


def whole_rows(how: Attention, query: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether ``attend_rows`` takes queries [1, H, T, d] and values of this kind: FlashAttention on a CUDA device."""
    return (
        query.device.type == "cuda"
        and query.dtype in (torch.bfloat16, torch.float16)
        and how.softcap is None
        and how.sinks is None
        and query.shape[3] == value.shape[3] <= 256
        and query.shape[3] % 8 == 0
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def attend_rows(
    how: Attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, longest: int
) -> torch.Tensor:
    """Plain causal attention of rows that lie one behind the other, in one launch.

    Args:
        how: the layer's attention.
        query, key, value: [1, H, T, d] and [1, Hkv, T, d] of all rows.
        ends: 0 and where each row ends, int32 [B + 1].
        longest: tokens of the longest row.

    Returns:
        [1, T, H, d].
    """
    rows = [x[0].transpose(0, 1).contiguous() for x in (query, key, value)]
    out, *_ = torch.ops.aten._flash_attention_forward(
        *rows, ends, ends, longest, longest, 0.0, True, False, scale=how.scale
    )
    return out[None]


def _scores(how: Attention, q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None, causal: bool) -> torch.Tensor:
    # transformers takes the softmax in fp32 (fp64 models keep their precision).
    scores = (q @ k.transpose(-1, -2)) * how.scale
    scores = scores if scores.dtype == torch.float64 else scores.float()
    if how.softcap is not None:
        scores = torch.tanh(scores / how.softcap) * how.softcap
    if causal:
        T, S = scores.shape[-2:]
        mask = torch.ones(T, S, dtype=torch.bool, device=q.device).tril()
    return scores if mask is None else scores.masked_fill(~mask, float("-inf"))


def merge(out_a: torch.Tensor, lse_a: torch.Tensor, out_b: torch.Tensor, lse_b: torch.Tensor) -> torch.Tensor:
    """Attention over the union of two disjoint key sets from the two partial results.

    out_* [..., T, d], lse_* [..., T]. Formula: Milakov & Gimelshein 2018 (online softmax).
    """
    weight_a = torch.sigmoid(lse_a - lse_b)[..., None].to(out_a.dtype)
    return out_a * weight_a + out_b * (1 - weight_a)


def drop_blind(out_BHTd: torch.Tensor, lse_BHT: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give queries that may attend to nothing (all beyond a window) an empty result: zero, log-sum-exp -inf.

    Kernels differ in what they return for such rows.
    """
    blind = ~mask.any(dim=-1)
    return out_BHTd.masked_fill(blind[..., None], 0.0), lse_BHT.masked_fill(blind, float("-inf"))


class PackToBlocks(torch.autograd.Function):
    """Rows of tokens [T, C] to padded blocks, one [B * Tm, C] per bucket. Padding repeats some real token."""

    @staticmethod
    def forward(ctx, x_TC, buckets):  # type: ignore[no-untyped-def]
        ctx.buckets = buckets
        ctx.shape = x_TC.shape
        return tuple(bucket.gather(x_TC) for bucket in buckets)

    @staticmethod
    def backward(ctx, *grads):  # type: ignore[no-untyped-def]
        grad_TC = grads[0].new_empty(ctx.shape)
        for bucket, grad in zip(ctx.buckets, grads, strict=True):
            bucket.scatter(grad, grad_TC)
        return grad_TC, None


class BlocksToPack(torch.autograd.Function):
    """Padded blocks back to tokens [T, C]; the gradient of padding is zero."""

    @staticmethod
    def forward(ctx, n_tokens, buckets, *blocks):  # type: ignore[no-untyped-def]
        ctx.buckets = buckets
        out_TC = blocks[0].new_empty(n_tokens, blocks[0].shape[1])
        for bucket, block in zip(buckets, blocks, strict=True):
            bucket.scatter(block, out_TC)
        return out_TC

    @staticmethod
    def backward(ctx, grad_TC):  # type: ignore[no-untyped-def]
        grads = []
        for bucket in ctx.buckets:
            grad = bucket.gather(grad_TC)
            if bucket.padding is not None:
                grad = grad.index_fill(0, bucket.padding, 0.0)
            grads.append(grad)
        return None, None, *grads
