"""Which of the engine's paths are exact for a model: each is tried beside the model's own forward over single rows.

First by structure (``structure``: masks, position tables, head), then by values with adapters that matter, then by
dependency: in a pass of several rows no output may have a gradient at a token that it does not see alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from traitscope.engine.bank import Bank, Gated
from traitscope.engine.base import Base
from traitscope.engine.capture import capture
from traitscope.engine.decode import DecodeStep, Live, Stops
from traitscope.engine.forward import Pass, causal_pass, hidden_states
from traitscope.engine.generate import generate
from traitscope.engine.generate_padded import greedy
from traitscope.engine.jobs import TrainJob
from traitscope.engine.layout import CausalPack, KeysAndValues
from traitscope.engine.leaks import no_leaks, no_leaks_padded
from traitscope.engine.lora import Adapter
from traitscope.engine.plan import BankPlan
from traitscope.engine.reference import NEW, Reference, Rows, logits_of
from traitscope.engine.score import score_options
from traitscope.engine.structure import NotProven
from traitscope.engine.trainer import BankTrainer
from traitscope.errors import is_out_of_memory
from traitscope.records import OptionRow, PromptRow, TrainRow

# Half of the numbers that a float can tell apart differ in the last digits only: what sums may lose, by precision.
FLOOR = {torch.float64: 1e-6, torch.float32: 2e-5}
HALF = 3e-2

# What gradients may differ by, as a share of their size. In half precision twice what the model's own move by, and no
# less nor more than this.
GRADIENTS = {torch.float64: 1e-5, torch.float32: 1e-2}
HALF_GRADIENTS, MOST_HALF = 0.2, 0.5

# How much of the largest number the same row may differ by between places of one pass.
SAME = {torch.float64: 1e-6, torch.float32: 1e-3}

# Tokens of the most crowded pass.
CROWD = 512


def prove_packed(base: Base, rows: Rows, expected: Reference) -> str:
    """Why rows in one sequence are not exact; empty where they are, and ``base.paths`` says so from then on."""
    start = base.paths
    base.paths = replace(start, packed=True, decoded=False)
    why = _first(_rows, _crowded, _decoded, _answers, no_leaks, base=base, rows=rows, expected=expected)
    if why:
        base.paths = start
    return why


def prove_padded(base: Base, rows: Rows, expected: Reference, why: str, by_length: bool) -> None:
    """Find out whether rows can be padded side by side or run alone.

    Args:
        base, rows, expected: as above.
        why: rows do not lie in one sequence.
        by_length: they cannot be padded either: the model treats long rows otherwise.

    Raises:
        NotProven: not even rows that run alone give what the model gives.
    """
    start = base.paths
    base.paths = replace(start, batched=True, why=why)
    apart = "" if by_length else _first(_rows, _crowded, no_leaks_padded, base=base, rows=rows, expected=expected)
    if apart or by_length:
        base.paths = replace(start, why=f"{why}; padded side by side, {apart}" if apart else why)
        found = _first(_rows, base=base, rows=rows, expected=expected)
        if found:
            raise NotProven(found)
    _prove_generation(base, rows, expected)


def prove_more(base: Base, rows: Rows, expected: Reference) -> None:
    """Find out whether weights can be merged, lower layers shared, and hidden states captured."""
    kept = base.paths
    base.paths = replace(kept, merges=True)
    if _first(_merged, base=base, rows=rows, expected=expected):
        base.paths = kept
    if base.packed:
        kept = base.paths
        base.paths = replace(kept, trunk=True)
        if _first(_trunk, base=base, rows=rows, expected=expected):
            base.paths = kept
    if not base.paths.hidden:
        base.paths = replace(base.paths, hidden=_first(_hidden, base=base, rows=rows, expected=expected))


def _prove_generation(base: Base, rows: Rows, expected: Reference) -> None:
    """The model's own ``generate``: left-padded batches, else row by row, else without its cache."""
    tries = [{"decoded": base.paths.decoded and base.paths.batched, "caches": True}, {"decoded": False, "caches": True}]
    tries.append({"decoded": False, "caches": False})
    start = base.paths
    for options in tries:
        base.paths = replace(start, **options)  # type: ignore[arg-type]
        checks = (_answers, _continued) if base.paths.decoded else (_answers,)
        found = _first(*checks, base=base, rows=rows, expected=expected)
        if not found:
            return
    raise NotProven(f"its own generation does not agree with its own logits: {found}")


def _first(*checks: Any, base: Base, rows: Rows, expected: Reference) -> str:
    """The first disagreement that one of the checks finds; empty if none does."""
    for check in checks:
        try:
            found = check(base, rows, expected)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            first = (str(error).splitlines() or [""])[0]
            found = f"{check.__name__.strip('_')} failed with {type(error).__name__}: {first}"
        finally:
            base.runtime.slot_ranges, base.runtime.whole_slot = [], None
        if found:
            return str(found)
    return ""


