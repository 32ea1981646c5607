"""A token prefix that all rows of a slot share: its keys and values lie outside the pass and are merged in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from traitscope.engine.kernels import Attention, attend_lse, drop_blind, merge, with_sinks


@dataclass
class Prefix:
    """Keys and values, by call of the attention function, of a prefix that a slot's rows share: [1, Hkv, P, d] each."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    length: int


def spans(prefixes: Mapping[int, Prefix], ranges: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, Prefix]]:
    """The prefix of every token range (start, stop, slot); none where no slot has one."""
    return [(start, stop, prefixes[slot]) for start, stop, slot in ranges] if prefixes else []


def merge_prefixes(
    how: Attention,
    prefixes: Sequence[tuple[int, int, Prefix]],
    query: torch.Tensor,
    out_THd: torch.Tensor,
    lse_TH: torch.Tensor,
    positions_T: torch.Tensor,
) -> torch.Tensor:
    """Attention over each token's own keys, already done, over its slot's prefix, and the share of sinks.

    Args:
        how: the layer's attention.
        prefixes: (start, stop, prefix) for token ranges that cover the pass.
        query: [1, H, T, d].
        out_THd, lse_TH: attention over the own keys and the log-sum-exp of its scores.
        positions_T: position of every token, the prefix counted.

    Returns:
        [T, H, d].
    """
    merged, lse_all = torch.empty_like(out_THd), torch.empty_like(lse_TH)
    for start, stop, prefix in prefixes:
        mask = None
        here = positions_T[start:stop, None]
        if how.span.hides(0, int(here.max())):
            mask = how.span.sees(here, torch.arange(prefix.length, device=query.device)[None])[None, None]
        keys, values = prefix.keys[how.place], prefix.values[how.place]
        there, lse_there = attend_lse(how, query[:, :, start:stop], keys, values, mask=mask, causal=False)
        if mask is not None:
            there, lse_there = drop_blind(there, lse_there, mask)
        own, lse_own = out_THd[start:stop].transpose(0, 1), lse_TH[start:stop].transpose(0, 1)
        merged[start:stop] = merge(own, lse_own, there[0], lse_there[0]).transpose(0, 1)
        if how.sinks is not None:
            lse_all[start:stop] = torch.logaddexp(lse_own, lse_there[0].to(lse_own.dtype)).transpose(0, 1)
    return with_sinks(how, merged, lse_all)
