"""One call of generation: distinct prompts, what is known of their answers, and the passes that continue them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.decode import Answers, DecodeStep, Live, Stops
from traitscope.engine.forward import Pass, causal_pass, logits, outputs_at, slot_groups
from traitscope.engine.generate_padded import generate_padded
from traitscope.engine.layout import CausalPack, KeysAndValues, token_ranges
from traitscope.engine.loss import logits_at_once
from traitscope.engine.memory import cache_rows, score_tokens
from traitscope.engine.pace import Pace
from traitscope.engine.passes import run_passes
from traitscope.engine.prefix import Prefix, spans
from traitscope.engine.sampling import Sampler, Sampling
from traitscope.engine.score import Scored, common_prefix, merges, pick, prefix_states
from traitscope.errors import TraitscopeError, check_count
from traitscope.records import Generated, OptionRow, Progress

# A cache is made smaller when this share of its rows has ended: copying it costs about as much as three steps.
LEAVE = 0.4

Owner = tuple[int, int]


class Generation:
    """One call of ``generate`` or ``sample``: distinct rows, what is known of their answers, and their passes."""

    def __init__(
        self,
        bank: Bank,
        rows: Sequence[OptionRow],
        *,
        max_new_tokens: int,
        stop: Sequence[str] = (),
        stop_ids: Sequence[int] = (),
        opening: Sequence[int] = (),
        tokens_per_pass: int | str = "auto",
        share_prefix: bool = True,
        merge: bool | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        sampling: Sampling | None = None,
        keys: Sequence[str] | None = None,
    ) -> None:
        base = bank.base
        check_count(max_new_tokens, "max_new_tokens")
        base.check_tokens(row.context for row in rows)
        for number, row in enumerate(rows):
            _check_prompt(base, row.context, number)
        self.bank = bank
        self.max_new = max_new_tokens + len(opening)
        self.stops = Stops(base, stop, stop_ids, opening, max_new_tokens)
        self.share_prefix = share_prefix
        self.groups = slot_groups(bank, merges(bank, merge))
        # Answers have numbers; those of one prompt follow each other, and its place is the first of them.
        self.n = 1 if sampling is None else sampling.samples
        self.places: dict[tuple[OptionRow, str], int] = {}
        for pair in zip(rows, [""] * len(rows) if keys is None else keys, strict=True):
            self.places.setdefault(pair, self.n * len(self.places))
        asked = [row for row, _ in self.places for _ in range(self.n)]
        self.contexts = [row.context for row in asked]
        self.drafts = [row.options[0] if row.options else () for row in asked]
        self.sampler = None if sampling is None else Sampler(sampling, [key for _, key in self.places])
        self.limit = score_tokens(base, tokens_per_pass)
        self.made: dict[Owner, Generated] = {}
        self.scores: dict[Owner, np.ndarray] = {}
        self.shared = 0
        self.prefixes: dict[int, Prefix] = {}
        # Which model continues which prompt; None: each continues all.
        self.asked: set[Owner] | None = None
        read = sum(map(len, self.contexts)) + sum(map(len, self.drafts))
        per_model = read // self.n + self.max_new * len(self.contexts)
        self.pace = Pace(base, per_model * len(bank.names), flops_per_parameter=2, report=on_progress)

    def answer(self, slot: int, row: OptionRow) -> Generated:
        return self.made[slot, self.places[row, ""]]

    def samples(self, slot: int, rows: Sequence[OptionRow], keys: Sequence[str]) -> list[list[Generated]]:
        firsts = [self.places[pair] for pair in zip(rows, keys, strict=True)]
        return [[self.made[slot, first + number] for number in range(self.n)] for first in firsts]

    def score(self, slot: int, row: OptionRow, key: str = "") -> Scored:
        return (self.scores[slot, self.places[row, key]],)

    def run(self) -> None:
        """Answer all rows under all models."""
        bank, slots = self.bank, list(range(len(self.bank.names)))
        together: dict[object, list[int]] = {}
        with torch.no_grad():
            for index, context in enumerate(self.contexts):
                whole = len(context) + max(self.max_new, len(self.drafts[index]))
                together.setdefault(_together(bank.base, len(context), whole), []).append(index)
            own = together.pop(None, [])
            for group, merged in self.groups if own else []:
                with bank.merged(merged):
                    for part, members in self._alike(group, own):
                        contexts = [self.contexts[index] for index in members]
                        draw = None if self.sampler is None else partial(_draw, self.sampler, members)
                        found = generate_padded(bank, contexts, part, self.max_new, self.stops, self.pace, draw)
                        self.made.update(((slot, members[number]), answer) for (slot, number), answer in found.items())
            for members in together.values():
                self.shared = common_prefix([self.contexts[i] for i in members]) if self.share_prefix else 0
                self.prefixes = {}
                order = sorted(members, key=lambda index: (-self._size(index), index))
                position = 0
                while position < len(order):
                    longest = self._places(order[position:])
                    count = max(1, min(cache_rows(bank.base, longest) // len(slots), len(order) - position))
                    self._batch(order[position : position + count], slots)
                    position += count

    def _owners(self, slots: Sequence[int], chosen: Sequence[int]) -> list[Owner]:
        """What is asked of these models and rows, model after model."""
        owners = [(slot, index) for slot in slots for index in chosen]
        return owners if self.asked is None else [owner for owner in owners if owner in self.asked]

    def _alike(self, slots: list[int], chosen: list[int]) -> list[tuple[list[int], list[int]]]:
        """Groups of models with the rows that each of the group continues."""
        if self.asked is None:
            return [(slots, chosen)]
        parts = [([slot], [index for _, index in self._owners([slot], chosen)]) for slot in slots]
        return [part for part in parts if part[1]]

    def _size(self, index: int) -> int:
        """Tokens of a row's first pass: its prompt behind the shared prefix, and its draft but the last token."""
        return len(self.contexts[index]) - self.shared + max(0, len(self.drafts[index]) - 1)

    def _places(self, chosen: Sequence[int]) -> int:
        """Places that a row's cache needs at most."""
        return max(len(self.contexts[i]) - self.shared + max(self.max_new, len(self.drafts[i])) for i in chosen)

    def _batch(self, chosen: list[int], slots: list[int]) -> None:
        """Prompts and drafts of some rows under every model, then one token after the other."""
        bank, base = self.bank, self.bank.base
        room = {i: min(self.max_new, base.max_positions - len(self.contexts[i])) for i in chosen}
        answers = Answers(self.stops, {(slot, i): room[i] for slot, i in self._owners(slots, chosen)})
        lives: list[Live] = []
        for group, merged in self.groups:
            if not self._owners(group, chosen):
                continue
            with bank.merged(merged):
                lives.append(self._prefill(group, chosen, answers))
                # Answers of several models are decoded together, in slots, where slots may share a pass.
                if len(slots) == 1 or bank.apart:
                    self._decode(lives, answers)
                    lives = []
        self._decode(lives, answers)
        self.made.update(answers.done)

    def _prefill(self, slots: list[int], chosen: list[int], answers: Answers) -> Live:
        """First pass of the rows under ``slots``: fills their caches, scores their drafts, says what is known.

        Samples of one prompt share its row of the pass.

        Rows that are generated together lie together in one cache, on a CPU those of one model: they end at about the
        same time, and the memory that is read at every step is what a step costs there.
        """
        bank, base = self.bank, self.bank.base
        if self.shared:
            context = self.contexts[chosen[0]]
            self.prefixes.update(prefix_states(bank, context[: self.shared], slots, len(context)))
        owners = self._owners(slots, chosen)
        lengths = torch.zeros(len(owners), dtype=torch.long, device=base.device)
        live = Live(owners, lengths)
        heads: dict[Owner, list[int]] = {}
        for row, (slot, index) in enumerate(owners):
            heads.setdefault((slot, index // self.n), []).append(row)
        copies = list(heads.values())
        firsts = [owners[rows[0]] for rows in copies]
        sizes = [self._size(index) for _, index in firsts]

        def run(chosen: list[int]) -> None:
            here = [firsts[head] for head in chosen]
            tokens_of = [[*self.contexts[index][self.shared :], *self.drafts[index][:-1]] for _, index in here]
            keep: KeysAndValues = {}
            one = causal_pass(base, tokens_of, [slot for slot, _ in here], prefixes=self.prefixes, keep=keep)
            ends = np.cumsum([sizes[head] for head in chosen]).tolist()
            queries = [
                query
                for (_, index), end in zip(here, ends, strict=True)
                for query in range(end - max(1, len(self.drafts[index])), end)
            ]
            outputs_Q = outputs_at(bank, one, torch.tensor(queries, device=base.device))
            assert isinstance(one.layout, CausalPack)
            indices = [[owners[row][1] for row in copies[head]] for head in chosen]
            said, logprobs = self._read(outputs_Q, indices)
            live.fill([copies[head] for head in chosen], keep, one.layout, max(sizes))
            for head, heard, values in zip(chosen, said, logprobs, strict=True):
                slot, index = firsts[head]
                # Samples of a prompt may lie in several batches: each has the score that the first of it is asked for.
                self.scores[slot, index - index % self.n] = values
                for row, tokens in zip(copies[head], heard, strict=True):
                    lengths[row] = len(self.contexts[index]) - self.shared + len(tokens) - 1
                    answers.say(owners[row], tokens)
            self.pace.add(ends[-1])

        run_passes(range(len(copies)), sizes, self.limit, run)
        return live

    def _read(
        self, outputs_Q: torch.Tensor, indices: list[list[int]]
    ) -> tuple[list[list[list[int]]], list[np.ndarray]]:
        """What each answer to each prompt begins with, and the log-probabilities of the prompts' drafts.

        A greedy answer begins with as much as its draft agrees, and one token more; a drawn one with its first token.
        """
        base = self.bank.base
        drafts = [self.drafts[group[0]] for group in indices]
        targets = np.array([token for draft in drafts for token in (draft or (0,))])
        best, values = np.empty(len(targets), dtype=np.int64), np.empty(len(targets))
        step = max(1, logits_at_once(base.device) // base.vocab_size)
        cuts = np.cumsum([0, *(max(1, len(draft)) for draft in drafts)])[:-1]
        drawn: list[list[list[int]]] = []
        for start in range(0, len(targets), step):
            logits_QV = logits(base, outputs_Q[start : start + step])
            here = slice(start, start + logits_QV.shape[0])
            best[here] = logits_QV.argmax(dim=-1).cpu().numpy()
            values[here] = pick(logits_QV, np.arange(logits_QV.shape[0]), targets[here])
            if self.sampler is not None:
                for group, cut in zip(indices, cuts, strict=True):
                    if here.start <= cut < here.stop:
                        logits_BV = logits_QV[cut - start].expand(len(group), -1)
                        drawn.append([[token] for token in self.sampler.draw(logits_BV, group, [0] * len(group))])
        said = []
        for draft, tokens in zip(drafts, np.split(best, cuts[1:]), strict=True):
            agree = next((k for k, (a, b) in enumerate(zip(tokens, draft, strict=False)) if a != b), len(tokens) - 1)
            said.append([[int(token) for token in tokens[: agree + 1]]])
        return drawn or said, np.split(values, cuts[1:])

    def _decode(self, lives: list[Live], answers: Answers) -> None:
        """One token after the other for every row that has not ended."""
        bank, base = self.bank, self.bank.base
        while True:
            lives = [live for live in lives if _drop_ended(live, answers)]
            if not lives:
                return
            owners = [owner for live in lives for owner in live.owners]
            ranges = [token_ranges([slot for slot, _ in live.owners], range(1, len(live.owners) + 1)) for live in lives]
            before = [spans(self.prefixes, part) for part in ranges] if self.prefixes else ()
            newest = [[answers.ids[owner][-1]] for owner in owners]
            one = Pass(newest, [slot for slot, _ in owners], DecodeStep(lives, before, self.shared))
            everywhere = torch.arange(len(owners), device=base.device)
            logits_BV = logits(base, outputs_at(bank, one, everywhere))
            if self.sampler is None:
                tokens = logits_BV.argmax(dim=-1).tolist()
            else:
                places = [len(answers.ids[owner]) for owner in owners]
                tokens = self.sampler.draw(logits_BV, [index for _, index in owners], places)
            for owner, token in zip(owners, tokens, strict=True):
                answers.say(owner, [token])
            for live in lives:
                # A row that has ended stands still until it leaves.
                live.lengths += torch.tensor([owner not in answers.done for owner in live.owners], device=base.device)
            self.pace.add(len(owners))


def _draw(
    sampler: Sampler, members: Sequence[int], logits_BV: torch.Tensor, rows: Sequence[int], place: int
) -> list[int]:
    return sampler.draw(logits_BV, [members[row] for row in rows], [place] * len(rows))


def _together(base: Base, length: int, whole: int) -> object:
    """Equal for prompts that our own passes can continue together; None for those that the model itself continues."""
    if not base.packed or base.crosses(length, whole):
        return None
    return base.sides(length) if base.sides else True


def _drop_ended(live: Live, answers: Answers) -> bool:
    """Let rows that have ended leave the cache where enough of them have; False if no row is left."""
    left = [row for row, owner in enumerate(live.owners) if owner not in answers.done]
    if left and len(left) <= (1 - LEAVE) * len(live.owners):
        live.keep(torch.tensor(left, device=live.lengths.device))
    return bool(left)


def _check_prompt(base: Base, context: tuple[int, ...], number: int) -> None:
    if not context:
        raise TraitscopeError("empty prompt", where=f"row {number}", fix="check the prompt template")
    if len(context) + 1 > base.max_positions:
        raise TraitscopeError(
            f"a prompt of {len(context)} tokens leaves no room: {base.name} has {base.max_positions} positions",
            where=f"row {number}",
            fix="shorten the prompt (shots.n, or a max_tokens of the task)",
        )
