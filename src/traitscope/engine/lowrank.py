"""What adapters add to a frozen layer: y += scale * B A x, each to the tokens of its own slot.

A ``Part`` is one slot's update by itself: no work beyond what LoRA needs. A ``Stack`` is the updates of many slots in
the products of one: on a GPU, where a launch costs more than the products of an adapter, the others' share is computed
too and set to zero (as one adapter whose rank is the sum of theirs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from traitscope.engine.dropout import Drop
from traitscope.engine.products import frozen_product

# Ranks side by side in one product: more cost more work than the launches that they save.
STACKED_RANKS = 256


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


class Update(Protocol):
    """What is added to some tokens of a layer's output, and its gradients."""

    def add(self, x_TD: torch.Tensor, y_TO: torch.Tensor) -> list[torch.Tensor]:
        """Add it to y in place; returns what ``back`` needs, ``saves`` tensors."""
        ...

    def back(
        self, x_TD: torch.Tensor, grad_TO: torch.Tensor, saved: Sequence[torch.Tensor], grad_x: torch.Tensor | None
    ) -> None:
        """Accumulate the gradients of A and B, and add that of x in place where it is asked for."""
        ...

    @property
    def saves(self) -> int: ...


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

    @property
    def rank(self) -> int:
        return int(self.pair.a_RD.shape[0])

    @property
    def saves(self) -> int:
        return 1

    def add(self, x_TD: torch.Tensor, y_TO: torch.Tensor) -> list[torch.Tensor]:
        kept_TD = x_TD[self.start : self.stop]
        if self.drop is not None:
            kept_TD = kept_TD.masked_fill(self.drop.mask(kept_TD), 0.0)
        h_TR = frozen_product(kept_TD, self.pair.a_RD.to(x_TD.dtype), None)
        y_TO[self.start : self.stop].addmm_(h_TR, self.pair.b_OR.to(x_TD.dtype).t(), alpha=self.scale)
        return [h_TR]

    def back(
        self, x_TD: torch.Tensor, grad_TO: torch.Tensor, saved: Sequence[torch.Tensor], grad_x: torch.Tensor | None
    ) -> None:
        start, stop, pair, drop = self
        (h_TR,) = saved
        grad = grad_TO[start:stop]
        # Drawn again instead of kept: it is a function of the row and the layer.
        mask_TD = None if drop is None else drop.mask(x_TD[start:stop])
        grad_h = frozen_product(grad, pair.b_OR.to(grad.dtype).t(), None).mul_(self.scale)
        if pair.grad_a is not None and pair.grad_b is not None:
            # The rank comes first in both products: with it last the same product takes four times as long on a CPU.
            pair.grad_b.add_((h_TR.t() @ grad).t(), alpha=self.scale)
            kept_TD = x_TD[start:stop] if mask_TD is None else x_TD[start:stop].masked_fill(mask_TD, 0.0)
            if pair.grad_a.dtype == grad.dtype:
                pair.grad_a.addmm_(grad_h.t(), kept_TD)
            else:
                pair.grad_a.add_(grad_h.t() @ kept_TD)
        if grad_x is None:
            return
        if mask_TD is None:
            grad_x[start:stop].addmm_(grad_h, pair.a_RD.to(grad.dtype))
        else:
            grad_x[start:stop].add_((grad_h @ pair.a_RD.to(grad.dtype)).masked_fill_(mask_TD, 0.0))


