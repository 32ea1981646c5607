"""What the attention function and the linear layers of a bank need to know of the pass under way."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from traitscope.engine.dropout import DropRows
from traitscope.engine.layout import Layout


@dataclass
class Runtime:
    """The pass under way.

    Attributes:
        layout: how its tokens lie; None outside a pass of ours.
        slot_ranges: which tokens belong to which slot: (start, stop, slot), adjacent and in order.
        anchor: a tensor that requires a gradient, so that layers are differentiated although no weight of theirs is.
        drops: the rows of a training pass with dropout; None in every other pass.
        whole_slot: set while every token of every pass belongs to one slot, whatever the batch's shape.
    """

    layout: Layout | None = None
    slot_ranges: list[tuple[int, int, int]] = field(default_factory=list)
    anchor: torch.Tensor | None = None
    drops: DropRows | None = None
    whole_slot: int | None = None
