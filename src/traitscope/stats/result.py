"""The statistics of several datasets together, and how they are written and read again."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, load_findings, plain
from traitscope.stats.measures import STATISTICS
from traitscope.stats.similarity import Similarity
from traitscope.texts import Shown, count_of, frame_text

FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DatasetStats(Shown, Tabular):
    """Hidden statistics of M datasets.

    Attributes:
        frame: one row per dataset, one column per statistic (docs/statistics.md), NaN where not defined.
        labels: label words of every dataset (see :func:`traitscope.stats.label_words`).
        collisions: words that datasets share (see :func:`traitscope.stats.label_collisions`).
        similarity: by kind: ``semantic``, ``style``, ``overlap``.
        dependencies: shares of dependency relations by dataset; None without spaCy.
        notes: what could not be computed, and why.
    """

    frame: pd.DataFrame
    labels: pd.DataFrame
    collisions: pd.DataFrame
    similarity: dict[str, Similarity] = field(default_factory=dict)
    dependencies: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{len(self.frame.columns)} statistics of {count_of(len(self.frame), 'dataset')}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``statistics`` (a row per dataset), ``labels``, ``collisions``, ``similarity`` (a row per kind and pair), and
        ``dependencies`` where there are any.
        """
        pairs = [
            (kind, one, other, float(s.values_MM[i, j]))
            for kind, s in self.similarity.items()
            for i, one in enumerate(s.names)
            for j, other in enumerate(s.names)
        ]
        found = {
            "statistics": self.frame.rename_axis("dataset"),
            "labels": self.labels,
            "collisions": self.collisions,
            "similarity": pd.DataFrame(pairs, columns=["kind", "dataset", "other", "value"]),
        }
        if self.dependencies is not None:
            found["dependencies"] = self.dependencies.rename_axis("dataset")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The datasets."""
        return tuple(str(name) for name in self.frame.index)

    def core(self) -> pd.DataFrame:
        """Only the statistics that explanations look at by default."""
        return self.frame[[e.name for e in STATISTICS if e.value.core and e.name in self.frame.columns]]

    def label_shares(self, dataset: str) -> dict[str, float]:
        """Share of every label word (as written) of one dataset; empty where it has no classes."""
        rows = self.labels[self.labels["dataset"] == dataset]
        return dict(zip(rows["word"].astype(str), rows["share"].astype(float), strict=True))

    def to_json(self) -> str:
        """All of it as one JSON text; NaN and infinity become null and ``"inf"``."""
        payload: dict[str, Any] = {
            "statistics": {name: _plain_row(row) for name, row in self.frame.iterrows()},
            "labels": _records(self.labels),
            "collisions": _records(self.collisions),
            "similarity": {
                kind: {
                    "by": s.by,
                    "method": s.method,
                    "names": list(s.names),
                    "values": [[_plain(v) for v in row] for row in s.values_MM],
                    "reliability": None if s.reliability_M is None else [_plain(v) for v in s.reliability_M],
                    "note": s.note,
                }
                for kind, s in self.similarity.items()
            },
            "dependencies": None
            if self.dependencies is None
            else {name: _plain_row(row) for name, row in self.dependencies.iterrows()},
            "notes": list(self.notes),
        }
        return dump_findings(payload, FORMAT)

    @classmethod
    def from_json(cls, text: str) -> DatasetStats:
        """What :meth:`to_json` wrote.

        Raises:
            TraitscopeError: if the text was written by another format version.
        """
        payload = load_findings(text, FORMAT, "dataset statistics")
        label_columns = ["dataset", "index", "word", "meaning", "count", "share"]
        return cls(
            frame=_frame(payload["statistics"]),
            labels=pd.DataFrame(payload["labels"], columns=label_columns),
            collisions=pd.DataFrame(payload["collisions"]),
            similarity={
                kind: Similarity(
                    kind=kind,
                    by=s["by"],
                    method=s["method"],
                    names=tuple(s["names"]),
                    values_MM=np.array([[_number(v) for v in row] for row in s["values"]], dtype=float),
                    reliability_M=None
                    if s["reliability"] is None
                    else np.array([_number(v) for v in s["reliability"]], dtype=float),
                    note=s["note"],
                )
                for kind, s in payload["similarity"].items()
            },
            dependencies=None if payload["dependencies"] is None else _frame(payload["dependencies"]),
            notes=tuple(payload["notes"]),
        )

    def to_parquet(self, path: str | Path | None = None) -> bytes:
        """The table as parquet, a row per dataset, column ``dataset`` first; written to ``path`` if given."""
        buffer = io.BytesIO()
        self.frame.rename_axis("dataset").reset_index().to_parquet(buffer, index=False)
        if path is not None:
            Path(path).write_bytes(buffer.getvalue())
        return buffer.getvalue()

    def render(self) -> str:
        """Plain text for the terminal: core statistics (rows) by dataset (columns), collisions, methods, notes."""
        table = self.core().T
        lines = [frame_text(table, "{:.3g}", missing="-")]
        real = self.collisions[self.collisions["collides"].astype(bool)] if len(self.collisions) else self.collisions
        for row in real.to_dict("records"):
            lines.append(
                f"label {row['word']!r}: class {row['index_a']} of {row['dataset_a']}, "
                f"class {row['index_b']} of {row['dataset_b']} ({row['kind']})"
            )
        lines.extend(f"{similarity.label}: {similarity.method}" for similarity in self.similarity.values())
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else ("inf" if number > 0 else "-inf")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows with every number as it is: pandas' own writing keeps ten digits."""
    return [plain(row) for row in table.astype(object).to_dict("records")]


def _plain_row(row: pd.Series) -> dict[str, Any]:
    return {str(key): _plain(value) for key, value in row.items()}


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _frame(rows: dict[str, dict[str, Any]]) -> pd.DataFrame:
    parsed = {name: {key: _number(v) for key, v in row.items()} for name, row in rows.items()}
    return pd.DataFrame.from_dict(parsed, orient="index").rename_axis("dataset")
