"""The bank: adapters stacked over one frozen base, run together in one pass.

While a bank is open, the targeted linear layers of the base are wrapped; ``close`` puts the originals back. Slots are
numbered in the order of the models given; a model that is None is the base itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from traitscope.engine.base import Base
from traitscope.engine.layout import token_ranges
from traitscope.engine.linear import BankLinear
from traitscope.engine.lora import Adapter
from traitscope.engine.lowrank import SlotWeights
from traitscope.errors import TraitscopeError


@dataclass(frozen=True)
class Gated:
    """An adapter that acts only in some decoder layers (0-based, inclusive): the causal check of a section.

    Exactly one of ``on`` and ``off`` is given: the window in which the adapter acts, or in which it does not.
    """

    adapter: Adapter
    on: tuple[int, int] | None = None
    off: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.on is None) == (self.off is None):
            raise TraitscopeError(
                "a gate needs exactly one of on and off", where="Gated", fix="give a window (first, last)"
            )

    def acts_in(self, layer: int) -> bool:
        if self.on is not None:
            return self.on[0] <= layer <= self.on[1]
        assert self.off is not None
        return not self.off[0] <= layer <= self.off[1]


Model = Adapter | Gated | None


class Bank:
    """Models (adapters, gated adapters, or None for the base) over one frozen base.

    Args:
        base: the frozen base; it can be in one open bank at a time.
        models: name to model, in slot order.
    """

    def __init__(self, base: Base, models: Mapping[str, Model]) -> None:
        if not models:
            raise TraitscopeError("a bank needs at least one model", where="Bank", fix="name a model")
        self.base = base
        self.names = list(models)
        self.models = list(models.values())
        self.layers: dict[str, BankLinear] = {}
        self.flats: list[torch.Tensor | None] = []
        self.grads: list[torch.Tensor | None] = []
        self._wrap()
        for slot, model in enumerate(self.models):
            self.flats.append(None)
            self.grads.append(None)
            self.set_slot(slot, model)

    def __enter__(self) -> Bank:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wrap(self) -> None:
        names = {piece.name for model in self.models for piece in _pieces(model)}
        for name in self.base.linear_names:
            if name in names or self.base.product_dtype is not None:
                self._wrap_one(name)

    def _wrap_one(self, name: str) -> BankLinear:
        parent, leaf = _parent(self.base.model, name)
        module = getattr(parent, leaf)
        if isinstance(module, BankLinear):
            raise TraitscopeError("the base is already in an open bank", where="Bank", fix="close the other bank first")
        layer = BankLinear(module, self.base.runtime, self.base.layer_of(name))
        object.__setattr__(layer, "_traitscope_runtime", self.base.runtime)
        if self.base.product_dtype is not None and layer.plain:
            layer.rounded = layer.weight.to(self.base.product_dtype)
        setattr(parent, leaf, layer)
        self.layers[name] = layer
        return layer

    def close(self) -> None:
        """Give the base its own linear layers back."""
        for name, layer in self.layers.items():
            parent, leaf = _parent(self.base.model, name)
            setattr(parent, leaf, layer.original)
        self.layers = {}
        self.base.runtime.slot_ranges = []

    def set_slot(self, slot: int, model: Model, *, train: bool = False) -> None:
        """Put a model into a slot, in place of what was there; with ``train``, with a gradient buffer."""
        self.models[slot] = model
        for layer in self.layers.values():
            layer.slots.pop(slot, None)
        adapter = model.adapter if isinstance(model, Gated) else model
        if adapter is None:
            self.flats[slot] = self.grads[slot] = None
            return
        flat = adapter.flat.to(self.base.device)
        grad = torch.zeros_like(flat) if train else None
        if train:
            flat = flat.clone()
        self.flats[slot], self.grads[slot] = flat, grad
        for piece in adapter.pieces:
            layer = self.layers.get(piece.name) or self._wrap_one(piece.name)
            if isinstance(model, Gated) and not model.acts_in(layer.layer):
                continue
            a_RD, b_OR = piece.views(flat)
            pair = SlotWeights(a_RD, b_OR, piece.scale, dropout=adapter.spec.dropout, name=piece.name)
            if grad is not None:
                pair.grad_a, pair.grad_b = piece.views(grad)
            layer.slots[slot] = pair

    @contextmanager
    def merged(self, slot: int | None) -> Iterator[None]:
        """One slot's adapter is merged into working copies of the weights (None: no slot's).

        The copies are made from the frozen weights, which are never written.
        """
        try:
            for layer in self.layers.values():
                if slot is not None and slot in layer.slots:
                    layer.merge(slot)
            yield
        finally:
            for layer in self.layers.values():
                layer.merged = None

    def lay_out(
        self, slots: Sequence[int], lengths: Sequence[int], *, width: int | None = None, rows: Sequence[int] = ()
    ) -> None:
        """Say how the rows of what is computed next lie, one behind the other.

        Args:
            slots, lengths: of each row; rows of one slot are adjacent.
            width: places that every row takes where rows are padded; None: as many as it has tokens.
            rows: their numbers in the pass, where not all of its rows are computed at once.
        """
        runtime = self.base.runtime
        ends = np.cumsum([width or length for length in lengths]).tolist()
        runtime.slot_ranges = token_ranges(slots, ends)
        runtime.others.clear()
        if runtime.row_keys is not None:
            keys = [runtime.row_keys[row] for row in rows] if rows else runtime.row_keys
            starts = [0, *ends[:-1]]
            runtime.drops = [(at, at + n, key) for at, n, key in zip(starts, lengths, keys, strict=True)]

    @property
    def apart(self) -> bool:
        """Whether passes hold one slot each: a layer that routes tokens does not know whose they are."""
        return any(layer.slots for name, layer in self.layers.items() if name in self.base.paths.routed)

    def stem(self, slot: int) -> tuple[tuple[tuple[str, int], ...], ...]:
        """What a slot's model adds to the base in every decoder layer: where two begin alike, they are the same."""
        model = self.models[slot]
        adapter = model.adapter if isinstance(model, Gated) else model
        added: list[list[tuple[str, int]]] = [[] for _ in range(self.base.n_layers)]
        for name, layer in self.layers.items():
            if slot in layer.slots:
                added[layer.layer].append((name, id(adapter)))
        return tuple(tuple(parts) for parts in added)


def _pieces(model: Model) -> Sequence[Any]:
    if model is None:
        return ()
    return model.adapter.pieces if isinstance(model, Gated) else model.pieces


def _parent(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf
