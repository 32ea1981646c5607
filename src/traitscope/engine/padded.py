"""The padded path, for architectures whose rows cannot lie in one sequence.

Rows become right-padded batches with an attention mask, where the base was found to take them, else batches of one;
slots own whole rows, so the bank's linear layers see token ranges as in the packed path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base


def real_tokens(lengths: Sequence[int]) -> torch.Tensor:
    """Indices of the tokens that are no padding in a batch of right-padded rows, [T]."""
    return _mask(lengths).reshape(-1).nonzero()[:, 0]


def _mask(lengths: Sequence[int]) -> torch.Tensor:
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def batches(base: Base, lengths: Sequence[int]) -> list[list[int]]:
    """Rows that can be padded to one batch: all of the same position tables, or each alone."""
    groups: dict[object, list[int]] = {}
    for row, length in enumerate(lengths):
        groups.setdefault(base.batch_of(length) or ("alone", row), []).append(row)
    return list(groups.values())


def each_batch(
    bank: Bank, rows: Sequence[Sequence[int]], slots: Sequence[int], run: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """What ``run``, given a batch's inputs, makes of all real tokens, row after row: [T, C]."""
    device = bank.base.device
    parts: dict[int, torch.Tensor] = {}
    for chosen in batches(bank.base, [len(row) for row in rows]):
        lengths = [len(rows[row]) for row in chosen]
        width = max(lengths)
        mask_BT = _mask(lengths)
        ids_BT = torch.zeros(mask_BT.shape, dtype=torch.long)
        ids_BT[mask_BT] = torch.tensor([token for row in chosen for token in rows[row]])
        bank.lay_out([slots[row] for row in chosen], lengths, width=width, rows=chosen)
        inputs = {"input_ids": ids_BT.to(device), "use_cache": False}
        if not bool(mask_BT.all()):
            inputs["attention_mask"] = mask_BT.long().to(device)
        out_BTC = run(**inputs)
        parts.update((row, out_BTC[number, : len(rows[row])]) for number, row in enumerate(chosen))
    return torch.cat([parts[row] for row in range(len(rows))])


def padded_hidden(bank: Bank, rows: Sequence[Sequence[int]], slots: Sequence[int]) -> torch.Tensor:
    """Hidden states after the final norm of all real tokens, row after row: [T, D]."""
    return each_batch(bank, rows, slots, lambda **inputs: bank.base.backbone(**inputs).last_hidden_state)


def padded_logits(bank: Bank, rows: Sequence[Sequence[int]], slots: Sequence[int]) -> torch.Tensor:
    """Logits of all real tokens, row after row: [T, V]."""
    return each_batch(bank, rows, slots, lambda **inputs: bank.base.model(**inputs).logits)
