"""The cells that findings may rest on: committed, whole on the disk, and what today's study would make.

Whatever else lies in the folder is named and left out: a cell of an old prompt beside a base of a new one would show a
difference that no adapter made.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from traitscope.config import BaseConfig, ModelConfig, StudyConfig
from traitscope.store import CellHead, CellIndex, RunFolder, differences
from traitscope.store.models import ModelSource, locked
from traitscope.store.seal import Damaged
from traitscope.study.data import StudyData
from traitscope.study.state import Units, changed_rows, fingerprint_of
from traitscope.study.units import CellUnit, ModelUnit, adapter_names, cell_units

# Of so many cells the keys that changed are told; reading each of thousands would take long.
TOLD = 50
JUDGED = "judged by another parser or other metrics"


@dataclass(frozen=True, slots=True)
class Present:
    """Cells that fit, and those that were left out.

    Attributes:
        cells: of the study's models and targets.
        left_out: unit -> why it is not among them; nothing for cells that were never made.
        damaged: those of them that are not as they were written.
    """

    cells: CellIndex
    left_out: dict[str, str]
    damaged: frozenset[str] = frozenset()

    @property
    def changed(self) -> frozenset[str]:
        """Those that the study was changed under, which a run refuses."""
        return frozenset(unit for unit, why in self.left_out.items() if why != JUDGED) - self.damaged

    def summary(self, units: Container[str] | None = None) -> str:
        """What was left out, by reason; ``units``: of these alone."""
        by_reason: dict[str, list[str]] = {}
        for unit, why in self.left_out.items():
            if units is None or unit in units:
                by_reason.setdefault(why, []).append(unit.removeprefix("cells/"))
        return "; ".join(
            f"{', '.join(units[:4])}{f' and {len(units) - 4} more' if len(units) > 4 else ''} ({why})"
            for why, units in by_reason.items()
        )


def find_present(units: Units, folder: RunFolder, data: StudyData) -> Present:
    """Compares the committed cells with those that a study would make."""
    index = folder.cells.index()
    kept, left_out, damaged = set(), dict[str, str](), set[str]()
    for cell in units.cells:
        key = (cell.model.name, cell.task)
        head, broken = index.get(*key), index.damaged.get(key)
        unfit = None if head is None else _unfit(cell, head, folder, data, len(left_out) < TOLD)
        if head is not None and unfit is None:
            fault = folder.checked.fault(folder.cells.records_path(*key), head.examples_sha256)
            broken = None if fault is None else f"examples.parquet {fault}"
        if broken is not None:
            damaged.add(cell.unit)
        if (why := unfit or broken) is not None:
            left_out[cell.unit] = why
        elif head is not None:
            kept.add(key)
    return Present(index.only(kept), left_out, frozenset(damaged))


def _unfit(cell: CellUnit, head: CellHead, folder: RunFolder, data: StudyData, tell: bool) -> str | None:
    """Why a cell is not the one that the study would make; None where it is, be it of fewer rows."""
    if head.fingerprint != cell.fingerprint:
        made = folder.cells.read_json(head.model, head.task)["inputs"] if tell else {}
        keys = [line.split(":")[0] for line in differences(made, cell.inputs)] if made else []
        return f"made under other settings{': ' if keys else ''}{', '.join(keys)}"
    if changed_rows(cell, head, folder, data):
        return "made from other evaluation rows"
    if head.scoring != cell.scoring:
        return JUDGED
    return None


def changed_adapters(units: Units, folder: RunFolder) -> set[str]:
    """Finished adapters that were made under other settings than the study's of today."""
    found = set()
    for model in units.models:
        if model.kind in ("adapter", "mix"):
            with suppress(Damaged):
                head = folder.adapter(model.name)
                if head is not None and head.fingerprint != model.fingerprint:
                    found.add(model.name)
    return found


def locked_units(
    config: StudyConfig, asked: Callable[[BaseConfig | ModelConfig], ModelSource], lock: Mapping[str, Any]
) -> Units | None:
    """Models and cells that ``lock.json`` tells of, for want of rows or models at hand; None where it knows too little.

    Args:
        config: the study. asked: a model as the study file asks for it. lock: what ``lock.json`` says.
    """
    tasks = lock.get("tasks", {})
    base = locked(lock.get("base"), asked(config.base))
    others = {name: locked(lock.get("models", {}).get(name), asked(model)) for name, model in config.models.items()}
    identities = {name: other for name, other in others.items() if other is not None}
    if base is None or len(identities) < len(others):
        return None
    models = [ModelUnit("base", "base", None, None, fingerprint_of(base))]
    for name, (source, seed) in adapter_names(config).items():
        mark = lock.get("adapters", {}).get(name, "")
        models.append(ModelUnit(name, "mix" if source in config.mixes else "adapter", source, seed, mark))
    models += [ModelUnit(name, "model", None, None, fingerprint_of(other)) for name, other in identities.items()]

    def day_of(model: str) -> str | None:
        reader = model if model in identities and not identities[model].adapter else "base"
        return lock.get("date") if reader in lock.get("dated", ()) else None

    cells: list[CellUnit] = []
    for task in config.target_names():
        if (marks := tasks.get(task)) is not None:
            n, rows, programs = int(marks["n_eval"]), marks["eval"], marks.get("programs")
            cells += cell_units(models, task, config.tasks[task], n, rows, day_of, config.root, programs)
    return Units(base, (), tuple(models), identities, tuple(cells))
