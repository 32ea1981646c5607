"""Generation for architectures outside transformers' attention interface: left-padded, with the model's own cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.decode import Stops
from traitscope.engine.pace import Pace
from traitscope.records import Generated

BATCH = 16


def generate_padded(
    bank: Bank, contexts: Sequence[tuple[int, ...]], slots: Sequence[int], max_new: int, stops: Stops, pace: Pace
) -> dict[tuple[int, int], Generated]:
    """Greedy continuations by (slot, prompt), one model after the other."""
    base = bank.base
    done: dict[tuple[int, int], Generated] = {}
    order = sorted(range(len(contexts)), key=lambda index: (-len(contexts[index]), index))
    for slot in slots:
        base.runtime.whole_slot = slot
        try:
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                width = max(len(contexts[i]) for i in chosen)
                ids = torch.zeros(len(chosen), width, dtype=torch.long)
                mask = torch.zeros_like(ids)
                for row, index in enumerate(chosen):
                    ids[row, width - len(contexts[index]) :] = torch.tensor(contexts[index])
                    mask[row, width - len(contexts[index]) :] = 1
                new = min(max_new, base.max_positions - width)
                answers = _decode(base, ids.to(base.device), mask.to(base.device), new, stops)
                for index, (tokens, finish) in zip(chosen, answers, strict=True):
                    done[slot, index] = stops.result(tokens, finish)
                    pace.add(len(contexts[index]) + len(tokens))
        finally:
            base.runtime.whole_slot = None
    return done


def _decode(
    base: Base, ids_BT: torch.Tensor, mask_BT: torch.Tensor, max_new: int, stops: Stops
) -> list[tuple[list[int], str]]:
    texts: list[list[int]] = [[] for _ in range(len(ids_BT))]
    ends: list[str | None] = [None] * len(ids_BT)
    cache = None
    step_ids = ids_BT
    with_positions = "position_ids" in inspect.signature(base.model.forward).parameters
    for _ in range(max_new):
        # Left padding: positions count the real tokens only.
        positions = (mask_BT.cumsum(1) - 1).clamp(min=0)[:, -step_ids.shape[1] :]
        extra = {"position_ids": positions} if with_positions else {}
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
