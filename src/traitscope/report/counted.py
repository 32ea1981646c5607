"""What a cell's records add up to: confusion matrices, class shares, densities of lengths and losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.metrics.confusion import confusion_matrix
from traitscope.records import ExampleRecord
from traitscope.texts import count_of, safe

INVALID = "(invalid)"
# Classes that a panel has room for, and bins of a density.
MOST_CLASSES, MOST_BINS = 10, 24


@dataclass(frozen=True, slots=True)
class Confusion:
    """Confusion matrices of base and model over the same examples.

    Attributes:
        gold: names of the rows; predicted: names of the columns, the classes of the rows in their order, then, where
            there are any, answers that are none of them.
        base, model: counts by row and column; the base's is None where the row is compared with nothing.
        note: what was left out; empty where nothing was.
    """

    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    base: tuple[tuple[int, ...], ...] | None
    model: tuple[tuple[int, ...], ...]
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the page's script takes it, with the shares of every class among gold, base's and model's answers."""
        gold_sum = [sum(row) for row in self.model]
        gold_sum += [0] * (len(self.predicted) - len(gold_sum))
        shares = {"gold": _shares(gold_sum), "model": _shares(_columns(self.model))}
        if self.base is not None:
            shares["base"] = _shares(_columns(self.base))
        names = {"gold": [safe(name) for name in self.gold], "predicted": [safe(name) for name in self.predicted]}
        return {**asdict(self), **names, "shares": shares}


def confusion(
    base: Sequence[ExampleRecord] | None, model: Sequence[ExampleRecord], classes: Sequence[str]
) -> Confusion | None:
    """The confusion matrices of a cell and of its base's; None where a gold answer is none of the classes.

    Args:
        base, model: records of the same examples.
        classes: names in their order; the most frequent ``MOST_CLASSES`` by gold answers are shown, the others put
            together.
    """
    names = [name.strip() for name in classes]
    if not model or not {record.gold.strip() for record in model} <= set(names):
        return None
    counts = [_counts(records, names) for records in ([] if base is None else [base]) + [model]]
    note = ""
    if len(names) > MOST_CLASSES:
        gold_C = counts[-1].sum(axis=1)
        kept = sorted(np.argsort(-gold_C, kind="stable")[: MOST_CLASSES - 1].tolist())
        rest = len(names) - len(kept)
        note = f"The {len(kept)} most frequent of {len(names)} classes; the other {rest} are one row and column."
        counts = [_merged(one, kept) for one in counts]
        names = [*(names[c] for c in kept), f"({rest} others)"]
    predicted = tuple(names)
    if any(one[:, -1].any() for one in counts):
        predicted = (*names, INVALID)
    else:
        counts = [one[:, :-1] for one in counts]
    tables = [tuple(tuple(row) for row in one.tolist()) for one in counts]
    return Confusion(tuple(names), predicted, tables[0] if len(tables) == 2 else None, tables[-1], note)


def _counts(records: Sequence[ExampleRecord], names: Sequence[str]) -> NDArray[np.int64]:
    said = [None if record.pred is None else record.pred.strip() for record in records]
    return confusion_matrix([record.gold.strip() for record in records], said, names)


def _merged(counts: NDArray[np.int64], kept: Sequence[int]) -> NDArray[np.int64]:
    """Rows and columns that are kept, then all others as one; the last column stays."""
    size = len(counts)
    place = np.full(size + 1, len(kept))
    place[list(kept)] = range(len(kept))
    place[size] = len(kept) + 1
    merged = np.zeros((len(kept) + 1, len(kept) + 2), dtype=np.int64)
    np.add.at(merged, (place[:size, None], place[None, :]), counts)
    return merged


