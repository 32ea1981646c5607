"""Requests of lm-evaluation-harness answered by the engine, for all models of a bank at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from traitscope import engine
from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord, Generated, OptionRow, Progress, PromptRow
from traitscope.tasks.encode_requests import EncodedDocument, EncodedRequest, Ids

Pair: TypeAlias = "tuple[Ids, Ids]"


@dataclass(frozen=True, slots=True)
class Answers:
    """One model's answers.

    Attributes:
        scored: for every pair of context and continuation [n tokens, 2]: log-probability, and 1 where the token is the
            likeliest.
        made: for every prompt with its settings what was generated.
    """

    scored: Mapping[Pair, NDArray[np.float64]]
    made: Mapping[tuple[Ids, tuple[str, ...], int], Generated]

    def response(self, request: EncodedRequest) -> list[float | bool] | float | str:
        """What the harness' own models give: (log-likelihood, greedy), a log-likelihood, or a text."""
        if request.kind == "generate_until":
            return self.made[request.prompt, request.until, request.max_tokens].text
        found = [self.scored[pair] for pair in request.pairs]
        total = float(sum(values[:, 0].sum() for values in found))
        return total if request.kind == "loglikelihood_rolling" else [total, bool(found[0][:, 1].all())]


def answer_requests(
    bank: engine.Bank,
    groups: Iterable[Sequence[EncodedRequest]],
    *,
    more: Iterable[Pair] = (),
    tokens_per_pass: int | str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Answers]:
    """Every model's answers to all requests.

    Args:
        groups: requests of which those with the same prompt are computed with it once, such as a document's.
        more: further pairs to be scored.

    Raises:
        TraitscopeError: a row does not fit the model.
    """
    rows: dict[OptionRow, None] = {}
    prompts: dict[tuple[tuple[str, ...], int], dict[Ids, None]] = {}
    for group in groups:
        shared: dict[Ids, dict[Ids, None]] = {}
        for request in group:
            if request.kind == "generate_until":
                prompts.setdefault((request.until, request.max_tokens), {})[request.prompt] = None
            elif request.kind == "loglikelihood_rolling":
                # Windows that begin alike would make one row of a whole corpus.
                rows.update((OptionRow(context, (said,)), None) for context, said in request.pairs)
            else:
                for context, said in request.pairs:
                    shared.setdefault(context, {})[said] = None
        rows.update((OptionRow(context, tuple(options)), None) for context, options in shared.items())
    rows.update((OptionRow(context, (said,)), None) for context, said in more)
    scored: dict[str, dict[Pair, NDArray[np.float64]]] = {name: {} for name in bank.names}
    made: dict[str, dict[tuple[Ids, tuple[str, ...], int], Generated]] = {name: {} for name in bank.names}
    if rows:
        ordered = list(rows)
        found = engine.score_options(
            bank, ordered, tokens_per_pass=tokens_per_pass, likeliest=True, on_progress=on_progress
        )
        for name, values in found.items():
            for row, options in zip(ordered, values, strict=True):
                scored[name].update(((row.context, said), one) for said, one in zip(row.options, options, strict=True))
    for (until, most), contexts in prompts.items():
        asked = [PromptRow(context) for context in contexts]
        texts = engine.generate(
            bank, asked, max_new_tokens=most, stop=until, tokens_per_pass=tokens_per_pass, on_progress=on_progress
        )
        for name, answers in texts.items():
            made[name].update(((row.context, until, most), one) for row, one in zip(asked, answers, strict=True))
    return {name: Answers(scored[name], made[name]) for name in bank.names}


def document_records(
    bank: engine.Bank,
    documents: Sequence[EncodedDocument],
    where: str,
    *,
    tokens_per_pass: int | str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, list[ExampleRecord]]:
    """Every model's answers about every document; whether they are right the harness says later (``tasks.judge``).

    Raises:
        TraitscopeError: a log-likelihood is not a number, or a row does not fit the model.
    """
    answers = answer_requests(
        bank,
        [document.requests for document in documents],
        more=[document.reference for document in documents if document.reference is not None],
        tokens_per_pass=tokens_per_pass,
        on_progress=on_progress,
    )
    return {name: [_record(one, found, where) for one in documents] for name, found in answers.items()}


def _record(document: EncodedDocument, answers: Answers, where: str) -> ExampleRecord:
    example, first = document.example, document.requests[0]
    responses = [answers.response(request) for request in document.requests]
    numbers = [value for one in responses for value in (one if isinstance(one, list) else [one]) if value == value]
    if len(numbers) < sum(len(one) if isinstance(one, list) else 1 for one in responses):
        raise TraitscopeError(
            "the model gives log-likelihoods that are not numbers",
            where=f"{where}, document {example.id}",
            fix="evaluate in fp32 (base.dtype), and check that training did not diverge (lower lr)",
        )
    made = answers.made[first.prompt, first.until, first.max_tokens] if first.kind == "generate_until" else None
    pred = pred_norm = logprobs = None
    n_output, gold = 0 if made is None else len(made.ids), document.reference
    if example.options is not None:
        logprobs = tuple(float(one[0]) for one in responses[: len(example.options)] if isinstance(one, list))
        lengths = [max(1, len(option)) for option in example.options]
        names = [option.strip() for option in example.options]
        best = int(np.argmax(logprobs))
        pred, pred_norm = names[best], names[int(np.argmax(np.array(logprobs) / lengths))]
        n_output = len(document.requests[best].pairs[0][1])
        gold = None if example.gold is None else document.requests[example.gold].pairs[0]
    pairs = first.pairs if example.options is None and made is None else (gold,) if gold is not None else ()
    values = [answers.scored[pair][:, 0] for pair in pairs]
    return ExampleRecord(
        id=example.id,
        gold=_gold(example),
        pred=pred,
        pred_norm=pred_norm,
        correct=None,
        valid=True,
        finish=None if made is None else made.finish,
        output=None if made is None else made.text,
        n_output=n_output,
        n_gold=sum(map(len, values)),
        loss=-float(np.concatenate(values).mean()) if values else math.nan,
        logprobs=logprobs,
        tags=example.tags,
        responses=json.dumps(responses, ensure_ascii=False),
    )


def _gold(example: Example) -> str:
    if example.options is not None:
        return "" if example.gold is None else example.options[example.gold].strip()
    return example.references[0] if example.references else example.answer
