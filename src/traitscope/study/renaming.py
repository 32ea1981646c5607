"""Units that were made under another name: a renamed task's adapters and cells are found again, not made again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace

from traitscope.store import AdapterHead, CellHead, CellStamp, RunFolder
from traitscope.store.damage import adapter_damage, cell_damage
from traitscope.study.data import StudyData
from traitscope.study.state import State, Units, changed_rows
from traitscope.study.units import AdapterUnit, CellUnit


def renamed_adapters(units: Units, state: State, folder: RunFolder) -> Iterator[tuple[AdapterUnit, AdapterHead]]:
    """The missing adapters that the folder holds whole under a name that the study has no more."""
    wanted = {unit.name for unit in units.adapters}
    free = {head.fingerprint: head for head in folder.adapters() if head.name not in wanted}
    for unit in state.missing_adapters:
        head = free.pop(unit.fingerprint, None)
        if head is None or unit.unit in state.changed or any(adapter_damage(folder, head.name, folder.checked)):
            continue
        yield unit, head


def renamed_cells(
    units: Units, state: State, folder: RunFolder, data: StudyData
) -> Iterator[tuple[CellUnit, CellHead]]:
    """The missing cells that the folder holds whole under a model or task that the study has no more."""
    wanted = {(cell.model.name, cell.task) for cell in units.cells}
    free: dict[str, list[CellHead]] = {}
    for head in folder.cells.index():
        if (head.model, head.task) not in wanted:
            free.setdefault(head.fingerprint, []).append(head)
    for cell in state.missing_cells:
        for head in () if cell.unit in state.changed else free.get(cell.fingerprint, ()):
            # Many tasks are computed alike: the rows tell them apart.
            if not changed_rows(cell, head, folder, data):
                if not any(cell_damage(folder, head.model, head.task, folder.checked)):
                    yield cell, head
                free[cell.fingerprint].remove(head)
                break


def rename_adapter(folder: RunFolder, unit: AdapterUnit, head: AdapterHead) -> None:
    """Moves an adapter to its new name; only its mark and its card speak of names."""
    card = head.card.replace(head.name, unit.name).replace(f"`{head.source}`", f"`{unit.source}`")
    made = folder.restage_adapter(head, replace(head, name=unit.name, source=unit.source, card=card))
    if folder.commit_adapter(made, unit.name):
        shutil.rmtree(folder.adapter_path(head.name))


def rename_cell(folder: RunFolder, cell: CellUnit, head: CellHead, base: str) -> None:
    """Moves a cell to its new model's and task's name."""
    old, model = folder.cells.read(head.model, head.task), cell.model
    made = replace(old, model=model.name, source=model.source, seed=model.seed, task=cell.task)
    stamp = CellStamp(head.fingerprint, head.scoring, head.rows, base, cell.inputs)
    folder.cells.stage(made, stamp).commit()
    place = folder.cells.path(head.model, head.task)
    shutil.rmtree(place)
    if not any(path.is_dir() for path in place.parent.iterdir()):
        shutil.rmtree(place.parent)  # the index of no cells
