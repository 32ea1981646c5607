"""Greedy generation with a key-value cache: prompts packed, shared prefixes once, finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base, use_layout
from traitscope.engine.jobs import Progress
from traitscope.engine.kernels import attend_lse, drop_blind, merge
from traitscope.engine.layout import CausalPack, Prefix
from traitscope.engine.memory import cache_rows, score_tokens
from traitscope.engine.pace import Pace
from traitscope.engine.passes import run_passes
from traitscope.engine.score import common_prefix, merges, prefix_states
from traitscope.errors import TraitscopeError
from traitscope.records import Generated, PromptRow

# The cache is made smaller when this share of its rows has finished: copying it costs about two steps.
LEAVE = 0.25


@dataclass
class Live:
    """Rows being generated: who they are and their caches, which lie in slot order.

    ``keys[layer]`` and ``values[layer]`` are [B, Hkv, capacity, d]; ``lengths`` counts the filled places of a row.
    """

    owners: list[tuple[int, int]]
    lengths: torch.Tensor
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)

    def keep(self, rows: torch.Tensor) -> None:
        self.owners = [self.owners[i] for i in rows.tolist()]
        self.lengths = self.lengths[rows]
        self.keys = [k.index_select(0, rows) for k in self.keys]
        self.values = [v.index_select(0, rows) for v in self.values]


class DecodeStep:
    """One new token per row: writes its key and value into the cache and attends to the row's cache and prefix."""

    def __init__(self, live: Live, prefixes: Sequence[tuple[int, int, Prefix]], shared: int) -> None:
        self.live = live
        self.prefixes = prefixes
        self.position_ids = live.lengths + shared
        self.shared = shared
        self.rows = torch.arange(len(live.owners), device=live.lengths.device)
        self.top = int(live.lengths.max()) + 1
        place = torch.arange(self.top, device=live.lengths.device)
        self.seen_BS = place[None] <= live.lengths[:, None]
        self._masks: dict[int | None, torch.Tensor] = {}

    def mask(self, window: int | None) -> torch.Tensor:
        if window not in self._masks:
            seen = self.seen_BS
            if window is not None:
                place = torch.arange(self.top, device=seen.device)
                seen = seen & (self.live.lengths[:, None] - place[None] < window)
            self._masks[window] = seen[:, None, None]
        return self._masks[window]

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> torch.Tensor:
        keys, values = self.live.keys[layer], self.live.values[layer]
        keys[self.rows, :, self.live.lengths] = key[0].transpose(0, 1)
        values[self.rows, :, self.live.lengths] = value[0].transpose(0, 1)
        n_rows, heads, dim = query.shape[2], query.shape[1], query.shape[3]
        groups = keys.shape[1]
        # Query heads that share a key head stand side by side as that head's queries: nothing is repeated.
        q = query[0].transpose(0, 1).reshape(n_rows, groups, heads // groups, dim)
        out, lse = attend_lse(
            q, keys[:, :, : self.top], values[:, :, : self.top], mask=self.mask(window), causal=False, scale=scale,
            softcap=softcap,
        )  # fmt: skip
        out_BHd, lse_BH = out.reshape(n_rows, heads, dim), lse.reshape(n_rows, heads)
        for start, stop, prefix in self.prefixes:
            mask = None
            if window is not None:
                distance = self.position_ids[start:stop, None] - torch.arange(prefix.length, device=q.device)
                mask = (distance < window)[None, None]
            there, lse_there = attend_lse(
                query[:, :, start:stop], prefix.keys[layer], prefix.values[layer], mask=mask, causal=False,
                scale=scale, softcap=softcap,
            )  # fmt: skip
            if mask is not None:
                there, lse_there = drop_blind(there, lse_there, mask)
            merged = merge(
                out_BHd[start:stop].transpose(0, 1),
                lse_BH[start:stop].transpose(0, 1),
                there[0],
                lse_there[0],
            )
            out_BHd[start:stop] = merged.transpose(0, 1)
        return out_BHd[None]


class Stops:
    """End-of-sequence tokens and stop strings of one generation."""

    def __init__(self, base: Base, stop: Sequence[str], stop_ids: Sequence[int] = ()) -> None:
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

    def ended(self, ids: list[int]) -> str | None:
        """Why a row ends with its newest token, or None."""
        if ids[-1] in self.eos:
            return "eos"
        if self.texts:
            tail = self.tokenizer.decode(ids[-self.tail :])
            if any(text in tail for text in self.texts):
                return "stop"
        return None

    def result(self, ids: list[int], finish: str) -> Generated:
        if finish == "eos":
            ids = ids[:-1]
        text = self.tokenizer.decode(ids, skip_special_tokens=True) if ids else ""
        for stop in self.texts:
            text = text.split(stop)[0]
        return Generated(tuple(ids), text, finish)


def generate(
    bank: Bank,
    rows: Sequence[PromptRow],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    stop_ids: Sequence[int] = (),
    tokens_per_pass: int | str = "auto",
    share_prefix: bool = True,
    merge: bool | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, list[Generated]]:
    """Continue every prompt greedily under every model of the bank.

    Args:
        bank: the models.
        rows: the prompts; prompts that occur twice are continued once.
        max_new_tokens: cut-off; a row that reaches it ends with ``finish="length"``.
        stop: strings that end an answer; the text is cut before the first of them.
        stop_ids: tokens that end an answer beside the model's own, such as a chat template's end of turn.
        share_prefix, merge: as in ``score_options``.

    Raises:
        TraitscopeError: a prompt fills the model's positions.
    """
    base = bank.base
    for number, row in enumerate(rows):
        if not row.context:
            raise TraitscopeError("empty prompt", where=f"row {number}", fix="check the prompt template")
        if len(row.context) + 1 > base.max_positions:
            raise TraitscopeError(
                f"a prompt of {len(row.context)} tokens leaves no room: {base.name} has {base.max_positions} positions",
                where=f"row {number}",
                fix="shorten the prompt (shots.n, or a max_tokens of the task)",
            )
    stops = Stops(base, stop, stop_ids)
    unique: dict[tuple[int, ...], int] = {}
    place = [unique.setdefault(row.context, len(unique)) for row in rows]
    contexts = list(unique)
    merge = merges(bank) if merge is None else merge
    groups = [[slot] for slot in range(len(bank.names))] if merge else [list(range(len(bank.names)))]
    total = sum(len(c) + max_new_tokens for c in contexts) * len(bank.names)
    pace = Pace(base, total, flops_per_parameter=2, report=on_progress)
    out: dict[str, list[Generated]] = {}
    with torch.no_grad():
        for slots in groups:
            bank.merge(slots[0] if merge else None)
            try:
                if base.packed:
                    done = _generate_packed(
                        bank, contexts, slots, max_new_tokens, stops, tokens_per_pass, share_prefix, pace
                    )
                else:
                    done = _generate_padded(bank, contexts, slots, max_new_tokens, stops, pace)
            finally:
                bank.merge(None)
            for slot in slots:
                out[bank.names[slot]] = [done[slot, index] for index in place]
    return out


def _generate_packed(
    bank: Bank,
    contexts: list[tuple[int, ...]],
    slots: list[int],
    max_new: int,
    stops: Stops,
    tokens_per_pass: int | str,
    share_prefix: bool,
    pace: Pace,
) -> dict[tuple[int, int], Generated]:
    base = bank.base
    shared = common_prefix(contexts) if share_prefix else 0
    prefixes = prefix_states(bank, contexts[0][:shared], slots) if shared else []
    order = sorted(range(len(contexts)), key=lambda index: (-len(contexts[index]), index))
    done: dict[tuple[int, int], Generated] = {}
    position = 0
    while position < len(order):
        longest = len(contexts[order[position]]) - shared + max_new
        count = max(1, min(cache_rows(base, longest) // len(slots), len(order) - position))
        chosen = order[position : position + count]
        position += count
        done.update(_run_batch(bank, contexts, chosen, slots, shared, prefixes, max_new, stops, tokens_per_pass, pace))
    return done


def _run_batch(
    bank: Bank,
    contexts: list[tuple[int, ...]],
    chosen: list[int],
    slots: list[int],
    shared: int,
    prefixes: list[Prefix],
    max_new: int,
    stops: Stops,
    tokens_per_pass: int | str,
    pace: Pace,
) -> dict[tuple[int, int], Generated]:
    base = bank.base
    owners = [(slot, index) for slot in slots for index in chosen]
    own = [contexts[index][shared:] for _, index in owners]
    live = Live(owners, torch.tensor([len(ids) for ids in own], device=base.device))
    hidden_BD = _prefill(bank, live, own, slots, shared, prefixes, max_new, score_tokens(base, tokens_per_pass))
    texts: dict[tuple[int, int], list[int]] = {owner: [] for owner in owners}
    done: dict[tuple[int, int], Generated] = {}
    room = {owner: min(max_new, base.max_positions - len(contexts[owner[1]])) for owner in owners}
    pace.add(sum(map(len, own)))
    gone = [False] * len(owners)
    for step in range(max_new):
        tokens = _argmax(base, hidden_BD)
        for row, (owner, token) in enumerate(zip(live.owners, tokens.tolist(), strict=True)):
            if gone[row]:
                continue
            texts[owner].append(token)
            finish = stops.ended(texts[owner])
            if finish is None and len(texts[owner]) >= room[owner]:
                finish = "length"
            if finish is not None:
                done[owner] = stops.result(texts[owner], finish)
                gone[row] = True
        pace.add(len(gone) - sum(gone))
        if all(gone) or step + 1 == max_new:
            break
        if sum(gone) >= LEAVE * len(gone):
            left = torch.tensor([row for row, away in enumerate(gone) if not away], device=base.device)
            live.keep(left)
            tokens = tokens[left]
            gone = [False] * len(live.owners)
        ranges = _ranges([slot for slot, _ in live.owners])
        bank.set_ranges(ranges)
        by_slot = [(start, stop, prefixes[slots.index(slot)]) for start, stop, slot in ranges] if shared else []
        layout = DecodeStep(live, by_slot, shared)
        with use_layout(base, layout):
            hidden_BD = _last_states(base, tokens, layout.position_ids, None)
        live.lengths += 1
    return done


def _prefill(
    bank: Bank,
    live: Live,
    own: list[tuple[int, ...]],
    slots: list[int],
    shared: int,
    prefixes: list[Prefix],
    max_new: int,
    limit: int,
) -> torch.Tensor:
    """Run the prompts, fill the caches; returns the head's input at every prompt's last token [B, D] (or logits)."""
    base = bank.base
    sizes = [len(ids) for ids in own]
    capacity = max(sizes) + max_new
    ends: list[torch.Tensor] = []

    def run(chosen: list[int]) -> None:
        keep: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        ranges: list[tuple[int, int, int]] = []
        start = 0
        for row in chosen:
            slot = live.owners[row][0]
            if ranges and ranges[-1][2] == slot:
                ranges[-1] = (ranges[-1][0], start + sizes[row], slot)
            else:
                ranges.append((start, start + sizes[row], slot))
            start += sizes[row]
        bank.set_ranges(ranges)
        by_slot = [(a, b, prefixes[slots.index(slot)]) for a, b, slot in ranges] if shared else []
        layout = CausalPack([sizes[row] for row in chosen], device=base.device, prefixes=by_slot, keep=keep)
        ids_T = torch.tensor([i for row in chosen for i in own[row]], device=base.device)
        last = torch.tensor(layout.starts[1:], device=base.device) - 1
        with use_layout(base, layout):
            states = _last_states(base, ids_T, layout.position_ids, last)
        if not live.keys:
            for layer in sorted(keep):
                heads, _, dim = keep[layer][0].shape
                shape = (len(own), heads, capacity, dim)
                live.keys.append(torch.zeros(shape, dtype=base.dtype, device=base.device))
                live.values.append(torch.zeros(shape, dtype=base.dtype, device=base.device))
        first = chosen[0]
        for bucket in layout.buckets:
            rows = torch.tensor(bucket.rows, device=base.device) + first
            for layer, (key, value) in keep.items():
                for cache, new in ((live.keys[layer], key), (live.values[layer], value)):
                    heads, _, dim = new.shape
                    block = new.index_select(1, bucket.index).view(heads, bucket.n_rows, bucket.length, dim)
                    cache[rows, :, : bucket.length] = block.transpose(0, 1)
        ends.append(states)

    run_passes(range(len(own)), sizes, limit, run)
    return torch.cat(ends)


def _last_states(base: Base, ids_T: torch.Tensor, positions_T: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """What the next token is read from: hidden states for a plain head, else logits; at ``keep`` (default: all)."""
    inputs = {"input_ids": ids_T[None], "position_ids": positions_T[None], "use_cache": False}
    if base.plain_head:
        hidden = base.backbone(**inputs).last_hidden_state[0]
        return hidden if keep is None else hidden[keep]
    which = torch.arange(len(ids_T), device=ids_T.device) if keep is None else keep
    return base.model(**inputs, logits_to_keep=which).logits[0]


def _argmax(base: Base, states: torch.Tensor) -> torch.Tensor:
    return (base.head(states) if base.plain_head else states).argmax(dim=-1)


def _ranges(slots: Sequence[int]) -> list[tuple[int, int, int]]:
    array = np.asarray(slots)
    cuts = [0, *(np.flatnonzero(np.diff(array)) + 1).tolist(), len(array)]
    return [(a, b, int(array[a])) for a, b in pairwise(cuts)]


def _generate_padded(
    bank: Bank, contexts: list[tuple[int, ...]], slots: list[int], max_new: int, stops: Stops, pace: Pace
) -> dict[tuple[int, int], Generated]:
    """Left-padded batches through the model's own cache, one model after the other."""
    base = bank.base
    done: dict[tuple[int, int], Generated] = {}
    order = sorted(range(len(contexts)), key=lambda index: (-len(contexts[index]), index))
    for slot in slots:
        base.runtime.whole_slot = slot
        try:
            for start in range(0, len(order), 16):
                chosen = order[start : start + 16]
                width = max(len(contexts[i]) for i in chosen)
                ids = torch.zeros(len(chosen), width, dtype=torch.long)
                mask = torch.zeros_like(ids)
                for row, index in enumerate(chosen):
                    ids[row, width - len(contexts[index]) :] = torch.tensor(contexts[index])
                    mask[row, width - len(contexts[index]) :] = 1
                new = min(max_new, base.max_positions - width)
                answers = _decode_padded(base, ids.to(base.device), mask.to(base.device), new, stops)
                for index, (tokens, finish) in zip(chosen, answers, strict=True):
                    done[slot, index] = stops.result(tokens, finish)
                    pace.add(len(contexts[index]) + len(tokens))
        finally:
            base.runtime.whole_slot = None
    return done


def _decode_padded(
    base: Base, ids_BT: torch.Tensor, mask_BT: torch.Tensor, max_new: int, stops: Stops
) -> list[tuple[list[int], str]]:
    texts: list[list[int]] = [[] for _ in range(len(ids_BT))]
    ends: list[str | None] = [None] * len(ids_BT)
    cache = None
    step_ids = ids_BT
    for _ in range(max_new):
        # Left padding: positions count the real tokens only.
        positions = (mask_BT.cumsum(1) - 1).clamp(min=0)[:, -step_ids.shape[1] :]
        extra = {"position_ids": positions} if _takes_positions(base) else {}
        output = base.model(input_ids=step_ids, attention_mask=mask_BT, past_key_values=cache, use_cache=True, **extra)
        cache = output.past_key_values
        tokens = output.logits[:, -1].argmax(dim=-1)
        for row, token in enumerate(tokens.tolist()):
            if ends[row] is None:
                texts[row].append(token)
                ends[row] = stops.ended(texts[row])
        if all(ends):
            break
        step_ids = tokens[:, None]
        mask_BT = torch.cat([mask_BT, torch.ones_like(step_ids)], dim=1)
    return [(ids, end or "length") for ids, end in zip(texts, ends, strict=True)]


def _takes_positions(base: Base) -> bool:
    import inspect

    return "position_ids" in inspect.signature(base.model.forward).parameters
