"""All findings of a study in one object: what report and plots are made from. No model, no engine, no study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from traitscope.texts import count_of

if TYPE_CHECKING:
    from traitscope.belt.choice import Choice
    from traitscope.effects import Across, Effects, Explanation
    from traitscope.layers import CausalCheck, LayersResult, TaskFigures
    from traitscope.matrix import ScoreMatrix
    from traitscope.predict.evaluation import Evaluation
    from traitscope.predict.rankings import Rankings
    from traitscope.records import Example, ExampleRecord
    from traitscope.stats import DatasetStats
    from traitscope.traits import Traits


class CellSource(Protocol):
    """The examples behind the cells of a matrix, read when they are asked for; rows as the matrix names them.

    Each may raise a TraitscopeError: there is no such cell or task, or its files are damaged.
    """

    def records(self, model: str, task: str) -> Sequence[ExampleRecord]:
        """The outcomes of a cell, in the task's order."""
        ...

    def examples(self, task: str) -> Mapping[str, Example]:
        """The evaluation rows of a task by id."""
        ...

    def classes(self, task: str) -> tuple[str, ...] | None:
        """The task's class names, where all its rows share them."""
        ...


@dataclass(frozen=True, slots=True)
class Spent:
    """What training an adapter took.

    Attributes:
        model: the adapter. steps, tokens: of its training. seconds: from the start of its bank to its end; None where
            the run's records do not say.
    """

    model: str
    steps: int
    tokens: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that was found, gathered for report and plots. Parts that are None are said to be missing.

    Attributes:
        name: of the study.
        scores: the matrix.
        traits, effects, stats, explanation, layers, causal, correlates: the findings.
        across: what holds in how many base models; None of one.
        forecast: sources ranked as they were last predicted. evaluation: how well such predictions do. belt: a few
            adapters in place of all. None where nobody asked for them.
        cells: the examples behind the cells; None of a bare matrix.
        spent: what training took, adapter by adapter; empty where it is not recorded.
        facts: what was run, as (label, text) pairs, in order.
        config: the study file's text; None where there is none.
        lock: versions, revisions and fingerprints; None where there is none.
        warnings: what a reader must know before anything else.
        left_out: cells (model, task) that were made under other settings than today's, and bear no finding.
        damaged: cells that are not as they were written, and bear none either.
        missing: for absent parts (by attribute name) why they are absent.
        reports: of each base model by itself: its name and the path of its page from this one's.
    """

    name: str
    scores: ScoreMatrix
    traits: Traits | None = None
    effects: Effects | None = None
    stats: DatasetStats | None = None
    explanation: Explanation | None = None
    layers: LayersResult | None = None
    causal: CausalCheck | None = None
    correlates: TaskFigures | None = None
    across: Across | None = None
    forecast: Rankings | None = None
    evaluation: Evaluation | None = None
    belt: Choice | None = None
    cells: CellSource | None = None
    spent: tuple[Spent, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    config: str | None = None
    lock: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    reports: Mapping[str, str] = field(default_factory=dict)

    @property
    def bare(self) -> bool:
        """Whether there is a matrix and no study, for which nothing more can be run."""
        return self.config is None and self.lock is None

    @property
    def config_text(self) -> str:
        """The study file, or a line that says there is none."""
        return self.config if self.config is not None else "(no study file)"

    @property
    def lock_text(self) -> str:
        """The lock as indented JSON, or a line that says there is none."""
        return "(no lock)" if self.lock is None else json.dumps(self.lock, indent=1, ensure_ascii=False)


def cells_text(scores: ScoreMatrix) -> str:
    """How many cells there are, how they came about, how many are missing."""
    status = scores.status_IN.ravel().tolist()
    counts = {kind: status.count(kind) for kind in ("measured", "imported", "predicted", "missing")}
    parts = [f"{count} {kind}" for kind, count in counts.items() if count]
    size = f"{count_of(len(scores.models), 'model')} × {count_of(len(scores.tasks), 'task')}"
    return f"{size}: {', '.join(parts)}"
