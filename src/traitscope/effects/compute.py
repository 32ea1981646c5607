"""From a score matrix and example records to the effects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.asymmetry import asymmetry_effects, control_effects
from traitscope.effects.classes import class_effects, class_pull
from traitscope.effects.domain import domain_effects
from traitscope.effects.findings import Finding, findings_frame, number, p_words, span
from traitscope.effects.gains import GainReplicates, gain_effects, seed_effects, table_gains
from traitscope.effects.grid import Grid
from traitscope.effects.lengths import Habit, length_effects, outcome_effects
from traitscope.effects.panel import Change, Panel, Records, build_panels
from traitscope.effects.pull import pooled_slopes
from traitscope.effects.result import Effects
from traitscope.effects.sourcegains import source_gains
from traitscope.effects.surprises import surprise_effects
from traitscope.effects.tags import tag_effects
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.stats.result import DatasetStats


def measure_effects(
    matrix: ScoreMatrix,
    records: Records | None = None,
    stats: DatasetStats | None = None,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    tags: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    replicates: int = 2000,
    permutations: int = 4999,
    seed: int = 0,
    level: float = 0.95,
) -> Effects:
    """Side effects of every model on every task, each with interval, p and q.

    What needs example records is left out for cells without them, and what needs the sources' text without
    ``stats``; the notes say what was left out.

    Args:
        matrix: scores of all models on all tasks, the base row included.
        records: by (model, task) a frame with the columns of ExampleRecord; may be lazy, every cell is looked
            up once.
        stats: statistics of the sources and tasks (answer lengths, label words, similarities).
        classes: class names of the choice tasks, in class order; guessed from the gold answers where not
            given.
        tags: tags besides the records' own: task -> example id -> key -> value (several values joined by
            ``|``).
        replicates: bootstrap replicates over examples.
        permutations: permutations of datasets for the similarity tests.
        seed: seed of both.
        level: of the intervals.

    Raises:
        TraitscopeError: for impossible settings, or records that do not fit each other.
    """
    if replicates < 100 or permutations < 99 or not 0.5 <= level < 1:
        raise TraitscopeError(
            f"replicates={replicates}, permutations={permutations}, level={level}",
            where="measure_effects",
            fix="use at least 100 replicates, 99 permutations, and a level from 0.5 to below 1",
        )
    grid = Grid.of(matrix)
    run = _Run(grid.in_shares() if records else grid, stats, level)
    if records:
        panels = build_panels(
            run.grid, records, classes=classes, tags=tags, replicates=replicates, seed=seed, level=level
        )
        for panel in panels:
            run.add_panel(panel)
    run.finish(permutations, seed)
    return Effects(
        findings=findings_frame(run.findings),
        tables={name: pd.DataFrame(rows) for name, rows in run.rows.items() if rows},
        notes=tuple(run.notes),
        settings={"replicates": replicates, "permutations": permutations, "seed": seed, "level": level},
    )


class _Run:
    """Findings as they come in, task by task, and what the later ones need of the earlier."""

    def __init__(self, grid: Grid, stats: DatasetStats | None, level: float) -> None:
        self.grid = grid
        self.stats = stats
        self.level = level
        self.findings: list[Finding] = []
        self.rows: dict[str, list[dict]] = {}
        self.notes: list[str] = []
        self.replicates: GainReplicates = {}
        self.observed: dict[tuple[str, str], tuple[float, str]] = {}
        self.controls: dict[tuple[str, str], tuple[Change, int, str]] = {}
        self.habits = _habits(stats)
        names = stats.names if stats is not None else ()
        self.label_shares = {name: stats.label_shares(name) for name in names} if stats is not None else {}
        self.tasks: list[str] = []

    def keep(self, table: str, found: Iterable[Finding], rows: list[dict]) -> None:
        self.findings.extend(found)
        self.rows.setdefault(table, []).extend(rows)

    def add_panel(self, panel: Panel) -> None:
        grid = self.grid
        if panel.task not in self.tasks:
            self.tasks.append(panel.task)
        found, rows = gain_effects(panel, grid, self.replicates)
        self.keep("gains", found, rows)
        self.observed.update({(r["model"], r["task"]): (float(r["gain"]), r["unit"]) for r in rows})
        if panel.classes is not None:
            found, tables = class_effects(panel, grid)
            self.findings.extend(found)
            for name, table in tables._asdict().items():
                self.rows.setdefault(name, []).extend(table)
            if self.label_shares:
                self.keep("class_pull", *class_pull(panel, grid, self.label_shares))
        if panel.generated:
            self.keep("lengths", *length_effects(panel, grid, self.habits))
        self.keep("rates", *outcome_effects(panel, grid))
        self.keep("tags", *tag_effects(panel, grid))
        self._add_controls(panel)

    def _add_controls(self, panel: Panel) -> None:
        grid = self.grid
        place = {int(row): m for m, row in enumerate(panel.rows)}
        reference = np.arange(len(panel.models))
        for row, m in list(place.items()):
            parent = grid.parents.get(grid.sources[row] or "")
            if parent is None:
                continue
            twins = [i for i in place if grid.sources[i] == parent]
            same = [i for i in twins if grid.seeds[i] == grid.seeds[row]]
            if twins:
                reference[m] = place[(same or twins)[0]]
        if (reference == np.arange(len(panel.models))).all():
            return
        change = panel.change(panel.correct_MS, reference)
        for m in np.flatnonzero(reference != np.arange(len(panel.models))).tolist():
            self.controls[panel.models[m], panel.task] = (change, m, panel.unit)

    def finish(self, permutations: int, seed: int) -> None:
        """What looks at several tasks at once."""
        grid, level = self.grid, self.level
        self.keep("gains", *table_gains(grid, set(self.observed), level))
        gains = pd.DataFrame([row for row in self.rows["gains"] if (row["model"], row["task"]) in self.observed])
        if len(gains):
            self.findings.extend(seed_effects(grid, self.tasks, gains, level))
        by_source = source_gains(grid, self.replicates, self.observed)
        found, rows, note = asymmetry_effects(grid, by_source, level)
        self.keep("asymmetry", found, rows)
        self.notes.extend([note] if note else [])
        if self.controls:
            self.keep("controls", *control_effects(grid, self.controls, level))
        similarity = None if self.stats is None else self.stats.similarity.get("semantic")
        if similarity is None:
            self.notes.append("near against far domains: not computed, no dataset statistics were given")
        else:
            found, rows, note = domain_effects(
                grid, by_source, similarity, permutations=permutations, seed=seed, level=level
            )
            self.keep("domain", found, rows)
            self.notes.extend([note] if note else [])
        found, rows, notes = surprise_effects(grid, self.observed, self.replicates, similarity, level)
        self.keep("surprises", found, rows)
        self.notes.extend(notes)
        self._pool()
        self._say_what_is_missing()

    def _pool(self) -> None:
        """The sources' pull over all cells: lengths, and class shares beside the truth."""
        cells = [
            row
            for row in self.rows.get("lengths", [])
            if row["relation"] == "transfer" and np.isfinite(row["weight"]) and row["source"] not in self.grid.parents
        ]
        step = [row["shift"] for row in cells]
        want = [[row["source_length"] - row["base_length"]] for row in cells]
        pooled = pooled_slopes(step, want, [row["source"] for row in cells], len(cells), self.level) if cells else None
        if pooled is not None:
            self.findings.append(
                _pooled_finding("length_weight_pooled", "answer lengths", "the source's length", pooled, 0)
            )
        cells = [
            row
            for row in self.rows.get("class_pull", [])
            if row["relation"] == "transfer" and row["source"] not in self.grid.parents
        ]
        steps, wants, groups = [], [], []
        for row in cells:
            base = np.array(row["base_vector"])
            if not np.isfinite(row["model_vector"]).all():
                continue
            steps.extend(np.array(row["model_vector"]) - base)
            wants.extend(np.stack([row["source_vector"] - base, row["gold_vector"] - base], axis=1).tolist())
            groups.extend([row["source"]] * len(base))
        pooled = pooled_slopes(steps, wants, groups, len(cells), self.level) if cells else None
        if pooled is not None:
            for k, towards in enumerate(("the source's label shares", "the true shares")):
                self.findings.append(_pooled_finding("class_pull_pooled", "predicted class shares", towards, pooled, k))
        for row in self.rows.get("class_pull", []):
            for name in ("gold_vector", "source_vector", "base_vector", "model_vector"):
                del row[name]

    def _say_what_is_missing(self) -> None:
        grid = self.grid
        untold = [
            f"{grid.models[i]}/{grid.tasks[n]}"
            for i, n in np.argwhere(np.isfinite(grid.scores_IN))
            if not grid.is_base(int(i)) and (grid.models[i], grid.tasks[n]) not in self.observed
        ]
        if untold:
            self.notes.append(
                f"no example records for {len(untold)} of {len(untold) + len(self.observed)} cells: no paired test, "
                "win and harm rates, class shares, lengths, invalid answers or tags there"
            )
        blind = sum(1 for f in self.findings if f.kind == "gain" and f.interval == "none")
        if blind:
            self.notes.append(f"gains: {blind} cells have no standard error, so no interval and no test")
        differing = sorted(
            {
                task
                for (model, task), (gain, unit) in self.observed.items()
                if unit == "share" and abs(gain - grid.gains_IN[grid.row[model], grid.column[task]]) > 1e-6
            }
        )
        if differing:
            self.notes.append(
                f"gains are of the mean value per example; the matrix has another score or other examples for: "
                f"{', '.join(differing)}"
            )
        if (grid.base_I < 0).any():
            alone = int((grid.base_I < 0).sum())
            self.notes.append(f"{alone} rows have no base row: they have no gains, and surprises rest on scores")
        if self.observed and not any(len(rows) > 1 for rows in grid.by_source().values()):
            self.notes.append(
                "one seed per source: intervals cover the examples drawn, not another training run "
                "(published deviations between seeds are 0.9 to 2 points)"
            )
        if self.stats is None:
            self.notes.append("class and length pull: not computed, no dataset statistics were given")
        undefined = [row for row in self.rows.get("lengths", []) if row["undefined"] and row["source"]]
        if undefined and self.habits:
            self.notes.append(
                f"length weight undefined in {len(undefined)} cells (base and source alike in length, base "
                "cut off below the source's length, or length not known)"
            )


