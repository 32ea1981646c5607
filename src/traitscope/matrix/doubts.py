"""What a matrix that was read may not mean: summaries among the rows, odd scales and errors, copied rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix.columns import SPREADS, SUMMARIES
from traitscope.matrix.runs import base_proposal
from traitscope.matrix.units import UNITS, full_mark
from traitscope.matrix.views import View
from traitscope.texts import count_of

# No test set is larger: smaller standard errors are fractions beside percentages, or not those of examples.
MOST_EXAMPLES = 200_000
_MOST_PAIRED = 5_000
_EXTREMES = {"best": np.fmax, "max": np.fmax, "maximum": np.fmax, "min": np.fmin, "minimum": np.fmin}


def reading_notes(raw: View, units: Mapping[str, str], base_index_I: npt.NDArray[np.int64]) -> list[str]:
    """What was assumed of a matrix: units, missing cells, no base row, rows that look copied."""
    notes = []
    for unit in UNITS:
        named = [t for t in raw.tasks if units[t] == unit]
        if named and len(named) < len(raw.tasks):
            notes.append(f"read as {unit}: {', '.join(named)}")
        elif named:
            notes.append(f"all scores read as {unit}")
    gaps = int(np.isnan(raw.values_IN).sum())
    if gaps:
        notes.append(f"{gaps} of {count_of(raw.values_IN.size, 'cell')} {'is' if gaps == 1 else 'are'} missing")
    lost = [m for m, base in zip(raw.models, base_index_I, strict=True) if base < 0]
    if len(lost) == len(raw.models):
        likely = base_proposal(raw.models)
        notes.append(
            "no base row: gains are not defined; name the untuned model's row with base="
            + (f"{likely}, if it is that one" if likely else "...")
        )
    elif lost:
        notes.append(
            f"no base row for {len(lost)} of {count_of(len(raw.models), 'row')}: no gains for {', '.join(lost[:5])}"
        )
    for b in sorted(set(base_index_I[base_index_I >= 0].tolist())):
        holes = [t for t, value in zip(raw.tasks, raw.values_IN[b], strict=True) if np.isnan(value)]
        if holes:
            notes.append(f"{raw.models[b]} has no score on {', '.join(holes)}: no gains there")
    return notes + _mixed_scales(raw, units) + _small_errors(raw, units) + _copied_rows(raw)


def refuse_summaries(raw: View, base_index_I: npt.NDArray[np.int64], where: str) -> None:
    """Refuses a row that is called a mean, a spread or an extreme of the others, and is one.

    A mean is one to one part in a hundred, of all other rows or of those that are no base.

    Raises:
        TraitscopeError: there is such a row.
    """
    is_base_I = base_index_I == np.arange(len(raw.models))
    for i, model in enumerate(raw.models):
        name = model.strip().lower()
        if name not in SPREADS and name not in SUMMARIES and name not in _EXTREMES:
            continue
        others_I = np.arange(len(raw.models)) != i
        what = "the spread" if name in SPREADS else ""
        for rows_I in (others_I, others_I & ~is_base_I):
            if rows_I.sum() > 1:
                others = np.ma.masked_invalid(raw.values_IN[rows_I])
                if name in SUMMARIES and _alike(raw.values_IN[i], others.mean(axis=0).filled(np.nan), 0.01):
                    what = "the mean"
                elif name in _EXTREMES and _alike(raw.values_IN[i], _EXTREMES[name].reduce(raw.values_IN[rows_I]), 0.0):
                    what = "the best or the least"
        if what:
            raise TraitscopeError(
                f"row {model!r} is {what} of the others, not a model",
                where=where,
                fix=f"filter it out, as by where='model!={model}'",
            )


def _alike(row_N: npt.NDArray[np.float64], other_N: npt.NDArray[np.float64], part: float) -> bool:
    return bool(np.allclose(row_N, other_N, rtol=part, atol=0.0, equal_nan=True))


def refuse_large_errors(raw: View, units: Mapping[str, str], where: str) -> None:
    """Refuses standard errors of shares that are larger than those of a single answer.

    Raises:
        TraitscopeError: there is one.
    """
    for n, task in enumerate(raw.tasks):
        if units[task] != "other":
            largest = np.nan_to_num(raw.stderr_IN[:, n])
            if largest.max(initial=0.0) > full_mark(units[task]) / 2:
                i = int(largest.argmax())
                raise TraitscopeError(
                    f"standard error {largest[i]:g} of {raw.models[i]} on {task}, whose scores lie between 0 and "
                    f"{full_mark(units[task]):g}",
                    where=where,
                    fix="write standard errors in the unit of the scores",
                )


def refuse_mixed_scales(raw: View, units: Mapping[str, str], told: Mapping[str, str] | str, where: str) -> None:
    """Refuses a column of fractions in which a percentage stands: its unit cannot be guessed.

    Raises:
        TraitscopeError: there is one; the cell is named.
    """
    for n, task in enumerate(raw.tasks):
        column = raw.values_IN[:, n]
        known = column[np.isfinite(column)]
        if units[task] != "percent" or isinstance(told, str) or task in told or known.size < 3:
            continue
        if np.count_nonzero((known > 0) & (known < 1)) > known.size / 2:
            i = int(np.nanargmax(column))
            raise TraitscopeError(
                f"{column[i]:g} of {raw.models[i]} on {task} stands among fractions, such as {np.median(known):g}",
                where=where,
                fix="write the column in one unit, or say which it is: units=percent",
            )


def _mixed_scales(raw: View, units: Mapping[str, str]) -> list[str]:
    """Scores that may be fractions in columns of percentages."""
    notes = []
    for n, task in enumerate(raw.tasks):
        column = raw.values_IN[:, n]
        small = [i for i in np.flatnonzero((column > 0) & (column <= 1)) if units[task] == "percent"]
        if small and np.nanmedian(column) > 10 and not np.equal(np.mod(column[small], 1), 0).all():
            shown = ", ".join(f"{column[i]:g} of {raw.models[i]}" for i in small[:5])
            notes.append(f"{task} is read as percent: is {shown} a fraction?")
    return notes


def _small_errors(raw: View, units: Mapping[str, str]) -> list[str]:
    """Standard errors that no number of examples explains."""
    notes = []
    for n, task in enumerate(raw.tasks):
        share, stderr = (values[:, n] / full_mark(units[task]) for values in (raw.values_IN, raw.stderr_IN))
        use = (stderr > 0) & (share > 0) & (share < 1) & (units[task] != "other")
        if use.any():
            examples = float(np.median(share[use] * (1 - share[use]) / stderr[use] ** 2))
            if examples > MOST_EXAMPLES:
                notes.append(
                    f"standard errors of {task} are those of {examples:,.0f} examples: are they in its scores' unit?"
                )
    return notes


def _copied_rows(raw: View) -> list[str]:
    """A note for each pair of rows that agree exactly in three quarters (and at least three) of their cells.

    Scores at the floor or ceiling may agree by chance: values shared by a third of a column do not count.
    """
    values, models = raw.values_IN, raw.models
    if values.shape[1] < 3:
        return []
    if len(values) > _MOST_PAIRED:
        # Every pair of so many rows would take minutes: of those that are no whole copies nothing is said.
        _, group_I, sizes = np.unique(values, axis=0, return_inverse=True, return_counts=True)
        alike_I = np.flatnonzero(sizes[group_I.ravel()] > 1)[:_MOST_PAIRED]
        values, models = values[alike_I], tuple(raw.models[i] for i in alike_I)
    common = np.zeros(values.shape, dtype=bool)
    for n in range(values.shape[1]):
        column = values[:, n]
        known = column[np.isfinite(column)]
        if known.size:
            levels, counts = np.unique(known, return_counts=True)
            common[:, n] = np.isin(column, levels[counts > max(2, known.size / 3)])
    usable = np.where(common, np.nan, values)
    notes = []
    for i in range(len(values)):
        both = np.isfinite(usable[i]) & np.isfinite(usable[i + 1 :])
        same = ((usable[i] == usable[i + 1 :]) & both).sum(axis=1)
        for j in np.flatnonzero((same >= 3) & (same >= 0.75 * both.sum(axis=1))):
            other = models[i + 1 + int(j)]
            notes.append(f"{models[i]} and {other} have {int(same[j])} identical scores: copied by mistake?")
    return notes
