"""What a study of several base models would still do, and what a run of it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.study.planning import StudyPlan, duration, size
from traitscope.texts import table_text

if TYPE_CHECKING:
    from traitscope.study.work import Work


@dataclass(frozen=True, slots=True)
class BasesPlan:
    """Done and missing units of every base model; ``print`` shows it.

    Attributes:
        study, folder: of the whole. parts: the plan of every base model. failed: why one could not be planned.
    """

    study: str
    folder: Path
    parts: Mapping[str, StudyPlan]
    failed: Mapping[str, TraitscopeError]

    @property
    def complete(self) -> bool:
        """True if a run would compute nothing."""
        return not self.failed and all(plan.complete for plan in self.parts.values())

    def missing(self) -> dict[str, list[str]]:
        """The units that a run would make, by what is to be done, as ``base/unit``."""
        found: dict[str, list[str]] = {}
        for name, plan in self.parts.items():
            for kind, units in plan.missing().items():
                found.setdefault(kind, []).extend(f"{name}/{unit}" for unit in units)
        return found

    def left_text(self) -> str:
        """What a part of a run left to do, in a line for each base model."""
        return "\n".join(f"{name}: {plan.left_text()}" for name, plan in self.parts.items() if not plan.complete)

    def to_json(self) -> dict[str, Any]:
        """All of it: the sum, and the plan of every base model."""
        return {
            "study": self.study,
            "folder": str(self.folder),
            "adapters": sum(plan.n_adapters for plan in self.parts.values()),
            "cells": sum(plan.n_cells for plan in self.parts.values()),
            "complete": self.complete,
            "missing": self.missing(),
            "bases": {name: plan.to_json() for name, plan in self.parts.items()},
            "failed": {name: str(error) for name, error in self.failed.items()},
        }

    def __str__(self) -> str:
        lines = [f"study {self.study} in {self.folder}, {len(self.parts) + len(self.failed)} base models"]
        rows = [["base", "adapters", "cells", "changed", "damaged", "time", "memory", "disk"]]
        for name, plan in self.parts.items():
            cost = plan.cost
            trained = plan.n_adapters - len(plan.state.missing_adapters)
            done = plan.n_cells - len(plan.state.missing_cells)
            times = None if cost is None or cost.seconds is None else cost.seconds
            rows.append(
                [
                    name,
                    f"{trained} of {plan.n_adapters}",
                    f"{done} of {plan.n_cells}",
                    *(str(len(found)) if found else "" for found in (plan.state.changed, plan.state.damaged)),
                    "" if times is None else duration(times),
                    "" if cost is None or cost.memory_bytes is None else size(cost.memory_bytes),
                    "" if cost is None or cost.disk_bytes is None else size(cost.disk_bytes),
                ]
            )
        kept = [i for i in range(len(rows[0])) if i < 3 or any(row[i] for row in rows[1:])]
        lines.append(table_text([[row[i] for i in kept] for row in rows], indent="  "))
        lines += [f"  {name} cannot be planned: {error}" for name, error in self.failed.items()]
        costs = [plan.cost for plan in self.parts.values() if plan.cost is not None]
        if self.complete:
            lines.append("  nothing is missing")
        elif costs and all(cost.seconds is not None for cost in costs):
            total = sum(cost.seconds or 0.0 for cost in costs)
            lines.append(f"  about {duration(total)} on this processor, one base model after the other")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class BasesWork:
    """What a run did on every base model on which anything was missing.

    Attributes:
        parts: by base model.
    """

    parts: Mapping[str, Work]

    def _all(self, what: str) -> list[str]:
        return [f"{name}/{unit}" for name, work in self.parts.items() for unit in getattr(work, what)]

    @property
    def trained(self) -> list[str]:
        """Adapters that were trained, as ``base/unit``."""
        return self._all("trained")

    @property
    def evaluated(self) -> list[str]:
        """Cells that were evaluated."""
        return self._all("evaluated")

    @property
    def rescored(self) -> list[str]:
        """Cells that were judged anew."""
        return self._all("rescored")

    @property
    def captured(self) -> list[str]:
        """Datasets whose hidden states were captured."""
        return self._all("captured")

    @property
    def tokens(self) -> int:
        """Tokens that passed through the models."""
        return sum(work.tokens for work in self.parts.values())

    @property
    def part(self) -> Any:
        """The part of the study that was asked for; None for all of it."""
        return next((work.part for work in self.parts.values() if work.part is not None), None)
