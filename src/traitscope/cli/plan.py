"""``traitscope plan``: what is missing and what it costs; under a budget, what to make or to measure next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    MARGIN,
    BudgetOption,
    JsonOption,
    MarginOption,
    OutOption,
    SetOption,
    friendly,
    open_study,
    read_share,
    refuse_unused,
)
from traitscope.cli.completion import words
from traitscope.cli.matrixfile import MatrixOptions, SourceArgument, is_matrix, takes_matrix_options
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError
from traitscope.texts import count_of

RULE = "expected improvement"


@friendly
@takes_matrix_options
def plan(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    budget: BudgetOption = None,
    margin: MarginOption = MARGIN,
    of: Annotated[str | None, typer.Option(help="Of a matrix: the base model that is measured next.")] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="Of a matrix: expected improvement (best source per target) or knowledge gradient.",
            autocompletion=words(RULE, "knowledge gradient"),
        ),
    ] = RULE,
    changes: SetOption = None,
    json: JsonOption = False,
) -> None:
    """What a run would make, and what it costs; nothing is computed.

    With --budget 25% the next round of such a run. Of a matrix file the cells to measure next, best first, until that
    share of its transfer cells is measured.
    """
    if is_matrix(source):
        refuse_unused([(out, "--out"), (margin != MARGIN, "--margin")], "is for a study")
    else:
        refuse_unused([(of, "--of"), (rule != RULE, "--rule")], "is for a matrix file")
        refuse_unused(
            [(budget is None and margin != MARGIN, "--margin")], "goes with --budget", "add --budget 25%, say"
        )
    if not is_matrix(source):
        text, found = _study_plan(source, out, budget, margin, changes, matrix_options.bases)
    elif budget is None:
        raise TraitscopeError("how much may be measured?", where=str(source), fix="add --budget 25%")
    else:
        text, found = _matrix_plan(matrix_options, source, read_share(budget), of, rule)
    if json:
        say_json(found)
    else:
        say(text)


def _study_plan(
    source: Path,
    out: Path | None,
    budget: str | None,
    margin: float,
    changes: list[str] | None,
    bases: list[str] | None,
) -> tuple[str, dict[str, Any]]:
    """The plan as text and as JSON has it."""
    opened, _ = open_study(source, out, quiet=True, changes=changes, bases=bases)
    if budget is None:
        plan = opened.plan(cost=True)
        return str(plan), plan.to_json()
    from traitscope.study.budget import Budgeted

    if len(opened.by_base()) > 1:
        fix = f"add --base, one of {', '.join(opened.by_base())}"
        raise TraitscopeError("a budget is of one base model", where="--budget", fix=fix)
    (opened,) = opened.by_base().values()
    budgeted = Budgeted(opened, read_share(budget), margin)
    budgeted.read()
    following = budgeted.next_round()
    lines = [f"study {opened.config.study} in {opened.folder.root}, {budgeted.share:.0%} of the whole grid's cost"]
    found: dict[str, Any] = {"study": opened.config.study, "folder": str(opened.folder.root), "share": budgeted.share}
    found |= {"spent": 0.0, "trained": [], "next": None}
    if budgeted.rounds:
        spent = budgeted.spent(budgeted.rounds[-1]) / budgeted.prices.whole
        found |= {"spent": spent, "trained": list(budgeted.rounds[-1].sources)}
        trained = ", ".join(budgeted.rounds[-1].sources) or "none yet"
        lines.append(f"  so far    {spent:.0%} spent or set aside; trained in full: {trained}")
    if following is None:
        lines.append("  next      nothing more is worth its cost: the choice is made")
    elif following.kind == "probe":
        looked_at = [*following.probe_rows.values(), *following.rows.values()]
        rows = max(n for tasks in looked_at for n in tasks.values())
        whole = f" and full ones of {len(following.sources)}, no longer than these" if following.sources else ""
        short = f"short trainings of {count_of(len(following.probe_rows), 'source')}{whole}"
        lines.append(f"  next      {short}; {count_of(rows, 'row')} on every target")
    else:
        new = [name for name in following.sources if name not in budgeted.rounds[-1].sources]
        cells = sum(
            n > budgeted.rounds[-1].rows.get(name, {}).get(task, 0)
            for name, tasks in following.rows.items()
            for task, n in tasks.items()
        )
        trained = f"full trainings of {', '.join(new)}, and " if new else ""
        lines.append(f"  next      {trained}more rows of {count_of(cells, 'cell')}")
    if following is not None:
        cost = budgeted.spent(following) / budgeted.prices.whole
        found["next"] = {"kind": following.kind, "sources": list(following.sources), "spent_after": cost}
        lines.append(f"            {cost:.0%} after it, rows for the claims set aside")
    return "\n".join(lines), found


def _matrix_plan(
    matrix_options: MatrixOptions, source: Path, share: float, of: str | None, rule: str
) -> tuple[str, dict[str, Any]]:
    """The cells to measure next as text and as JSON has them."""
    import numpy as np

    from traitscope.predict.acquire import ACQUISITIONS, balanced_start, choose_cells
    from traitscope.predict.forecast import fit_predictor
    from traitscope.predict.problem import Problem
    from traitscope.registry import did_you_mean

    if rule not in ACQUISITIONS:
        raise TraitscopeError(f"unknown rule {rule!r}", where="--rule", fix=did_you_mean(rule, ACQUISITIONS.names()))
    scores = matrix_options.read(source)
    problem = Problem.from_scores(scores, of)
    open_IN = problem.allowed_IN & ~problem.known_IN
    count = min(round(share * int(problem.allowed_IN.sum())) - int(problem.known_IN.sum()), int(open_IN.sum()))
    known = {"measured": int(problem.known_IN.sum()), "transfer_cells": int(problem.allowed_IN.sum())}
    told = f"{known['measured']} of {count_of(known['transfer_cells'], 'transfer cell')} "
    told += f"{'is' if known['measured'] == 1 else 'are'} measured"
    if count <= 0:
        return f"{told}: nothing more within {share:.0%}", {**known, "next": []}
    if not problem.known_IN.any() and not problem.others:
        start_IN = balanced_start(open_IN, count, np.random.default_rng(0))
        cells = [(int(i), int(n)) for i, n in np.argwhere(start_IN)]
        why = "nothing is known yet: sources and targets as evenly as can be"
    else:
        cells = choose_cells(fit_predictor(scores, base=of).prediction, open_IN, count, rule)
        why = f"by {rule}, each as if those before it were measured"
    lines = [f"{told}; next {len(cells)}, {why}"]
    named = [(problem.sources[i], problem.tasks[n]) for i, n in cells]
    found = {**known, "next": [{"source": one, "task": task} for one, task in named]}
    return "\n".join([*lines, *(f"{one} on {task}" for one, task in named)]), found
