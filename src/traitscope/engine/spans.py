"""How far back a layer sees, derived from the mask function that transformers builds for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

Places = TypeVar("Places", np.ndarray, torch.Tensor)

# Mask functions are looked at up to this many positions.
FARTHEST = 1 << 17


@dataclass(frozen=True)
class Span:
    """Which of the tokens up to itself a token sees: all, those less than ``window`` back, or its ``chunk``'s."""

    window: int | None = None
    chunk: int | None = None

    def sees(self, query: Places, key: Places) -> Places:
        """Whether tokens at positions ``query`` see those at ``key``, which broadcast; causality aside."""
        if self.window is not None:
            return query - key < self.window
        if self.chunk is not None:
            return query // self.chunk == key // self.chunk
        return query - key > -FARTHEST

    def hides(self, first: int, last: int) -> bool:
        """Whether some token of the positions ``first`` to ``last`` does not see all that come before it there."""
        if self.window is not None:
            return last - first >= self.window
        return self.chunk is not None and first // self.chunk != last // self.chunk


ALL = Span()


class RowMask:
    """Stands for the mask of a layer while the model is looked at; nothing but the attention function may read it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def grid(self, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """The mask function's own answer, [Q, K]; raises what the function raises."""
        zero = torch.zeros(1, 1, 1, 1, dtype=torch.long, device=queries.device)
        seen = self.function(zero, zero, queries[None, None, :, None], keys[None, None, None, :])
        return seen.expand(1, 1, len(queries), len(keys))[0, 0]


def span_of(mask: RowMask, longest: int) -> Span | None:
    """What a mask function lets be seen, held at every kind of distance; None where it is no causal span.

    Args:
        mask: of a single row.
        longest: positions of the model.
    """
    last = min(longest, FARTHEST) - 1
    keys = torch.arange(last + 1)

    def first_seen(query: int) -> int | None:
        seen = mask.grid(torch.tensor([query]), keys)[0]
        first = int(seen.to(torch.uint8).argmax())
        return first if bool((seen == ((keys >= first) & (keys <= query))).all()) else None

    edge = first_seen(last)
    if edge is None:
        return None
    candidates = [ALL]
    if edge > 0:
        before = first_seen(edge - 1)
        candidates = [Span(window=last - edge + 1)] + ([] if before is None else [Span(chunk=edge - before)])
    draw = np.random.default_rng(0)
    sizes = {last - edge + 1, *(c.chunk for c in candidates if c.chunk)}
    looked = {0, 1, 2, last, *draw.integers(0, last + 1, 16).tolist()}
    looked |= {n * size + d for size in sizes for n in (1, 2, 3) for d in (-1, 0, 1)}
    queries = torch.tensor(sorted(q for q in looked if 0 <= q <= last))
    found = mask.grid(queries, keys)
    causal = keys[None] <= queries[:, None]
    return next((c for c in candidates if bool((found == (c.sees(queries[:, None], keys[None]) & causal)).all())), None)
