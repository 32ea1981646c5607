"""Hidden states of chosen prompt positions, for every layer and every model of a bank; nothing goes to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.forward import Pass, causal_pass, hidden_states, slot_groups
from traitscope.engine.memory import score_tokens
from traitscope.engine.pace import Pace
from traitscope.engine.padded import batches, real_tokens
from traitscope.engine.passes import run_passes
from traitscope.engine.prefix import Prefix
from traitscope.engine.score import common_prefix, merges, prefix_states
from traitscope.engine.trunk import Stem, Trunk
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
    base.check_tokens(row.context for row in rows)
    for number, row in enumerate(rows):
        if not 0 < len(row.context) <= base.max_positions:
            raise TraitscopeError(
                f"a prompt of {len(row.context)} tokens; {base.name} takes 1 to {base.max_positions}",
                where=f"row {number}",
                fix="shorten the prompts",
            )
    if base.paths.hidden:
        raise TraitscopeError(
            f"hidden states cannot be captured: {base.paths.hidden}",
            where=base.name,
            fix="leave the layer analysis out, or use another base",
        )
    merge = merges(bank, merge)
    n_layers = base.n_layers + 1 + int(normed)
    # The mean needs every token of every prompt; the last token needs only keys and values of what all prompts share.
    alike = base.sides is None or len({base.sides(len(row.context)) for row in rows}) == 1
    shared = common_prefix([row.context for row in rows]) if base.packed and alike and position == "last" else 0
    sizes = [len(row.context) - shared for row in rows]
    pace = Pace(base, sum(sizes) * len(bank.names), flops_per_parameter=2, report=on_progress)
    limit = score_tokens(base, tokens_per_pass)
    order = sorted(range(len(rows)), key=lambda index: (-sizes[index], index))
    out = {name: np.empty((n_layers, len(rows), base.hidden_size), dtype=np.float32) for name in bank.names}
    stems = [bank.stem(slot) for slot in range(len(bank.names))] if merge else []
    trunk = Trunk(base, stems, sum(sizes))
    below: dict[tuple[tuple[int, ...], Stem], torch.Tensor] = {}

    def run(slots: list[int], prefixes: dict[int, Prefix], chosen: list[int]) -> None:
        contexts = [rows[i].context[shared:] for i in chosen]
        key = tuple(chosen)
        with trunk.model(slots, key) as first:
            states = _pass(bank, contexts, slots, prefixes, position, normed)
        if trunk.stems:
            # Skipped layers computed nothing: what the model that ran them gave holds for this one as well.
            stem, deepest = trunk.stems[slots[0]], max(trunk.keeps[slots[0]], default=0)
            states[1:first] = [below[key, stem[:layer]] for layer in range(1, first)]
            below.update(((key, stem[:layer]), states[layer]) for layer in range(max(1, first), deepest + 1))
        acts = torch.stack(states)
        for index, slot in enumerate(slots):
            here = acts[:, index * len(chosen) : (index + 1) * len(chosen)]
            out[bank.names[slot]][:, chosen] = here.cpu().numpy()
        pace.add(sum(sizes[i] for i in chosen) * len(slots))

    with torch.no_grad():
        for slots, merged in slot_groups(bank, merge):
            with bank.merged(merged):
                prefixes = prefix_states(bank, rows[0].context[:shared], slots, len(rows[0].context)) if shared else {}
                run_passes(order, [size * len(slots) for size in sizes], limit, partial(run, slots, prefixes))
    return out


def _pass(
    bank: Bank,
    contexts: list[tuple[int, ...]],
    slots: list[int],
    prefixes: dict[int, Prefix],
    position: str,
    normed: bool,
) -> list[torch.Tensor]:
    """The chosen positions of every layer, slot after slot: tensors [slots x rows, D]."""
    base = bank.base
    one = causal_pass(base, contexts * len(slots), [slot for slot in slots for _ in contexts], prefixes=prefixes)
    if base.packed:
        return _states(bank, one, position, normed)
    chosen = batches(base, [len(row) for row in one.rows])
    parts = [Pass([one.rows[r] for r in rows], [one.slots[r] for r in rows], None) for rows in chosen]
    found = [_states(bank, part, position, normed) for part in parts]
    order = torch.tensor([row for rows in chosen for row in rows], device=base.device).argsort()
    return [torch.cat(layer).index_select(0, order) for layer in zip(*found, strict=True)]


def _states(bank: Bank, one: Pass, position: str, normed: bool) -> list[torch.Tensor]:
    """The chosen positions of every layer of one run of the model: tensors [rows, D]."""
    base = bank.base
    lengths = [len(row) for row in one.rows]
    ends_R = torch.tensor(np.cumsum(lengths), device=base.device) - 1
    row_T = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(base.device)
    real_T = None if base.packed else real_tokens(lengths).to(base.device)

    def chosen(states_TD: torch.Tensor) -> torch.Tensor:
        if position == "last":
            return states_TD.index_select(0, ends_R).float()
        total_RD = torch.zeros(len(lengths), states_TD.shape[1], device=base.device)
        total_RD.index_add_(0, row_T, states_TD.float())
        return total_RD / torch.tensor(lengths, device=base.device)[:, None]

    with _watching(base, lambda flat: chosen(flat if real_T is None else flat.index_select(0, real_T))) as states:
        last = hidden_states(bank, one)
    layers = [states[layer] for layer in range(base.n_layers + 1)]
    return layers + ([chosen(last)] if normed else [])


@contextmanager
def _watching(base: Base, take: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[dict[int, torch.Tensor]]:
    """What ``take`` makes of every decoder layer's output in the pass inside it, by layer; 0: the first one's input."""
    states: dict[int, torch.Tensor] = {}

    def keep(layer: int, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        states[layer] = take(output.reshape(-1, output.shape[-1]))

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(0, args[0] if args else kwargs["hidden_states"])

    with ExitStack() as hooks:
        layers = base.layers
        hooks.enter_context(layers[0].register_forward_pre_hook(before, with_kwargs=True))
        for number, layer in enumerate(layers, start=1):
            hooks.enter_context(layer.register_forward_hook(lambda _m, _i, out, number=number: keep(number, out)))
        yield states
