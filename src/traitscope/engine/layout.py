"""How the rows of a pass lie in memory and which token may attend to which.

A pass is one flat sequence of T tokens, grouped by slot, without padding. Everything that works token by token (linear
layers, norms, MLPs: nearly all of the cost) sees exactly the real tokens; only attention puts rows of like length
into padded blocks.

CausalPack  rows side by side, each causal: training, prefill, capture.
TreePack    each row a prompt with branches (its answer options); a shared prefix may lie outside the pass.
DecodeStep  one new token per row against the row's cache (see decode.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch

from traitscope.engine.kernels import Attention, BlocksToPack, PackToBlocks, attend, attend_lse, attend_rows, whole_rows
from traitscope.engine.prefix import Prefix, merge_prefixes
from traitscope.engine.spans import Span

# A row joins a block while it fills at least this share of the block's length.
FILL = 0.75


# By call of the attention function, the (key, value) [Hkv, T, d] of all tokens of a pass.
KeysAndValues = dict[int, tuple[torch.Tensor, torch.Tensor]]


class Layout(Protocol):
    """What the attention function asks of a pass.

    Attributes:
        position_ids: [T].
        seen: token ranges (start, stop, length) of every row and the length of the row that the model takes them for.
    """

    position_ids: torch.Tensor
    seen: list[tuple[int, int, int]]

    def attend(self, how: Attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """query [1, H, T, d], key and value [1, Hkv, T, d] of the whole pass; returns [1, T, H, d]."""
        ...


@dataclass
class Bucket:
    """Rows of like length as one padded block.

    Attributes:
        index: [B * Tm] token index of every place of the block (padding repeats the row's first token).
        tokens: indices of the real tokens, in block order; None where the block is the slice ``start:stop``.
        places: their places in the block; None where the block has no padding.
        padding: places of the padding; None where there is none.
    """

    n_rows: int
    length: int
    rows: list[int]
    start: int | None
    index: torch.Tensor
    tokens: torch.Tensor
    places: torch.Tensor | None
    padding: torch.Tensor | None

    def gather(self, x_TC: torch.Tensor) -> torch.Tensor:
        if self.start is not None:
            return x_TC[self.start : self.start + self.n_rows * self.length]
        return x_TC.index_select(0, self.index)

    def scatter(self, block: torch.Tensor, out_TC: torch.Tensor) -> None:
        if self.start is not None:
            out_TC[self.start : self.start + self.n_rows * self.length] = block
        elif self.places is None:
            out_TC.index_copy_(0, self.tokens, block)
        else:
            out_TC.index_copy_(0, self.tokens, block.index_select(0, self.places))


def token_ranges(slots: Sequence[int], ends: Sequence[int] | np.ndarray) -> list[tuple[int, int, int]]:
    """Token ranges (start, stop, slot) of adjacent rows of one slot; ``ends`` are the rows' ends."""
    cuts = [0, *(np.flatnonzero(np.diff(np.asarray(slots))) + 1).tolist(), len(slots)]
    starts = [0, *(int(end) for end in ends)]
    return [(starts[a], starts[b], slots[a]) for a, b in pairwise(cuts)]


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Rows of like length together: every row fills at least ``FILL`` of the longest of its group."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if groups and lengths[row] >= FILL * lengths[groups[-1][0]]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [sorted(group) for group in groups]


def make_bucket(group: list[int], starts: Sequence[int], lengths: Sequence[int], device: torch.device) -> Bucket:
    """One block of the rows of ``group``, which begin at a token offset and have a length."""
    length = max(lengths[row] for row in group)
    place_BT = np.arange(length)[None, :]
    length_B = np.array([lengths[row] for row in group])[:, None]
    start_B = np.array([starts[row] for row in group])[:, None]
    real_BT = place_BT < length_B
    index = np.where(real_BT, start_B + place_BT, start_B).reshape(-1)
    flat_real = real_BT.reshape(-1)
    padded = not flat_real.all()
    contiguous = not padded and bool((np.diff(index) == 1).all())
    return Bucket(
        n_rows=len(group),
        length=length,
        rows=group,
        start=int(index[0]) if contiguous else None,
        index=torch.from_numpy(index).to(device),
        tokens=torch.from_numpy(index[flat_real]).to(device),
        places=torch.from_numpy(np.flatnonzero(flat_real)).to(device) if padded else None,
        padding=torch.from_numpy(np.flatnonzero(~flat_real)).to(device) if padded else None,
    )


class CausalPack:
    """Rows of given lengths side by side; each attends to itself causally and to its slot's prefix, if any.

    Args:
        lengths: tokens of each row, in the order in which they lie.
        device: where the indices go.
        prefixes: one shared prefix per token range (start, stop), or none.
        keep: receives keys and values of every call of the attention function, for caches.
        seen: length of the rows that these begin, where they are the beginning of longer ones.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        device: torch.device,
        prefixes: Sequence[tuple[int, int, Prefix]] = (),
        keep: KeysAndValues | None = None,
        seen: int | None = None,
    ) -> None:
        self.lengths = list(lengths)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)]).astype(int).tolist()
        self.n_tokens = self.starts[-1]
        self.prefixes = list(prefixes)
        self.keep = keep
        self.device = device
        self.offset = offset = self.prefixes[0][2].length if self.prefixes else 0
        positions = np.concatenate([np.arange(length) for length in self.lengths]) + offset
        self.seen = [(at, at + n, seen or n + offset) for at, n in zip(self.starts, self.lengths, strict=False)]
        self.position_ids = torch.from_numpy(positions).to(device)
        self.buckets = [make_bucket(group, self.starts, self.lengths, device) for group in alike(self.lengths)]
        self.ends = torch.tensor(self.starts, dtype=torch.int32, device=device)
        self._masks: dict[tuple[int, Span], torch.Tensor | None] = {}

    def block_mask(self, number: int, span: Span) -> torch.Tensor | None:
        """Mask of a block, or None where plain causality is all."""
        if (number, span) not in self._masks:
            self._masks[number, span] = _near(self.offset, self.buckets[number].length, span, self.device)
        return self._masks[number, span]

    def attend(self, how: Attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        heads = query.shape[1]
        if self.keep is not None:
            self.keep[how.place] = (key[0], value[0])
        if not self.prefixes and whole_rows(how, query, value) and not how.span.hides(0, max(self.lengths) - 1):
            return attend_rows(how, query, key, value, self.ends, max(self.lengths))
        parts = [(PackToBlocks.apply(_tokens_first(x), self.buckets), x.shape[3]) for x in (query, key, value)]
        outs, sums = [], []
        for number, bucket in enumerate(self.buckets):
            mask = self.block_mask(number, how.span)
            blocks = [
                x_blocks[number].view(bucket.n_rows, bucket.length, -1, dim).transpose(1, 2) for x_blocks, dim in parts
            ]
            if self.prefixes:
                out, lse = attend_lse(how, *blocks, mask=mask, causal=mask is None)
                sums.append(lse.transpose(1, 2).reshape(-1, heads))
            else:
                out = attend(how, *blocks, mask=mask, causal=mask is None)
            outs.append(out.transpose(1, 2).reshape(bucket.n_rows * bucket.length, -1))
        out_TC = BlocksToPack.apply(self.n_tokens, self.buckets, *outs)
        out = out_TC.view(self.n_tokens, heads, -1)
        if self.prefixes:
            lse_TH = BlocksToPack.apply(self.n_tokens, self.buckets, *sums)
            out = merge_prefixes(how, self.prefixes, query, out, lse_TH, self.position_ids)
        return out[None]


class TreePack:
    """Rows that are a prompt followed by the nodes of its answer trie; a node sees the prompt and its ancestors.

    Prompts are attended to causally, without a mask; the nodes, which are few, by a mask of their own.

    Args:
        prompts: prompt length of each row.
        parents: for each row, the parent node of every trie node (-1: the prompt), parents first.
        device: where the indices go.
        prefixes: one shared prefix per token range (start, stop), or none.
    """

    def __init__(
        self,
        prompts: Sequence[int],
        parents: Sequence[Sequence[int]],
        *,
        device: torch.device,
        prefixes: Sequence[tuple[int, int, Prefix]] = (),
    ) -> None:
        self.prompts = list(prompts)
        self.parents = [list(nodes) for nodes in parents]
        self.prefixes = list(prefixes)
        self.device = device
        self.n_nodes = [len(nodes) for nodes in self.parents]
        lengths = [n + k for n, k in zip(self.prompts, self.n_nodes, strict=True)]
        ends = np.cumsum(lengths)
        self.starts = (ends - lengths).tolist()
        self.n_tokens = int(ends[-1])
        offset = self.prefixes[0][2].length if self.prefixes else 0
        self.row_positions = [
            np.concatenate([np.arange(n), n + _depths(nodes)]).astype(np.int64)
            for n, nodes in zip(self.prompts, self.parents, strict=True)
        ]
        self.position_ids = torch.from_numpy(np.concatenate(self.row_positions) + offset).to(device)
        self.seen = [
            (at, at + n, int(positions.max()) + 1 + offset)
            for at, n, positions in zip(self.starts, lengths, self.row_positions, strict=True)
        ]
        self.offset = offset
        # A row without nodes only pads; what it pads with must exist.
        last = self.n_tokens - 1
        node_starts = [min(start + n, last) for start, n in zip(self.starts, self.prompts, strict=True)]
        self.blocks = []
        for group in alike(lengths):
            prompt = make_bucket(group, self.starts, self.prompts, device)
            nodes = (
                make_bucket(group, node_starts, self.n_nodes, device) if any(self.n_nodes[r] for r in group) else None
            )
            self.blocks.append((prompt, nodes))
        self._masks: dict[tuple[int, Span], tuple[torch.Tensor | None, torch.Tensor | None]] = {}

    def masks(self, number: int, span: Span) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Masks of a block's prompts (None: plain causality) [T, T] and of its nodes [B, 1, N, T + N]."""
        if (number, span) not in self._masks:
            prompts, nodes = self.blocks[number]
            near = _near(self.offset, prompts.length, span, self.device)
            seen = None if nodes is None else self._node_mask(prompts, nodes, span)
            self._masks[number, span] = near, seen
        return self._masks[number, span]

    def _node_mask(self, prompts: Bucket, nodes: Bucket, span: Span) -> torch.Tensor:
        mask = np.zeros((nodes.n_rows, nodes.length, prompts.length + nodes.length), dtype=bool)
        # Padding must see something: softmax over nothing is not a number.
        mask[:, :, 0] = True
        for b, row in enumerate(nodes.rows):
            n, k = self.prompts[row], self.n_nodes[row]
            mask[b, :k, :n] = True
            above = np.eye(k, dtype=bool)
            for node, parent in enumerate(self.parents[row]):
                if parent >= 0:
                    above[node] |= above[parent]
            mask[b, :k, prompts.length : prompts.length + k] = above
            position = self.row_positions[row] + self.offset
            if span.hides(self.offset, int(position.max())):
                near = span.sees(position[n:, None], position[None, :])
                mask[b, :k, :n] &= near[:, :n]
                mask[b, :k, prompts.length : prompts.length + k] &= near[:, n:]
        return torch.from_numpy(mask[:, None]).to(self.device)

    def attend(self, how: Attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """As ``Layout.attend``, without gradients."""
        heads = query.shape[1]
        q, k, v = ((_tokens_first(x), x.shape[3]) for x in (query, key, value))
        out_TC = query.new_empty(self.n_tokens, heads * value.shape[3])
        lse_TH: torch.Tensor | None = None
        if self.prefixes:
            lse_TH = torch.empty(self.n_tokens, heads, device=query.device, dtype=_sums(query.dtype))

        def put(
            bucket: Bucket, q_: torch.Tensor, k_: torch.Tensor, v_: torch.Tensor, mask: torch.Tensor | None
        ) -> None:
            if lse_TH is None:
                out = attend(how, q_, k_, v_, mask=mask, causal=mask is None)
            else:
                out, lse = attend_lse(how, q_, k_, v_, mask=mask, causal=mask is None)
                bucket.scatter(lse.transpose(1, 2).reshape(-1, heads).to(lse_TH.dtype), lse_TH)
            bucket.scatter(out.transpose(1, 2).flatten(2).flatten(0, 1), out_TC)

        def blocks(bucket: Bucket, *parts: tuple[torch.Tensor, int]) -> list[torch.Tensor]:
            return [bucket.gather(x).view(bucket.n_rows, bucket.length, -1, d).transpose(1, 2) for x, d in parts]

        for number, (prompts, nodes) in enumerate(self.blocks):
            near, seen = self.masks(number, how.span)
            q_p, k_p, v_p = blocks(prompts, q, k, v)
            put(prompts, q_p, k_p, v_p, near)
            if nodes is not None:
                q_n, k_n, v_n = blocks(nodes, q, k, v)
                put(nodes, q_n, torch.cat([k_p, k_n], dim=2), torch.cat([v_p, v_n], dim=2), seen)
        out_THd = out_TC.view(self.n_tokens, heads, -1)
        if lse_TH is not None:
            out_THd = merge_prefixes(how, self.prefixes, query, out_THd, lse_TH, self.position_ids)
        return out_THd[None]


def _near(first: int, length: int, span: Span, device: torch.device) -> torch.Tensor | None:
    """Causal mask of rows of ``length`` tokens from position ``first`` on, [1, 1, T, T]; None: plain causality."""
    if not span.hides(first, first + length - 1):
        return None
    position = torch.arange(first, first + length, device=device)
    query, key = position[:, None], position[None, :]
    return (span.sees(query, key) & (query >= key))[None, None]


def _sums(dtype: torch.dtype) -> torch.dtype:
    """In what log-sum-exps are kept."""
    return dtype if dtype == torch.float64 else torch.float32


def _depths(parents: Sequence[int]) -> np.ndarray:
    depth = np.zeros(len(parents), dtype=np.int64)
    for node, parent in enumerate(parents):
        depth[node] = 0 if parent < 0 else depth[parent] + 1
    return depth


def _tokens_first(x_1HTd: torch.Tensor) -> torch.Tensor:
    """[1, H, T, d] to [T, H * d]; a view where the heads lie inside the token, as they do after a projection."""
    _, heads, tokens, dim = x_1HTd.shape
    return x_1HTd[0].transpose(0, 1).reshape(tokens, heads * dim)
