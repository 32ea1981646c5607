"""What models have in common below the layer where they part is computed once for all of them.

Adapters trained in a section of the layers leave the layers below to the base; one that is switched off in a window is
the whole adapter below it, one that acts in a window alone is the base below it. While models run one after the other
over the same passes, the hidden states where a later one parts from an earlier one are kept, and it starts from there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from traitscope.engine.base import Base

# Hidden states kept at most, in bytes; beyond it models run whole.
KEEP_BYTES = 1 << 30

Stem = tuple[Hashable, ...]


class Trunk:
    """Hidden states at the layers where later models part from earlier ones.

    Args:
        base: the base.
        stems: of every model in the order they run, what it adds in each decoder layer (``Bank.stem``); empty where
            models run side by side.
        n_tokens: tokens of all passes together.
    """

    def __init__(self, base: Base, stems: Sequence[Stem], n_tokens: int) -> None:
        self.base = base
        self.stems = stems if base.paths.trunk and base.sides is None else []
        self.kept: dict[tuple[tuple[int, ...], Stem], Any] = {}
        self.skipped_layers = 0
        self._slot = 0
        self._plan()
        state_bytes = n_tokens * base.hidden_size * torch.finfo(base.dtype).bits // 8
        if self._most_kept() * state_bytes > KEEP_BYTES:
            self.stems = []
            self._plan()

    def _plan(self) -> None:
        """Where each model starts, which states it keeps for later ones, and who uses each for the last time."""
        self.starts = [0] * len(self.stems)
        self.keeps: list[list[int]] = [[] for _ in self.stems]
        self.last_use: dict[Stem, int] = {}
        for later, stem in enumerate(self.stems):
            shared = [_common(stem, other) for other in self.stems[:later]]
            start = max(shared, default=0)
            if start > 0:
                # The first that comes so far computes the state; those after it start from the same one.
                self.keeps[shared.index(start)].append(start)
                self.starts[later] = start
                self.last_use[stem[:start]] = later

    def _most_kept(self) -> int:
        """Most states of a row that are held at a time."""
        made = {self.stems[slot][:b]: slot for slot in range(len(self.stems)) for b in self.keeps[slot]}
        held = [sum(made[s] <= slot <= self.last_use[s] for s in made) for slot in range(len(self.stems))]
        return max(held, default=0)

    @contextmanager
    def model(self, slots: Sequence[int], rows: tuple[int, ...]) -> Iterator[int]:
        """The pass over ``rows`` for the model of the only slot; gives the first layer that is run."""
        if not self.stems:
            yield 0
            return
        (slot,) = slots
        if slot != self._slot:
            self._slot = slot
            self.kept = {key: state for key, state in self.kept.items() if self.last_use[key[1]] >= slot}
        stem, start = self.stems[slot], self.starts[slot]
        if (rows, stem[:start]) not in self.kept:
            start = 0
        hooks = []
        layers = self.base.layers
        try:
            for number in range(start):
                state = self.kept[rows, stem[:start]] if number == start - 1 else None
                object.__setattr__(layers[number], "forward", _standing_in(state))
            self.skipped_layers += start
            for boundary in set(self.keeps[slot]):
                hooks.append(layers[boundary - 1].register_forward_hook(self._keeper(rows, stem[:boundary])))
            yield start
        finally:
            for hook in hooks:
                hook.remove()
            for number in range(start):
                object.__delattr__(layers[number], "forward")

    def _keeper(self, rows: tuple[int, ...], stem: Stem) -> Callable[..., None]:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            self.kept[rows, stem] = output

        return keep


def _common(a: Stem, b: Stem) -> int:
    """Number of layers, from the lowest, in which two models are the same."""
    return next((layer for layer, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))


def _standing_in(state: Any) -> Callable[..., Any]:
    """A forward that computes nothing: gives the kept state, or hands on what came in."""

    def forward(hidden_states: Any, *_args: Any, **_kwargs: Any) -> Any:
        return hidden_states if state is None else state

    return forward
