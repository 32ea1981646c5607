"""Layers below a model's lowest adapted one are the base's: their result is computed once for all models.

Adapters trained in a section of the layers and adapters gated to a window leave the layers below untouched. While such
models run one after the other over the same passes, the hidden states where they part from the base are kept, and
the next model starts from the highest of them that it shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from traitscope.engine.base import Base

# Hidden states kept at most, in bytes; beyond it models run whole.
KEEP_BYTES = 1 << 30


class Trunk:
    """Hidden states of the base at the layers where the models of a bank part from it.

    Args:
        base: the base.
        lowest: lowest adapted layer of every model (the number of layers for the base itself).
        n_tokens: tokens of all passes together.
    """

    def __init__(self, base: Base, lowest: Sequence[int], n_tokens: int) -> None:
        self.base = base
        shared = sorted({layer for layer in lowest if layer > 0})
        size = len(shared) * n_tokens * base.hidden_size * torch.finfo(base.dtype).bits // 8
        # A boundary helps where at least two models reach it.
        useful = [layer for layer in shared if sum(other >= layer for other in lowest) > 1]
        self.boundaries = useful if base.paths.trunk and base.sides is None and size <= KEEP_BYTES else []
        self.kept: dict[tuple[tuple[int, ...], int], Any] = {}
        self.skipped_layers = 0

    @contextmanager
    def model(self, lowest: int, rows: tuple[int, ...]) -> Iterator[int]:
        """The pass over ``rows``, for a model whose lowest adapted layer is ``lowest``; gives the first layer run."""
        mine = [b for b in self.boundaries if b <= lowest]
        have = [b for b in mine if (rows, b) in self.kept]
        start = max(have, default=0)
        hooks = []
        layers = self.base.layers
        try:
            for number in range(start):
                state = self.kept[rows, start] if number == start - 1 else None
                object.__setattr__(layers[number], "forward", _standing_in(state))
            self.skipped_layers += start
            for boundary in mine:
                if boundary > start:
                    hooks.append(layers[boundary - 1].register_forward_hook(self._keeper(rows, boundary)))
            yield start
        finally:
            for hook in hooks:
                hook.remove()
            for number in range(start):
                object.__delattr__(layers[number], "forward")

    def _keeper(self, rows: tuple[int, ...], boundary: int) -> Callable[..., None]:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            self.kept[rows, boundary] = output

        return keep


def _standing_in(state: Any) -> Callable[..., Any]:
    """A forward that computes nothing: gives the kept state, or hands on what came in."""

    def forward(hidden_states: Any, *_args: Any, **_kwargs: Any) -> Any:
        return hidden_states if state is None else state

    return forward
