"""Rows while they are generated: their key-value caches, one step of attention over them, and when they end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from traitscope.engine.base import Base
from traitscope.engine.kernels import Attention, attend_lse, with_sinks
from traitscope.engine.layout import CausalPack, KeysAndValues
from traitscope.engine.prefix import Prefix, merge_prefixes
from traitscope.engine.spans import Span
from traitscope.errors import TraitscopeError
from traitscope.records import Generated

# A cache is made longer by this many places at a time: most answers are far shorter than the cut-off.
GROW = 16


@dataclass
class Live:
    """Rows being generated: who they are (slot, prompt) and their caches, in slot order.

    ``keys`` and ``values``, one for each call of the attention function, are [B, Hkv, capacity, d]; ``lengths`` counts
    the filled places of a row.
    """

    owners: list[tuple[int, int]]
    lengths: torch.Tensor
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)

    def fill(self, rows: Sequence[Sequence[int]], keep: KeysAndValues, layout: CausalPack, capacity: int) -> None:
        """Copy the keys and values of a packed pass into caches that hold ``capacity`` tokens.

        ``rows`` are, for each row of the pass, the rows of the caches that begin with it: several samples of a prompt.
        """
        if not self.keys:
            for place in sorted(keep):
                for caches, new in ((self.keys, keep[place][0]), (self.values, keep[place][1])):
                    heads, _, dim = new.shape
                    caches.append(new.new_zeros(len(self.owners), heads, capacity, dim))
        for bucket in layout.buckets:
            here = torch.tensor([copy for row in bucket.rows for copy in rows[row]], device=self.lengths.device)
            times = torch.tensor([len(rows[row]) for row in bucket.rows], device=self.lengths.device)
            for place, (key, value) in keep.items():
                for cache, new in ((self.keys[place], key), (self.values[place], value)):
                    heads, _, dim = new.shape
                    block = new.index_select(1, bucket.index).view(heads, bucket.n_rows, bucket.length, dim)
                    block = block.transpose(0, 1)
                    if len(here) > bucket.n_rows:
                        block = block.repeat_interleave(times, dim=0)
                    cache[here, :, : bucket.length] = block

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all rows but these."""
        self.owners = [self.owners[i] for i in rows.tolist()]
        self.lengths = self.lengths[rows]
        self.keys = [k.index_select(0, rows) for k in self.keys]
        self.values = [v.index_select(0, rows) for v in self.values]

    def reserve(self, places: int) -> None:
        """Make the caches long enough for ``places`` tokens."""
        if places > self.keys[0].shape[2]:
            more = places - self.keys[0].shape[2] + GROW - 1
            self.keys = [F.pad(k, (0, 0, 0, more)) for k in self.keys]
            self.values = [F.pad(v, (0, 0, 0, more)) for v in self.values]


