"""Log-likelihoods of answers: each prompt once, its options as a trie behind it, logits only at scored tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base, use_layout
from traitscope.engine.layout import CausalPack, TreePack
from traitscope.engine.loss import LOGITS_AT_ONCE
from traitscope.engine.memory import score_tokens
from traitscope.engine.pace import Pace
from traitscope.engine.padded import padded_hidden, padded_logits
from traitscope.engine.passes import run_passes
from traitscope.engine.prefix import Prefix
from traitscope.engine.trunk import Trunk
from traitscope.errors import TraitscopeError
from traitscope.records import OptionRow, Progress

# A common prefix shorter than this costs more to merge than to compute again.
MIN_PREFIX = 16

Scored = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class TreeRow:
    """An option row laid out as a tree.

    Attributes:
        prompt: context tokens that this row computes itself (behind the shared prefix).
        nodes, parents: trie nodes of the options' tokens that have successors; parent -1 is the prompt's end.
        queries: local index (prompt, then nodes) of every scored token's predecessor.
        targets: the scored tokens, option after option.
        sizes: tokens per option.
    """

    prompt: tuple[int, ...]
    nodes: tuple[int, ...]
    parents: tuple[int, ...]
    queries: tuple[int, ...]
    targets: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        return len(self.prompt) + len(self.nodes)


def make_tree(row: OptionRow, shared: int) -> TreeRow:
    """Lay out a row whose first ``shared`` context tokens are computed elsewhere."""
    prompt = row.context[shared:]
    nodes: list[int] = []
    parents: list[int] = []
    children: dict[tuple[int, int], int] = {}
    queries: list[int] = []
    targets: list[int] = []
    for option in row.options:
        at = -1
        for number, token in enumerate(option):
            queries.append(len(prompt) - 1 if at < 0 else len(prompt) + at)
            targets.append(token)
            if number + 1 < len(option):
                if (at, token) not in children:
                    children[at, token] = len(nodes)
                    nodes.append(token)
                    parents.append(at)
                at = children[at, token]
    return TreeRow(
        prompt,
        tuple(nodes),
        tuple(parents),
        tuple(queries),
        tuple(targets),
        tuple(len(o) for o in row.options),
    )


def common_prefix(contexts: Sequence[tuple[int, ...]]) -> int:
    """Length of the token prefix that all contexts share, leaving each a token of its own; 0 if not worth it."""
    if len(contexts) < 4:
        return 0
    first, last = min(contexts), max(contexts)
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    shared = min(shared, min(len(context) for context in contexts) - 1)
    return shared if shared >= MIN_PREFIX else 0


def prefix_states(bank: Bank, ids: Sequence[int], slots: Sequence[int]) -> list[Prefix]:
    """Keys and values of a prefix under each slot of one pass (under the merged weights: give one slot)."""
    base = bank.base
    keep: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    n = len(ids)
    bank.set_ranges([(i * n, (i + 1) * n, slot) for i, slot in enumerate(slots)])
    layout = CausalPack([n] * len(slots), device=base.device, keep=keep)
    ids_T = torch.tensor(list(ids) * len(slots), device=base.device)
    with torch.no_grad(), use_layout(base, layout):
        base.backbone(input_ids=ids_T[None], position_ids=layout.position_ids[None], use_cache=False)
    prefixes = []
    for i in range(len(slots)):
        here = slice(i * n, (i + 1) * n)
        prefixes.append(
            Prefix(
                [keep[layer][0][None, :, here].contiguous() for layer in sorted(keep)],
                [keep[layer][1][None, :, here].contiguous() for layer in sorted(keep)],
                n,
            )
        )
    return prefixes


def merges(bank: Bank) -> bool:
    """Whether models run one after the other on merged weights instead of side by side in slots.

    Merged weights make an adapter free, and a pass of one model's rows already fills a CPU. In bf16 merging would
    round the update away, and on a GPU slots side by side fill the device.
    """
    plain = all(layer.plain for layer in bank.layers.values())
    return bank.base.mergeable and plain and (bank.base.device.type == "cpu" or len(bank.names) == 1)


def score_options(
    bank: Bank,
    rows: Sequence[OptionRow],
    *,
    tokens_per_pass: int | str = "auto",
    share_prefix: bool = True,
    merge: bool | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, list[Scored]]:
    """Log-probability of every option token of every row under every model of the bank.

    Args:
        bank: the models.
        rows: prompts and options. Rows that occur twice are computed once.
        tokens_per_pass: most tokens in one pass.
        share_prefix: compute a token prefix that all rows share once per model.
        merge: run the models one after the other on merged weights, or all in slots; None chooses.

    Returns:
        For each model, for each row, one float array [n tokens] per option, in nats.

    Raises:
        TraitscopeError: a row is longer than the model's positions, or empty.
    """
    base = bank.base
    check_rows(base, rows)
    unique: dict[OptionRow, int] = {}
    place = [unique.setdefault(row, len(unique)) for row in rows]
    distinct = list(unique)
    limit = score_tokens(base, tokens_per_pass)
    merge = merges(bank) if merge is None else merge
    groups = [[slot] for slot in range(len(bank.names))] if merge else [list(range(len(bank.names)))]
    if not distinct:
        return {name: [] for name in bank.names}
    total = sum(len(row.context) + sum(map(len, row.options)) for row in distinct) * len(bank.names)
    pace = Pace(base, total, flops_per_parameter=2, report=on_progress)
    lowest = [bank.lowest_layer(slot) for slot in range(len(bank.names))]
    trunk = Trunk(base, lowest if merge else [], total // len(bank.names))
    out: dict[str, list[Scored]] = {}
    with torch.no_grad():
        for slots in groups:
            bank.merge(slots[0] if merge else None)
            try:
                if base.packed:
                    scored = _score_packed(bank, distinct, slots, limit, share_prefix, pace, trunk)
                else:
                    scored = _score_padded(bank, distinct, slots, limit, pace)
            finally:
                bank.merge(None)
            for slot, results in zip(slots, scored, strict=True):
                out[bank.names[slot]] = [results[index] for index in place]
    return out


def check_rows(base: Base, rows: Sequence[OptionRow]) -> None:
    """Raises TraitscopeError where a row is empty or longer than the model's positions."""
    for number, row in enumerate(rows):
        if not row.context or not row.options or not all(row.options):
            raise TraitscopeError(
                "empty context or option", where=f"row {number}", fix="check the prompt and the options"
            )
        longest = len(row.context) + max(len(option) for option in row.options)
        if longest > base.max_positions:
            raise TraitscopeError(
                f"{longest} tokens, but {base.name} has {base.max_positions} positions",
                where=f"row {number}",
                fix="shorten the prompt (shots.n, or a max_tokens of the task)",
            )


