"""What is done, what is missing, what can be judged anew without a model, what no longer fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.store import CellHead, CellIndex, RowsHash, RunFolder, differences
from traitscope.store.models import Identity
from traitscope.store.seal import Damaged
from traitscope.study.data import StudyData
from traitscope.study.failed import failure
from traitscope.study.units import AdapterUnit, CellUnit, ModelUnit, adapter_units, cell_units

# Changes that a refusal names.
MOST = 12


@dataclass(frozen=True, slots=True)
class Units:
    """Everything a study consists of, with fingerprints."""

    base: Identity
    adapters: tuple[AdapterUnit, ...]
    models: tuple[ModelUnit, ...]
    identities: dict[str, Identity]
    cells: tuple[CellUnit, ...]


def all_units(config: StudyConfig, data: StudyData, base: Identity, others: dict[str, Identity]) -> Units:
    """The units of a study; reads the tasks' rows unless their fingerprints are remembered."""
    models_read = {"base": base, **{name: other for name, other in others.items() if not other.adapter}}
    days = {name: data.printed_day(name, identity.source()) for name, identity in models_read.items()}
    adapters = all_adapters(config, data, base)
    models = [ModelUnit("base", "base", None, None, fingerprint_of(base))]
    for adapter in adapters:
        kind: Any = "mix" if adapter.mix else "adapter"
        models.append(ModelUnit(adapter.name, kind, adapter.source, adapter.seed, adapter.fingerprint, adapter))
    for name, identity in others.items():
        models.append(ModelUnit(name, "model", None, None, fingerprint_of(identity)))

    def day_of(name: str) -> str | None:
        return days.get(name, days["base"])

    cells: list[CellUnit] = []
    for task in config.target_names():
        n = data.n_eval(task)
        rows_of = data.eval_rows(task, n)
        assert rows_of is not None
        programs = data.programs(task, n)
        cells += cell_units(models, task, config.tasks[task], n, rows_of, day_of, config.root, programs)
    order = {model.name: index for index, model in enumerate(models)}
    cells.sort(key=lambda cell: order[cell.model.name])
    return Units(base, tuple(adapters), tuple(models), others, tuple(cells))


def all_adapters(config: StudyConfig, data: StudyData, base: Identity) -> list[AdapterUnit]:
    """The adapters of a study; reads the rows of their sources unless their fingerprints are remembered."""
    names = {s.name for s in config.resolved_sources()} | set(config.mixes)
    rows = {name: data.train_rows(name) for name in names}
    return adapter_units(config, base.key(), rows, data.printed_day("base", base.source()))


def fingerprint_of(identity: Identity) -> str:
    """A model's mark in its cells' fingerprints."""
    return f"{identity.fingerprint}-{identity.dtype}"


# What there is to do where a study was changed under its folder.
OTHERWISE = (
    "undo the change; or give the changed study a folder of its own with --out; or put the old units "
    "aside (under replaced/) and make them anew with --replace"
)


