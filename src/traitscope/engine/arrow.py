"""How strongly prompts speak to adapters: the base's inputs of the adapted layers along every adapter's main direction.

Arrow (Ostapenko et al. 2024) routes every token in every layer by |v h|. Here one adapter is wanted for a prompt: the
values are averaged over its tokens and over the adapted layers, the inputs taken to length 1, so that no layer counts
more for the size of its states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.forward import causal_pass, hidden_states
from traitscope.engine.lora import Adapter
from traitscope.engine.memory import score_tokens
from traitscope.engine.merge import main_directions
from traitscope.engine.passes import run_passes
from traitscope.records import PromptRow


def alignments(
    base: Base, adapters: Mapping[str, Adapter], rows: Sequence[PromptRow], *, tokens_per_pass: int | str = "auto"
) -> NDArray[np.float64]:
    """Mean |cosine| between the base's inputs of every adapted layer and the adapter's main direction there.

    Args:
        base: no bank may be open on it.
        adapters: A adapters, by name.
        rows: S prompts.

    Returns:
        values_SA in 0..1: over the prompt's tokens and the layers that the adapter has.

    Raises:
        TraitscopeError: a prompt is empty or too long, or holds tokens that the base does not know.
    """
    base.check_tokens(row.context for row in rows)
    directions = {name: main_directions(adapter) for name, adapter in adapters.items()}
    out_SA = np.zeros((len(rows), len(adapters)))
    sizes = [len(row.context) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (-sizes[index], index))
    # Padding would be averaged with the tokens: a base that is not packed takes one row at a time.
    limit = score_tokens(base, tokens_per_pass) if base.packed else 1
    stacked: dict[str, tuple[list[int], torch.Tensor]] = {}
    for name in base.linear_names:
        having = [number for number, found in enumerate(directions.values()) if name in found]
        if having:
            chosen = [list(directions.values())[number][name] for number in having]
            stacked[name] = having, torch.stack(chosen).to(base.device, torch.float32)
    with Bank(base, {"base": None}) as bank, torch.no_grad():
        run_passes(order, sizes, limit, partial(_pass, bank, rows, stacked, out_SA))
    return out_SA / np.array([max(1, len(found)) for found in directions.values()])


def _pass(
    bank: Bank,
    rows: Sequence[PromptRow],
    stacked: Mapping[str, tuple[list[int], torch.Tensor]],
    out_SA: NDArray[np.float64],
    chosen: list[int],
) -> None:
    """Adds every layer's values of the chosen rows."""
    base = bank.base
    lengths = torch.tensor([len(rows[index].context) for index in chosen])
    row_T = torch.repeat_interleave(torch.arange(len(chosen)), lengths).to(base.device)
    totals: dict[str, torch.Tensor] = {}

    def watch(name: str, args: tuple[torch.Tensor, ...]) -> None:
        states_TD = torch.nn.functional.normalize(args[0].reshape(-1, args[0].shape[-1]).float(), dim=-1)
        values_TA = (states_TD @ stacked[name][1].T).abs()
        total_RA = torch.zeros(len(chosen), values_TA.shape[1], device=base.device)
        totals[name] = total_RA.index_add_(0, row_T, values_TA)

    modules = dict(base.model.named_modules())
    with ExitStack() as hooks:
        for name in stacked:
            hooks.enter_context(modules[name].register_forward_pre_hook(lambda _, args, name=name: watch(name, args)))
        hidden_states(bank, causal_pass(base, [rows[index].context for index in chosen], [0] * len(chosen)))
    assert totals.keys() == stacked.keys(), "a layer of the base was not called"
    for name, total_RA in totals.items():
        having = stacked[name][0]
        out_SA[np.ix_(chosen, having)] += (total_RA.cpu() / lengths[:, None]).double().numpy()
