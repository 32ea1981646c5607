"""The padded path, for architectures that do not use transformers' attention interface.

Rows become one right-padded batch with an attention mask; slots own whole rows, so the bank's linear layers see
token ranges as in the packed path.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from traitscope.engine.bank import Bank
from traitscope.engine.layout import token_ranges


def real_tokens(lengths: Sequence[int]) -> torch.Tensor:
    """Indices of the tokens that are no padding in a batch of right-padded rows, [T]."""
    return _mask(lengths).reshape(-1).nonzero()[:, 0]


def _mask(lengths: Sequence[int]) -> torch.Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def _batch(
    bank: Bank, rows: Sequence[Sequence[int]], slots: Sequence[int]
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    device = bank.base.device
    lengths = [len(row) for row in rows]
    mask_BT = _mask(lengths)
    ids_BT = torch.zeros(mask_BT.shape, dtype=torch.long)
    ids_BT[mask_BT] = torch.tensor([token for row in rows for token in row])
    bank.set_ranges(token_ranges(slots, [(number + 1) * max(lengths) for number in range(len(rows))]))
    inputs = {"input_ids": ids_BT.to(device), "attention_mask": mask_BT.long().to(device)}
    return inputs, real_tokens(lengths).to(device)


def padded_hidden(bank: Bank, rows: Sequence[Sequence[int]], slots: Sequence[int]) -> torch.Tensor:
    """Hidden states after the final norm of all real tokens, row after row: [T, D]."""
    inputs, real_T = _batch(bank, rows, slots)
    hidden = bank.base.backbone(**inputs, use_cache=False).last_hidden_state
    return hidden.reshape(-1, hidden.shape[-1])[real_T]


def padded_logits(bank: Bank, rows: Sequence[Sequence[int]], slots: Sequence[int]) -> torch.Tensor:
    """Logits of all real tokens, row after row: [T, V]."""
    inputs, real_T = _batch(bank, rows, slots)
    logits = bank.base.model(**inputs, use_cache=False).logits
    return logits.reshape(-1, logits.shape[-1])[real_T]
