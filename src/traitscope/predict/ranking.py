"""Forecasts as text for a terminal, and as JSON: sources by target, a new dataset by target, a mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.jsontables import dump_findings, plain
from traitscope.predict.evaluate import BASELINES
from traitscope.predict.evaluation import ALL
from traitscope.predict.forecast import Forecast
from traitscope.predict.mixes import MixChoice, MixRule, choose_mix, fit_mix_rule
from traitscope.texts import table_text

Floats = npt.NDArray[np.float64]
FORMAT = 1
# Sources that are shown of a long ranking: from both ends.
SHOWN = 12


def ranking_text(found: Forecast, task: str, *, explain: bool = False) -> str:
    """The sources for one target, best first; harms are at the end."""
    ranked = found.rank_sources(task)
    unit = str(ranked["unit"].iloc[0])
    lines = [["source", unit, "90 %", "harm", *BASELINES, ""]]
    rows = ranked.to_dict("records")
    middle = len(rows) - SHOWN
    for number, row in enumerate(rows):
        if middle > 0 and SHOWN // 2 <= number < SHOWN // 2 + middle:
            if number == SHOWN // 2:
                lines.append([f"... {middle} more", *[""] * (len(lines[0]) - 1)])
            continue
        lines.append(_line(row))
    text = f"{task}\n{table_text(lines)}"
    if explain:
        pieces = found.explain(task)
        names = [name for name in pieces.columns if name not in ("source", "status")]
        told = [["", *names]]
        told += [[str(row["source"]), *(f"{row[name]:+.3f}" for name in names)] for row in pieces.to_dict("records")]
        text += "\n" + table_text(told)
    notes = dict.fromkeys(str(note) for note in ranked["note"] if note)
    return "\n".join([text, *(f"note: {note}" for note in notes)])


def _line(row: Mapping[Any, Any]) -> list[str]:
    measured = row["status"] == "measured"
    ends = "measured" if measured else f"[{row['lo']:+.3f}, {row['hi']:+.3f}]"
    harm = "" if pd.isna(row["harm"]) else f"{row['harm']:.0%}"
    told = ["" if pd.isna(row[name]) else f"{row[name]:+.3f}" for name in BASELINES]
    return [str(row["source"]), f"{row['expected']:+.3f}", ends, harm, *told, "" if measured else "predicted"]


def dataset_text(found: Forecast, source: str) -> str:
    """What one source would do to every target, best first."""
    rows = []
    for task in found.problem.tasks:
        if found.problem.allowed_IN[found.problem.sources.index(source), found.problem.tasks.index(task)]:
            ranked = found.rank_sources(task)
            row = ranked[ranked["source"] == source].iloc[0].to_dict()
            above = int((ranked["expected"] > row["expected"] + 1e-12).sum())
            alike = int((np.abs(ranked["expected"] - row["expected"]) <= 1e-12).sum())
            # Sources that are expected to do the same have no order.
            place = str(above + 1) if alike == 1 else f"{above + 1} to {above + alike}"
            rows.append({**row, "task": task, "place": f"{place} of {len(ranked)}"})
    rows.sort(key=lambda row: (str(row["unit"]), -row["expected"]))
    lines = [["task", "expected", "90 %", "harm", *BASELINES, "unit", "place"]]
    for row in rows:
        shown = _line({**row, "source": row["task"]})
        lines.append([*shown[:-1], str(row["unit"]), str(row["place"])])
    notes = dict.fromkeys(str(row["note"]) for row in rows if row["note"])
    return "\n".join([source, table_text(lines), *(f"note: {note}" for note in notes)])


def skill_text(found: Forecast, protocol: str) -> str:
    """Whether the predictor is better than the mean of the sources where cells are held out."""
    try:
        evaluation = found.evaluate(protocol)
    except TraitscopeError as error:
        return f"not judged: {error.what}"
    table = evaluation.skill
    told = table[(table["held"] == ALL) & (table["predictor"] == found.predictor)] if len(table) else table
    rows = [row for row in told.to_dict("records") if pd.notna(row["saved"])]
    words = {"cells": "held-out cells", "source": "sources held out", "column": "targets held out"}[protocol]
    if not rows:
        return f"not judged on {words}: too few cells are measured"
    parts = []
    for row in rows:
        saved = f"{row['saved']:.0%} [{row['lo']:.0%}, {row['hi']:.0%}]"
        against = "the mean of the sources" if row["against"] == "column mean" else f"the {row['against']} model"
        parts.append(
            f"{'better' if row['better'] else 'not better'} than {against} (saves {saved} of its squared error)"
        )
    text = f"on {words}, {found.predictor} is {'; '.join(parts)}"
    for group in evaluation.duplicates:
        text += f"\nnote: {', '.join(group)} rank the sources alike: what is held out of one is known from another"
    return text


def mix_rule(found: Forecast, mixes: Mapping[str, Mapping[str, int]]) -> MixRule:
    """How measured mixes of the forecast's base model compare with their parts, over all their transfer cells.

    Args:
        found: a forecast, whose expected gains stand for parts that were not measured.
        mixes: of each mix that was trained the rows of its parts.
    """
    gain_IN, spread_N = found.gains(), found.prediction.spread_N
    scores = found.scores.by_source()
    problem = found.problem
    parts, measured = [], []
    for row, name in enumerate(scores.sources_I):
        if name is not None and name in mixes and str(scores.rows["base"].iloc[row]) == found.base:
            rows_I = np.array([mixes[name].get(source, 0) for source in problem.sources], dtype=np.float64)
            value_N = scores.scores_IN[row] * scores.sign_N - problem.untuned_BN[problem.target]
            used = rows_I > 0
            if used.any():
                parts.append((rows_I[used] / rows_I.sum()) @ gain_IN[used] / spread_N)
                measured.append(np.where(scores.relation_IN[row] == "transfer", value_N, np.nan) / spread_N)
    return fit_mix_rule(np.concatenate(parts), np.concatenate(measured)) if parts else MixRule()


def mix_choice(found: Forecast, tasks: Sequence[str], rows: Mapping[str, int], budget: int, rule: MixRule) -> MixChoice:
    """The sources of a mix for some targets, from the forecast's gains in spreads of their columns.

    Raises:
        TraitscopeError: an unknown task, or no source with a gain.
    """
    problem = found.problem
    unknown = [task for task in tasks if task not in problem.tasks]
    if unknown:
        raise TraitscopeError(f"no task is named {unknown[0]!r}", where="mix", fix=", ".join(problem.tasks[:30]))
    columns = [problem.tasks.index(task) for task in tasks]
    usable = [i for i, source in enumerate(problem.sources) if rows.get(source, 0) > 0]
    gain_IN = (_with_own(found) / found.prediction.spread_N)[np.ix_(usable, columns)]
    return choose_mix(gain_IN, [problem.sources[i] for i in usable], rows, budget, rule)


def _with_own(found: Forecast) -> Floats:
    """Gain_IN with what sources gain on their own tasks, as measured; where it is not, as the column's mean.

    A mix teaches its sources' own tasks too: for these a transfer cell alone would not do.
    """
    problem, gain_IN = found.problem, found.gains()
    scores = found.scores.by_source()
    for row, name in enumerate(scores.sources_I):
        if name in problem.sources and str(scores.rows["base"].iloc[row]) == found.base:
            i = problem.sources.index(str(name))
            own_N = scores.scores_IN[row] * scores.sign_N - problem.untuned_BN[problem.target]
            gain_IN[i] = np.where(np.isfinite(gain_IN[i]), gain_IN[i], own_N)
    known_IN = np.isfinite(gain_IN)
    mean_N = np.where(known_IN, gain_IN, 0.0).sum(axis=0) / np.maximum(known_IN.sum(axis=0), 1)
    return np.where(known_IN, gain_IN, np.where(known_IN.any(axis=0), mean_N, np.nan))


def mix_text(choice: MixChoice, rule: MixRule, tasks: Sequence[str], rows: Mapping[str, int]) -> str:
    """The choice in words, and as lines for the study file; ``rows`` are those that every source has."""
    taken = ", ".join(f"{source}: {n}" for source, n in choice.rows.items())
    fewer = [f"{n} of {rows[source]} of {source}" for source, n in choice.rows.items() if n < rows[source]]
    sure = "no mix was measured: the mean of its parts, by their rows"
    if rule.cells:
        off = "" if np.isnan(rule.sd) else f", off by {rule.sd:.2f}"
        line = f"{rule.level:+.2f} + {rule.slope:.2f} x the mean of the parts{off}"
        sure = f"{rule.cells} measured cells of mixes: {line}"
    alone = f"{choice.alone[0]} alone {choice.alone[1]:+.2f}"
    lines = [
        f"mix for {', '.join(tasks)}: predicted mean gain {choice.gain:+.2f} column SD ({alone}; {sure})",
    ]
    if fewer:
        lines.append(f"fewer rows than the gains were told with ({', '.join(fewer)}): less is to be expected")
    if choice.single:
        lines.append(f"no mix is expected to do better than its best part: train {choice.alone[0]}")
    lines.append(f"to train and check it, add to the study file:\nmixes: {{chosen: {{rows: {{{taken}}}}}}}")
    return "\n".join(lines)


def to_json(found: Forecast, tasks: Sequence[str], mix: MixChoice | None = None) -> str:
    """Rankings of some targets, every predicted cell with its status, as JSON."""
    rankings = {
        task: [{key: plain(value) for key, value in row.items()} for row in found.rank_sources(task).to_dict("records")]
        for task in tasks
    }
    chosen = None if mix is None else {"rows": mix.rows, "gain": mix.gain, "alone": list(mix.alone)}
    content = {"base": found.base, "predictor": found.predictor, "level": found.calibration.level}
    return dump_findings({**content, "rankings": rankings, "mix": chosen}, FORMAT)
