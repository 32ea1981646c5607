"""Log-likelihoods of answers: each prompt once, its options as a trie behind it, logits only at scored tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.forward import Pass, causal_pass, hidden_states, logits, outputs_at, slot_groups
from traitscope.engine.layout import KeysAndValues, TreePack, token_ranges
from traitscope.engine.loss import logits_at_once
from traitscope.engine.memory import score_tokens
from traitscope.engine.pace import Pace
from traitscope.engine.passes import run_passes
from traitscope.engine.prefix import Prefix, spans
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


def prefix_states(bank: Bank, ids: Sequence[int], slots: Sequence[int], seen: int) -> dict[int, Prefix]:
    """Keys and values of a prefix under each slot, from one pass (under the merged weights: give one slot).

    ``seen`` is the length of a row that begins with it; all that do must be treated alike (``base.sides``).
    """
    keep: KeysAndValues = {}
    hidden_states(bank, causal_pass(bank.base, [ids] * len(slots), slots, keep=keep, seen=seen))
    n = len(ids)
    prefixes = {}
    for i, slot in enumerate(slots):
        here = slice(i * n, (i + 1) * n)
        keys, values = ([keep[layer][k][None, :, here].contiguous() for layer in sorted(keep)] for k in (0, 1))
        prefixes[slot] = Prefix(keys, values, n)
    return prefixes


def merges(bank: Bank, asked: bool | None) -> bool:
    """Whether models run one after the other on merged weights instead of side by side in slots; None chooses.

    Merged weights make an adapter free, and a pass of one model's rows already fills a CPU. In bf16 merging would
    round the update away, and on a GPU slots side by side fill the device.
    """
    if asked is not None:
        return asked
    plain = all(layer.plain for layer in bank.layers.values())
    return bank.base.mergeable and plain and (bank.base.device.type == "cpu" or len(bank.names) == 1)


def score_options(
    bank: Bank,
    rows: Sequence[OptionRow],
    *,
    tokens_per_pass: int | str = "auto",
    share_prefix: bool = True,
    merge: bool | None = None,
    likeliest: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, list[Scored]]:
    """Log-probability of every option token of every row under every model of the bank.

    Args:
        bank: the models.
        rows: prompts and options. Rows that occur twice are computed once.
        tokens_per_pass: most tokens in one pass.
        share_prefix: compute a token prefix that all rows share once per model.
        merge: run the models one after the other on merged weights, or all in slots; None chooses.
        likeliest: tell of every token too whether it is the likeliest in its place.

    Returns:
        For each model, for each row, one float array [n tokens] per option, in nats; with ``likeliest`` [n tokens, 2],
        the second column 1 or 0.

    Raises:
        TraitscopeError: a row is longer than the model's positions, or empty.
    """
    base = bank.base
    check_rows(base, rows)
    unique: dict[OptionRow, int] = {}
    which = [unique.setdefault(row, len(unique)) for row in rows]
    distinct = list(unique)
    limit = score_tokens(base, tokens_per_pass)
    merge = merges(bank, merge)
    if not distinct:
        return {name: [] for name in bank.names}
    total = sum(len(row.context) + sum(map(len, row.options)) for row in distinct) * len(bank.names)
    pace = Pace(base, total, flops_per_parameter=2, report=on_progress)
    stems = [bank.stem(slot) for slot in range(len(bank.names))] if merge else []
    trunk = Trunk(base, stems, total // len(bank.names))
    out: dict[str, list[Scored]] = {}
    with torch.no_grad():
        for slots, merged in slot_groups(bank, merge):
            with bank.merged(merged):
                run = _Run(bank, slots, limit, likeliest, pace, trunk)
                scored = _score(run, distinct, share_prefix)
            for slot, results in zip(slots, scored, strict=True):
                out[bank.names[slot]] = [results[index] for index in which]
    return out


def check_rows(base: Base, rows: Sequence[OptionRow]) -> None:
    """Raises TraitscopeError where a row is empty, too long for the model, or has a token that it lacks."""
    base.check_tokens(row.context + sum(row.options, ()) for row in rows)
    for number, row in enumerate(rows):
        if not row.context or not row.options or not all(row.options):
            raise TraitscopeError(
                "empty context or option", where=f"row {number}", fix="check the prompt and the options"
            )
        longest = len(row.context) + max(len(option) for option in row.options)
        # A last token is read by no pass, so it takes no position.
        if longest - 1 > base.max_positions:
            raise TraitscopeError(
                f"{longest} tokens, but {base.name} has {base.max_positions} positions",
                where=f"row {number}",
                fix="shorten the prompt (shots.n, or a max_tokens of the task)",
            )


@dataclass(frozen=True, slots=True)
class _Run:
    """How the rows of some slots are scored."""

    bank: Bank
    slots: list[int]
    limit: int
    likeliest: bool
    pace: Pace
    trunk: Trunk


def _score(run: _Run, rows: Sequence[OptionRow], share_prefix: bool) -> list[list[Scored]]:
    """Log-probabilities of every row's options, slot after slot.

    A base that runs padded knows no trees: there every option is a row of its own.
    """
    base = run.bank.base
    if not base.packed:
        alone = [OptionRow(row.context, (option,)) for row in rows for option in row.options]
        parts = [iter(scored) for scored in _score_trees(run, alone, 0)]
        return [[tuple(next(part)[0] for _ in row.options) for row in rows] for part in parts]
    if base.sides is None:
        shared = common_prefix([row.context for row in rows]) if share_prefix else 0
        return _score_trees(run, rows, shared)
    # Answers that lie on different sides of a change of the position tables share nothing, not even their prompt.
    groups: dict[bytes, list[tuple[int, int]]] = {}
    for index, row in enumerate(rows):
        for number, option in enumerate(row.options):
            side = base.sides(len(row.context) + len(option) - 1)
            groups.setdefault(side, []).append((index, number))
    results: list[list[list[np.ndarray]]] = [[[np.empty(0)] * len(row.options) for row in rows] for _ in run.slots]
    for members in groups.values():
        alike = [OptionRow(rows[index].context, (rows[index].options[number],)) for index, number in members]
        shared = common_prefix([row.context for row in alike]) if share_prefix else 0
        for out, scored in zip(results, _score_trees(run, alike, shared), strict=True):
            for (index, number), (values,) in zip(members, scored, strict=True):
                out[index][number] = values
    return [[tuple(row) for row in out] for out in results]


def _score_trees(run: _Run, rows: Sequence[OptionRow], shared: int) -> list[list[Scored]]:
    """``_score`` of rows that have their first ``shared`` context tokens in common."""
    bank, slots = run.bank, run.slots
    whole = len(rows[0].context) + len(rows[0].options[0]) - 1
    prefixes = prefix_states(bank, rows[0].context[:shared], slots, whole) if shared else {}
    trees = [make_tree(row, shared) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (-trees[index].n_tokens, index))
    results: list[list[Scored]] = [[()] * len(rows) for _ in slots]

    def one(chosen: list[int]) -> None:
        here = [trees[index] for index in chosen]
        ends = np.cumsum([tree.n_tokens for tree in here])
        queries = np.concatenate([np.array(t.queries) + end - t.n_tokens for t, end in zip(here, ends, strict=True)])
        queries = np.concatenate([queries + i * ends[-1] for i in range(len(slots))])
        targets = np.tile(np.concatenate([np.array(tree.targets) for tree in here]), len(slots))
        with run.trunk.model(slots, tuple(chosen)):
            made = _tree_pass(bank.base, here, slots, prefixes)
            values = _log_probabilities(bank, made, queries, targets, run.likeliest)
        _deal_out(values.reshape(len(slots), -1, *values.shape[1:]), here, chosen, results)
        run.pace.add(int(ends[-1]) * len(slots))

    run_passes(order, [tree.n_tokens * len(slots) for tree in trees], run.limit, one)
    return results


def _tree_pass(base: Base, trees: list[TreeRow], slots: list[int], prefixes: dict[int, Prefix]) -> Pass:
    """The same trees under every slot."""
    rows = [tree.prompt + tree.nodes for tree in trees] * len(slots)
    owners = [slot for slot in slots for _ in trees]
    if not base.packed:
        return Pass(rows, owners, None)
    ranges = token_ranges(owners, np.cumsum([len(row) for row in rows]))
    layout = TreePack(
        [len(tree.prompt) for tree in trees] * len(slots),
        [tree.parents for tree in trees] * len(slots),
        device=base.device,
        prefixes=spans(prefixes, ranges),
    )
    return Pass(rows, owners, layout)


def _log_probabilities(bank: Bank, one: Pass, queries: np.ndarray, targets: np.ndarray, likeliest: bool) -> np.ndarray:
    """log p(target | everything before it) for (position, token) pairs, float64; with ``likeliest`` [n, 2].

    A position's logits are formed once, a bounded number of them at a time.
    """
    positions, which = np.unique(queries, return_inverse=True)
    outputs = outputs_at(bank, one, torch.from_numpy(positions).to(bank.base.device))
    out = np.empty((len(targets), 2) if likeliest else len(targets), dtype=np.float64)
    step = max(1, logits_at_once(bank.base.device) // bank.base.vocab_size)
    for start in range(0, len(positions), step):
        inside = np.flatnonzero((which >= start) & (which < start + step))
        logits_QV = logits(bank.base, outputs[start : start + step])
        values = pick(logits_QV, which[inside] - start, targets[inside])
        if likeliest:
            best = logits_QV.argmax(dim=-1).cpu().numpy()[which[inside] - start]
            values = np.stack([values, best == targets[inside]], axis=1)
        out[inside] = values
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
    for row, flat in enumerate(values):
        parts = iter(np.split(flat, cuts))
        for tree, index in zip(trees, chosen, strict=True):
            results[row][index] = tuple(next(parts) for _ in tree.sizes)
