"""Generation: prompts packed, shared prefixes once, a reference answer as the draft, finished rows leave.

A prompt's pass also runs through its reference answer, where there is one: that gives the answer's log-probabilities,
and as far as the model would have said the same the generated answer is already there. The rest is decoded one token
at a time for all models of the bank together. Answers are greedy, or drawn (``sampling``): the samples of a prompt
share its pass, and no draft.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Required, TypedDict, Unpack

from traitscope.engine.bank import Bank
from traitscope.engine.generation import Generation
from traitscope.engine.sampling import Sampling
from traitscope.engine.score import Scored, check_rows, score_options
from traitscope.errors import TraitscopeError
from traitscope.records import Generated, OptionRow, Progress, PromptRow


class GenerateOptions(TypedDict, total=False):
    """Options of ``generate`` and ``generate_and_score``."""

    max_new_tokens: Required[int]
    """Cut-off; a row that reaches it ends with ``finish="length"``."""

    stop: Sequence[str]
    """Strings that end an answer; the text is cut before the first of them."""

    stop_ids: Sequence[int]
    """Tokens that end an answer beside the model's own, such as a chat template's end of turn."""

    opening: Sequence[int]
    """Tokens that an answer may begin with and that do not belong to it, such as a chat template's empty block of
    thoughts: they are not counted, and stop strings are looked for behind them."""

    tokens_per_pass: int | str
    """Most tokens in one pass; "auto": what fits."""

    share_prefix: bool
    """As in ``score_options``."""

    merge: bool | None
    """As in ``score_options``: merged weights serve the prompts; the answers of several models are decoded together in
    slots."""

    on_progress: Callable[[Progress], None] | None
    """Called after every pass."""


def generate(bank: Bank, rows: Sequence[PromptRow], **options: Unpack[GenerateOptions]) -> dict[str, list[Generated]]:
    """Continue every prompt greedily under every model of the bank.

    Args:
        bank: the models.
        rows: the prompts; prompts that occur twice are continued once.
        options: see ``GenerateOptions``.

    Raises:
        TraitscopeError: a prompt fills the model's positions.
    """
    plain = [OptionRow(row.context, ()) for row in rows]
    run = Generation(bank, plain, **options)
    run.run()
    return {name: [run.answer(slot, row) for row in plain] for slot, name in enumerate(bank.names)}


def generate_each(
    bank: Bank, rows: Sequence[PromptRow], models: Sequence[str], **options: Unpack[GenerateOptions]
) -> list[Generated]:
    """Continue every prompt greedily under one model of the bank, its own: one batch, different adapters.

    Args:
        bank: the models.
        rows: the prompts.
        models: of each prompt the name of the model that continues it.
        options: see ``GenerateOptions``.

    Raises:
        TraitscopeError: as ``generate``, and where the bank has no model of a name.
    """
    unknown = [name for name in models if name not in bank.names]
    if unknown or len(models) != len(rows):
        raise TraitscopeError(
            f"no model {unknown[0]!r} in the bank" if unknown else f"{len(models)} models for {len(rows)} prompts",
            where="generate_each",
            fix=f"name one of {', '.join(bank.names)} for each prompt",
        )
    plain = [OptionRow(row.context, ()) for row in rows]
    run = Generation(bank, plain, **options)
    slots = [bank.names.index(name) for name in models]
    run.asked = {(slot, run.places[row, ""]) for slot, row in zip(slots, plain, strict=True)}
    run.run()
    return [run.answer(slot, row) for slot, row in zip(slots, plain, strict=True)]


def generate_and_score(
    bank: Bank, rows: Sequence[OptionRow], **options: Unpack[GenerateOptions]
) -> tuple[dict[str, list[Generated]], dict[str, list[Scored]]]:
    """``generate`` for the rows' prompts and ``score_options`` for their one option, with every prompt computed once.

    Args:
        bank: the models.
        rows: prompts, each with its reference answer as the only option.
        options: see ``GenerateOptions``.

    Returns:
        The continuations and the log-probabilities of the references, as the two functions give them.

    Raises:
        TraitscopeError: as the two functions do.
    """
    check_rows(bank.base, rows)
    if not bank.base.packed or bank.base.sides is not None:
        scored = _scored(bank, rows, options)
        return generate(bank, [PromptRow(row.context) for row in rows], **options), scored
    run = Generation(bank, rows, **options)
    run.run()
    slots = list(enumerate(bank.names))
    return (
        {name: [run.answer(slot, row) for row in rows] for slot, name in slots},
        {name: [run.score(slot, row) for row in rows] for slot, name in slots},
    )


def sample(
    bank: Bank, rows: Sequence[PromptRow], keys: Sequence[str], sampling: Sampling, **options: Unpack[GenerateOptions]
) -> dict[str, list[list[Generated]]]:
    """Several continuations of every prompt, drawn from what each model of the bank gives.

    A draw depends on the seed, the prompt's key, the number of the sample and the place of the token alone: not on the
    batch, nor on the other prompts, models or samples. All models draw with the same numbers.

    Args:
        bank: the models.
        rows: the prompts.
        keys: one for each prompt; equal prompts of one key are continued once.
        sampling: how.
        options: see ``GenerateOptions``.

    Returns:
        For each model's name and each prompt ``sampling.samples`` continuations.

    Raises:
        TraitscopeError: as ``generate``.
    """
    plain = [OptionRow(row.context, ()) for row in rows]
    run = Generation(bank, plain, sampling=sampling, keys=keys, **options)
    run.run()
    return {name: run.samples(slot, plain, keys) for slot, name in enumerate(bank.names)}


def sample_and_score(
    bank: Bank, rows: Sequence[OptionRow], keys: Sequence[str], sampling: Sampling, **options: Unpack[GenerateOptions]
) -> tuple[dict[str, list[list[Generated]]], dict[str, list[Scored]]]:
    """``sample`` for the rows' prompts and ``score_options`` for their one option, with every prompt computed once.

    Arguments, results and errors are those of the two, and of ``generate_and_score``.
    """
    check_rows(bank.base, rows)
    if not bank.base.packed or bank.base.sides is not None:
        return sample(bank, [PromptRow(row.context) for row in rows], keys, sampling, **options), _scored(
            bank, rows, options
        )
    run = Generation(bank, rows, sampling=sampling, keys=keys, **options)
    run.run()
    slots = list(enumerate(bank.names))
    return (
        {name: run.samples(slot, rows, keys) for slot, name in slots},
        {name: [run.score(slot, row, key) for row, key in zip(rows, keys, strict=True)] for slot, name in slots},
    )


def _scored(bank: Bank, rows: Sequence[OptionRow], options: GenerateOptions) -> dict[str, list[Scored]]:
    return score_options(
        bank,
        rows,
        tokens_per_pass=options.get("tokens_per_pass", "auto"),
        merge=options.get("merge"),
        on_progress=options.get("on_progress"),
    )