@dataclass(frozen=True)
class Stack:
    """Parts of a pass as one adapter of C ranks, theirs side by side, without dropout.

    Attributes:
        parts: in the order of their tokens.
        others_TC: from the first token of the first part to the last of the last, True where a rank is another's.
    """

    parts: Sequence[Part]
    others_TC: torch.Tensor
    saves = 3

    def add(self, x_TD: torch.Tensor, y_TO: torch.Tensor) -> list[torch.Tensor]:
        start, stop = self.parts[0].start, self.parts[-1].stop
        a_CD = torch.cat([part.pair.a_RD for part in self.parts]).to(x_TD.dtype)
        b_OC = torch.cat([part.pair.b_OR for part in self.parts], dim=1).to(x_TD.dtype)
        h_TC = self._own(x_TD[start:stop] @ a_CD.t())
        y_TO[start:stop].addmm_(h_TC, b_OC.t())
        return [h_TC, a_CD, b_OC]

    def back(
        self, x_TD: torch.Tensor, grad_TO: torch.Tensor, saved: Sequence[torch.Tensor], grad_x: torch.Tensor | None
    ) -> None:
        start, stop = self.parts[0].start, self.parts[-1].stop
        h_TC, a_CD, b_OC = saved
        x_TD, grad_TO = x_TD[start:stop], grad_TO[start:stop]
        grad_h_TC = self._own(grad_TO @ b_OC)
        if self.parts[0].pair.grad_a is not None:
            self._accumulate(grad_h_TC.t() @ x_TD, h_TC.t() @ grad_TO)
        if grad_x is not None:
            grad_x[start:stop].addmm_(grad_h_TC, a_CD)

    def _accumulate(self, grad_a_CD: torch.Tensor, grad_b_CO: torch.Tensor) -> None:
        ranks = [part.rank for part in self.parts]
        pairs = [part.pair for part in self.parts]
        buffers = [grad for pick in ("grad_a", "grad_b") for pair in pairs if (grad := getattr(pair, pick)) is not None]
        # In the buffers' own precision and strides all sums are one launch.
        grad_a_CD, grad_b_CO = grad_a_CD.to(buffers[0].dtype), grad_b_CO.to(buffers[0].dtype)
        if len(set(ranks)) == 1:
            grads_b = grad_b_CO.unflatten(0, (-1, ranks[0])).transpose(1, 2).contiguous().unbind()
        else:
            grads_b = tuple(grad_RO.t().contiguous() for grad_RO in grad_b_CO.split(ranks))
        torch._foreach_add_(buffers, [*grad_a_CD.split(ranks), *grads_b])

    def _own(self, ranks_TC: torch.Tensor) -> torch.Tensor:
        """Every token's own ranks, scaled; the others' are zero, whatever they hold."""
        ranks_TC.masked_fill_(self.others_TC, 0.0)
        scales = [part.scale for part in self.parts]
        if len(set(scales)) == 1:
            return ranks_TC.mul_(scales[0])
        per_rank = [scale for part, scale in zip(self.parts, scales, strict=True) for _ in range(part.rank)]
        return ranks_TC.mul_(torch.tensor(per_rank, dtype=ranks_TC.dtype, device=ranks_TC.device))


def side_by_side(parts: Sequence[Part], seen: dict[Any, torch.Tensor], device: torch.device) -> list[Update]:
    """The parts of a layer's pass as stacks of at most ``STACKED_RANKS`` ranks; parts with dropout stay alone.

    Args:
        parts: in the order of their tokens.
        seen: masks of the pass, which most layers share.
        device: where the masks go.
    """
    groups: list[list[Part]] = []
    for part in parts:
        mine = groups[-1] if groups else []
        alone = part.drop is not None or not mine or mine[-1].drop is not None
        if alone or sum(other.rank for other in mine) + part.rank > STACKED_RANKS:
            groups.append([part])
        else:
            mine.append(part)
    return [group[0] if len(group) == 1 else Stack(group, _others(group, seen, device)) for group in groups]


def _others(parts: Sequence[Part], seen: dict[Any, torch.Tensor], device: torch.device) -> torch.Tensor:
    key = tuple((part.start, part.stop, part.rank) for part in parts)
    if key not in seen:
        first = parts[0].start
        owners_T = np.full(parts[-1].stop - first, -1)
        for number, part in enumerate(parts):
            owners_T[part.start - first : part.stop - first] = number
        owners_C = np.repeat(np.arange(len(parts)), [part.rank for part in parts])
        both = (torch.from_numpy(owners).to(device) for owners in (owners_T[:, None], owners_C[None, :]))
        seen[key] = torch.ne(*both)
    return seen[key]
