"""Hidden states of chosen prompt positions, for every layer and every model of a bank; nothing goes to disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base, use_layout
from traitscope.engine.layout import CausalPack
from traitscope.engine.memory import score_tokens
from traitscope.engine.pace import Pace
from traitscope.engine.padded import padded_hidden
from traitscope.engine.passes import run_passes
from traitscope.engine.prefix import Prefix
from traitscope.engine.score import common_prefix, merges, prefix_states
from traitscope.engine.trunk import Trunk
from traitscope.errors import TraitscopeError
from traitscope.records import Progress, PromptRow

POSITIONS = ("last", "mean")


def capture(
    bank: Bank,
    rows: Sequence[PromptRow],
    *,
    position: str = "last",
    normed: bool = False,
    tokens_per_pass: int | str = "auto",
    merge: bool | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, np.ndarray]:
    """Hidden states of every prompt under every model.

    Args:
        bank: the models.
        rows: the prompts, in the order of the result.
        position: ``last`` (the prompt's last token) or ``mean`` (over the prompt's tokens); padding never counts.
        normed: add one more layer, the last one after the final norm.

    Returns:
        For each model float32 acts_LSD with L = n_layers + 1 (0: embeddings; i: output of decoder layer i, before the
        final norm), one more with ``normed``; S in the order of ``rows``.
    """
    base = bank.base
    if position not in POSITIONS:
        raise TraitscopeError(f"unknown position {position!r}", where="layers.position", fix="use last or mean")
    for number, row in enumerate(rows):
        if not 0 < len(row.context) <= base.max_positions:
            raise TraitscopeError(
                f"a prompt of {len(row.context)} tokens; {base.name} takes 1 to {base.max_positions}",
                where=f"row {number}",
                fix="shorten the prompts",
            )
    merge = merges(bank) if merge is None else merge
    groups = [[slot] for slot in range(len(bank.names))] if merge else [list(range(len(bank.names)))]
    n_layers = base.n_layers + 1 + int(normed)
    # The mean needs every token of every prompt; the last token needs only keys and values of what all prompts share.
    shared = common_prefix([row.context for row in rows]) if base.packed and position == "last" else 0
    sizes = [len(row.context) - shared for row in rows]
    pace = Pace(base, sum(sizes) * len(bank.names), flops_per_parameter=2, report=on_progress)
    limit = score_tokens(base, tokens_per_pass)
    order = sorted(range(len(rows)), key=lambda index: (-sizes[index], index))
    out = {name: np.empty((n_layers, len(rows), base.hidden_size), dtype=np.float32) for name in bank.names}
    lowest = [bank.lowest_layer(slot) for slot in range(len(bank.names))]
    trunk = Trunk(base, lowest if merge else [], sum(sizes))
    below: dict[tuple[int, ...], dict[int, torch.Tensor]] = {}

    def run(slots: list[int], prefixes: list[Prefix], chosen: list[int]) -> None:
        contexts = [rows[i].context[shared:] for i in chosen]
        deepest, key = min(lowest[slot] for slot in slots), tuple(chosen)
        with trunk.model(deepest, key) as first:
            states = _pass(bank, contexts, slots, prefixes, position, normed)
        # Skipped layers computed nothing: what the model that ran them gave holds for this one as well.
        states[1:first] = [below[key][layer] for layer in range(1, first)]
        if trunk.boundaries:
            kept = range(1, min(deepest, trunk.boundaries[-1]) + 1)
            below.setdefault(key, {}).update((layer, states[layer]) for layer in kept)
        acts = torch.stack(states)
        for place, slot in enumerate(slots):
            here = acts[:, place * len(chosen) : (place + 1) * len(chosen)]
            out[bank.names[slot]][:, chosen] = here.cpu().numpy()
        pace.add(sum(sizes[i] for i in chosen) * len(slots))

    with torch.no_grad():
        for slots in groups:
            bank.merge(slots[0] if merge else None)
            try:
                prefixes = prefix_states(bank, rows[0].context[:shared], slots) if shared else []
                run_passes(order, [size * len(slots) for size in sizes], limit, partial(run, slots, prefixes))
            finally:
                bank.merge(None)
    return out


def _pass(
    bank: Bank,
    contexts: list[tuple[int, ...]],
    slots: list[int],
    prefixes: list[Prefix],
    position: str,
    normed: bool,
) -> list[torch.Tensor]:
    """The chosen positions of every layer, slot after slot: tensors [slots x rows, D]."""
    base = bank.base
    lengths = [len(ids) for ids in contexts] * len(slots)
    ends_R = torch.tensor(np.cumsum(lengths), device=base.device) - 1
    row_T = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(base.device)

    def chosen(states_TD: torch.Tensor) -> torch.Tensor:
        if position == "last":
            return states_TD.index_select(0, ends_R).float()
        total_RD = torch.zeros(len(lengths), states_TD.shape[1], device=base.device)
        total_RD.index_add_(0, row_T, states_TD.float())
        return total_RD / torch.tensor(lengths, device=base.device)[:, None]

    with _Watch(base, chosen) as watch:
        if base.packed:
            n = sum(len(ids) for ids in contexts)
            bank.set_ranges([(i * n, (i + 1) * n, slot) for i, slot in enumerate(slots)])
            spans = [(i * n, (i + 1) * n, prefix) for i, prefix in enumerate(prefixes)]
            layout = CausalPack(lengths, device=base.device, prefixes=spans)
            ids_T = torch.tensor([i for ids in contexts for i in ids] * len(slots), device=base.device)
            with use_layout(base, layout):
                inputs: dict[str, Any] = {"input_ids": ids_T[None], "position_ids": layout.position_ids[None]}
                last = base.backbone(**inputs, use_cache=False).last_hidden_state[0]
        else:
            owners = [slot for slot in slots for _ in contexts]
            padding = [len(ids) for ids in contexts] * len(slots)
            watch.real = _real_tokens(padding).to(base.device)
            last = padded_hidden(bank, contexts * len(slots), owners)
    layers = [watch.states[layer] for layer in range(base.n_layers + 1)]
    return layers + ([chosen(last)] if normed else [])


def _real_tokens(lengths: list[int]) -> torch.Tensor:
    width = max(lengths)
    return (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).reshape(-1).nonzero()[:, 0]


class _Watch:
    """Context manager: keeps the chosen positions of every decoder layer's input and output."""

    def __init__(self, base: Base, chosen: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.base = base
        self.chosen = chosen
        self.real: torch.Tensor | None = None
        self.states: dict[int, torch.Tensor] = {}
        self.hooks: list[Any] = []

    def _keep(self, layer: int, states: Any) -> None:
        states = states[0] if isinstance(states, tuple) else states
        flat = states.reshape(-1, states.shape[-1])
        self.states[layer] = self.chosen(flat if self.real is None else flat.index_select(0, self.real))

    def __enter__(self) -> _Watch:
        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._keep(0, args[0] if args else kwargs["hidden_states"])

        self.hooks.append(self.base.layers[0].register_forward_pre_hook(before, with_kwargs=True))
        for number, layer in enumerate(self.base.layers, start=1):
            self.hooks.append(layer.register_forward_hook(lambda _m, _i, out, number=number: self._keep(number, out)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()