@dataclass
class State:
    """Where a study stands.

    Attributes:
        missing_adapters: to be trained.
        missing_cells: to be computed, or to be grown to more rows (see ``have``).
        rescore: cells whose outputs stand, but whose parser or metrics changed.
        changed: committed units that were made under other settings, with the reason's kind.
        have: rows that a cell of ``missing_cells`` already has.
        damaged: missing units whose mark is there and is not what was written, with what is wrong.
    """

    missing_adapters: list[AdapterUnit] = field(default_factory=list)
    missing_cells: list[CellUnit] = field(default_factory=list)
    rescore: list[CellUnit] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)
    have: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True if a run would compute nothing."""
        return not (self.missing_adapters or self.missing_cells or self.rescore or self.changed)


def find_state(units: Units, folder: RunFolder, data: StudyData) -> State:
    """Compares the units of a study with what its folder holds; a unit whose commit mark is damaged is missing.

    An adapter that came to nothing is not, and neither are its cells: ``refuse_failed`` tells of it.
    """
    state, failed = State(), set[str]()
    for adapter in units.adapters:
        try:
            head = folder.adapter(adapter.name)
        except Damaged as error:
            head, state.damaged[adapter.unit] = None, error.what
        if head is None and failure(folder, adapter.name, adapter.fingerprint) is not None:
            failed.add(adapter.name)
        elif head is None:
            state.missing_adapters.append(adapter)
        elif head.fingerprint != adapter.fingerprint:
            state.changed[adapter.unit] = "; ".join(differences(head.inputs, adapter.inputs)) or "fingerprint"
            state.missing_adapters.append(adapter)
    index = folder.cells.index()
    for cell in units.cells:
        if cell.model.name in failed:
            continue
        if (what := index.damaged.get((cell.model.name, cell.task))) is not None:
            state.damaged[cell.unit] = what
        place_cell(cell, index.get(cell.model.name, cell.task), state, folder, data)
    return state


def place_cell(cell: CellUnit, head: CellHead | None, state: State, folder: RunFolder, data: StudyData) -> None:
    """Puts one cell where it belongs: done, missing, to be grown, to be judged anew, or changed."""
    if head is None:
        state.missing_cells.append(cell)
    elif head.fingerprint != cell.fingerprint:
        state.changed[cell.unit] = "model or answer form"
        state.missing_cells.append(cell)
    elif changed_rows(cell, head, folder, data):
        state.changed[cell.unit] = "evaluation rows"
        state.missing_cells.append(cell)
    elif head.n < cell.n:
        state.have[cell.unit] = head.n
        state.missing_cells.append(cell)
    elif head.scoring != cell.scoring:
        state.rescore.append(cell)


def changed_rows(cell: CellUnit, head: CellHead, folder: RunFolder, data: StudyData) -> bool:
    """Whether a cell was made from other rows than the first of those that the study has now.

    Raises:
        TraitscopeError: that cannot be told without the task's rows, and they are not at hand.
    """
    if head.n == cell.n:
        return head.rows != cell.rows
    if head.n < cell.n:
        return head.rows != data.eval_rows(cell.task, head.n)
    # More rows were evaluated than are asked for now: the stored rows must begin with the present ones.
    stored = folder.task_rows(cell.task)
    if len(stored) < head.n:
        stored = RowsHash(data.more_eval(cell.task, head.n))  # the folder's copy of them is lost
    return stored.prefix(head.n) != head.rows or stored.prefix(cell.n) != cell.rows


def refuse_changes(
    state: State, old: StudyConfig | None, new: StudyConfig, folder: RunFolder, files: Sequence[str]
) -> TraitscopeError | None:
    """The error for a study that was changed under a folder that holds other units, or None.

    Args:
        files: what changed in the models' own files.
    """
    if not state.changed:
        return None
    adapters = [unit for unit in state.changed if unit.startswith("adapters/")]
    cells = [unit for unit in state.changed if unit.startswith("cells/")]
    lines = [*files, *_what_changed(state, old, new, folder, adapters or cells)]
    counts = " and ".join(
        f"{len(units)} {word}{'s' if len(units) != 1 else ''}"
        for units, word in ((adapters, "adapter"), (cells, "cell"))
        if units
    )
    shown = "\n".join(f"    {line}" for line in lines[:MOST])
    more = f"\n    ... and {len(lines) - MOST} more" if len(lines) > MOST else ""
    return TraitscopeError(
        f"the study changed since {counts} in this folder were made:\n{shown}{more}",
        where=str(folder.root),
        fix=OTHERWISE,
    )


def _what_changed(
    state: State, old: StudyConfig | None, new: StudyConfig, folder: RunFolder, units: Sequence[str]
) -> Iterator[str]:
    found = []
    if old is not None:
        found = differences(
            old.model_dump(mode="json", exclude={"compute", "study"}),
            new.model_dump(mode="json", exclude={"compute", "study"}),
        )
    if found:
        yield from found
    else:
        wanted = {cell.unit: cell for cell in state.missing_cells}
        for unit in units[:MOST]:
            cell, lines = wanted.get(unit), [state.changed[unit]]
            if cell is not None:
                inputs = folder.cells.read_json(cell.model.name, cell.task)["inputs"]
                lines = differences(inputs, cell.inputs) or lines
            yield from (f"{unit}: {line}" for line in lines)


def index_table(index: CellIndex, models: Sequence[str], tasks: Sequence[str]) -> Any:
    """The scores of some models and tasks, in the study's order."""
    table = index.table()
    table = table[table["model"].isin(models) & table["task"].isin(tasks)]
    order = {name: index for index, name in enumerate([*models, *tasks])}
    return table.sort_values(["model", "task"], key=lambda column: column.map(order), kind="stable").reset_index(
        drop=True
    )
