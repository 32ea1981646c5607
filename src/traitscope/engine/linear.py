"""The linear layer of a bank: one frozen product for all rows, and for each slot its low-rank update.

y = x W' + b + scale_a * (x A_a') B_a' for the rows of slot a; in training with dropout the x before A has entries that
are zeroed. The frozen weight never gets a gradient; the adapters' gradients are accumulated straight into the flat
buffers that the optimiser steps on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from traitscope.engine.dropout import Drop, within
from traitscope.engine.runtime import Runtime

# With AVX-512 oneDNN's fp32 products are faster than the default's, with AVX2 slower (docs/performance.md, "Kernels").
_ONEDNN = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    else None
)


def frozen_product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """``F.linear`` without gradients, in fp32 through oneDNN on a CPU that has AVX-512 (5-45 % faster there).

    A weight of lower precision than ``x`` says in what the product is taken; what goes in and comes out is ``x``'s.
    """
    if weight.dtype != x.dtype:
        y = F.linear(x.to(weight.dtype), weight).to(x.dtype)
        return y if bias is None else y.add_(bias)
    if _ONEDNN is not None and x.dtype == torch.float32 and x.device.type == "cpu" and x.shape[0] >= 32:
        return _ONEDNN(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def original_linear(module: nn.Module) -> nn.Module | None:
    """The frozen linear behind a module of the model (itself, or what a bank put in its place), or None."""
    if isinstance(module, BankLinear):
        return module.original
    if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":
        return module
    return None


def shape_of(module: nn.Module) -> tuple[int, int]:
    """(in_features, out_features) of a linear or of GPT-2's Conv1D."""
    if type(module).__name__ == "Conv1D":
        rows, columns = module.weight.shape  # type: ignore[misc]
        return int(rows), int(columns)
    return int(module.in_features), int(module.out_features)  # type: ignore[arg-type]


@dataclass
class SlotWeights:
    """One slot's pair for one linear layer, views into the slot's flat buffers; A [R, D_in], B [D_out, R].

    ``dropout`` acts in training passes alone; ``name`` is the layer's.
    """

    a_RD: torch.Tensor
    b_OR: torch.Tensor
    scale: float
    grad_a: torch.Tensor | None = None
    grad_b: torch.Tensor | None = None
    dropout: float = 0.0
    name: str = ""


class Part(NamedTuple):
    """The tokens of a pass that have one slot's adapter in one layer, and what is dropped of their inputs."""

    start: int
    stop: int
    pair: SlotWeights
    drop: Drop | None = None

    @property
    def scale(self) -> float:
        """Of the update; what is not dropped counts for what is."""
        return self.pair.scale if self.drop is None else self.pair.scale / (1.0 - self.drop.share)


class BankLinear(nn.Module):
    """A linear layer of the base with the adapters of all slots around it.

    ``original`` is the base's own module; ``slots`` maps the slot number to its weights; a slot that does not target
    this layer, or is gated off here, is absent. ``merged`` replaces the frozen weight while a single adapter is
    merged into a working copy, which is kept for the next time; ``rounded`` is the frozen weight in the precision of
    the products, where that is lower.
    """

    original: nn.Module

    def __init__(self, original: nn.Module, runtime: Runtime, layer: int) -> None:
        super().__init__()
        # Not registered as a submodule: the model's module names stay those of the base while a bank is open.
        object.__setattr__(self, "original", original)
        self.runtime = runtime
        self.layer = layer
        self.slots: dict[int, SlotWeights] = {}
        self.merged: torch.Tensor | None = None
        self._copy: torch.Tensor | None = None
        self._copy_of: SlotWeights | None = None
        self._copy_versions: tuple[int, int] | None = None
        self.transposed = type(original).__name__ == "Conv1D"
        self.plain = type(original) is nn.Linear or self.transposed
        self.rounded: torch.Tensor | None = None

    @property
    def weight(self) -> torch.Tensor:
        """The frozen weight; some architectures look at its dtype."""
        return self.original.weight  # type: ignore[return-value]

    @property
    def bias(self) -> torch.Tensor | None:
        return self.original.bias  # type: ignore[return-value]

    def weight_OD(self) -> torch.Tensor:
        if self.merged is not None:
            return self.merged
        weight = self.weight if self.rounded is None else self.rounded
        return weight.t() if self.transposed else weight

    def merge(self, slot: int) -> None:
        """Put W + scale B A into the working copy; the frozen weight itself is never written."""
        pair = self.slots[slot]
        # Merging all layers costs as much as some hundred tokens do: what one cell merged serves the model's next.
        versions = (pair.a_RD._version, pair.b_OR._version)
        if self._copy_of is not pair or self._copy_versions != versions:
            weight: torch.Tensor = self.original.weight  # type: ignore[assignment]
            weight = weight.t() if self.transposed else weight
            a_RD, b_OR = pair.a_RD.to(weight.dtype), pair.b_OR.to(weight.dtype)
            self._copy = torch.addmm(weight, b_OR, a_RD, alpha=pair.scale, out=self._copy)
            self._copy_of, self._copy_versions = pair, versions
        self.merged = self._copy

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = x.shape
        x_TD = x.reshape(-1, shape[-1])
        parts = [] if self.merged is not None else self.active(x_TD.shape[0])
        if not self.plain:
            y_TO = self.original(x).reshape(x_TD.shape[0], -1)
            if parts:
                y_TO = _LowRank.apply(x_TD, y_TO, self.runtime.anchor, parts)
            return y_TO.view(*shape[:-1], -1)
        bias: torch.Tensor | None = self.original.bias  # type: ignore[assignment]
        if torch.is_grad_enabled() and (x.requires_grad or parts):
            y_TO = _FrozenPlusLowRank.apply(x_TD, self.weight_OD(), bias, self.runtime.anchor, parts)
        else:
            y_TO = frozen_product(x_TD, self.weight_OD(), bias)
            _add_low_rank(x_TD, y_TO, parts)
        return y_TO.view(*shape[:-1], -1)

    def active(self, n_tokens: int) -> list[Part]:
        """Token ranges of the pass that have an adapter here."""
        whole = self.runtime.whole_slot
        if whole is not None:
            return [Part(0, n_tokens, self.slots[whole])] if whole in self.slots else []
        ranges = self.runtime.slot_ranges
        if not ranges or not self.slots:
            return []
        if len(ranges) == 1 and n_tokens != ranges[-1][1]:
            # A layer that routes tokens: they are all of the one slot of the pass.
            slot = ranges[0][2]
            return [Part(0, n_tokens, self.slots[slot])] if slot in self.slots else []
        if ranges[-1][1] != n_tokens:
            raise RuntimeError(f"an adapted layer was called with {n_tokens} tokens, the pass has {ranges[-1][1]}")
        return [self._part(start, stop, self.slots[slot]) for start, stop, slot in ranges if slot in self.slots]

    def _part(self, start: int, stop: int, pair: SlotWeights) -> Part:
        drops = self.runtime.drops
        if self.runtime.row_keys is None or not pair.dropout:
            return Part(start, stop, pair)
        if drops is None:
            raise RuntimeError("a training pass with dropout was not laid out")
        return Part(start, stop, pair, Drop(pair.dropout, pair.name, within(drops, start, stop)))


