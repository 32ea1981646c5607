"""What the attention function and the linear layers of a bank need to know of the pass under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from traitscope.engine.dropout import DropRow, RowKey
from traitscope.engine.layout import Layout
from traitscope.engine.spans import Span


@dataclass
class Call:
    """One call of the attention function, as it was seen in a single row.

    Attributes:
        module: the layer's attention module.
        mask: what it was given as mask.
        options: names of the options that were set.
        width: numbers that its keys and values hold per token.
    """

    module: Any
    mask: Any
    options: tuple[str, ...]
    width: int


@dataclass(frozen=True)
class Site:
    """Where a module calls the attention function: its first place among all calls of a pass, how often, how far."""

    first: int
    calls: int
    span: Span


@dataclass
class Runtime:
    """The pass under way.

    Attributes:
        layout: how its tokens lie; None outside a pass of ours.
        slot_ranges: which tokens belong to which slot: (start, stop, slot), adjacent and in order.
        anchor: a tensor that requires a gradient, so that layers are differentiated although no weight of theirs is.
        row_keys: in a training pass with dropout, whose each of its rows is; None in every other pass.
        drops: where these rows lie in what is computed now.
        others: masks of stacked adapters (``lowrank``), by how their tokens lie.
        whole_slot: set while every token of every pass belongs to one slot, whatever the batch's shape.
        sites: by the identity of a module, where it calls the attention function.
        counts: how often each has called it in this pass.
        watched: receives the calls while the model is looked at, else None.
    """

    layout: Layout | None = None
    slot_ranges: list[tuple[int, int, int]] = field(default_factory=list)
    anchor: torch.Tensor | None = None
    row_keys: Sequence[RowKey] | None = None
    drops: Sequence[DropRow] | None = None
    others: dict[Any, torch.Tensor] = field(default_factory=dict)
    whole_slot: int | None = None
    sites: dict[int, Site] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    watched: list[Call] | None = None

    def place(self, module: Any) -> tuple[int, Span]:
        """Number of this call of the attention function in a pass, and how far back it sees."""
        site = self.sites[id(module)]
        # Layers that are computed again for their gradients go on counting: a module always calls as often.
        count = self.counts.get(id(module), 0)
        self.counts[id(module)] = count + 1
        return site.first + count % site.calls, site.span
