"""Filling missing cells, growing those with too few rows, judging anew those whose metrics changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from traitscope.compute import Adapted, Evaluate, Event, Order, Records, ScoringPlan
from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Cell, Example, ExampleRecord
from traitscope.store import CellStamp, LeaseLost, RowsHash, RunFolder, put_if_absent
from traitscope.store.files import write_atomic
from traitscope.store.fingerprints import hash_file
from traitscope.store.models import ModelSource, adapter_folder
from traitscope.store.seal import read_sealed, sealed
from traitscope.study.data import StudyData
from traitscope.study.overlong import cell_overlong
from traitscope.study.state import State, place_cell
from traitscope.study.units import CellUnit, ModelUnit
from traitscope.study.work import Step, Work
from traitscope.tasks.judge import make_cell, rejudge, rescore_cell

_FIX = "traitscope run: it goes to quarantine/ and is written again"


def evaluate_missing(work: Work) -> bool:
    """Computes every missing cell whose model is there and that is free; True if some are left."""
    state = work.state()
    ready = ready_cells(state, work.folder)
    left = len(state.missing_cells) > len(ready)
    if not ready:
        return left
    wanted: dict[str, dict[str, CellUnit]] = {}
    for cell in ready:
        wanted.setdefault(cell.model.name, {})[cell.task] = cell
    work.report.stage(f"evaluating {len(wanted)} models: {len(ready)} cells")
    steps: list[Step] = []
    for source, names in _by_source(work, wanted):
        plan = scoring_plan(work, source)
        for size, tasks in _forms(work, plan):
            groups = _groups(work, plan, size, source, names)
            left |= groups is None
            for group in groups or ():
                steps += _group_steps(work, source, plan, group, tasks, wanted)
    return work.carry_out(steps) or left


def ready_cells(state: State, folder: RunFolder) -> list[CellUnit]:
    """The missing cells whose model is there."""
    return [c for c in state.missing_cells if c.model.adapter is None or folder.adapter(c.model.name) is not None]


def _forms(work: Work, plan: ScoringPlan) -> list[tuple[int, Sequence[str]]]:
    """How many models run together, with the tasks it is about."""
    names = work.config.target_names()
    if plan.models_per_generation == plan.models_per_pass:
        return [(plan.models_per_pass, names)]
    made = [name for name in names if work.data.tasks[name].form in ("generate", "lm_eval")]
    return [(plan.models_per_generation, made), (plan.models_per_pass, [name for name in names if name not in made])]


def _by_source(work: Work, wanted: Iterable[str]) -> list[tuple[ModelSource, list[str]]]:
    """The wanted models by what must be loaded for them: the base with its adapters first."""
    found: dict[ModelSource, list[str]] = {}
    base = work.units.base.source()
    for name in wanted:
        other = work.units.identities.get(name)
        source = base if other is None or other.adapter else other.source()
        found.setdefault(source, []).append(name)
    return sorted(found.items(), key=lambda item: item[0] != base)


def scoring_plan(work: Work, source: ModelSource) -> ScoringPlan:
    """How cells are computed, written down before the first one; made anew only on another kind of device."""
    fresh = work.backend.plan_scoring(source)
    if source != work.units.base.source():
        return fresh
    path = work.folder.root / "plan" / "scoring.json"
    content = {**asdict(fresh), "groups": []}
    if not put_if_absent(path, sealed(content, path.name)):
        old = read_sealed(path, fix=_FIX)
        if old.get("device") == fresh.device and old.keys() >= content.keys():
            return ScoringPlan(**{key: old[key] for key in asdict(fresh)})
        write_atomic(path, sealed(content, path.name))
    return fresh


def _groups(
    work: Work, plan: ScoringPlan, size: int, source: ModelSource, names: Sequence[str]
) -> list[list[str]] | None:
    """Which models share a pass; None while another process writes it down.

    Where models are scored side by side, numbers depend on the neighbours in the last bit: a group once written down
    stays, so that a resume gives the same bytes. Models that only decode together need no record.
    """
    if size == 1 or source != work.units.base.source():
        return [[name] for name in names]
    if plan.models_per_pass == 1:
        return [list(names[i : i + size]) for i in range(0, len(names), size)]
    path = work.folder.root / "plan" / "scoring.json"
    with work.leased("plan") as held:
        if not held:
            return None
        content = read_sealed(path, fix=_FIX)
        known = {name for group in content["groups"] for name in group}
        fresh = [name for name in names if name not in known]
        content["groups"] += [fresh[i : i + size] for i in range(0, len(fresh), size)]
        if fresh:
            try:
                with work.leases.commit("plan"):
                    write_atomic(path, sealed(content, path.name))
            except LeaseLost:
                return None
    return [group for group in content["groups"] if any(name in names for name in group)]


def _group_steps(
    work: Work,
    source: ModelSource,
    plan: ScoringPlan,
    group: Sequence[str],
    tasks: Sequence[str],
    wanted: Mapping[str, Mapping[str, CellUnit]],
) -> Iterator[Step]:
    """One step per task that a model of the group lacks."""
    models = {model.name: model for model in work.units.models}
    for task in tasks:
        cells = [wanted[name][task] for name in group if task in wanted.get(name, {})]
        for n in sorted({cell.n for cell in cells}):
            alike = [cell for cell in cells if cell.n == n]
            unit = alike[0].unit if len(group) == 1 else f"group/{group[0]}/{task}"
            yield _step(work, source, plan, [models[name] for name in group], unit, task, alike)


def _step(
    work: Work,
    source: ModelSource,
    plan: ScoringPlan,
    group: Sequence[ModelUnit],
    unit: str,
    task: str,
    cells: Sequence[CellUnit],
) -> Step:
    state = State()

    def order() -> Order | None:
        # Another process may have been here before the lease was held.
        for cell in cells:
            place_cell(cell, work.folder.cells.head(cell.model.name, cell.task), state, work.folder, work.data)
        if not state.missing_cells:
            return None
        return Evaluate(
            key=unit,
            model=source,
            models={model.name: Adapted(path=_folder(work, model)) for model in group},
            task=work.data.tasks[task],
            examples=work.data.load(task).eval[: cells[0].n],
            plan=plan,
            skip=min(state.have.get(cell.unit, 0) for cell in state.missing_cells),
            allow_code=work.allow_code,
        )

    def receive(event: Event) -> None:
        assert isinstance(event, Records)
        _commit_cells(work, unit, state, event.records)

    return Step(unit, order, receive)


def _folder(work: Work, model: ModelUnit) -> Path | None:
    identity = work.units.identities.get(model.name)
    if model.adapter is not None:
        return work.folder.adapter_path(model.name)
    if identity is not None and identity.adapter:
        found = adapter_folder(identity.source())
        if found is None:
            # Without its adapter the row would show the base's scores.
            raise TraitscopeError(
                "the adapter is not there any more",
                where=f"model {identity.model}",
                fix="name a revision that has it, and run with --replace",
            )
        return found
    return None


def _commit_cells(work: Work, unit: str, state: State, found: Mapping[str, Sequence[ExampleRecord]]) -> None:
    skip = min(state.have.get(cell.unit, 0) for cell in state.missing_cells)
    first = state.missing_cells[0]
    wanted = [example.id for example in work.data.load(first.task).eval[skip : first.n]]
    for cell in state.missing_cells:
        if [record.id for record in found.get(cell.model.name, ())] != wanted:
            raise TraitscopeError(
                f"the backend gave other examples than the {len(wanted)} that were asked for, or none",
                where=cell.unit,
                fix="mend the backend: Records hold every model of the order, with its examples in their order",
            )
        task, have = work.data.tasks[cell.task], state.have.get(cell.unit, 0)
        examples = work.data.load(cell.task).eval[: cell.n]
        records = list(found[cell.model.name][have - skip :])
        if have:
            stored = work.folder.cells.read_records(cell.model.name, cell.task)
            # The parser or the primary metric may have changed since the first rows were judged.
            records = [*rejudge(task, examples, stored[:have], allow_code=work.allow_code), *records]
        if task.form == "lm_eval":
            # Where the harness and its data are: a backend has neither.
            records = rejudge(task, examples, records)
        model = cell.model
        made = make_cell(
            task,
            records,
            examples,
            model=model.name,
            source=model.source,
            seed=model.seed,
            overlong=cell_overlong(work.data, cell.task, model.name),
        )
        if _commit(work, unit, cell, made, where_missing=True):
            work.evaluated.append(cell.unit)


def _is_missing(work: Work, cell: CellUnit) -> bool:
    state = State()
    place_cell(cell, work.folder.cells.head(cell.model.name, cell.task), state, work.folder, work.data)
    return bool(state.missing_cells)


def _commit(
    work: Work, unit: str, cell: CellUnit, made: Cell, rows: str | None = None, *, where_missing: bool = False
) -> bool:
    """Commits a cell under a unit's lease; with ``where_missing`` only if nobody has meanwhile: False then."""
    stamp = CellStamp(cell.fingerprint, cell.scoring, rows or cell.rows, work.units.base.shared, cell.inputs)
    staged = work.folder.cells.stage(made, stamp)
    try:
        with work.leases.commit(unit):
            # Models that are continued together may have been in another process's group, under another lease.
            if where_missing and not _is_missing(work, cell):
                return False
            staged.commit()
    finally:
        staged.drop()
    work.tracking.cell(cell.model.name, cell.task, made.scores)
    primary = made.scores[0]
    error = "" if primary.stderr is None else f" ± {primary.stderr:.3f}"
    work.folder.log("cell", unit=cell.unit, fingerprint=cell.fingerprint, n=len(made.records))
    work.report.finished(cell.unit, f"{primary.metric} {primary.value:.3f}{error} (n {primary.n})")
    return True


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
        with work.leased(cell.unit) as held:
            left |= not held
            try:
                if held:
                    _rescore_one(work, cell)
            except LeaseLost as lost:
                work.report.note(str(lost))
                left = True
    return left