def tolerance(base: Base, expected: Reference) -> float:
    """What logits may differ by: some spreads between batchings of the model's own, or what sums lose."""
    floor = FLOOR.get(base.dtype, HALF)
    return max(10 * expected.spread, floor * max(1.0, expected.scale))


def _rows(base: Base, rows: Rows, expected: Reference) -> str:
    """Log-probabilities under two slots, and an adapter's gradients."""
    limit = 2 * tolerance(base, expected)
    options = [OptionRow(context, pair) for context, pair in zip(rows.contexts, rows.options, strict=True)]
    with Bank(base, {name: expected.models[name] for name in ("first", "base")}) as bank:
        scored = score_options(bank, options, merge=False)
    for name, found in scored.items():
        apart = _apart(found, expected.logprobs[name], limit)
        if apart:
            return apart
    return _gradients(base, rows, expected)


def _crowded(base: Base, rows: Rows, _: Reference) -> str:
    """The last token of every row in a pass of many: copies of a row stay alike."""
    copies = CROWD // sum(map(len, rows.wholes))
    with Bank(base, {"base": None}) as bank, torch.no_grad():
        states_TD = hidden_states(bank, causal_pass(base, rows.wholes * copies, [0] * len(rows.wholes) * copies))
    ends = np.cumsum([len(row) for row in rows.wholes] * copies) - 1
    states_CRD = states_TD[ends.tolist()].float().reshape(copies, len(rows.wholes), -1)
    limit = SAME.get(base.dtype, 0.1) * float(states_CRD.abs().max())
    worst = float((states_CRD - states_CRD[:1]).abs().max())
    return "" if worst <= limit else "rows change with how many others are beside them"


def _gradients(base: Base, rows: Rows, expected: Reference) -> str:
    """An adapter's gradients; in half precision a deep model's own move by a quarter where a last bit does."""
    limit = GRADIENTS.get(base.dtype) or min(MOST_HALF, max(HALF_GRADIENTS, 2 * expected.grad_spread))
    wholes, prompts = rows.wholes, [len(context) for context in rows.contexts]
    batches = {0: [TrainRow(wholes[r], prompts[r]) for r in (0, 1)], 1: [TrainRow(wholes[2], prompts[2])]}
    adapters = [expected.models["first"], expected.models["second"]]
    jobs = []
    for slot, adapter in enumerate(adapters):
        assert adapter is not None
        jobs.append(TrainJob(f"slot{slot}", batches[slot], adapter.spec, lr=1.0))
    names = tuple(job.name for job in jobs)
    plan = BankPlan(names, 2, 1 << 20, False, dict.fromkeys(names, 1), dict.fromkeys(names, 1), 0, 0)
    trainer = BankTrainer(base, jobs, plan)
    try:
        for slot, adapter in enumerate(adapters):
            assert adapter is not None
            trainer.put(slot, jobs[slot], adapter)
        trainer.gradients(batches)
        for slot, name in enumerate(("first", "second")):
            ours, theirs = trainer.bank.grads[slot], expected.grads[name]
            assert ours is not None
            error = float((ours.cpu() - theirs).norm() / (theirs.norm() + 1e-30))
            if not error <= limit:
                return f"gradients differ by {error:.2g} of their size"
    finally:
        trainer.close()
    return ""


class _NoText:
    """Stands for the tokenizer: only ids are compared."""

    def decode(self, _ids: Any, **_: Any) -> str:
        return ""


def _answers(base: Base, rows: Rows, expected: Reference) -> str:
    """Greedy tokens, as far as the model is sure of them."""
    limit = 2 * tolerance(base, expected)
    prompts = [PromptRow(context) for context in rows.contexts]
    tokenizer, base.tokenizer = base.tokenizer, _NoText()
    try:
        eos = Stops(base, ()).eos
        with Bank(base, {name: expected.models[name] for name in ("first", "base")}) as bank:
            found = generate(bank, prompts, max_new_tokens=NEW, merge=False)["first"]
    finally:
        base.tokenizer = tokenizer
    for row, answer in enumerate(found):
        for place, (token, margin) in enumerate(zip(expected.said[row], expected.margins[row], strict=True)):
            if margin <= limit:
                break
            if place >= len(answer.ids):
                if token not in eos:
                    return f"generation ended after {place} tokens"
                break
            if answer.ids[place] != token:
                return f"generated token {place} of row {row} differs"
    return ""


