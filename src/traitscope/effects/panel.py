"""The example records of one task, models by examples, aligned on the base's examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.grid import Grid, Row
from traitscope.effects.significance import (
    alone_of,
    bootstrap_weights,
    mcnemar_exact,
    never_a_point,
    paired_score,
    percentile_interval,
    sign_flip_p,
)
from traitscope.errors import TraitscopeError

Floats = NDArray[np.float64]
Records = Mapping[tuple[str, str], pd.DataFrame]
MAX_GUESSED_CLASSES = 20
SIGN_FLIPS = 20_000


@dataclass(frozen=True, eq=False)
class Change:
    """A paired change of every model against a reference model; arrays over the M models.

    ``lost`` and ``won`` count examples whose value fell or rose; ``replicates_RM`` are bootstrap replicates
    of ``value``; ``method`` names the interval: ``score`` for 0/1 values, else ``bootstrap``;
    ``alone`` is described at ``Panel.alone``.
    """

    n: NDArray[np.int64]
    reference: Floats
    mean: Floats
    value: Floats
    lo: Floats
    hi: Floats
    p: Floats
    lost: NDArray[np.int64]
    won: NDArray[np.int64]
    method: str
    replicates_RM: Floats
    alone: Floats

    def at(self, m: int, reference: str, mean: str, value: str, ends: str = "", turn: float = 1.0) -> Row:
        """One model's numbers as columns of a table, which has its own names for them (``ends``: a prefix).

        ``turn`` is -1 where less is better: reference and mean then stand as the metric gives them.
        """
        return {
            reference: turn * float(self.reference[m]),
            mean: turn * float(self.mean[m]),
            value: float(self.value[m]),
            **{f"{ends}{name}": float(getattr(self, name)[m]) for name in ("lo", "hi", "p")},
            "n": int(self.n[m]),
            "_mean": turn * float(self.mean[m]),
            "_method": self.method,
            f"_{ends}alone": float(self.alone[m]),
        }


@dataclass(frozen=True, eq=False)
class Panel:
    """One task's records for M models over the S examples of the base's record.

    Attributes:
        task: the task.
        grid: names and roles of the rows.
        rows: row of each model in the grid, the base's first.
        ids: S example ids.
        correct_MS: the primary metric by example, NaN where there is none; minus the loss where no model has
            any.
        unit: ``share`` (0..1) or ``nats per token``.
        seen_MS: whether the model has a record of the example.
        valid_MS, cut_MS: whether the answer could be parsed; whether it was cut off by length.
        length_MS: tokens of the answer, NaN unless generated.
        classes: class names, or None for a task without shared classes.
        gold_S, pred_MS: class indices, predictions with ``len(classes)`` for invalid.
        answer_MS, answers: parsed answers as indices into their texts; -1 for those that could not be parsed.
        chance: one over the number of options, their mean where they differ by row; NaN where there are none.
        tags: by key, the value of every example (None where it has none).
        replicates, seed: of the bootstrap; level: of the intervals.
    """

    task: str
    grid: Grid
    rows: NDArray[np.int64]
    ids: NDArray[Any]
    correct_MS: Floats
    unit: str
    seen_MS: NDArray[np.bool_]
    valid_MS: Floats
    cut_MS: Floats
    length_MS: Floats
    classes: tuple[str, ...] | None
    gold_S: NDArray[np.int64]
    pred_MS: NDArray[np.int64]
    answer_MS: NDArray[np.int64]
    answers: tuple[str, ...]
    chance: float
    tags: dict[str, list[str | None]]
    replicates: int
    seed: int
    level: float

    @property
    def metric(self) -> str:
        """The task's primary metric."""
        return self.grid.metrics[self.grid.column[self.task]]

    @property
    def turn(self) -> float:
        """-1 where the metric is a loss, whose values stand here with the sign turned."""
        return 1.0 if self.unit == "share" else -1.0

    @property
    def others(self) -> range:
        """Indices of all models but the base."""
        return range(1, len(self.rows))

    def where(self, m: int) -> Row:
        """The columns model, source, seed, task of a table's row about one model."""
        return self.grid.where(int(self.rows[m]), self.task)

    def relation(self, m: int) -> str:
        """What the task is to one model."""
        return self.grid.relation(self.grid.sources[self.rows[m]], self.task)

    @cached_property
    def top_answers(self) -> tuple[tuple[str | None, float], ...]:
        """Every model's most frequent answer and its share of all; (None, 0.0) where none could be parsed."""
        found: list[tuple[str | None, float]] = []
        for answer_S, seen_S in zip(self.answer_MS, self.seen_MS, strict=True):
            counts = np.bincount(answer_S[seen_S & (answer_S >= 0)], minlength=1)
            at, n = int(counts.argmax()), int(seen_S.sum())
            found.append((self.answers[at], counts[at] / n) if n and counts[at] else (None, 0.0))
        return tuple(found)

    @cached_property
    def weights_RS(self) -> NDArray[np.float32]:
        """Bootstrap weights of the examples, the same for all models of the task."""
        return bootstrap_weights(len(self.ids), self.replicates, self.seed, self.task)

    def means(self, values_MS: Floats) -> Floats:
        """Bootstrap replicates of the rows' means, NaN values left out: means_RM."""
        known = np.isfinite(values_MS)
        total = self.weights_RS @ np.where(known, values_MS, 0.0).astype(np.float32).T
        if known.all():
            return (total / values_MS.shape[1]).astype(float)
        count = self.weights_RS @ known.astype(np.float32).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / count, dtype=float)

    @cached_property
    def seeds(self) -> list[list[int]]:
        """The models of every source that has several."""
        groups: dict[str, list[int]] = {}
        for m, i in enumerate(self.rows.tolist()):
            source = self.grid.sources[i]
            if source is not None:
                groups.setdefault(source, []).append(m)
        return [group for group in groups.values() if len(group) > 1]

    def alone(self, replicates_RM: Floats) -> Floats:
        """Variance over examples of what every model has apart from its source's other seeds; 0 where it has none."""
        found = np.zeros(replicates_RM.shape[1])
        for group in self.seeds:
            found[group] = alone_of(replicates_RM[:, group])
        return found

    def change(self, values_MS: Floats, reference_M: NDArray[np.int64] | None = None) -> Change:
        """Paired change of a value by example against a reference model (default: the base).

        Args:
            values_MS: one value per model and example; NaN leaves the example out of that model's pairs.
            reference_M: index of the model to compare each one with.
        """
        against = np.zeros(len(self.rows), dtype=np.int64) if reference_M is None else reference_M
        other_MS = values_MS[against]
        diff_MS = values_MS - other_MS
        known = np.isfinite(diff_MS)
        n = known.sum(axis=1)
        lost, won = (np.nan_to_num(diff_MS) < 0).sum(axis=1), (np.nan_to_num(diff_MS) > 0).sum(axis=1)
        divisor = np.where(n > 0, n, np.nan)
        mean = np.where(known, values_MS, 0.0).sum(axis=1) / divisor
        reference_mean = np.where(known, other_MS, 0.0).sum(axis=1) / divisor
        value = mean - reference_mean
        replicates_RM = self.means(diff_MS)
        # Scores, shares and rates lie between 0 and 1; lengths and losses are not bounded.
        known_values = values_MS[np.isfinite(values_MS)]
        limit = 1.0 if bool(((known_values >= 0) & (known_values <= 1)).all()) else np.inf
        binary = bool(np.isin(known_values, (0.0, 1.0)).all())
        if binary:
            p = mcnemar_exact(lost, won)
            lo, hi = paired_score(lost, won, divisor, self.level)
        else:
            p = sign_flip_p(diff_MS, SIGN_FLIPS, self.seed, self.task)
            ends = percentile_interval(replicates_RM, int(max(n.max(initial=2), 2)), self.level)
            lo, hi = never_a_point(value, ends, divisor, self.level, limit)
        return Change(
            n=n,
            reference=reference_mean,
            mean=mean,
            value=value,
            lo=np.where(n > 0, lo, np.nan),
            hi=np.where(n > 0, hi, np.nan),
            p=np.where((n > 0) & (against != np.arange(len(n))), p, np.nan),
            lost=lost,
            won=won,
            method="score" if binary else "bootstrap",
            replicates_RM=replicates_RM,
            alone=self.alone(replicates_RM),
        )


