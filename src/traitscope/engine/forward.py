"""One forward over one description of a pass: rows of several slots, packed side by side or padded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base, use_layout
from traitscope.engine.layout import CausalPack, KeysAndValues, Layout, token_ranges
from traitscope.engine.padded import padded_hidden, padded_logits
from traitscope.engine.prefix import Prefix, spans


@dataclass(frozen=True, eq=False)
class Pass:
    """What goes through the model at once.

    Attributes:
        rows: token ids of each row; T of all rows together.
        slots: slot of each row; rows of one slot are adjacent.
        layout: how packed rows lie; None for a base that runs padded.
    """

    rows: Sequence[Sequence[int]]
    slots: Sequence[int]
    layout: Layout | None


def causal_pass(
    base: Base,
    rows: Sequence[Sequence[int]],
    slots: Sequence[int],
    *,
    prefixes: Mapping[int, Prefix] | None = None,
    keep: KeysAndValues | None = None,
    seen: int | None = None,
) -> Pass:
    """Rows that attend to themselves and to their slot's prefix.

    Args:
        base: the base; what follows is for one that runs packed.
        rows, slots: as in ``Pass``.
        prefixes: by slot, keys and values of what comes before every row.
        keep: receives the keys and values of every call of the attention function.
        seen: as in ``CausalPack``.
    """
    if not base.packed:
        return Pass(rows, slots, None)
    lengths = [len(row) for row in rows]
    before = spans(prefixes or {}, token_ranges(slots, np.cumsum(lengths)))
    return Pass(rows, slots, CausalPack(lengths, device=base.device, prefixes=before, keep=keep, seen=seen))


def slot_groups(bank: Bank, merge: bool) -> list[tuple[list[int], int | None]]:
    """Slots that share their passes, and the one that is merged meanwhile: each alone, or all side by side."""
    slots = list(range(len(bank.names)))
    if merge or bank.apart:
        return [([slot], slot if merge else None) for slot in slots]
    return [(slots, None)]


def hidden_states(bank: Bank, one: Pass) -> torch.Tensor:
    """Hidden states after the final norm of all tokens, row after row: [T, D]."""
    if one.layout is None:
        return padded_hidden(bank, one.rows, one.slots)
    return _packed(bank, one, one.layout, bank.base.backbone).last_hidden_state[0]


def outputs_at(bank: Bank, one: Pass, at_Q: torch.Tensor) -> torch.Tensor:
    """What the tokens behind the positions ``at_Q`` are read from, as ``logits`` takes it.

    Hidden states [Q, D] for a plain head, else logits [Q, V].
    """
    if bank.base.plain_head:
        return hidden_states(bank, one).index_select(0, at_Q)
    if one.layout is None:
        return padded_logits(bank, one.rows, one.slots).index_select(0, at_Q)
    return _packed(bank, one, one.layout, bank.base.model, logits_to_keep=at_Q).logits[0]


def logits(base: Base, outputs: torch.Tensor) -> torch.Tensor:
    """Logits [Q, V] of what ``outputs_at`` gave."""
    return base.head(outputs) if base.plain_head else outputs


def _packed(bank: Bank, one: Pass, layout: Layout, model: nn.Module, **options: Any) -> Any:
    """The model's output for all rows as one sequence."""
    bank.lay_out(one.slots, [len(row) for row in one.rows])
    ids_T = torch.tensor([token for row in one.rows for token in row], device=bank.base.device)
    with under_way(bank.base, one):
        return model(input_ids=ids_T[None], position_ids=layout.position_ids[None], use_cache=False, **options)


def under_way(base: Base, one: Pass) -> AbstractContextManager[None]:
    """What the model computes inside it, recomputation in a backward pass included, is this pass."""
    return nullcontext() if one.layout is None else use_layout(base, one.layout)