def _columns(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _shares(counts: Sequence[int]) -> list[float]:
    total = max(sum(counts), 1)
    return [round(count / total, 4) for count in counts]


@dataclass(frozen=True, slots=True)
class Density:
    """Counts of a number over the examples, base and model (and right answers) in the same bins.

    Attributes:
        title: what is counted, with its unit.
        edges: of the bins, one more than there are; a value on an edge is in the bin above it, the last edge's in the
            last one.
        counts: by name of the series.
        means: by name of the series.
        low, high: the least and the largest value.
        whole: whether they are whole numbers, which then stand in the middle of a bin one wide.
        note: what a reader must know of it.
    """

    title: str
    edges: tuple[float, ...]
    counts: Mapping[str, tuple[int, ...]]
    means: Mapping[str, float]
    low: float
    high: float
    whole: bool
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the page's script takes it."""
        means = {name: f"{mean:.3g}" for name, mean in self.means.items()}
        series = [{"name": name, "counts": list(counts), "mean": means[name]} for name, counts in self.counts.items()]
        middle = (self.low + self.high) / 2
        marks = sorted({self.low, round(middle) if self.whole else middle, self.high})
        return {
            "title": self.title,
            "edges": [round(edge, 4) for edge in self.edges],
            "marks": [int(mark) if self.whole else float(f"{mark:.3g}") for mark in marks],
            "whole": self.whole,
            "series": series,
            "note": self.note,
        }


def density(title: str, series: Mapping[str, Sequence[float]], *, whole: bool, note: str = "") -> Density | None:
    """Several samples in the same bins; None where there is nothing to count.

    Args:
        series: values by name; those that are not finite are left out.
        whole: whether they are whole numbers, whose bins are then as many numbers wide as need be.
    """
    kept = {name: np.array([v for v in values if math.isfinite(v)], dtype=float) for name, values in series.items()}
    kept = {name: values for name, values in kept.items() if values.size}
    if not kept:
        return None
    low, high = min(v.min() for v in kept.values()), max(v.max() for v in kept.values())
    if whole:
        width = max(1, math.ceil((high - low + 1) / MOST_BINS))
        edges = low - 0.5 + width * np.arange(math.ceil((high - low + 1) / width) + 1)
    else:
        edges = np.linspace(low, high if high > low else low + 1.0, MOST_BINS + 1)
    counts = {name: tuple(np.histogram(values, edges)[0].tolist()) for name, values in kept.items()}
    means = {name: float(values.mean()) for name, values in kept.items()}
    return Density(title, tuple(edges.tolist()), counts, means, float(low), float(high), whole, note)


def cell_density(base: Sequence[ExampleRecord] | None, model: Sequence[ExampleRecord]) -> Density | None:
    """Lengths of written answers, or the losses of texts that are only scored; None where options are chosen."""
    both = {"model": model} if base is None else {"base": base, "model": model}
    if any(record.output is not None for record in model):
        told = {name: [float(r.n_output) for r in records] for name, records in both.items()}
        told = {"right answer": [float(r.n_gold) for r in model], **told}
        cut = {name: sum(r.finish == "length" for r in records) for name, records in both.items()}
        words = ", ".join(f"{count} of the {name}'s" for name, count in cut.items() if count)
        return density(
            "Length of the answers in tokens",
            told,
            whole=True,
            note=f"Cut off at the longest that was allowed: {words}." if words else "",
        )
    if all(record.correct is None for record in model):
        told = {name: [r.loss for r in records] for name, records in both.items()}
        return density("Loss of the texts in nats per token", told, whole=False)
    return None


def invalid_note(base: Sequence[ExampleRecord] | None, model: Sequence[ExampleRecord]) -> str:
    """How many answers could not be parsed; empty where all could."""
    counts = {"model": sum(not record.valid for record in model)}
    if base is not None:
        counts = {"base": sum(not record.valid for record in base), **counts}
    if not any(counts.values()):
        return ""
    told = ", ".join(f"{count_of(count, 'answer')} of the {name}" for name, count in counts.items())
    return f"Could not be parsed: {told}, of {len(model)}."
