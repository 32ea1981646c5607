"""Generation by the model's own ``generate``, where its caches are not ours: left-padded, or row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from traitscope.engine.bank import Bank
from traitscope.engine.base import Base
from traitscope.engine.decode import Stops
from traitscope.engine.pace import Pace
from traitscope.records import Generated

BATCH = 16

Draw = Callable[[torch.Tensor, Sequence[int], int], list[int]]
"""From logits_BV, the numbers of the rows and how many tokens each has: the next token of each."""


def generate_padded(
    bank: Bank,
    contexts: Sequence[tuple[int, ...]],
    slots: Sequence[int],
    max_new: int,
    stops: Stops,
    pace: Pace,
    draw: Draw | None = None,
) -> dict[tuple[int, int], Generated]:
    """Continuations by (slot, prompt), one model after the other; greedy, or drawn by ``draw``."""
    base = bank.base
    done: dict[tuple[int, int], Generated] = {}
    groups: dict[object, list[int]] = {}
    for index in sorted(range(len(contexts)), key=lambda index: (-len(contexts[index]), index)):
        groups.setdefault(base.decoded_with(len(contexts[index]), max_new) or ("alone", index), []).append(index)
    for slot in slots:
        base.runtime.whole_slot = slot
        try:
            for group in groups.values():
                for start in range(0, len(group), BATCH):
                    chosen = group[start : start + BATCH]
                    own = None if draw is None else partial(_drawn, draw, chosen)
                    answers = continue_rows(base, [contexts[index] for index in chosen], max_new, stops, own)
                    for index, answer in zip(chosen, answers, strict=True):
                        done[slot, index] = answer
                        pace.add(len(contexts[index]) + len(answer.ids))
        finally:
            base.runtime.whole_slot = None
    return done


def _drawn(draw: Draw, chosen: Sequence[int], logits_BV: torch.Tensor, place: int) -> list[int]:
    return draw(logits_BV, chosen, place)


def continue_rows(
    base: Base,
    contexts: Sequence[Sequence[int]],
    max_new: int,
    stops: Stops,
    draw: Callable[[torch.Tensor, int], list[int]] | None = None,
) -> list[Generated]:
    """Continuations of prompts in one left-padded batch: greedy, or what ``draw`` gives for logits and a place."""
    from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

    finish: list[str | None] = [None] * len(contexts)
    said: list[list[int]] = [[] for _ in contexts]

    class Ended(StoppingCriteria):
        """Asks our own stops, row by row."""

        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            for row, token in enumerate(input_ids[:, -1].tolist()):
                if finish[row] is None:
                    said[row].append(token)
                    finish[row] = stops.ended(said[row])
            return torch.tensor([end is not None for end in finish], device=input_ids.device)

    processors = LogitsProcessorList()
    if draw is not None:
        width, drawn_by = max(len(context) for context in contexts), draw

        class Drawn(LogitsProcessor):
            """Leaves the drawn token alone, which greedy decoding then takes."""

            def __call__(self, input_ids: Any, scores: Any) -> Any:
                tokens = torch.tensor(drawn_by(scores, input_ids.shape[1] - width), device=scores.device)
                return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)

        processors.append(Drawn())
    stopping = StoppingCriteriaList([Ended()])
    greedy(base, contexts, max_new, stopping_criteria=stopping, logits_processor=processors)
    return [stops.result(ids, end or "length") for ids, end in zip(said, finish, strict=True)]


def greedy(base: Base, contexts: Sequence[Sequence[int]], max_new: int, **options: Any) -> Any:
    """What the model's own ``generate`` gives for left-padded prompts: greedy, and nothing else of its own settings."""
    from transformers import GenerationConfig

    width = max(len(context) for context in contexts)
    ids_BT = torch.zeros(len(contexts), width, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for row, context in enumerate(contexts):
        ids_BT[row, width - len(context) :] = torch.tensor(context)
        mask_BT[row, width - len(context) :] = 1
    config = GenerationConfig(
        max_new_tokens=min(max_new, base.max_positions - width), do_sample=False, pad_token_id=0, eos_token_id=None,
        use_cache=base.paths.caches,
    )  # fmt: skip
    own, base.model.generation_config = base.model.generation_config, config
    try:
        return base.model.generate(
            ids_BT.to(base.device), attention_mask=mask_BT.to(base.device), generation_config=config, **options
        )
    finally:
        base.model.generation_config = own