def _pooled_finding(kind: str, what: str, towards: str, pooled: Any, k: int) -> Finding:
    value, lo, hi, p = (float(x[k]) for x in (pooled.slopes, pooled.lo, pooled.hi, pooled.p))
    return Finding(
        kind=kind,
        detail=towards,
        value=value,
        lo=lo,
        hi=hi,
        unit="weight",
        n=pooled.n,
        p=p,
        interval="jackknife over sources",
        sentence=(
            f"Over {pooled.n} cells of {pooled.sources} sources on tasks not their own, {what} go "
            f"{number(value, 'weight')} {span(lo, hi, 'weight')} of the way from the base's to {towards} "
            f"({p_words(p)})."
        ),
    )


def _habits(stats: DatasetStats | None) -> dict[str, Habit]:
    """Mean answer length of every dataset in tokens, where the statistics have it."""
    if stats is None:
        return {}
    columns = stats.frame[["answer_tokens_mean", "answer_tokens_sd", "n_examples"]].to_numpy(dtype=float)
    found = {}
    for name, (mean, sd, n) in zip(stats.names, columns.tolist(), strict=True):
        if np.isfinite(mean):
            found[name] = Habit(mean, sd / np.sqrt(n) if np.isfinite(sd) and n > 0 else 0.0)
    return found
