"""LoRA dropout: which inputs of A are zeroed, as a function of job, step, row and module alone.

Whoever else is in the bank, however a step is cut into passes, and when a layer is computed again in the backward pass
or after a resume: the same inputs are dropped. Srivastava et al. 2014; PEFT's ``lora_dropout``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

# A job's seed, its optimiser step, the row's place in the batch of that step.
RowKey = tuple[int, int, int]


# The tokens of a row in a pass (start, stop), and whose they are.
DropRow = tuple[int, int, RowKey]


def within(rows: Sequence[DropRow], start: int, stop: int) -> tuple[DropRow, ...]:
    """The rows between two tokens of a pass, counted from the first of them."""
    return tuple((a - start, b - start, key) for a, b, key in rows if start <= a and b <= stop)


@dataclass(frozen=True)
class Drop:
    """What one slot drops in one layer during the pass under way.

    Attributes:
        share: probability of an input to be zeroed; the others count 1 / (1 - share) times.
        module: the layer's name.
        rows: (start, stop, key) of the rows of the slot, counted from its first token.
    """

    share: float
    module: str
    rows: tuple[DropRow, ...]

    def mask(self, x_TD: torch.Tensor) -> torch.Tensor:
        """True where an input is dropped, [T, D]; padding is not."""
        mask_TD = torch.zeros(x_TD.shape, dtype=torch.bool, device=x_TD.device)
        generator = torch.Generator(x_TD.device)
        for start, stop, key in self.rows:
            generator.manual_seed(_seed(key, self.module))
            mask_TD[start:stop].bernoulli_(self.share, generator=generator)
        return mask_TD


def _seed(key: RowKey, module: str) -> int:
    digest = hashlib.blake2b(f"{key} {module}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