def build_panels(
    grid: Grid,
    records: Records,
    classes: Mapping[str, Sequence[str]] | None = None,
    tags: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    **drawing: Any,
) -> Iterator[Panel]:
    """The panels of all tasks, base model by base model; tasks without records of their base are passed over.

    Args:
        grid: rows and columns wanted.
        records: by (model, task) a frame with the columns of ExampleRecord; looked up once per cell, so it
            may be lazy.
        classes: class names of the choice tasks in class order; guessed from the gold answers where not
            given.
        tags: more tags: task -> example id -> key -> value.
        drawing: ``replicates``, ``seed`` and ``level`` of the panels.
    """
    present = set(records)
    for b in sorted({int(i) for i in grid.base_I if i >= 0}):
        members = [i for i in range(len(grid.models)) if int(grid.base_I[i]) == b]
        for task in grid.tasks:
            if (grid.models[b], task) not in present:
                continue
            rows = [b, *(i for i in members if i != b and (grid.models[i], task) in present)]
            if len(rows) > 1:
                frames = [records[grid.models[i], task] for i in rows]
                drawing["tags"] = _tags(frames[0], (tags or {}).get(task, {}))
                yield _panel(task, grid, np.array(rows), frames, (classes or {}).get(task), drawing)


def _panel(
    task: str,
    grid: Grid,
    rows: NDArray[np.int64],
    frames: Sequence[pd.DataFrame],
    classes: Sequence[str] | None,
    given: Mapping[str, Any],
) -> Panel:
    ids = frames[0]["id"].to_numpy()
    index = pd.Index(ids)
    if index.has_duplicates:
        raise TraitscopeError(
            f"example id {index[index.duplicated()][0]!r} occurs twice",
            where=f"records of {grid.models[rows[0]]} on {task}",
            fix="give every example of a task its own id",
        )
    shape = (len(rows), len(ids))
    arrays = {name: np.full(shape, np.nan) for name in ("correct", "valid", "cut", "length", "loss")}
    seen = np.zeros(shape, dtype=bool)
    preds = np.full(shape, None, dtype=object)
    for m, frame in enumerate(frames):
        at, take = _align(index, frame, f"records of {grid.models[rows[m]]} on {task}")
        seen[m, at] = True
        for name in ("correct", "valid", "loss"):
            arrays[name][m, at] = _floats(frame, name)[take]
        finish = frame["finish"].to_numpy(dtype=object)[take]
        generated = np.array([isinstance(f, str) for f in finish], dtype=bool)
        arrays["cut"][m, at] = np.where(generated, finish == "length", np.nan)
        arrays["length"][m, at] = np.where(generated, _floats(frame, "n_output")[take], np.nan)
        preds[m, at] = frame["pred"].to_numpy(dtype=object)[take]
    gold = frames[0]["gold"].to_numpy(dtype=object)
    names = tuple(c.strip() for c in classes) if classes else _guess_classes(gold, frames[0])
    gold_S, pred_MS = _codes(gold, preds, names or ())
    scored = bool(np.isfinite(arrays["correct"]).any())
    answer_flat, texts = pd.factorize(preds.ravel())
    return Panel(
        task=task,
        grid=grid,
        rows=rows,
        ids=ids,
        correct_MS=arrays["correct"] if scored else -arrays["loss"],
        unit="share" if scored else "nats per token",
        seen_MS=seen,
        valid_MS=arrays["valid"],
        cut_MS=arrays["cut"],
        length_MS=arrays["length"],
        classes=None if (gold_S < 0).any() else names,
        gold_S=gold_S,
        pred_MS=pred_MS,
        answer_MS=np.asarray(answer_flat, dtype=np.int64).reshape(shape),
        answers=tuple(map(str, texts)),
        chance=_chance(frames[0]),
        **given,
    )