def _rescore_one(work: Work, cell: CellUnit) -> None:
    head = work.folder.cells.head(cell.model.name, cell.task)
    if head is None:
        return
    old = work.folder.cells.read(cell.model.name, cell.task)
    examples = _examples(work, cell.task, len(old.records))

    def on_run(done: int, of: int) -> None:
        work.stop_if_asked()

    made = rescore_cell(work.data.tasks[cell.task], old, examples, allow_code=work.allow_code, on_run=on_run)
    if made != old or head.scoring != cell.scoring:
        _commit(work, cell.unit, cell, made, head.rows)
        work.rescored.append(cell.unit)


def _examples(work: Work, task: str, n: int) -> Sequence[Example]:
    """At least the first ``n`` examples: the task's own, or the stored ones where it now asks for fewer."""
    examples = work.data.load(task).eval
    return examples if len(examples) >= n else [*examples, *work.folder.read_task(task)["eval"][len(examples) :]]


def write_tasks(config: StudyConfig, folder: RunFolder, data: StudyData) -> dict[str, str]:
    """Writes the rows of every task of the study that the folder does not hold yet; the files' SHA-256 by task.

    Rows of an evaluation that was larger before are kept: cells were made from them.
    """
    known, most = (folder.read_lock() or {}).get("tasks", {}), dict[str, int]()
    for head in folder.cells.index():
        most[head.task] = max(most.get(head.task, 0), head.n)
    return {
        name: _write_task(name, folder, data, most.get(name, 0))
        or known.get(name, {}).get("sha256")
        or hash_file(folder.task_path(name))
        for name in config.tasks
    }


def _write_task(name: str, folder: RunFolder, data: StudyData, most: int) -> str | None:
    """The SHA-256 of what was written; None where the file stays as it is. Cells have at most so many rows."""
    wanted, held = data.marks(name), folder.task_marks(name)
    if held == wanted:
        return None
    loaded = data.load(name)
    rows: Sequence[Example] = loaded.eval
    if held is None and most > len(rows):
        more = data.more_eval(name, most)
        hashes = RowsHash(more)
        if hashes.prefix(len(rows)) == wanted["eval"]:
            rows, wanted = more, {**wanted, "eval": hashes.whole, "n_eval": str(len(more))}
    elif held is not None and int(held["n_eval"]) > len(rows):
        stored = folder.read_task(name)["eval"]
        hashes = RowsHash(stored)
        if hashes.prefix(len(rows)) == wanted["eval"]:
            if held["train"] == wanted["train"]:
                return None
            rows, wanted = stored, {**wanted, "eval": hashes.whole, "n_eval": str(len(stored))}
    return folder.write_task(name, {"train": loaded.train, "eval": rows}, wanted)