def _add_low_rank(x_TD: torch.Tensor, y_TO: torch.Tensor, parts: list[Part]) -> list[torch.Tensor]:
    """Add every slot's update to its tokens of y, in place; returns the rank-R activations, part after part."""
    hidden = []
    for part in parts:
        h_TR = frozen_product(_kept(x_TD, part), part.pair.a_RD.to(x_TD.dtype), None)
        y_TO[part.start : part.stop].addmm_(h_TR, part.pair.b_OR.to(x_TD.dtype).t(), alpha=part.scale)
        hidden.append(h_TR)
    return hidden


def _kept(x_TD: torch.Tensor, part: Part) -> torch.Tensor:
    """The part's inputs of A: what is dropped is zero."""
    mine = x_TD[part.start : part.stop]
    return mine if part.drop is None else mine.masked_fill(part.drop.mask(mine), 0.0)


class _FrozenPlusLowRank(torch.autograd.Function):
    """The whole layer in one node: saves x and the rank-R activations, nothing of size [T, D_out]."""

    @staticmethod
    def forward(ctx, x_TD, weight_OD, bias, anchor, parts):  # type: ignore[no-untyped-def]
        y_TO = frozen_product(x_TD, weight_OD, bias)
        hidden = _add_low_rank(x_TD, y_TO, parts)
        ctx.parts = parts
        ctx.save_for_backward(x_TD if parts else None, weight_OD, *hidden)
        return y_TO

    @staticmethod
    def backward(ctx, grad_TO):  # type: ignore[no-untyped-def]
        x_TD, weight_OD, *hidden = ctx.saved_tensors
        grad_TO = grad_TO.contiguous()
        grad_x = frozen_product(grad_TO, weight_OD.t(), None) if ctx.needs_input_grad[0] else None
        _low_rank_backward(x_TD, grad_TO, ctx.parts, hidden, grad_x)
        return grad_x, None, None, None, None


class _LowRank(torch.autograd.Function):
    """Only the low-rank part, for base layers with a product of their own (quantised weights)."""

    @staticmethod
    def forward(ctx, x_TD, y_TO, anchor, parts):  # type: ignore[no-untyped-def]
        out_TO = y_TO.clone()
        hidden = _add_low_rank(x_TD, out_TO, parts)
        ctx.parts = parts
        ctx.save_for_backward(x_TD, *hidden)
        return out_TO

    @staticmethod
    def backward(ctx, grad_TO):  # type: ignore[no-untyped-def]
        x_TD, *hidden = ctx.saved_tensors
        grad_x = torch.zeros_like(x_TD) if ctx.needs_input_grad[0] else None
        _low_rank_backward(x_TD, grad_TO.contiguous(), ctx.parts, hidden, grad_x)
        return grad_x, grad_TO, None, None


def _low_rank_backward(
    x_TD: Any,
    grad_TO: torch.Tensor,
    parts: list[Part],
    hidden: list[torch.Tensor],
    grad_x: torch.Tensor | None,
) -> None:
    for part, h_TR in zip(parts, hidden, strict=True):
        start, stop, pair, drop = part
        grad = grad_TO[start:stop]
        # Drawn again instead of kept: it is a function of the row and the layer.
        mask_TD = None if drop is None else drop.mask(x_TD[start:stop])
        grad_h = frozen_product(grad, pair.b_OR.to(grad.dtype).t(), None).mul_(part.scale)
        if pair.grad_a is not None and pair.grad_b is not None:
            # The rank comes first in both products: with it last the same product takes four times as long on a CPU.
            pair.grad_b.add_((h_TR.t() @ grad).t(), alpha=part.scale)
            kept_TD = x_TD[start:stop] if mask_TD is None else x_TD[start:stop].masked_fill(mask_TD, 0.0)
            if pair.grad_a.dtype == grad.dtype:
                pair.grad_a.addmm_(grad_h.t(), kept_TD)
            else:
                pair.grad_a.add_(grad_h.t() @ kept_TD)
        if grad_x is None:
            continue
        if mask_TD is None:
            grad_x[start:stop].addmm_(grad_h, pair.a_RD.to(grad.dtype))
        else:
            grad_x[start:stop].add_((grad_h @ pair.a_RD.to(grad.dtype)).masked_fill_(mask_TD, 0.0))
