"""Filling missing cells, growing those with too few rows, judging anew those whose metrics changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from traitscope.compute.cells import make_cell, rescore_cell
from traitscope.compute.local import ModelSource, adapter_folder
from traitscope.records import Cell, Example, ExampleRecord
from traitscope.store import CellStamp, LeaseLost, RowsHash, put_if_absent
from traitscope.store.files import json_bytes, read_json, write_atomic
from traitscope.study.state import State, place_cell
from traitscope.study.units import CellUnit, ModelUnit
from traitscope.study.work import Work
from traitscope.tasks.judge import rejudge

_FIX = "delete this file: the next run writes it again"


def evaluate_missing(work: Work) -> bool:
    """Computes every missing cell whose model is there and that is free; True if some are left."""
    missing = work.state().missing_cells
    wanted: dict[str, dict[str, CellUnit]] = {}
    for cell in missing:
        if cell.model.adapter is None or work.folder.adapter(cell.model.name) is not None:
            wanted.setdefault(cell.model.name, {})[cell.task] = cell
    left = len(missing) > sum(map(len, wanted.values()))
    if not wanted:
        return left
    models = {model.name: model for model in work.units.models}
    total = sum(map(len, wanted.values()))
    work.report.stage(f"evaluating {len(wanted)} models: {total} cells")
    for source, names in _by_source(work, wanted):
        plan = scoring_plan(work, source)
        for key, tasks in _forms(work, plan):
            groups = _groups(work, plan, key, source, names)
            left |= groups is None
            for group in groups or ():
                left |= _evaluate_group(work, source, plan, [models[name] for name in group], tasks, wanted)
    return left


def _forms(work: Work, plan: dict[str, Any]) -> list[tuple[str, Sequence[str]]]:
    """The plan's entry that says how many models run together, with the tasks it is about."""
    names = work.config.target_names()
    if plan["models_per_generation"] == plan["models_per_pass"]:
        return [("models_per_pass", names)]
    made = [name for name in names if work.data.tasks[name].form == "generate"]
    return [("models_per_generation", made), ("models_per_pass", [name for name in names if name not in made])]


def _by_source(work: Work, wanted: dict[str, Any]) -> list[tuple[ModelSource, list[str]]]:
    """The wanted models by what must be loaded for them: the base with its adapters first."""
    found: dict[ModelSource, list[str]] = {}
    base = work.units.base.source()
    for name in wanted:
        other = work.units.identities.get(name)
        source = base if other is None or other.adapter else other.source()
        found.setdefault(source, []).append(name)
    return sorted(found.items(), key=lambda item: item[0] != base)


def scoring_plan(work: Work, source: ModelSource) -> dict[str, Any]:
    """How cells are computed, written down before the first one; made anew only on another kind of device."""
    is_base = source == work.units.base.source()
    path = work.folder.root / "plan" / "scoring.json"
    fresh = work.place.scoring_plan(source)
    if not is_base:
        return fresh
    if not put_if_absent(path, json_bytes({**fresh, "groups": []})):
        old = dict(read_json(path, fix=_FIX))
        if old.get("device") == fresh["device"] and old.keys() >= fresh.keys():
            return old
        write_atomic(path, json_bytes({**fresh, "groups": []}))
    return {**fresh, "groups": []}


def _groups(
    work: Work, plan: dict[str, Any], key: str, source: ModelSource, names: Sequence[str]
) -> list[list[str]] | None:
    """Which models share a pass; None while another process writes it down.

    Where models are scored side by side, numbers depend on the neighbours in the last bit: a group once written down
    stays, so that a resume gives the same bytes. Models that only decode together need no record.
    """
    size = int(plan[key])
    if size == 1 or source != work.units.base.source():
        return [[name] for name in names]
    if int(plan["models_per_pass"]) == 1:
        return [list(names[i : i + size]) for i in range(0, len(names), size)]
    path = work.folder.root / "plan" / "scoring.json"
    if not work.leases.acquire("plan"):
        return None
    try:
        plan = dict(read_json(path, fix=_FIX))
        known = {name for group in plan["groups"] for name in group}
        fresh = [name for name in names if name not in known]
        plan["groups"] += [fresh[i : i + size] for i in range(0, len(fresh), size)]
        if fresh:
            with work.leases.commit("plan"):
                write_atomic(path, json_bytes(plan))
    except LeaseLost:
        return None
    finally:
        work.leases.release("plan")
    return [group for group in plan["groups"] if any(name in names for name in group)]


def _evaluate_group(
    work: Work,
    source: ModelSource,
    plan: dict[str, Any],
    group: Sequence[ModelUnit],
    tasks: Sequence[str],
    wanted: dict[str, dict[str, CellUnit]],
) -> bool:
    tasks = [t for t in tasks if any(t in wanted.get(m.name, {}) for m in group)]
    left = False
    opened = None
    try:
        for task in tasks:
            work.stop_if_asked()
            cells = [wanted[m.name][task] for m in group if task in wanted.get(m.name, {})]
            unit = cells[0].unit if len(group) == 1 else f"group/{group[0].name}/{task}"
            if not work.leases.acquire(unit):
                left = True
                continue
            try:
                still = _still_missing(work, cells)
                if still.missing_cells:
                    if opened is None:
                        opened = work.place.group(source, _folders(work, group), plan)
                        bank = opened.__enter__()
                    _evaluate_task(work, bank, unit, task, still)
            except LeaseLost as lost:
                work.report.note(str(lost))
                left = True
            finally:
                work.leases.release(unit)
    finally:
        if opened is not None:
            opened.__exit__(None, None, None)
    return left