def _align(index: pd.Index, frame: pd.DataFrame, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the panel, and the rows of the frame that go there."""
    at = index.get_indexer(pd.Index(frame["id"].to_numpy()))
    take = np.flatnonzero(at >= 0)
    if not take.size or len(set(at[take])) < take.size:
        raise TraitscopeError(
            "no example in common with the base, or one that occurs twice",
            where=where,
            fix="evaluate the model on the same rows as the base",
        )
    return at[take], take


def _floats(frame: pd.DataFrame, column: str) -> Floats:
    return pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _chance(frame: pd.DataFrame) -> float:
    """The mean of one over the number of options; NaN where answers are not chosen among options."""
    if "logprobs" not in frame.columns:
        return float("nan")
    sizes = [len(found) for found in frame["logprobs"] if found is not None and np.ndim(found) == 1 and len(found)]
    return float(np.mean([1.0 / size for size in sizes])) if sizes else float("nan")


def _guess_classes(gold: NDArray[Any], frame: pd.DataFrame) -> tuple[str, ...] | None:
    """Gold answers as classes, where options were scored and they are few beside the examples."""
    if "logprobs" not in frame.columns or frame["logprobs"].isna().all():
        return None
    found = sorted({str(g) for g in gold})
    few = 2 <= len(found) <= MAX_GUESSED_CLASSES and len(found) * 5 <= len(gold)
    return tuple(found) if few else None


def _codes(
    gold: NDArray[Any], preds: NDArray[Any], names: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    code = {name: i for i, name in enumerate(names)}
    invalid = len(names)
    gold_S = np.array([code.get(str(g).strip(), -1) for g in gold], dtype=np.int64)
    flat = [invalid if p is None or p != p else code.get(str(p).strip(), invalid) for p in preds.ravel()]
    return gold_S, np.array(flat, dtype=np.int64).reshape(preds.shape)


def _tags(frame: pd.DataFrame, more: Mapping[str, Mapping[str, str]]) -> dict[str, list[str | None]]:
    rows: list[dict[str, str]] = [{} for _ in range(len(frame))]
    if "tags" in frame.columns:
        for row, value in zip(rows, frame["tags"], strict=True):
            parsed = json.loads(value) if isinstance(value, str) and value else value
            if isinstance(parsed, dict):
                row.update({str(k): str(v) for k, v in parsed.items() if v is not None})
    for row, name in zip(rows, frame["id"], strict=True):
        row.update(more.get(str(name), {}))
    keys = sorted({key for row in rows for key in row})
    return {key: [row.get(key) for row in rows] for key in keys}
