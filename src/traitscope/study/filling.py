"""Filling a study's folder: what is missing is trained, evaluated and captured, by one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from traitscope.config import StudyConfig, load_config
from traitscope.errors import TraitscopeError
from traitscope.records import Example
from traitscope.store.files import json_bytes
from traitscope.study import evaluating, hidden, training
from traitscope.study.identity import Identity, loaded_identity, model_identity
from traitscope.study.lock import changed_packages, make_lock
from traitscope.study.state import State, Units, all_units, find_state, refuse_changes
from traitscope.study.work import Work
from traitscope.study.workers import Crew, crew_size

if TYPE_CHECKING:
    from traitscope.study.study import Study

POLL_S = 0.5


def fill(study: Study, *, train: bool, evaluate: bool, replace: bool, stop: Callable[[], bool] | None) -> Work | None:
    """Trains and evaluates what is missing, with helping processes where they pay; None if nothing was missing."""
    units = study.units()
    state = find_state(units, study.folder, study.data)
    unseen = _unseen(study, units.base) if evaluate else []
    if state.complete and not unseen and study.folder.exists():
        _remember(study)
        return None
    verb = "run" if train and evaluate else "train" if train else "eval"
    workers = _crew_size(study, state)
    if workers > 1:
        study.place.share_cores(workers)
    with (
        open_work(study, _loaded_units(study, units), replace, stop, workers) as work,
        Crew(study.folder.root, verb, workers) as crew,
    ):
        while True:
            evaluating.rescore(work)
            left = training.train_missing(work) if train else False
            if evaluate:
                left |= evaluating.evaluate_missing(work)
                left |= hidden.capture_missing(work)
            for words in crew.complaints():
                study.report_to.note(f"a process of this run ended early: {words}")
            if not left or (not train and not work.leases.busy()):
                break
            work.wait(POLL_S)
    if workers > 1:
        study.place.take_cores()
        _count_in(study, work, state, unseen)
    return work


def _crew_size(study: Study, state: State) -> int:
    data, config = study.data, study.config
    trained: list[Example] = []
    for unit in state.missing_adapters:
        parts = data.mix(unit.mix) if unit.mix is not None else [(p, data.train(p)) for p in unit.parts]
        trained += [row for _, rows in parts for row in rows] * unit.recipe.epochs
    evaluated = [row for cell in state.missing_cells for row in data.load(cell.task).eval]
    return crew_size(config.compute.workers, config.compute.device, config.base.model, trained, evaluated)


def _unseen(study: Study, base: Identity) -> list[str]:
    """The datasets whose mean hidden states are missing."""
    return hidden.missing_hidden(study.folder, hidden.hidden_inputs(study.config, study.data, base))


def _count_in(study: Study, work: Work, before: State, unseen: list[str]) -> None:
    """Counts what the run's other processes made as made by the run."""
    after = work.state()
    adapters, cells = ({u.name for u in after.missing_adapters}, {c.unit for c in after.missing_cells})
    work.trained = [unit.name for unit in before.missing_adapters if unit.name not in adapters]
    work.evaluated = [cell.unit for cell in before.missing_cells if cell.unit not in cells]
    still = _unseen(study, work.units.base)
    work.captured = [f"hidden/{name}" for name in unseen if name not in still]


def _loaded_units(study: Study, units: Units) -> Units:
    """The units with every model's identity known, loading those for which nothing else tells it."""
    base, others = study.loaded_base(), dict(units.identities)
    for name, identity in others.items():
        model = study.config.models[name]
        found = model_identity(model, base, identity.to_json() if identity.revision else None)
        if found is None or found.fingerprint.startswith("not loaded yet"):
            study.report_to.stage(f"loading {model.model}")
            asked = Identity(model.model, model.revision, None, base.dtype, "")
            found = loaded_identity(model.model, model.revision, study.place.base(asked.source()))
        others[name] = found
    return all_units(study.config, study.data, base, others)


@contextmanager
def open_work(
    study: Study, units: Units, replace: bool, stop: Callable[[], bool] | None, workers: int = 1
) -> Iterator[Work]:
    """The folder, prepared and leased, for one piece of work; what changed under it is settled first."""
    study.folder.prepare()
    with study.folder.leases(stale_s=study.stale_s, beat_s=min(5.0, study.stale_s / 6)) as leases:
        work = Work(
            study.config,
            study.folder,
            leases,
            study.data,
            units,
            study.place,
            study.report_to,
            study.every_s,
            workers,
            stop or (lambda: False),
        )
        _settle_changes(study, work, replace)
        _write_down(study, units)
        evaluating.write_tasks(work)
        study.folder.log("start", adapters=len(units.adapters), cells=len(units.cells))
        try:
            yield work
        finally:
            _remember(study)
        study.folder.log("end", trained=len(work.trained), evaluated=len(work.evaluated), tokens=work.tokens)


def _settle_changes(study: Study, work: Work, replace: bool) -> None:
    state = work.state()
    if replace:
        if state.changed:
            place = study.folder.set_aside(list(state.changed))
            study.report_to.note(f"{len(state.changed)} units of an earlier study moved to {place}")
        training.drop_open_banks(work)
        return
    old = load_config(study.folder.study_file) if study.folder.exists() else None
    error = refuse_changes(state, old, study.config, study.folder)
    if error is not None:
        raise error
    training.open_banks(work)


def _write_down(study: Study, units: Units) -> None:
    old = study.folder.read_lock()
    lock = make_lock(study.config, units, study.data)
    if old is not None and (changed := changed_packages(old, lock)):
        study.report_to.note(
            f"software changed since this folder was begun: {', '.join(changed)}; "
            "new units agree with old ones to rounding, not to the bit"
        )
    study.folder.write_if_changed(study.folder.study_file, _study_text(study))
    study.folder.write_if_changed(study.folder.root / "lock.json", json_bytes(lock))
    _remember(study)


def _study_text(study: Study) -> bytes:
    if study.text is not None:
        return study.text
    if study.folder.exists() and _same(load_config(study.folder.study_file), study.config):
        return study.folder.study_file.read_bytes()
    plain = study.config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode()


def _remember(study: Study) -> None:
    try:
        study.folder.write_local({"root": str(study.config.root.resolve()), "tasks": study.data.to_remember()})
    except TraitscopeError:
        return  # a cache: a folder that cannot be written is still read


def _same(one: StudyConfig, other: StudyConfig) -> bool:
    """Whether two configurations say the same; where they were read does not count."""
    return one.model_dump(mode="json") == other.model_dump(mode="json")
