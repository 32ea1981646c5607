"""What `analyse_layers` gives, and how it is kept in the run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.frames import Tabular
from traitscope.layers.embedding import Embedding
from traitscope.layers.section_types import Sections, told_apart
from traitscope.layers.sections import SectionCurves
from traitscope.store import write_atomic
from traitscope.texts import Shown, count_of

__all__ = ["ALL", "NULL", "TABLE_COLUMNS", "UNSEEN", "LayersResult"]

ALL, UNSEEN, NULL = "(all)", "(unseen)", "(null)"
"""Names in the table's task column for figures over several tasks: trained ones, held-out ones, the
permutation null."""

TABLE_COLUMNS = ("measure", "pair", "layer", "task", "value", "low", "high", "status", "reason")


@dataclass(frozen=True, repr=False)
class LayersResult(Shown, Tabular):
    """The layer-by-layer account of a study.

    Attributes:
        table: long table with `TABLE_COLUMNS`. ``pair`` is e.g. ``mix~control``, or one role for a spectrum.
            Rows of a task carry an interval over examples; rows of ``(all)`` and ``(unseen)`` the median over
            tasks (mean for spectra) with a 95 % bootstrap interval over tasks; rows of ``(null)`` the mean, 5
            % and 95 % points of that median under re-ordered examples. Undefined values are NaN with
            ``status`` ``undefined`` and a reason.
        maps: by ``measure:pair``: layer x layer medians over tasks, first role along the first axis.
        sections: by label: ``all tasks``, ``cluster <name>``, ``unseen tasks``.
        separability: model, layer, labels (task or cluster) and the fields of `Separability`.
        embeddings: t-SNE panels.
        meta: n, n_over_d, layers, tasks, clusters, models, excluded tasks with reasons, seeds, versions.
    """

    table: pd.DataFrame
    maps: dict[str, np.ndarray]
    sections: dict[str, Sections]
    separability: pd.DataFrame
    embeddings: tuple[Embedding, ...]
    meta: dict[str, Any] = field(default_factory=dict)

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{count_of(len(self.tasks), 'task')}, {self.meta['n_layers']} layers"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``layers``: ``table``; ``separability``."""
        return {"layers": self.table, "separability": self.separability}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that were analysed."""
        return tuple(self.meta["tasks"])

    @property
    def layers(self) -> tuple[int, ...]:
        """Layer numbers, 0 (embeddings) first."""
        return tuple(range(self.meta["n_layers"] + 1))

    def curves(self, measure: str, pair: str, tasks: Sequence[str] | None = None) -> pd.DataFrame:
        """Values of one measure: a frame with a row per task and a column per layer; NaN where undefined.

        Raises:
            TraitscopeError: the measure or pair was not computed.
        """
        part = self.table[(self.table["measure"] == measure) & (self.table["pair"] == pair)]
        part = part[~part["task"].isin((ALL, UNSEEN, NULL))]
        if part.empty:
            known = sorted(set(map(":".join, zip(self.table["measure"], self.table["pair"], strict=True))))
            raise TraitscopeError(
                f"no curve {measure}:{pair}",
                where="LayersResult.curves",
                fix=f"choose one of {', '.join(known)}",
            )
        wide = part.pivot(index="task", columns="layer", values="value")
        order = [task for task in (tasks if tasks is not None else self.tasks) if task in wide.index]
        return wide.loc[order]

    def summary(self, measure: str, pair: str, over: str = ALL) -> pd.DataFrame:
        """Layer, value, low, high over tasks (``over`` one of `ALL`, `UNSEEN`, `NULL`)."""
        part = self.table[
            (self.table["measure"] == measure) & (self.table["pair"] == pair) & (self.table["task"] == over)
        ]
        return part[["layer", "value", "low", "high", "status"]].sort_values("layer").reset_index(drop=True)

    def section_curves(self, measure: str | None = None, tasks: Sequence[str] | None = None) -> SectionCurves:
        """The curves that sections are read from, layer 0 left out; all trained tasks with a control by default."""
        measure = measure or self.meta["section_measure"]
        if tasks is None:
            tasks = [task for task in self.tasks if task not in self.meta["unseen"]]
        mix = self.curves(measure, "mix~control", tasks)
        names = list(mix.index)
        columns = [layer for layer in map(int, mix.columns) if layer > 0]
        null = self.summary(measure, "mix~control", NULL).set_index("layer")["high"]
        return SectionCurves(
            layers_L=np.array(columns),
            tasks=tuple(names),
            mix_NL=mix[columns].to_numpy(dtype=float),
            base_NL=self.curves(measure, "base~control", names)[columns].to_numpy(dtype=float),
            dims_NL=self.curves("dims99", "mix", names)[columns].to_numpy(dtype=float),
            null_L=null.loc[columns].to_numpy(dtype=float) if len(null) else None,
            measure=measure,
        )

    def render(self) -> str:
        """Sections of every group of tasks, and what a reader must know about n."""
        meta = self.meta
        lines = [
            f"layers: {count_of(len(self.tasks), 'task')}, {meta['n_layers']} layers, "
            f"n = {count_of(meta['n'], 'example')} per task, D = {meta['hidden_size']}, n/D = {meta['n_over_d']:.2f}"
        ]
        lines += [f"  left out: {task} ({reason})" for task, reason in meta["excluded"].items()]
        told, small = told_apart(self.sections)
        lines += [sections.render() for sections in told]
        lines += [] if small is None else [small]
        return "\n".join(lines)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Tables by path in the run folder: one per task under ``layers/``, the figures over tasks under
        ``analysis/``."""
        over = self.table["task"].isin((ALL, UNSEEN, NULL))
        frames = {
            "analysis/layers.parquet": self.table[over],
            "analysis/separability.parquet": self.separability,
        }
        for task, part in self.table[~over].groupby("task", sort=False):
            frames[f"layers/{task}.parquet"] = part
        return {path: frame.reset_index(drop=True) for path, frame in frames.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything but the tables of `frames`: sections, maps, t-SNE panels, meta; NaN becomes null."""
        return {
            "meta": self.meta,
            "sections": {label: sections.to_json() for label, sections in self.sections.items()},
            "maps": {name: _nullable(map_LL) for name, map_LL in self.maps.items()},
            "embeddings": [embedding.to_json() for embedding in self.embeddings],
        }

    def save(self, folder: Path) -> list[Path]:
        """Write the tables of `frames` and ``analysis/layers.json`` under a run folder; returns the files."""
        files = {folder / path: frame.to_parquet(None, index=False) for path, frame in self.frames().items()}
        files[folder / "analysis" / "layers.json"] = json.dumps(self.to_json(), indent=1, allow_nan=False).encode()
        for path, data in files.items():
            write_atomic(path, data)
        return list(files)

    @classmethod
    def load(cls, folder: Path) -> LayersResult:
        """Read what `save` wrote.

        Raises:
            TraitscopeError: the run folder has no layer analysis.
        """
        path = folder / "analysis" / "layers.json"
        if not path.is_file():
            raise TraitscopeError("no layer analysis here", where=str(path), fix="run `traitscope layers` first")
        data = json.loads(path.read_text(encoding="utf-8"))
        tables = [pd.read_parquet(folder / "layers" / f"{task}.parquet") for task in data["meta"]["tasks"]]
        tables.append(pd.read_parquet(folder / "analysis" / "layers.parquet"))
        return cls.from_parts(pd.concat(tables), pd.read_parquet(folder / "analysis" / "separability.parquet"), data)

    @classmethod
    def from_parts(cls, table: pd.DataFrame, separability: pd.DataFrame, data: Mapping[str, Any]) -> LayersResult:
        """Put together from tables and the content of ``layers.json``."""
        return cls(
            table=table.reset_index(drop=True),
            maps={name: np.array(rows, dtype=float) for name, rows in data["maps"].items()},
            sections={label: Sections.from_json(value) for label, value in data["sections"].items()},
            separability=separability,
            embeddings=tuple(Embedding.from_json(value) for value in data["embeddings"]),
            meta=dict(data["meta"]),
        )


def _nullable(map_LL: np.ndarray) -> list[list[float | None]]:
    return [[None if value != value else round(value, 6) for value in row] for row in map_LL.tolist()]
