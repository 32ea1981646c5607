"""Dependence, not closeness: no output of a pass may have a gradient at a token that it does not see in a row alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.decode import DecodeStep, Live
from traitscope.engine.forward import Pass, causal_pass, hidden_states
from traitscope.engine.layout import CausalPack, KeysAndValues, TreePack
from traitscope.engine.padded import batches
from traitscope.engine.reference import Reference, Rows, embedded
from traitscope.engine.score import make_tree
from traitscope.records import OptionRow


def no_leaks(base: Base, rows: Rows, _: Reference) -> str:
    """No row of a pass, no answer of a tree and no row of a decoding step depends on another: gradients are zero."""
    wholes = rows.wholes
    slots = list(range(len(wholes)))
    lengths = [len(row) for row in wholes]
    with Bank(base, {f"row{slot}": None for slot in slots}) as bank:
        keep: KeysAndValues = {}
        one = causal_pass(base, wholes, slots, keep=keep)
        ends = np.cumsum(lengths)
        asked = [(int(end) - 2, set(range(int(end) - n, int(end) - 1))) for end, n in zip(ends, lengths, strict=True)]
        found = _leaks(bank, one, asked)
        if found:
            return f"rows side by side are not independent ({found})"
        tree = make_tree(OptionRow(rows.contexts[0], ((*rows.options[0][0], 0), (*rows.options[0][1], 0))), 0)
        n = len(tree.prompt)
        layout = TreePack([n], [tree.parents], device=base.device)
        asked = []
        for node, parent in enumerate(tree.parents):
            above = {n + node}
            while parent >= 0:
                above.add(n + parent)
                parent = tree.parents[parent]
            asked.append((n + node, above | set(range(n))))
        found = _leaks(bank, Pass([tree.prompt + tree.nodes], [0], layout), asked)
        if found:
            return f"answers side by side are not independent ({found})"
        assert isinstance(one.layout, CausalPack)
        live = Live([(slot, 0) for slot in slots], torch.tensor(lengths, device=base.device))
        live.fill(
            [[slot] for slot in slots],
            {place: (k.detach(), v.detach()) for place, (k, v) in keep.items()},
            one.layout,
            max(lengths),
        )
        step = Pass([[row[0]] for row in wholes], slots, DecodeStep([live], (), 0))
        found = _leaks(bank, step, [(slot, {slot}) for slot in slots])
        return f"rows that are decoded together are not independent ({found})" if found else ""


def no_leaks_padded(base: Base, rows: Rows, _: Reference) -> str:
    """No row of a padded batch depends on another or on the padding: gradients are zero."""
    lengths = [len(row) for row in rows.wholes]
    with Bank(base, {"base": None}) as bank, embedded(base) as leaves:
        states_TD = hidden_states(bank, causal_pass(base, rows.wholes, [0] * len(lengths)))
        groups = batches(base, lengths)
        if len(leaves) != len(groups):
            # It looks its tokens up more than once: which leaf is which row's is not known.
            return ""
        for row, end in enumerate(np.cumsum(lengths).tolist()):
            for leaf, chosen in zip(leaves, groups, strict=True):
                output = states_TD[end - 2].float().pow(2).sum()
                (grad_BTD,) = torch.autograd.grad(output, leaf, retain_graph=True, materialize_grads=True)
                moved_BT = grad_BTD.reshape(len(chosen), -1, leaf.shape[-1]).abs().sum(-1)
                if row in chosen:
                    moved_BT[chosen.index(row), : lengths[row] - 1] = 0.0
                if bool(moved_BT.any()):
                    return f"row {row} is not independent of the others"
    return ""


def _leaks(bank: Bank, one: Pass, asked: Sequence[tuple[int, set[int]]]) -> str:
    """Which token of a pass an output depends on although it must not; ``asked``: (output, tokens it may see)."""
    with embedded(bank.base) as leaves:
        outputs_TD = hidden_states(bank, one)
        for at, seen in asked:
            (grad,) = torch.autograd.grad(outputs_TD[at].float().pow(2).sum(), leaves[0], retain_graph=True)
            tokens = set(grad.reshape(len(outputs_TD), -1).abs().sum(1).nonzero()[:, 0].tolist())
            if not tokens <= seen:
                return f"output {at} and token {min(tokens - seen)}"
    return ""
