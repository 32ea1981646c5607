"""Filling a study's folder: what is missing is trained, evaluated and captured, by one process or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import yaml

from traitscope.compute import Backend, BackendLost, processes_for
from traitscope.compute.cluster import Cluster
from traitscope.compute.pool import Pool, PoolStopped
from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.store import RunFolder
from traitscope.store.models import model_identity
from traitscope.store.seal import sealed
from traitscope.study import evaluating, hidden, training
from traitscope.study.checking import check_code, check_study
from traitscope.study.context import Context
from traitscope.study.failed import refuse_failed
from traitscope.study.healing import heal
from traitscope.study.hub_pins import renamed
from traitscope.study.lock import changed_files, changed_packages, make_lock
from traitscope.study.part import Part, Shard
from traitscope.study.progress import Stopped
from traitscope.study.renaming import rename_adapter, rename_cell, renamed_adapters, renamed_cells
from traitscope.study.state import State, Units, all_units, find_state, refuse_changes
from traitscope.study.tracking import told_all, tracked, trackers_of
from traitscope.study.work import Work
from traitscope.ticks import ticks

POLL_S = 0.5
# Up to so many cells whoever reads their records opens each.
MOST_APART = 5_000


def fill(
    study: Context,
    *,
    train: bool,
    evaluate: bool,
    replace: bool,
    stop: Callable[[], bool] | None,
    part: Part | Callable[[Units], Part | None] | None = None,
    shard: Shard | None = None,
) -> Work | None:
    """Trains and evaluates what is missing, in several processes where they pay; None if nothing was missing.

    With ``part``, or what chooses one of the units, that alone and no hidden states; with ``shard`` its share of it.
    """
    trackers = trackers_of(study)
    heal(study)
    try:
        units = study.units()
    except TraitscopeError:
        # With whatever else is wrong.
        check_study(study)
        raise
    part = part(units) if callable(part) else part
    if shard is not None:
        part = shard.part(units, part, list(study.data.datasets()))
    wanted = units if part is None else part.of(units, study.data)
    state = find_state(wanted, study.folder, study.data)
    if _take_over(study, units, state):
        state = find_state(wanted, study.folder, study.data)
    captures = evaluate and (part is None or bool(part.datasets))
    unseen = captures and hidden.missing_hidden(
        study.folder, hidden.wanted_inputs(study.config, study.data, units.base, part)
    )
    marks = {unit.name: unit.fingerprint for unit in units.adapters}
    if state.complete and not unseen and study.folder.exists() and told_all(study, trackers, marks):
        with suppress(TraitscopeError):  # a folder that cannot be written is still read
            study.folder.prepare()
            _write_down(study, units)
        refuse_failed(study.folder, wanted.adapters)
        return None
    check_study(study)
    if evaluate:
        check_code(study, [cell.task for cell in state.missing_cells])
    with (
        _backend(study, state, stop) as backend,
        open_work(study, units, replace, stop, backend, part) as work,
        tracked(study, trackers, marks) as work.tracking,
    ):
        while True:
            # Asked before, so that what others end meanwhile is taken up in one more round.
            others = work.leases.busy()
            evaluating.rescore(work)
            try:
                left = training.train_missing(work) if train else False
                if evaluate:
                    left |= evaluating.evaluate_missing(work)
                if captures:
                    left |= hidden.capture_missing(work)
            except BackendLost as lost:
                work.backend, left = _alone(study, work.backend, lost), True
            if not left or not (train or others or evaluating.ready_cells(work.state(), work.folder)):
                break
            work.wait(POLL_S)
        if evaluate:
            _gather_records(study.folder)
    refuse_failed(study.folder, work.wanted.adapters)
    return work


def _gather_records(folder: RunFolder) -> None:
    """Of many cells the records of every model in one file, so that findings need not open a hundred thousand."""
    index = folder.cells.index()
    if len(index) > MOST_APART:
        marks = index.marks()
        for model in ticks(marks, "records of the cells", len(marks), "models"):
            with suppress(TraitscopeError):  # what was damaged meanwhile is named by the next run
                folder.cells.gather(model, marks[model])


def _take_over(study: Context, units: Units, state: State) -> bool:
    """Gives missing units what was made of them under names that the study has no more; True if there was any."""
    folder = study.folder
    adapters = list(renamed_adapters(units, state, folder)) if state.missing_adapters else []
    cells = list(renamed_cells(units, state, folder, study.data)) if state.missing_cells else []
    if adapters or cells:
        folder.prepare()
        with folder.leases(stale_s=study.stale_s) as leases, leases.alone():
            for unit, head in adapters:
                rename_adapter(folder, unit, head)
                study.report_to.note(f"{unit.unit} is what adapters/{head.name} was")
            for cell, found in cells:
                rename_cell(folder, cell, found, units.base.shared)
                study.report_to.note(f"{cell.unit} is what cells/{found.model}/{found.task} was")
    return bool(adapters or cells)


@contextmanager
def _backend(study: Context, state: State, stop: Callable[[], bool] | None) -> Iterator[Backend]:
    """The backend that the study was given; else as many processes as the work that is missing is worth."""
    if study.given_backend is not None:
        yield study.backend
        return
    data = study.data
    trained = evaluated = 0
    for unit in state.missing_adapters:
        parts = data.mix(unit.mix) if unit.mix is not None else [(p, data.train(p)) for p in unit.parts]
        trained += sum(characters(rows) for _, rows in parts) * unit.recipe.epochs
    for cell in state.missing_cells:
        evaluated += characters(data.load(cell.task).eval[: cell.n])
    with processes(study, trained, evaluated, stop) as backend:
        yield backend


@contextmanager
def processes(study: Context, trained: int, evaluated: int, stop: Callable[[], bool] | None) -> Iterator[Backend]:
    """As many processes of this machine as some characters to train and to evaluate are worth; or this one.

    Where the study runs on a cluster, its workers.
    """
    config = study.config
    compute, base = config.compute, study.asked(config.base).resolved()
    given: dict[str, Any] = {"plugins": config.plugins, "root": config.root, "should_stop": stop}
    backend: AbstractContextManager[Backend]
    if study.on is not None:
        note, verbose = study.report_to.note, bool(os.environ.get("TRAITSCOPE_VERBOSE"))
        backend = Cluster(study.on, compute, base=base, note=note, verbose=verbose, **given)
    else:
        n = processes_for(compute.workers, compute.device, base, trained=trained, evaluated=evaluated)
        if n == 1:
            yield study.backend
            return
        backend = Pool(compute, n, **given)
    try:
        with backend as several:
            yield several
    except PoolStopped as stopped:
        raise Stopped from stopped


def _alone(study: Context, gone: Backend, lost: BackendLost) -> Backend:
    """This process, in place of a pool that is gone; where there was none the error stands, and where a cluster was.

    Who names a cluster may have started the run on a machine that is not to work.
    """
    if study.on is not None or gone is study.backend:
        raise lost
    study.report_to.note(f"{lost.what}; this process goes on alone")
    return study.backend


def characters(rows: Iterable[Example]) -> int:
    """Characters of prompts and answers: what the size of a piece of work is judged by before anything is loaded."""
    return sum(len(row.prompt) + len(row.answer) for row in rows)


def _loaded_units(study: Context, units: Units, backend: Backend) -> Units:
    """The units with every model's identity known, loading those for which nothing else tells it."""
    base = study.loaded(units.base, backend)
    others = {}
    for name, identity in units.identities.items():
        model = study.config.models[name]
        found = model_identity(study.asked(model), base, identity.to_json() if identity.revision else None)
        others[name] = study.loaded(found, backend)
    return all_units(study.config, study.data, base, others)


