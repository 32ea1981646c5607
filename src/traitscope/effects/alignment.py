"""From example records to the panels of all tasks: aligned on the base's examples, answers as classes, tags."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.grid import Grid
from traitscope.effects.panel import Panel
from traitscope.errors import TraitscopeError

Floats = NDArray[np.float64]
Records = Mapping[tuple[str, str], pd.DataFrame]
MAX_GUESSED_CLASSES = 20


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
                if len(frames[0]) < 2:
                    continue  # one example bears no test
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