def _still_missing(work: Work, cells: Sequence[CellUnit]) -> State:
    """Which of these cells are missing now that the lease is held: another process may have been here."""
    state = State()
    index = {cell.unit: work.folder.cells.head(cell.model.name, cell.task) for cell in cells}
    for cell in cells:
        place_cell(cell, index[cell.unit], state, work.folder, work.data)
    return state


def _folders(work: Work, group: Sequence[ModelUnit]) -> dict[str, Path | None]:
    found: dict[str, Path | None] = {}
    for model in group:
        identity = work.units.identities.get(model.name)
        if model.adapter is not None:
            found[model.name] = work.folder.adapter_path(model.name)
        elif identity is not None and identity.adapter:
            found[model.name] = adapter_folder(identity.model, identity.asked)
        else:
            found[model.name] = None
    return found


def _evaluate_task(work: Work, bank: Any, unit: str, task: str, state: State) -> None:
    examples = work.data.load(task).eval
    skip = min(state.have.get(cell.unit, 0) for cell in state.missing_cells)
    found = bank.evaluate(work.data.tasks[task], examples, skip=skip, on_progress=work.progress())
    for cell in state.missing_cells:
        have = state.have.get(cell.unit, 0)
        records: list[ExampleRecord] = found[cell.model.name][have - skip :]
        if have:
            stored = work.folder.cells.read_records(cell.model.name, task)
            # The parser or the primary metric may have changed since the first rows were judged.
            records = [*rejudge(work.data.tasks[task], examples, stored[:have]), *records]
        made = make_cell(
            work.data.tasks[task],
            records,
            examples,
            model=cell.model.name,
            source=cell.model.source,
            seed=cell.model.seed,
        )
        _commit(work, unit, cell, made)
        work.evaluated.append(cell.unit)


def _commit(work: Work, unit: str, cell: CellUnit, made: Cell, rows: str | None = None) -> None:
    stamp = CellStamp(cell.fingerprint, cell.scoring, rows or cell.rows, work.units.base.model, cell.inputs)
    staged = work.folder.cells.stage(made, stamp)
    try:
        with work.leases.commit(unit):
            staged.commit()
    finally:
        staged.drop()
    primary = made.scores[0]
    error = "" if primary.stderr is None else f" ± {primary.stderr:.3f}"
    work.folder.log("cell", unit=cell.unit, fingerprint=cell.fingerprint, n=len(made.records))
    work.report.finished(cell.unit, f"{primary.metric} {primary.value:.3f}{error} (n {primary.n})")


def rescore(work: Work, *, everything: bool = False) -> bool:
    """Judges cells anew from their records, without a model; True if another process holds some of them.

    Args:
        everything: all committed cells of the study, not only those whose parser or metrics changed. Cells
            whose scores come out the same are left as they are.
    """
    state = work.state()
    cells = list(state.rescore)
    if everything:
        skip = {cell.unit for cell in [*cells, *state.missing_cells]} | set(state.changed)
        cells += [cell for cell in work.units.cells if cell.unit not in skip]
    if not cells:
        return False
    work.report.stage(f"judging {len(cells)} cells anew from their records")
    left = False
    for cell in cells:
        work.stop_if_asked()
        if not work.leases.acquire(cell.unit):
            left = True
            continue
        try:
            _rescore_one(work, cell)
        except LeaseLost as lost:
            work.report.note(str(lost))
            left = True
        finally:
            work.leases.release(cell.unit)
    return left


def _rescore_one(work: Work, cell: CellUnit) -> None:
    head = work.folder.cells.head(cell.model.name, cell.task)
    if head is None:
        return
    old = work.folder.cells.read(cell.model.name, cell.task)
    examples = _examples(work, cell.task, len(old.records))
    made = rescore_cell(work.data.tasks[cell.task], old, examples)
    if made != old or head.scoring != cell.scoring:
        _commit(work, cell.unit, cell, made, head.rows)
        work.rescored.append(cell.unit)


def _examples(work: Work, task: str, n: int) -> Sequence[Example]:
    """At least the first ``n`` examples: the task's own, or the stored ones where it now asks for fewer."""
    examples = work.data.load(task).eval
    return examples if len(examples) >= n else work.folder.read_task(task)["eval"]


def write_tasks(work: Work) -> None:
    """Writes the rows of every task of the study that the folder does not hold yet.

    Rows of an evaluation that was larger before are kept: cells were made from them.
    """
    for name in work.config.tasks:
        wanted, held = work.data.marks(name), work.folder.task_marks(name)
        if held == wanted:
            continue
        loaded = work.data.load(name)
        rows: Sequence[Example] = loaded.eval
        if held is not None and int(held["n_eval"]) > len(rows):
            stored = work.folder.read_task(name)["eval"]
            hashes = RowsHash(stored)
            if hashes.prefix(len(rows)) == wanted["eval"]:
                if held["train"] == wanted["train"]:
                    continue
                rows, wanted = stored, {**wanted, "eval": hashes.whole, "n_eval": str(len(stored))}
        work.folder.write_task(name, {"train": loaded.train, "eval": rows}, wanted)
