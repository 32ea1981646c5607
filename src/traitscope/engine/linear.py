"""The linear layer of a bank: one frozen product for all rows, and for each slot its low-rank update.

y = x W' + b + scale_a * (x A_a') B_a' for the rows of slot a; in training with dropout the x before A has entries that
are zeroed. The frozen weight never gets a gradient; the adapters' gradients are accumulated straight into the flat
buffers that the optimiser steps on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from traitscope.engine.dropout import Drop, within
from traitscope.engine.lowrank import Part, SlotWeights, Update, side_by_side
from traitscope.engine.products import frozen_product
from traitscope.engine.runtime import Runtime


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
        updates = [] if self.merged is not None else self.updates(x_TD.shape[0], x.device)
        if not self.plain:
            y_TO = self.original(x).reshape(x_TD.shape[0], -1)
            if updates:
                y_TO = _LowRank.apply(x_TD, y_TO, self.runtime.anchor, updates)
            return y_TO.view(*shape[:-1], -1)
        bias: torch.Tensor | None = self.original.bias  # type: ignore[assignment]
        if torch.is_grad_enabled() and (x.requires_grad or updates):
            y_TO = _FrozenPlusLowRank.apply(x_TD, self.weight_OD(), bias, self.runtime.anchor, updates)
        else:
            y_TO = frozen_product(x_TD, self.weight_OD(), bias)
            for update in updates:
                update.add(x_TD, y_TO)
        return y_TO.view(*shape[:-1], -1)

    def updates(self, n_tokens: int, device: torch.device) -> Sequence[Update]:
        """What adapters add here: slot by slot on a CPU, side by side where launches cost more than products."""
        parts = self.active(n_tokens)
        if len(parts) < 2 or device.type == "cpu":
            return parts
        return side_by_side(parts, self.runtime.others, device)

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


class _FrozenPlusLowRank(torch.autograd.Function):
    """The whole layer in one node: saves x and the rank-R activations, nothing of size [T, D_out]."""

    @staticmethod
    def forward(ctx, x_TD, weight_OD, bias, anchor, updates):  # type: ignore[no-untyped-def]
        y_TO = frozen_product(x_TD, weight_OD, bias)
        saved = [tensor for update in updates for tensor in update.add(x_TD, y_TO)]
        ctx.updates = updates
        ctx.save_for_backward(x_TD if updates else None, weight_OD, *saved)
        return y_TO

    @staticmethod
    def backward(ctx, grad_TO):  # type: ignore[no-untyped-def]
        x_TD, weight_OD, *saved = ctx.saved_tensors
        grad_TO = grad_TO.contiguous()
        grad_x = frozen_product(grad_TO, weight_OD.t(), None) if ctx.needs_input_grad[0] else None
        _back(ctx.updates, x_TD, grad_TO, saved, grad_x)
        return grad_x, None, None, None, None


class _LowRank(torch.autograd.Function):
    """Only the low-rank part, for base layers with a product of their own (quantised weights)."""

    @staticmethod
    def forward(ctx, x_TD, y_TO, anchor, updates):  # type: ignore[no-untyped-def]
        out_TO = y_TO.clone()
        saved = [tensor for update in updates for tensor in update.add(x_TD, out_TO)]
        ctx.updates = updates
        ctx.save_for_backward(x_TD, *saved)
        return out_TO

    @staticmethod
    def backward(ctx, grad_TO):  # type: ignore[no-untyped-def]
        x_TD, *saved = ctx.saved_tensors
        grad_x = torch.zeros_like(x_TD) if ctx.needs_input_grad[0] else None
        _back(ctx.updates, x_TD, grad_TO.contiguous(), saved, grad_x)
        return grad_x, grad_TO, None, None


def _back(
    updates: Sequence[Update],
    x_TD: torch.Tensor,
    grad_TO: torch.Tensor,
    saved: Sequence[torch.Tensor],
    grad_x: torch.Tensor | None,
) -> None:
    left: Iterator[torch.Tensor] = iter(saved)
    for update in updates:
        update.back(x_TD, grad_TO, [next(left) for _ in range(update.saves)], grad_x)
