"""Cutting rows into passes that fit into memory, smaller ones when they turn out not to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

from traitscope.errors import TraitscopeError, is_out_of_memory

log = logging.getLogger(__name__)


def next_pass(pending: Sequence[int], sizes: Sequence[int], limit: int) -> list[int]:
    """The rows of the next pass: as many of ``pending``, in order, as hold at most ``limit`` tokens; at least one."""
    chosen: list[int] = []
    size = 0
    for index in pending:
        if chosen and size + sizes[index] > limit:
            break
        chosen.append(index)
        size += sizes[index]
    return chosen


def run_passes(order: Sequence[int], sizes: Sequence[int], limit: int, run: Callable[[list[int]], None]) -> None:
    """Run ``run`` on consecutive groups of rows of at most ``limit`` tokens; on out-of-memory halve the limit.

    Args:
        order: row numbers, like lengths together, so that the padded blocks of attention waste little.
        sizes: tokens of every row.
        limit: most tokens in one pass.
        run: computes one pass; its results must not be kept when it runs out of memory.

    Raises:
        TraitscopeError: a single row does not fit.
    """
    pending = list(order)
    while pending:
        chosen = next_pass(pending, sizes, limit)
        try:
            run(chosen)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(chosen) == 1:
                raise TraitscopeError(
                    f"out of memory with one row of {sizes[chosen[0]]} tokens",
                    where="scoring",
                    fix="shorten the prompts, use dtype bf16, or a device with more memory",
                ) from error
            limit = max(1, sum(sizes[index] for index in chosen) // 2)
            log.warning("out of memory: passes of %d tokens from here on", limit)
            torch.cuda.empty_cache()
            continue
        pending = pending[len(chosen) :]