class DecodeStep:
    """One new token per row: writes its key and value into the cache and attends to the row's cache and prefix.

    Args:
        lives: groups of rows, each attended to by itself: rows of one group should have like lengths.
        prefixes: for every group, the shared prefix of its token ranges (start, stop, prefix), or none.
        shared: tokens of the shared prefix.
    """

    def __init__(
        self, lives: Sequence[Live], prefixes: Sequence[Sequence[tuple[int, int, Prefix]]], shared: int
    ) -> None:
        self.lives = lives
        self.prefixes = prefixes
        lengths = [live.lengths for live in lives]
        self.shared = shared
        self.position_ids = torch.cat(lengths) + shared
        self.seen = [(row, row + 1, int(position) + 1) for row, position in enumerate(self.position_ids)]
        self.stops = np.cumsum([len(live.owners) for live in lives]).tolist()
        self.tops = [int(length_B.max()) + 1 for length_B in lengths]
        for live, top in zip(lives, self.tops, strict=True):
            live.reserve(top)
        self.rows = [torch.arange(len(length_B), device=length_B.device) for length_B in lengths]
        self._masks: dict[tuple[int, Span], torch.Tensor] = {}

    def mask(self, number: int, span: Span) -> torch.Tensor:
        """Which places of its cache a row of a group may see: [B, 1, 1, S]."""
        if (number, span) not in self._masks:
            length_B1 = self.lives[number].lengths[:, None]
            place = torch.arange(self.tops[number], device=length_B1.device)[None]
            seen = (place <= length_B1) & span.sees(length_B1 + self.shared, place + self.shared)
            self._masks[number, span] = seen[:, None, None]
        return self._masks[number, span]

    def attend(self, how: Attention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """query [1, H, B, d], key and value [1, Hkv, B, d]; returns [1, B, H, d]."""
        heads, dim = query.shape[1], query.shape[3]
        outs = []
        for number, (live, stop) in enumerate(zip(self.lives, self.stops, strict=True)):
            n_rows, top = len(live.owners), self.tops[number]
            here = slice(stop - n_rows, stop)
            keys, values = live.keys[how.place], live.values[how.place]
            keys[self.rows[number], :, live.lengths] = key[0, :, here].transpose(0, 1)
            values[self.rows[number], :, live.lengths] = value[0, :, here].transpose(0, 1)
            groups = keys.shape[1]
            # Query heads that share a key head stand side by side as that head's queries: nothing is repeated.
            q = query[0, :, here].transpose(0, 1).reshape(n_rows, groups, heads // groups, dim)
            mask = self.mask(number, how.span)
            out, lse = attend_lse(how, q, keys[:, :, :top], values[:, :, :top], mask=mask, causal=False)
            out_BHd, lse_BH = out.reshape(n_rows, heads, -1), lse.reshape(n_rows, heads)
            if self.prefixes:
                positions_B = self.position_ids[here]
                out_BHd = merge_prefixes(how, self.prefixes[number], query[:, :, here], out_BHd, lse_BH, positions_B)
            else:
                out_BHd = with_sinks(how, out_BHd, lse_BH)
            outs.append(out_BHd)
        return torch.cat(outs)[None]


class Stops:
    """What ends the answers of one generation.

    Args:
        base: its own end-of-sequence tokens are among them.
        stop, stop_ids, opening: as in ``GenerateOptions``.
        most: tokens of an answer behind its opening.
    """

    def __init__(
        self,
        base: Base,
        stop: Sequence[str],
        stop_ids: Sequence[int] = (),
        opening: Sequence[int] = (),
        most: int = sys.maxsize,
    ) -> None:
        if any(not text for text in stop):
            raise TraitscopeError("an empty stop string would stop at once", where="stop", fix="remove it")
        self.tokenizer = base.tokenizer
        self.texts = tuple(stop)
        ids = {getattr(base.tokenizer, "eos_token_id", None), *stop_ids}
        configured = getattr(getattr(base.model, "generation_config", None), "eos_token_id", None)
        ids.update(configured if isinstance(configured, list) else [configured])
        self.eos = frozenset(int(i) for i in ids if i is not None)
        # Tokens to look back over: a token has at least one byte, a character at most four.
        self.tail = max((4 * len(text) for text in stop), default=0) + 1
        self.opening = list(opening)
        self.most = most

    def said(self, ids: list[int]) -> list[int]:
        """The tokens behind the opening; while a row may still be at it, none."""
        n = len(self.opening)
        return ids[n:] if ids[:n] == self.opening[: len(ids)] else ids

    def ended(self, ids: list[int]) -> str | None:
        """Why a row ends with its newest token, or None."""
        if ids[-1] in self.eos:
            return "eos"
        said = self.said(ids) if self.opening else ids
        if self.texts and said:
            tail = self.tokenizer.decode(said[-self.tail :])
            if any(text in tail for text in self.texts):
                return "stop"
        return "length" if len(said) >= self.most else None

    def result(self, ids: list[int], finish: str) -> Generated:
        """What a row that ended with ``ids`` has said."""
        if finish == "eos":
            ids = ids[:-1]
        ids = self.said(ids)
        text = self.tokenizer.decode(ids, skip_special_tokens=True) if ids else ""
        for stop in self.texts:
            text = text.split(stop)[0]
        return Generated(tuple(ids), text, finish)


class Answers:
    """The answers of a set of rows as they grow; a row that ends is done."""

    def __init__(self, stops: Stops, room: dict[tuple[int, int], int]) -> None:
        self.stops = stops
        self.room = room
        self.ids: dict[tuple[int, int], list[int]] = {owner: [] for owner in room}
        self.done: dict[tuple[int, int], Generated] = {}

    def say(self, owner: tuple[int, int], tokens: Sequence[int]) -> None:
        """Append tokens to a row's answer until it ends."""
        ids = self.ids[owner]
        for token in tokens:
            if owner in self.done:
                return
            ids.append(token)
            finish = self.stops.ended(ids)
            if finish is None and len(ids) >= self.room[owner]:
                finish = "length"
            if finish is not None:
                self.done[owner] = self.stops.result(ids, finish)