@contextmanager
def open_work(
    study: Context,
    units: Units,
    replace: bool,
    stop: Callable[[], bool] | None,
    backend: Backend | None = None,
    part: Part | None = None,
) -> Iterator[Work]:
    """The folder, prepared and leased, for one piece of work; what changed under it is settled first.

    Without a backend no model's identity is looked for: such work needs none.
    """
    if backend is not None:
        try:
            units = _loaded_units(study, units, backend)
        except BackendLost as lost:
            backend = _alone(study, backend, lost)
            units = _loaded_units(study, units, backend)
    study.folder.prepare()
    with study.folder.leases(stale_s=study.stale_s, beat_s=min(5.0, study.stale_s / 6)) as leases:
        work = Work(
            config=study.config,
            folder=study.folder,
            leases=leases,
            data=study.data,
            units=units,
            backend=backend or study.backend,
            report=study.report_to,
            every_s=study.every_s,
            asked_to_stop=stop or (lambda: False),
            part=part,
            allow_code=study.allow_code,
        )
        _settle_changes(study, work, replace)
        _write_down(study, units)
        study.folder.log("start", adapters=len(units.adapters), cells=len(units.cells))
        try:
            yield work
        finally:
            _remember(study)
        study.folder.log("end", trained=len(work.trained), evaluated=len(work.evaluated), tokens=work.tokens)


def _settle_changes(study: Context, work: Work, replace: bool) -> None:
    state = work.state()
    if replace:
        if state.changed:
            aside = study.folder.set_aside(list(state.changed))
            study.report_to.note(f"{len(state.changed)} units of an earlier study moved to {aside}")
        training.drop_open_banks(work)
        return
    files = changed_files(study.lock, work.units) if state.changed else []
    error = refuse_changes(state, study.recorded_config(), study.config, study.folder, files)
    if error is not None:
        raise error
    training.open_banks(work)


def _write_down(study: Context, units: Units) -> None:
    old = study.folder.read_lock()
    text = study_bytes(study)
    rows = evaluating.write_tasks(study.config, study.folder, study.data)
    lock = make_lock(study.config, units, study.data, text, rows)
    if old is not None and (changed := changed_packages(old, lock)):
        study.report_to.note(
            f"software changed since this folder was begun: {', '.join(changed)}; "
            "new units agree with old ones to rounding, not to the bit"
        )
    for line in renamed(old or {}, lock):
        study.report_to.note(line)
    study.folder.write_if_changed(study.folder.study_file, text)
    study.folder.write_if_changed(study.folder.root / "lock.json", sealed(lock, "lock.json"))
    _remember(study)


def study_bytes(study: Context) -> bytes:
    """The study file as the run folder keeps it: as the user wrote it, or made from a configuration."""
    if study.text is not None:
        return study.text
    old = study.recorded_config()
    if old is not None and _same(old, study.config):
        return study.folder.study_file.read_bytes()
    plain = study.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode()


def _remember(study: Context) -> None:
    try:
        study.folder.write_local({**where_it_lies(study), "tasks": study.data.to_remember()})
    except TraitscopeError:
        return  # a cache: a folder that cannot be written is still read


def where_it_lies(study: Context) -> dict[str, str]:
    """Where the study's files and its run folder are, for ``local.json``."""
    root, place = study.config.root.resolve(), study.folder.root.resolve()
    return {"root": str(root), "root_from_here": os.path.relpath(root, place), "here": str(place)}


def _same(one: StudyConfig, other: StudyConfig) -> bool:
    """Whether two configurations say the same; where they were read does not count."""
    return one.model_dump(mode="json") == other.model_dump(mode="json")
