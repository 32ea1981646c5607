"""Position tables that change with a row's length (longrope, dynamic scaling): rows keep those that they have alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from traitscope.engine.layout import Layout


@dataclass(frozen=True, eq=False)
class Table:
    """A module that was given the positions 0 to ``n_tokens`` - 1 of a row, such as a rotary embedding, and how."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    n_tokens: int

    def at(self, positions_T: torch.Tensor) -> list[torch.Tensor]:
        """Its output for other positions, as real tensors [..., T, d]."""
        row = torch.arange(self.n_tokens)
        args, kwargs = _moved(self.args, self.kwargs, row, positions_T)
        with torch.no_grad():
            output = self.module(*args, **kwargs)
        parts = output if isinstance(output, (tuple, list)) else [output]
        return [torch.view_as_real(part).flatten(-2) if part.is_complex() else part for part in parts]


def are(value: Any, positions_T: torch.Tensor) -> bool:
    """Whether an argument holds these positions."""
    return (
        isinstance(value, torch.Tensor)
        and not value.is_floating_point()
        and not value.is_complex()
        and value.ndim > 0
        and value.shape[-1] == len(positions_T)
        and bool((value.reshape(-1, len(positions_T)).cpu() == positions_T.cpu()).all())
    )


def _moved(
    args: tuple[Any, ...], kwargs: dict[str, Any], old_T: torch.Tensor, new_T: torch.Tensor
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments in which one set of positions is replaced by another."""

    def move(value: Any) -> Any:
        return new_T.to(value.device).expand(*value.shape[:-1], len(new_T)) if are(value, old_T) else value

    return [move(value) for value in args], {name: move(value) for name, value in kwargs.items()}


class Sides:
    """Which rows a model's position tables treat alike, by their lengths.

    The tables are asked for the same first positions of rows of other lengths.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = list(tables)
        self._mark: Callable[[int], bytes] = lru_cache(maxsize=None)(self._ask)

    def __call__(self, length: int) -> bytes:
        """Equal for rows that can lie in one batch, or behind one prefix."""
        return self._mark(max(length, 3))

    def _ask(self, length: int) -> bytes:
        parts = [part for table in self.tables for part in table.at(torch.tensor([1, 2, length - 1]))]
        return b"".join(part[..., :2, :].float().cpu().numpy().tobytes() for part in parts)

    def vary(self, longest: int, numbers: Sequence[int]) -> bool:
        """Whether rows of up to ``longest`` tokens are treated differently; ``numbers`` are lengths worth a look."""
        drawn = np.random.default_rng(0).integers(3, longest + 1, 32).tolist() if longest > 3 else []
        near = [n + d for n in numbers for d in (-1, 0, 1)]
        looked = {3, longest, *drawn, *(2**k for k in range(2, 20)), *near}
        marks = {self(n) for n in sorted(looked) if 3 <= n <= longest}
        # Tables that remember the longest row so far are brought back.
        self._ask(3)
        return len(marks) > 1


@contextmanager
def tables_by_row(sides: Sides | None, layout: Layout) -> Iterator[None]:
    """In the pass inside it every row gets its tables as if it were alone."""
    if sides is None:
        yield
        return
    alike: dict[bytes, tuple[list[int], int]] = {}
    for start, stop, length in layout.seen:
        alike.setdefault(sides(length), ([], length))[0].extend(range(start, stop))
    groups = [(torch.tensor(tokens, device=layout.position_ids.device), length) for tokens, length in alike.values()]
    modules: list[Any] = [table.module for table in sides.tables]
    # A pass may lie inside itself, for gradients.
    outer = [vars(module).get("forward") for module in modules]
    for module in modules:
        own = partial(type(module).forward, module)
        object.__setattr__(module, "forward", _by_row(own, layout.position_ids, groups))
    try:
        yield
    finally:
        for module, forward in zip(modules, outer, strict=True):
            object.__delattr__(module, "forward")
            if forward is not None:
                object.__setattr__(module, "forward", forward)


def _by_row(
    forward: Callable[..., Any], positions_T: torch.Tensor, groups: list[tuple[torch.Tensor, int]]
) -> Callable[..., Any]:
    def by_row(*args: Any, **kwargs: Any) -> Any:
        whole: list[torch.Tensor] | None = None
        single = False
        for tokens, length in groups:
            # The last position of the row makes the table that of its length.
            last = torch.tensor([length - 1], device=positions_T.device)
            given, named = _moved(args, kwargs, positions_T, torch.cat([positions_T[tokens], last]))
            output = forward(*given, **named)
            single = isinstance(output, torch.Tensor)
            parts = [output] if single else list(output)
            if whole is None:
                whole = [part.new_empty(*part.shape[:-2], len(positions_T), part.shape[-1]) for part in parts]
            for target, part in zip(whole, parts, strict=True):
                target[..., tokens, :] = part[..., :-1, :]
        assert whole is not None
        return whole[0] if single else tuple(whole)

    return by_row
