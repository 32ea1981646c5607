"""The padded path, for architectures that do not use transformers' attention interface.

Rows become one right-padded batch with an attention mask; slots own whole rows, so the bank's linear layers see
token ranges as in the packed path.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from traitscope.engine.bank import Bank
from traitscope.records import TrainRow


def _batch(
    bank: Bank, rows: Sequence[Sequence[int]], slots: Sequence[int]
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    device = bank.base.device
    length = max(len(row) for row in rows)
    ids_BT = torch.zeros(len(rows), length, dtype=torch.long)
    mask_BT = torch.zeros(len(rows), length, dtype=torch.long)
    for number, row in enumerate(rows):
        ids_BT[number, : len(row)] = torch.tensor(row)
        mask_BT[number, : len(row)] = 1
    ranges: list[tuple[int, int, int]] = []
    for number, slot in enumerate(slots):
        if ranges and ranges[-1][2] == slot:
            ranges[-1] = (ranges[-1][0], (number + 1) * length, slot)
        else:
            ranges.append((number * length, (number + 1) * length, slot))
    bank.set_ranges(ranges)
    real_T = mask_BT.reshape(-1).nonzero()[:, 0].to(device)
    return {"input_ids": ids_BT.to(device), "attention_mask": mask_BT.to(device)}, real_T


def padded_hidden(bank: Bank, rows: Sequence[TrainRow | Sequence[int]], slots: Sequence[int]) -> torch.Tensor:
    """Hidden states after the final norm of all real tokens, row after row: [T, D]."""
    inputs, real_T = _batch(bank, [_ids(row) for row in rows], slots)
    hidden = bank.base.backbone(**inputs, use_cache=False).last_hidden_state
    return hidden.reshape(-1, hidden.shape[-1])[real_T]


def padded_logits(bank: Bank, rows: Sequence[TrainRow | Sequence[int]], slots: Sequence[int]) -> torch.Tensor:
    """Logits of all real tokens, row after row: [T, V]."""
    inputs, real_T = _batch(bank, [_ids(row) for row in rows], slots)
    logits = bank.base.model(**inputs, use_cache=False).logits
    return logits.reshape(-1, logits.shape[-1])[real_T]


def _ids(row: TrainRow | Sequence[int]) -> Sequence[int]:
    return row.ids if isinstance(row, TrainRow) else row