def _score_packed(
    bank: Bank,
    rows: Sequence[OptionRow],
    slots: list[int],
    limit: int,
    share_prefix: bool,
    pace: Pace,
    trunk: Trunk,
) -> list[list[Scored]]:
    base = bank.base
    lowest = min(bank.lowest_layer(slot) for slot in slots)
    shared = common_prefix([row.context for row in rows]) if share_prefix else 0
    prefixes = prefix_states(bank, rows[0].context[:shared], slots) if shared else []
    trees = [make_tree(row, shared) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (-trees[index].n_tokens, index))
    results: list[list[Scored]] = [[()] * len(rows) for _ in slots]

    def run(chosen: list[int]) -> None:
        here = [trees[index] for index in chosen]
        n = sum(tree.n_tokens for tree in here)
        ranges = [(i * n, (i + 1) * n, slot) for i, slot in enumerate(slots)]
        bank.set_ranges(ranges)
        layout = TreePack(
            [len(tree.prompt) for tree in here] * len(slots),
            [tree.parents for tree in here] * len(slots),
            device=base.device,
            prefixes=[(start, stop, prefixes[i]) for i, (start, stop, _) in enumerate(ranges)] if shared else (),
        )
        ids_T = torch.tensor([i for tree in here for i in tree.prompt + tree.nodes] * len(slots), device=base.device)
        starts = np.cumsum([0] + [tree.n_tokens for tree in here])[:-1]
        queries = np.concatenate([np.array(t.queries) + s for t, s in zip(here, starts, strict=True)])
        targets = np.concatenate([np.array(t.targets) for t in here])
        queries = np.concatenate([queries + i * n for i in range(len(slots))])
        targets = np.tile(targets, len(slots))
        inputs = {"input_ids": ids_T[None], "position_ids": layout.position_ids[None], "use_cache": False}
        with use_layout(base, layout), trunk.model(lowest, tuple(chosen)):
            values = _log_probabilities(bank, inputs, queries, targets)
        _deal_out(values.reshape(len(slots), -1), here, chosen, results)
        pace.add(n * len(slots))

    run_passes(order, [tree.n_tokens * len(slots) for tree in trees], limit, run)
    return results


