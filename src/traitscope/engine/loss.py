"""Cross-entropy at the supervised positions only: never logits of all positions, never all logits at once."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# Logits held at a time, in elements: 16 M fp32 elements are 64 MiB. A GPU reads the whole head for every chunk.
LOGITS_AT_ONCE = 1 << 24
GPU_LOGITS_AT_ONCE = 1 << 27


def logits_at_once(device: torch.device) -> int:
    """Logits that may be held at a time on this device, in elements."""
    return LOGITS_AT_ONCE if device.type == "cpu" else GPU_LOGITS_AT_ONCE


class LinearCrossEntropy(torch.autograd.Function):
    """Weighted sum of token losses straight from hidden states through a frozen head.

    The gradient with respect to the hidden states is formed in the forward pass, chunk by chunk, so that a chunk's
    logits are the only ones ever held (the idea of Wijmans et al. 2024, "Cut Your Losses").
    """

    @staticmethod
    def forward(ctx, hidden_SD, weight_VD, bias_V, targets_S, weights_S):  # type: ignore[no-untyped-def]
        losses_S = torch.empty(targets_S.shape[0], dtype=_accurate(hidden_SD.dtype), device=hidden_SD.device)
        grad_SD = torch.empty_like(hidden_SD) if ctx.needs_input_grad[0] else None
        step = max(1, logits_at_once(hidden_SD.device) // weight_VD.shape[0])
        for start in range(0, targets_S.shape[0], step):
            chunk = slice(start, start + step)
            logits = F.linear(hidden_SD[chunk], weight_VD, bias_V)
            logits = logits.to(_accurate(logits.dtype))
            lse = logits.logsumexp(dim=-1)
            picked = logits.gather(1, targets_S[chunk, None])[:, 0]
            losses_S[chunk] = lse - picked
            if grad_SD is not None:
                probabilities = logits.sub_(lse[:, None]).exp_()
                rows = torch.arange(probabilities.shape[0], device=probabilities.device)
                probabilities[rows, targets_S[chunk]] -= 1.0
                probabilities.mul_(weights_S[chunk, None])
                grad_SD[chunk] = probabilities.to(weight_VD.dtype) @ weight_VD
        ctx.save_for_backward(grad_SD)
        ctx.mark_non_differentiable(losses_S)
        return (losses_S * weights_S).sum(), losses_S

    @staticmethod
    def backward(ctx, grad_total, _):  # type: ignore[no-untyped-def]
        (grad_SD,) = ctx.saved_tensors
        return grad_SD * grad_total.to(grad_SD.dtype), None, None, None, None


def _accurate(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.float64 else torch.float32


def weighted_loss(
    head: nn.Module, hidden_SD: torch.Tensor, targets_S: torch.Tensor, weights_S: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sum of weighted token losses, token losses [S]) of hidden states through a plain linear head."""
    bias: torch.Tensor | None = getattr(head, "bias", None)
    total, losses = LinearCrossEntropy.apply(hidden_SD, head.weight, bias, targets_S, weights_S)
    return total, losses


def weighted_loss_of_logits(
    logits_SV: torch.Tensor, targets_S: torch.Tensor, weights_S: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from logits, for models whose head is more than one linear layer."""
    losses = F.cross_entropy(logits_SV.to(_accurate(logits_SV.dtype)), targets_S, reduction="none")
    return (losses * weights_S).sum(), losses.detach()