def _continued(base: Base, rows: Rows, expected: Reference) -> str:
    """Logits of every step of left-padded prompts of very different lengths, beside those of whole rows."""
    contexts = [rows.contexts[0], rows.contexts[2][:3], *rows.contexts[1:]]
    contexts = [context for context in contexts if base.decoded_with(len(context), NEW) is not None]
    contexts = [c for c in contexts if base.decoded_with(len(c), NEW) == base.decoded_with(len(contexts[0]), NEW)]
    with torch.no_grad():
        out = greedy(base, contexts, NEW, output_logits=True, return_dict_in_generate=True)
        width = max(map(len, contexts))
        for row, context in enumerate(contexts):
            said = out.sequences[row, width:].tolist()
            for step, logits_BV in enumerate(out.logits):
                wanted_V = logits_of(base, [[*context, *said[:step]]])[0, -1]
                apart = float((logits_BV[row].double().cpu() - wanted_V).abs().max())
                if not apart <= 2 * tolerance(base, expected):
                    return f"step {step} of a left-padded prompt differs by {apart:.2g}"
    return ""


def _decoded(base: Base, rows: Rows, _: Reference) -> str:
    """The last token of every row behind a cache of the others: several rows in a step, and one (code may branch)."""
    wholes = rows.wholes
    with Bank(base, {"base": None}) as bank, torch.no_grad():
        ends = np.cumsum([len(row) for row in wholes]) - 1
        wanted_RD = hidden_states(bank, causal_pass(base, wholes, [0] * len(wholes)))[ends.tolist()].float()
        for chosen in (list(range(len(wholes))), [0]):
            keep: KeysAndValues = {}
            lengths = [len(wholes[row]) - 1 for row in chosen]
            before = causal_pass(base, [wholes[row][:-1] for row in chosen], [0] * len(chosen), keep=keep)
            hidden_states(bank, before)
            assert isinstance(before.layout, CausalPack)
            live = Live([(0, row) for row in chosen], torch.tensor(lengths, device=base.device))
            live.fill([[row] for row in range(len(chosen))], keep, before.layout, max(lengths))
            step = Pass([[wholes[row][-1]] for row in chosen], [0] * len(chosen), DecodeStep([live], (), 0))
            apart = float((hidden_states(bank, step).float() - wanted_RD[chosen]).abs().max())
            if not apart <= SAME.get(base.dtype, 0.1) * float(wanted_RD.abs().max()):
                return f"a step of {len(chosen)} tokens behind a cache is not what the whole rows give"
    return ""


def _merged(base: Base, rows: Rows, expected: Reference) -> str:
    """Log-probabilities under merged weights."""
    options = [OptionRow(context, pair) for context, pair in zip(rows.contexts, rows.options, strict=True)]
    with Bank(base, {"first": expected.models["first"]}) as bank:
        scored = score_options(bank, options, merge=True)["first"]
    return _apart(scored, expected.logprobs["first"], 4 * tolerance(base, expected))


def _trunk(base: Base, rows: Rows, expected: Reference) -> str:
    """The base's log-probabilities behind another model that differs in the last layer only."""
    adapter = expected.models["first"]
    assert isinstance(adapter, Adapter)
    options = [OptionRow(context, pair) for context, pair in zip(rows.contexts, rows.options, strict=True)]
    last = base.n_layers - 1
    with Bank(base, {"upper": Gated(adapter, on=(last, last)), "base": None}) as bank:
        scored = score_options(bank, options, merge=True)["base"]
    return _apart(scored, expected.logprobs["base"], 4 * tolerance(base, expected))


def _apart(scored: Sequence[Any], wanted: Sequence[Any], limit: float) -> str:
    for row, pairs in enumerate(zip(scored, wanted, strict=True)):
        for ours, theirs in zip(*pairs, strict=True):
            worst = float(np.abs(ours - theirs).max())
            if not worst <= limit:
                return f"log-probabilities of row {row} differ by {worst:.2g} nats"
    return ""


def _hidden(base: Base, rows: Rows, expected: Reference) -> str:
    """The last prompt token's state after every layer."""
    if expected.hidden is None:
        return "its layers do not pass on one state per token"
    prompts = [PromptRow(context) for context in rows.contexts]
    with Bank(base, {"first": expected.models["first"], "base": None}) as bank:
        acts_LSD = capture(bank, prompts, normed=True, merge=False)["first"]
    for row, states_LD in enumerate(expected.hidden):
        ours = torch.from_numpy(acts_LSD[:, row])
        # The last of the model's list is behind the final norm; some list that one too and leave the embeddings out.
        lists = [torch.cat([ours[:-2], ours[-1:]]), ours[1:]]
        worst_L = [(same - states_LD).abs().amax(1) / states_LD.abs().amax(1).clamp(min=1e-6) for same in lists]
        worst = min(worst_L, key=lambda apart: float(apart.max()))
        if not bool((worst <= (1e-3 if base.dtype in FLOOR else 0.1)).all()):
            return f"states after layer {int(worst.argmax())} are not those that the model lists"
    return ""