def _log_probabilities(bank: Bank, inputs: dict[str, object], queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """log p(target | everything before it) for (position, token) pairs; a position's logits are formed once."""
    base = bank.base
    positions, which = np.unique(queries, return_inverse=True)
    positions_Q = torch.from_numpy(positions).to(base.device)
    if not base.plain_head:
        logits = base.model(**inputs, logits_to_keep=positions_Q).logits[0]
        return pick(logits, which, targets)
    hidden_QD = base.backbone(**inputs).last_hidden_state[0].index_select(0, positions_Q)
    return pick_from_hidden(bank, hidden_QD, which, targets)


def pick_from_hidden(bank: Bank, hidden_QD: torch.Tensor, which: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Log-probabilities from hidden states, with a bounded number of logits held at a time."""
    out = np.empty(len(targets), dtype=np.float64)
    step = max(1, LOGITS_AT_ONCE // bank.base.vocab_size)
    for start in range(0, hidden_QD.shape[0], step):
        inside = np.flatnonzero((which >= start) & (which < start + step))
        logits = bank.base.head(hidden_QD[start : start + step])
        out[inside] = pick(logits, which[inside] - start, targets[inside])
    return out


def pick(logits_QV: torch.Tensor, which: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """log softmax of ``logits_QV`` at the pairs (which, targets), as float64 numpy."""
    logits_QV = logits_QV if logits_QV.dtype == torch.float64 else logits_QV.float()
    lse_Q = logits_QV.logsumexp(dim=-1)
    rows = torch.from_numpy(which).to(logits_QV.device)
    picked = logits_QV[rows, torch.from_numpy(targets).to(logits_QV.device)]
    return (picked - lse_Q[rows]).double().cpu().numpy()


def _deal_out(values: np.ndarray, trees: list[TreeRow], chosen: list[int], results: list[list[Scored]]) -> None:
    cuts = np.cumsum([size for tree in trees for size in tree.sizes])[:-1]
    for place, flat in enumerate(values):
        parts = iter(np.split(flat, cuts))
        for tree, index in zip(trees, chosen, strict=True):
            results[place][index] = tuple(next(parts) for _ in tree.sizes)


def _score_padded(
    bank: Bank, rows: Sequence[OptionRow], slots: list[int], limit: int, pace: Pace
) -> list[list[Scored]]:
    """One padded row per option, for architectures without the attention interface."""
    base = bank.base
    flat = [(index, number) for index, row in enumerate(rows) for number in range(len(row.options))]
    sequences = [(rows[i].context + rows[i].options[o])[:-1] for i, o in flat]
    order = sorted(range(len(flat)), key=lambda k: (-len(sequences[k]), k))
    results: list[list[list[np.ndarray]]] = [[[np.empty(0)] * len(row.options) for row in rows] for _ in slots]

    def run(chosen: list[int]) -> None:
        here = [sequences[k] for k in chosen]
        queries: list[int] = []
        targets: list[int] = []
        sizes, start = [], 0
        for k in chosen:
            index, number = flat[k]
            option = rows[index].options[number]
            first = start + len(rows[index].context) - 1
            queries += range(first, first + len(option))
            targets += option
            sizes.append(len(option))
            start += len(sequences[k])
        all_queries = np.concatenate([np.array(queries) + i * start for i in range(len(slots))])
        all_targets = np.tile(np.array(targets), len(slots))
        owners = [slot for slot in slots for _ in here]
        where = torch.from_numpy(all_queries).to(base.device)
        which = np.arange(len(all_queries))
        if base.plain_head:
            values = pick_from_hidden(bank, padded_hidden(bank, here * len(slots), owners)[where], which, all_targets)
        else:
            values = pick(padded_logits(bank, here * len(slots), owners)[where], which, all_targets)
        for place, part in enumerate(values.reshape(len(slots), -1)):
            for k, logprobs in zip(chosen, np.split(part, np.cumsum(sizes)[:-1]), strict=True):
                results[place][flat[k][0]][flat[k][1]] = logprobs
        pace.add(start * len(slots))

    run_passes(order, [len(sequence) * len(slots) for sequence in sequences], limit, run)
    return [[tuple(options) for options in per_slot] for per_slot in results]
